"""A motion library made on the spot, and the place of the real clips."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest

from grail_framework.robots.g1 import g1_43dof

if TYPE_CHECKING:
    from grail_framework.robots.spec import RobotSpec

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real clips; tests that need them are skipped where it is absent."""
    folder = Path(os.environ.get("GRAIL_TEST_DATA", REPO.parent / "shared" / "data"))
    if not (folder / "grail").is_dir():
        pytest.skip(f"no real clips in {folder}; set GRAIL_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def g1() -> RobotSpec:
    return g1_43dof()


def robot_entry(frames: int = 40, rate: float = 30.0, **changes: Any) -> dict[str, Any]:
    """Entry of a robot that walks along x, turns about z and moves one knee; keys set to None are left out."""
    t = np.arange(frames, dtype=np.float32) / rate
    dof = np.zeros((frames, 29), dtype=np.float32)
    dof[:, 3] = 0.5 + 0.3 * np.sin(2.0 * t)
    axes = np.zeros((29, 3), dtype=np.float32)
    axes[:, 1] = 1.0
    pose = np.zeros((frames, 30, 3), dtype=np.float32)
    pose[:, 0, 2] = 0.2 * t
    pose[:, 1:] = dof[:, :, None] * axes
    half = 0.5 * pose[:, 0, 2]
    zero = np.zeros_like(half)
    entry = {
        "root_trans_offset": np.stack([0.3 * t, 0.0 * t, 0.78 + 0.0 * t], axis=-1).astype(np.float32),
        "pose_aa": pose,
        "dof": dof,
        "root_rot": np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1),
        "smpl_joints": np.zeros((frames, 24, 3), dtype=np.float32),
        "fps": rate,
        "hand_action_left": -np.ones(frames, dtype=np.float32),
        "hand_action_right": np.where(np.arange(frames) < frames // 2, -1.0, 1.0).astype(np.float32),
    }
    return {key: value for key, value in (entry | changes).items() if value is not None}


def object_entry(frames: int = 40, rate: float = 30.0, **changes: Any) -> dict[str, Any]:
    """Entry of an object that rises and turns, touched by the right hand from the middle on."""
    t = np.arange(frames, dtype=np.float32) / rate
    half = 0.15 * t
    entry = {
        "root_pos": np.stack([0.5 + 0.0 * t, 0.0 * t, 0.1 + 0.1 * t], axis=-1)[:, None].astype(np.float32),
        "root_quat": np.stack([np.cos(half), np.sin(half), 0.0 * t, 0.0 * t], axis=-1)[:, None].astype(np.float32),
        "fps": rate,
        "contact_points_left_hand": {},
        "contact_points_right_hand": {k: np.array([[0.1, 0, 0], [0.3, 0, 0]], np.float32) for k in range(frames // 2, frames)},
    }
    return {key: value for key, value in (entry | changes).items() if value is not None}


class LibraryMaker:
    """Writes the files of a motion library, from the entries it makes."""

    robot_entry = staticmethod(robot_entry)
    object_entry = staticmethod(object_entry)

    def __init__(self, root: Path) -> None:
        self.root = root
        for part in ("robot", "objects", "meta", "object_usd", "bps"):
            (root / part).mkdir(parents=True)

    def add(
        self,
        key: str,
        *,
        robot: dict[str, Any] | None = None,
        obj: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
        usd: bool = True,
    ) -> None:
        joblib.dump({key: robot if robot is not None else robot_entry()}, self.root / "robot" / f"{key}.pkl", compress=True)
        joblib.dump({"inner": obj if obj is not None else object_entry()}, self.root / "objects" / f"{key}.pkl")
        joblib.dump(meta if meta is not None else {"object_name": "cube"}, self.root / "meta" / f"{key}.pkl")
        np.save(self.root / "bps" / f"{key}.npy", np.linspace(0.1, 1.0, 10, dtype=np.float32))
        if usd:
            (self.root / "object_usd" / f"{key}.usd").write_bytes(b"PXR-USDC")


@pytest.fixture
def library(tmp_path: Path) -> LibraryMaker:
    return LibraryMaker(tmp_path / "cubes_ha")
