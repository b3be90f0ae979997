"""The look at a motion library's names before a run, for layouts other than the release's."""

import attrs
import numpy as np
import pytest

from grail_framework.config.compose import RunOptions, compose
from grail_framework.errors import ConfigError, DataError
from grail_framework.motion.loading import load_library
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.store.building import pack_library
from grail_framework.motion.writer import write_clip
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.runs.data_check import check_data
from grail_framework.tasks.demo import squat_and_wave


@pytest.fixture(scope="module")
def registry():
    return GrailPluginManager().load().registry


def check(registry, folder, task="motion_tracking", **motion):
    cfg = compose(registry, task=task, options=RunOptions(data=str(folder))).cfg
    return check_data(attrs.evolve(cfg, motion=attrs.evolve(cfg.motion, **motion)), registry)


@pytest.fixture(params=["npz", "csv"])
def folder(request, tmp_path):
    for stem in ("walk", "wave"):
        (tmp_path / f"{stem}.{request.param}").write_bytes(b"")
    return tmp_path


def test_other_layouts_are_libraries(registry, folder):
    assert check(registry, folder) == []
    file = next(folder.glob("walk.*"))
    assert check(registry, file) == []
    assert check(registry, folder, robot_dir=str(folder)) == []


def test_a_packed_store_is_a_library(registry, tmp_path):
    robot = g1_43dof()
    write_clip(squat_and_wave(robot, key="squat"), tmp_path / "library", robot)
    source = attrs.evolve(motion_cfg(registry), data=str(tmp_path / "library"))
    pack_library(source, robot, GrailReader(), tmp_path / "store")
    assert check(registry, tmp_path / "store") == []
    library = load_library(
        attrs.evolve(source, data=str(tmp_path / "store")),
        robot,
        device="cpu",
        need_object=False,
        need_table=False,
        readers=[GrailReader()],
    )
    assert library.keys == ("squat",)


def motion_cfg(registry):
    return compose(registry, task="motion_tracking", options=RunOptions()).cfg.motion


def test_their_stems_are_what_filters_are_checked_against(registry, folder):
    assert check(registry, folder, filter_motion_keys=("wa.*",)) == []
    with pytest.raises(ConfigError, match="'run' is no motion and matches none of 2"):
        check(registry, folder, filter_motion_keys=("run",))


def test_motions_in_a_robot_folder_are_found(registry, folder):
    (folder / "robot").mkdir()
    for file in list(folder.glob("w*")):
        file.rename(folder / "robot" / file.name)
    assert check(registry, folder) == []


def test_an_object_task_needs_assets_beside_archives(registry, tmp_path):
    np.savez(tmp_path / "carry.npz", a=1)
    with pytest.raises(DataError, match=r"motion\.object_usd: .*object_usd does not exist"):
        check(registry, tmp_path, task="pnp_ground")
    (tmp_path / "object_usd").mkdir()
    (tmp_path / "object_usd" / "carry.usd").write_bytes(b"")
    check(registry, tmp_path, task="pnp_ground")


def test_an_object_task_cannot_use_tables(registry, tmp_path):
    (tmp_path / "carry.csv").write_bytes(b"")
    with pytest.raises(DataError, match=r"CSV tables, which have no object motion.*grail data import"):
        check(registry, tmp_path, task="pnp_ground")


def test_a_file_of_no_layout_is_refused(registry, tmp_path):
    (tmp_path / "walk.txt").write_bytes(b"")
    with pytest.raises(DataError, match="is a file, allowed: a folder with robot/"):
        check(registry, tmp_path / "walk.txt")
