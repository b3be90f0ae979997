"""What the tests of packed stores share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grail_framework.config.scene import MotionCfg
from grail_framework.motion.loading import load_library
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.store import STORE_FOLDER
from grail_framework.motion.store.building import pack_library

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from grail_framework.motion.library import MotionLibrary
    from grail_framework.robots.spec import RobotSpec


def load(where: Path, robot: RobotSpec, **kwargs: Any) -> MotionLibrary:
    cfg = {"data": str(where)} | kwargs.pop("cfg", {})
    arguments: dict[str, Any] = {"device": "cpu", "need_object": False, "need_table": False, "readers": [GrailReader()]}
    return load_library(MotionCfg(**cfg), robot, **(arguments | kwargs))


def pack(where: Path, robot: RobotSpec, out: Path | None = None, **cfg: Any) -> Path:
    settings = MotionCfg(data=str(where), **cfg)
    return pack_library(settings, robot, GrailReader(), out or where / STORE_FOLDER).folder


def from_store(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether the last load came from a store; forgets the log."""
    found = "come from the packed store" in caplog.text
    caplog.clear()
    return found
