"""What becomes of a task that acts through a frozen base policy: its base is found and looked at, or it acts without one.

Imports no torch, unless there is a base to look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.plugins.results import SettledRun
from grail_hoi.base_files import DEFAULT_BASE, GROUPS, HOW_TO_GET_ONE, check_present, find_base

if TYPE_CHECKING:
    from grail_framework.config import RunCfg

LATENT: Final = "latent_residual"
WITHOUT_BASE: Final = "joint_residual"
_LATENT_PARAMS: Final = ("mode", "scale", "base_checkpoint", "base_config", "base_inputs")
_LATENT_REWARD: Final = "full_latent_rate_l2"
_LATENT_NETWORK_PARAMS: Final = ("latent_l2_coef", "latent_dim")


def settle(cfg: RunCfg) -> SettledRun | None:
    """Name the base policy of a run whose action is `latent_residual`, or have it act by `joint_residual`.

    The base is `action.params.base_checkpoint`, else `models/sonic_manipulation_base` where that is; it is written into the
    configuration, so that the run's own config.yaml says which it was. Without any, and where a user chose `joint_residual` for a task
    made for the other, all that is about the latent is left out.

    Raises:
        CheckpointError: a base that is named is not there, or does not fit.
        ConfigError: an observation group is missing that the base policy reads.
    """
    params = cfg.action.params
    if _plain(cfg.action.func) == WITHOUT_BASE and any(name in params for name in _LATENT_PARAMS):
        return SettledRun(cfg=without_base(cfg, "joint residuals instead of a base policy, as configured"))
    if _plain(cfg.action.func) != LATENT:
        return None
    base = find_base(params.get("base_checkpoint"))
    if base is None:
        task = cfg.task.rpartition(":")[2]
        why = f"{DEFAULT_BASE / 'last.pt'} is not there, so {task} acts by {WITHOUT_BASE}, without a base policy"
        changed = without_base(cfg, "joint residuals, for there is no base policy")
        left_out = ", ".join(name for name in cfg.rewards if name not in changed.rewards)
        return SettledRun(cfg=changed, warnings=(f"{why}{f' and without {left_out}' if left_out else ''}. {HOW_TO_GET_ONE}",))
    check_present(cfg.observations)
    from grail_hoi.base_policy import check_base

    warnings = check_base(base, cfg)
    found = attrs.evolve(cfg.action, params={**params, "base_checkpoint": str(base)})
    return SettledRun(cfg=attrs.evolve(cfg, action=found), warnings=warnings)


def without_base(cfg: RunCfg, why: str) -> RunCfg:
    """Return the configuration with `joint_residual` as its action, without what is about a base policy; the summary says why."""
    action = {name: value for name, value in cfg.action.params.items() if name not in _LATENT_PARAMS}
    rewards = {name: term for name, term in cfg.rewards.items() if _plain(term.func) != _LATENT_REWARD}
    network = {name: value for name, value in cfg.network.params.items() if name not in _LATENT_NETWORK_PARAMS}
    return attrs.evolve(
        cfg,
        summary=f"{cfg.summary} ({why})",
        action=attrs.evolve(cfg.action, func=f"core:{WITHOUT_BASE}", params=action),
        observations={name: group for name, group in cfg.observations.items() if name not in GROUPS},
        rewards=rewards,
        network=attrs.evolve(cfg.network, params=network),
    )


def _plain(func: str) -> str:
    return func.rpartition(":")[2]
