"""The contract checks pass what is right and name what is wrong."""

from types import SimpleNamespace

import attrs
import pytest
import torch

from grail_framework.testing import assert_cfg_roundtrip, assert_import_light, assert_term_contract


@pytest.fixture
def env():
    state = SimpleNamespace(speed=torch.tensor([1.0, -2.0, 3.0]), gap=torch.tensor([1.0, float("nan"), 3.0]))
    return SimpleNamespace(num_envs=3, device="cpu", state=state)


def good(env, *, scale=1.0):
    return env.state.speed.abs() * scale


def edits(env):
    return env.state.speed.abs_()


def negative(env):
    return env.state.speed


def not_finite(env):
    return env.state.gap


def wide(env):
    return env.state.speed.abs().unsqueeze(1)


def double(env):
    return env.state.speed.abs().double()


def number(env):
    return 1.0


def no_env(state):
    return state


class Held:
    """A stateful term."""

    def __init__(self, env, scale):
        self.scale = scale

    def __call__(self, env):
        """Scale the speed."""
        return env.state.speed.abs() * self.scale


def test_good_terms(env):
    assert_term_contract(good, env, scale=2.0)
    assert_term_contract(Held, env, scale=2.0)
    assert_term_contract(wide, env, kind="observation")
    assert_term_contract(lambda env: env.state.speed > 0, env, kind="termination")


@pytest.mark.parametrize(
    ("term", "kind", "message"),
    [
        (edits, "reward", r"edits edits env\.state\.speed in place"),
        (negative, "reward", "returned negative values"),
        (not_finite, "reward", "not finite"),
        (wide, "reward", r"returned shape \(3, 1\), allowed: \(3,\)"),
        (good, "observation", r"returned shape \(3,\), allowed: \(3, d\)"),
        (good, "termination", r"returned torch\.float32, allowed: torch\.bool"),
        (double, "reward", r"returned torch\.float64, allowed: torch\.float32"),
        (number, "reward", "returned float, allowed: a tensor"),
        (no_env, "reward", "the first parameter must be env, got 'state'"),
        (good, "event", "allowed are reward, termination, observation"),
    ],
)
def test_broken_terms(env, term, kind, message):
    with pytest.raises(AssertionError, match=message):
        assert_term_contract(term, env, kind=kind)


def test_import_light(make_dist):
    modules = {"grail_feather": "print('a line')\n", "grail_stone.plugin": "import decimal\n", "grail_gone": "import nowhere\n"}
    make_dist("grail-weights", entry_points={}, modules=modules)
    assert_import_light("grail_feather")
    with pytest.raises(AssertionError, match=r"importing grail_stone\.plugin loads decimal"):
        assert_import_light("grail_stone.plugin", heavy=["decimal"])
    with pytest.raises(AssertionError, match="cannot be imported"):
        assert_import_light("grail_gone")


@pytest.mark.parametrize("module", ["grail_framework", "grail_hoi.plugin", "grail_rewards.plugin", "grail_terrain.plugin"])
def test_first_party_modules_are_light(module):
    assert_import_light(module)


@attrs.frozen(kw_only=True)
class Kept:
    """Comes back equal."""

    size: tuple[float, ...] = (1.0, 2.0)


@attrs.frozen(kw_only=True)
class Lossy:
    """Changes what it is given."""

    size: float = attrs.field(default=1.0, converter=lambda value: value + 1.0)


def test_cfg_roundtrip():
    assert_cfg_roundtrip(Kept())
    with pytest.raises(AssertionError, match="Lossy changes when it is saved"):
        assert_cfg_roundtrip(Lossy())
