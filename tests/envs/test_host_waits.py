"""What makes the host wait is found, and what looks alike but does not is left alone."""

import pytest
import torch

from grail_framework.envs.host_waits import STEP, host_waits

CPU = torch.device("cpu")


def findings(work, generator=None):
    with host_waits(CPU, generator or torch.Generator()) as found:
        work(torch.arange(3.0))
    return found


@pytest.mark.parametrize(
    ("work", "what"),
    [
        (lambda x: float(x.sum()), "reads a number"),
        (lambda x: x if bool((x > 0).all()) else -x, "reads a number"),
        (lambda x: x[x.argmax()], "reads a number"),
        (lambda x: x[x > 1], "indexes with a mask"),
        (lambda x: x.clone().__setitem__(x > 0, x[:2]), "indexes with a mask"),
        (lambda x: torch.where(x > 1), "counts on the host"),
        (lambda x: x.masked_select(x > 1), "counts on the host"),
        (lambda x: x.unique(), "counts on the host"),
        (lambda x: x.long().bincount(), "counts on the host"),
        (lambda x: torch.equal(x, x), "compares on the host"),
        (lambda x: x.repeat_interleave(x.long()), "counts on the host"),
        (lambda x: x + torch.tensor([1.0, 2.0, 3.0]), "makes a tensor of Python numbers"),
        (lambda x: torch.rand(3, generator=torch.Generator()), "draws from a random generator of its own"),
        (lambda x: torch.linalg.inv(torch.diag(x + 1.0)), "checks for errors"),
    ],
)
def test_waits_are_found_with_their_line(work, what):
    (finding, *more) = findings(work)
    assert what in finding.what
    assert finding.owner == STEP
    assert finding.where.rpartition(":")[0] == __file__
    assert not more


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x[torch.arange(2)],
        lambda x: x[:, None].clone().__setitem__((slice(None), torch.zeros(1, dtype=torch.long)), 1.0),
        lambda x: x.clone().__setitem__(1, 2.0),
        lambda x: x.clone().__setitem__(x > 1, 0.0),
        lambda x: torch.where(x > 1, 0.0, x),
        lambda x: x.masked_fill(x > 1, 0.0),
        lambda x: x.repeat_interleave(2),
        lambda x: x.to(torch.float64),
        lambda x: torch.rand(3),
    ],
)
def test_what_does_not_wait_is_left_alone(work):
    assert findings(work) == []


def test_the_known_generator_may_be_drawn_from():
    own = torch.Generator()
    assert findings(lambda x: torch.rand(3, generator=own), own) == []
