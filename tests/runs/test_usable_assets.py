"""Assets that cannot be simulated: said before the engine is built, and left out where bad clips are."""

import attrs
import pytest

from grail_framework.config.compose import RunOptions, compose
from grail_framework.errors import DataError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.assembly import load_parts
from grail_framework.testing.bases import without_base
from grail_framework.testing.fakes import write_box_library


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture
def library(tmp_path):
    folder = write_box_library(tmp_path, ("a", "b", "c"))
    sorted((folder / "object_usd").iterdir())[1].write_bytes(b"PXR-USDC that ends here")
    return folder


def configure(manager, library, **motion):
    options = RunOptions(data=str(library), num_envs=4, engine="mujoco")
    cfg = without_base(compose(manager.registry, task="pnp_ground", options=options).cfg, manager)
    return attrs.evolve(cfg, motion=attrs.evolve(cfg.motion, **motion))


def test_a_broken_asset_stops_the_run_with_file_and_motion(manager, library):
    broken = sorted((library / "object_usd").iterdir())[1]
    with pytest.raises(DataError, match="1 of 3 motions cannot be used") as error:
        load_parts(configure(manager, library), manager)
    assert str(broken) in str(error.value)
    assert f"motion {broken.stem!r}" in str(error.value)


def test_the_rest_trains_under_skip(manager, library, caplog):
    keys = tuple(sorted(path.stem for path in (library / "robot").iterdir()))
    parts = load_parts(configure(manager, library, on_bad_clip="skip"), manager)
    assert parts.motions.keys == (keys[0], keys[2])
    assert [record for record in caplog.records if "skipped:" in record.message and keys[1] in record.message]


def test_the_motion_that_moves_up_is_opened_too(manager, library):
    for path in sorted((library / "object_usd").iterdir())[1:]:
        path.write_bytes(b"nothing")
    cfg = attrs.evolve(configure(manager, library, on_bad_clip="skip"), num_envs=2)
    assert len(load_parts(cfg, manager).motions.keys) == 1
