"""Poses as they go into Isaac Lab's simulations and come out of them."""

from __future__ import annotations

import torch

from grail_framework.errors import EnvContractError


def wxyz(quat: torch.Tensor) -> torch.Tensor:
    """Order quaternions (..., 4) as this project does, from xyzw."""
    return torch.cat((quat[..., 3:], quat[..., :3]), dim=-1)


def xyzw(quat: torch.Tensor) -> torch.Tensor:
    """Order quaternions (..., 4) as Isaac Lab, Newton and PhysX do, from wxyz."""
    return torch.cat((quat[..., 1:], quat[..., :1]), dim=-1)


def given_pose(what: str, pos: torch.Tensor | None, quat: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pose to which the object or the table is to be reset.

    Raises:
        EnvContractError: there is none.
    """
    if pos is None or quat is None:
        raise EnvContractError(f"the scene has an {what}, but the reset state gives no {what}_pos_w and {what}_quat_w for it")
    return pos, quat
