"""Presets: values that fit a machine and a start rather than a task, chosen by `--preset`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from grail_framework.config.structure import to_plain
from grail_framework.errors import ConfigError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from grail_framework.config.learning import NetworkCfg, PpoCfg
    from grail_framework.config.run import RunCfg
    from grail_framework.config.terms import ObservationGroupCfg

_IMITATED: Final = 5
"""Rollouts from which a universal-token actor learns to send the joints where the reference has them, before rewards say so.

`motion_base` acts about the default pose, as its decoder must for other tasks. From nothing it then has to find the reference's pose
first, which `motion_tracking` is given by acting about it: that, and neither tokens nor inputs, is why it learned far slower. With
the residual action the same network learned as fast as `motion_tracking`'s.
"""
_TOKEN_RATE: Final = 5e-5
"""Of a universal-token actor at the start.

Two stacked networks move ten times as far as an `mlp` at the same rate: the KL divergence of an update at 2e-4 is 0.1 against 0.01. The
rate finds its way down, but from 1e-3 layers of the release's widths get to a divergence of 100 before it does.
"""
_TOKEN_CRITIC_RATE: Final = 5e-4
"""Of the critic beside it: one that shared the actor's rate would learn too slowly."""
_LONG: Final = frozenset({"command_multi_future"})
"""Terms that are hundreds of numbers wide and say little that the current frame does not."""


def laptop(cfg: RunCfg) -> RunCfg:
    """Fit the learning to a few processor cores and minutes.

    A task's own values are those of thousands of GPU environments for days: tiny steps of wide networks, and a noise of 0.05 about a
    base policy that can walk already. From nothing, noise ten times as wide finds out far sooner what keeps the robot up. It narrows as
    the policy gets surer, and a rate that was right becomes too high: hence the floor under the noise and the wide bounds of the rate.
    Inputs are normalised (a small batch cannot learn their scales), the value may follow its targets at once, and the networks are
    small; a universal-token network keeps its tokens, for which others are built. Action, scene, terminations and rewards stay the
    task's, but for what the task says in `RunCfg.presets`.
    """
    algorithm = attrs.evolve(
        cfg.algorithm,
        learning_rate=5e-4,
        min_learning_rate=5e-5,
        max_learning_rate=5e-4,
        desired_kl=0.05,
        max_grad_norm=1.0,
        entropy_coef=0.0,
        init_noise_std=0.5,
        min_noise_std=0.2,
        gamma=0.97,
        use_clipped_value_loss=False,
    )
    return attrs.evolve(
        cfg,
        network=_resized(cfg, (256, 128), token_layers=(128, 128)),
        algorithm=_with_token_rates(cfg.network, algorithm),
        observations={name: _without_long_terms(group) for name, group in cfg.observations.items()},
        evaluation=attrs.evolve(cfg.evaluation, every=50),
    )


def scratch(cfg: RunCfg) -> RunCfg:
    """Fit the learning to a policy that starts from nothing on a GPU: minutes to hours instead of days.

    A task's own values fine-tune about a base policy. These are what whole-body tracking is commonly trained from nothing with: a wide
    first noise, a rate of up to 1e-3 that follows a KL of 0.01, a gradient norm of 1, normalised inputs. Layers are of moderate width,
    those of a universal-token network too: the release's 28 million parameters are for days on many GPUs; with 2 million an update costs
    less than a tenth, and the same minutes hold more rollouts.
    """
    algorithm = attrs.evolve(
        cfg.algorithm,
        learning_rate=1e-3,
        min_learning_rate=1e-5,
        max_learning_rate=1e-3,
        desired_kl=0.01,
        max_grad_norm=1.0,
        entropy_coef=0.005,
        init_noise_std=0.5,
        max_noise_std=1.0,
    )
    return attrs.evolve(
        cfg,
        network=_resized(cfg, (512, 256, 128), token_layers=(512, 256)),
        algorithm=_with_token_rates(cfg.network, algorithm),
        evaluation=attrs.evolve(cfg.evaluation, every=250),
    )


PRESETS: Final[Mapping[str, Callable[[RunCfg], RunCfg]]] = {"laptop": laptop, "scratch": scratch}


def find_preset(name: str) -> Callable[[RunCfg], RunCfg]:
    """Return the function that changes a configuration as the preset of a name does.

    Raises:
        ConfigError: there is none.
    """
    if name not in PRESETS:
        raise ConfigError(f"--preset: got {name!r}; {suggest(name, PRESETS)}")
    return PRESETS[name]


def changes_of(before: RunCfg, after: RunCfg) -> tuple[str, ...]:
    """Say what a preset changed, as overrides: `path=value`, and `~path` for what was removed."""
    return tuple(_differences(to_plain(before), to_plain(after), ""))


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from (f"~{path}{key}" for key in before if key not in after)
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            yield from _differences(cast("dict[str, Any]", old), cast("dict[str, Any]", value), f"{path}{key}.")
        elif old != value or key not in before:
            yield f"{path}{key}={_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_text, cast('list[Any]', value)))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _resized(cfg: RunCfg, hidden: tuple[int, ...], *, token_layers: tuple[int, ...]) -> NetworkCfg:
    """Give the framework's own networks other layers, and normalised inputs where they have a normaliser; any other stays as it is."""
    network = cfg.network
    params: dict[str, Any]
    match network.func.removeprefix("core:"):
        case "mlp":
            params = {
                "actor_hidden_dims": hidden,
                "critic_hidden_dims": hidden,
                "normalize_actor": True,
                "normalize_critic": True,
            }
        case "universal_token":
            own = dict.fromkeys(("encoder_hidden_dims", "dyn_hidden_dims", "kin_hidden_dims"), token_layers)
            params = {**own, "critic_hidden_dims": hidden, "normalize_actor": True, "normalize_critic": True}
            if cfg.action.func.removeprefix("core:") == "joint_position":
                params["imitated_rollouts"] = _IMITATED
        case _:
            return network
    return attrs.evolve(network, params={**network.params, **params})


def _with_token_rates(network: NetworkCfg, algorithm: PpoCfg) -> PpoCfg:
    """Give a universal-token actor and its critic rates of their own; any other network's stay."""
    if network.func.removeprefix("core:") != "universal_token":
        return algorithm
    return attrs.evolve(algorithm, learning_rate=_TOKEN_RATE, critic_learning_rate=_TOKEN_CRITIC_RATE)


def _without_long_terms(group: ObservationGroupCfg) -> ObservationGroupCfg:
    if not _LONG & group.terms.keys():
        return group
    terms = {name: term for name, term in group.terms.items() if name not in _LONG}
    return attrs.evolve(group, terms=terms, width=None)
