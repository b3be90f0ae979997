"""The stand-in for CUDA graphs: what is captured is not done, and is done again by every replay."""

import pytest
import torch

from grail_framework.testing.tape import TapeGraph


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


def test_a_capture_does_nothing_and_a_replay_does_it(generator):
    total, count = torch.zeros(3), [0]

    def body():
        count[0] += 1
        total.add_(2.0 * torch.ones(3) * count[0])
        total[1:].mul_(10.0)

    tape = TapeGraph(generator)
    tape.capture(body)
    assert total.tolist() == [0.0, 0.0, 0.0]
    tape.replay()
    assert total.tolist() == [2.0, 20.0, 20.0]
    count[0] = 7  # Python does not run again
    tape.replay()
    assert total.tolist() == [4.0, 220.0, 220.0]
    assert tape.replays == 2
    assert tape.num_operations > 2


def test_random_numbers_are_those_of_an_eager_run(generator):
    drawn = torch.zeros(2, 4)

    def body():
        drawn[0] = torch.rand(4, generator=generator)
        torch.randn(4, generator=generator, out=drawn[1])

    other = torch.Generator().manual_seed(3)
    tape = TapeGraph(generator)
    tape.capture(body)
    for _ in range(3):
        tape.replay()
        assert torch.equal(drawn[0], torch.rand(4, generator=other))
        assert torch.equal(drawn[1], torch.randn(4, generator=other))


def test_a_tensor_that_is_replaced_is_read_where_it_was(generator):
    kept = {"last": torch.zeros(1)}
    seen = torch.zeros(1)

    def body():
        seen.copy_(kept["last"])
        kept["last"] = kept["last"] + 1.0

    tape = TapeGraph(generator)
    tape.capture(body)
    for _ in range(3):
        tape.replay()
    assert seen.item() == 0.0


@pytest.mark.parametrize(
    "wait", [lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: x.nonzero(), lambda x: x if x.any() else -x]
)
def test_what_a_gpu_refuses_is_refused(generator, wait):
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        TapeGraph(generator).capture(lambda: wait(x))
