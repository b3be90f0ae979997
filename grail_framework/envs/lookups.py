"""Names of bodies and joints as index tensors, made once: making a tensor of numbers in every step would wait for the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.robots.spec import RobotSpec


class Lookups:
    """Index tensors on a device for names of a robot's bodies and joints."""

    def __init__(self, robot: RobotSpec, device: torch.device) -> None:
        self._robot = robot
        self._device = device
        self._known: dict[tuple[str, tuple[str, ...]], torch.Tensor] = {}

    def body_ids(self, names: tuple[str, ...]) -> torch.Tensor:
        """Indices of robot bodies (len(names),)."""
        return self._ids("body", names, self._robot.body_ids)

    def joint_ids(self, names: tuple[str, ...]) -> torch.Tensor:
        """Indices of robot joints (len(names),)."""
        return self._ids("joint", names, self._robot.joint_ids)

    def tracked_body_ids(self, names: tuple[str, ...]) -> torch.Tensor:
        """Indices into the tracked bodies (len(names),).

        Raises:
            ConfigError: a name that is no tracked body.
        """
        return self._ids("tracked", names, self._find_tracked)

    def _find_tracked(self, names: tuple[str, ...]) -> list[int]:
        tracked = self._robot.tracked_bodies
        unknown = [name for name in names if name not in tracked]
        if unknown:
            raise ConfigError(f"{unknown[0]!r} is no tracked body; allowed: {', '.join(tracked)}")
        return [tracked.index(name) for name in names]

    def _ids(self, kind: str, names: tuple[str, ...], find: Callable[[tuple[str, ...]], list[int]]) -> torch.Tensor:
        key = (kind, tuple(names))
        if key not in self._known:
            self._known[key] = torch.tensor(find(key[1]), dtype=torch.long, device=self._device)
        return self._known[key]
