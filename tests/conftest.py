"""Data for tests of whole runs: the real clips where they are found, clips made on the spot elsewhere."""

import os
from pathlib import Path

import attrs
import pytest

from grail_framework.config.hardware import has_nvidia_gpu

REPO = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(config, items):
    """Deselect tests of the device where there is none."""
    if has_nvidia_gpu():
        return
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("gpu")])
    items[:] = [item for item in items if not item.get_closest_marker("gpu")]


def data_folder() -> Path:
    return Path(os.environ.get("GRAIL_TEST_DATA", REPO.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def box_library(tmp_path_factory):
    """A library for pnp_ground: three real clips, or a made one."""
    real = data_folder() / "grail" / "largebox_ha"
    return real if real.is_dir() else make_box_library(tmp_path_factory.mktemp("library"))


def make_box_library(folder: Path, keys=("stand__000", "stand__001")) -> Path:
    """Write clips of a standing robot with a box ahead of it, which the hands should touch from frame 30 on."""
    from grail_framework.assets.usd import write_box_usd
    from grail_framework.motion.writer import write_clip
    from grail_framework.robots.g1 import g1_43dof
    from grail_framework.tasks.demo import mujoco_joint_order
    from grail_framework.testing.fakes import standing_clip

    robot = g1_43dof()
    order = mujoco_joint_order(robot)
    for key in keys:
        clip = standing_clip(robot, key=key, with_object=True)
        clip = attrs.evolve(clip, joint_names=tuple(clip.joint_names[i] for i in order), joint_pos=clip.joint_pos[:, order])
        write_clip(clip, folder, robot)
        (folder / "object_usd").mkdir(exist_ok=True)
        write_box_usd(folder / "object_usd" / f"{key}.usd", (0.2, 0.2, 0.2), mass=0.1)
    return folder
