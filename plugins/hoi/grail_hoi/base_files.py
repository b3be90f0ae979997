"""Where the frozen base policy is looked for, and which observation groups it reads. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from grail_framework.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

DEFAULT_BASE: Final = Path("models/sonic_manipulation_base")
"""Where `grail checkpoints download` puts the release's base policy, below the folder that a run is started in."""
GROUPS: Final = ("tokenizer", "policy_atm")
"""The observation groups that it reads: its encoder's, and its decoder's beside the tokens."""
HOW_TO_GET_ONE: Final = (
    "Get the release's with `grail checkpoints download --only sonic`, or train one with `grail run --task motion_base` and name "
    "its run directory with action.params.base_checkpoint=DIR"
)


def find_base(given: str | None) -> Path | None:
    """Return the base policy's file or folder: the one named, else the default where it is, else None.

    Raises:
        CheckpointError: the one that is named is not there.
    """
    if given is None:
        return DEFAULT_BASE if (DEFAULT_BASE / "last.pt").is_file() else None
    path = Path(given).expanduser()
    if not given or not path.exists():
        raise CheckpointError(
            f"action.params.base_checkpoint: got {given!r}, which is not there, allowed: a *.pt file, a folder with last.pt, a run "
            f"directory of motion_base, or null for {DEFAULT_BASE}. {HOW_TO_GET_ONE}"
        )
    return path


def check_present(groups: Collection[str]) -> None:
    """Demand the observation groups that a base policy reads.

    Raises:
        ConfigError: one is missing.
    """
    missing = [name for name in GROUPS if name not in groups]
    if missing:
        raise ConfigError(
            f"the action latent_residual reads the observation groups {' and '.join(GROUPS)}, and observations has no "
            f"{' and no '.join(missing)}, only {', '.join(groups)}. Leave them in, or write action.func=joint_residual"
        )
