"""What is said of a library that lacks what a task needs: the release's words, and what to do. All of it before an engine is built."""

import logging
import shutil

import joblib
import numpy as np
import pytest

from grail_framework.config.compose import RunOptions, compose
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.errors import ConfigError, DataError, EnvContractError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.assembly import load_parts
from grail_framework.runs.preflight import preflight
from grail_framework.testing.fakes import KinematicEngine, write_box_library

KEYS = ("box__000", "box__001", "box__002")


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return write_box_library(tmp_path_factory.mktemp("boxes") / "lib_ha", KEYS, table=True)


@pytest.fixture
def library(template, tmp_path):
    """A library that pnp_table can use, but for basis point sets."""
    return shutil.copytree(template, tmp_path / "lib_ha")


@pytest.fixture
def load(manager, library, tmp_path, monkeypatch):
    """Do what a run does before it builds an engine, where there is no base policy."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides, task="pnp_table"):
        options = RunOptions(data=str(library), engine="core:mujoco", num_envs=4)
        composed = compose(
            manager.registry,
            task=task,
            options=options,
            overrides=["motion.use_packed=false", *overrides],
            settle=manager.settle_run,
        )
        preflight(composed.cfg, manager.registry)
        return load_parts(composed.cfg, manager)

    return run


def change(library, part, keys, edit):
    """Edit the dictionaries of some files of a part."""
    for key in keys:
        path = library / part / f"{key}.pkl"
        content = joblib.load(path)
        edit(content if part == "meta" else next(iter(content.values())))
        joblib.dump(content, path)


def without_contact(library, keys):
    change(library, "objects", keys, lambda entry: [entry.pop(f"contact_points_{hand}_hand") for hand in ("left", "right")])


def test_a_whole_library_is_taken_as_it_is(load):
    assert load().motions.keys == KEYS


def test_no_meta_file(load, library):
    (library / "meta" / "box__001.pkl").unlink()
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert "Meta pkl missing for motion 'box__001' at meta/box__001.pkl." in message
    assert "table_pos/table_quat must live in meta/; no fallback is applied." in message
    assert "motion.meta_dir=DIR" in message
    assert "--on-bad-clip skip" in message


def test_no_meta_folder(load, library):
    shutil.rmtree(library / "meta")
    with pytest.raises(
        DataError, match=r"meta does not exist.*table_pos/table_quat must live in meta/; no fallback is applied"
    ):
        load()


@pytest.mark.parametrize("lost", [("table_quat",), ("table_pos", "table_quat")])
def test_meta_without_the_tables_pose(load, library, lost):
    change(library, "meta", ["box__002"], lambda meta: [meta.pop(name) for name in lost])
    with pytest.raises(DataError) as caught:
        load()
    found = sorted({"object_name", "table_pos", "table_quat"} - set(lost))
    message = str(caught.value)
    assert str(library / "meta" / "box__002.pkl") in message
    assert f"Meta pkl missing required keys 'table_pos' and/or 'table_quat'. Found keys: {found}" in message
    assert "[w, x, y, z]" in message


def test_a_bad_motion_may_be_left_out(load, library):
    (library / "meta" / "box__001.pkl").unlink()
    assert load("motion.on_bad_clip=skip").motions.keys == ("box__000", "box__002")


def test_no_hand_actions(load, library):
    change(library, "robot", ["box__001"], lambda entry: [entry.pop(f"hand_action_{hand}") for hand in ("left", "right")])
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert "use_motion_hand_actions=True but hand_action_left/right not found in motion data" in message
    assert "command.use_motion_hand_actions=false" in message
    assert "'box__001'" in message
    assert load("command.use_motion_hand_actions=false").motions.keys == KEYS


def test_no_contact_labels_for_a_gate(load, library):
    without_contact(library, ["box__001"])
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith("reward_grasp: gate_with_contact_label=True but no contact label found.")
    assert "object_in_contact_left/right (derived from contact_points_left_hand/right_hand)" in message
    assert "clips without labels: box__001." in message
    assert "rewards.grasp_right.gate=null" in message


def test_no_contact_labels_for_the_start_frames(load, library):
    without_contact(library, KEYS)
    with pytest.raises(DataError) as caught:
        load(task="pnp_ground")
    message = str(caught.value)
    assert message.startswith("sample_before_contact=True but no contact data available. The object motions pkl must contain")
    assert "contact_points_left_hand or contact_points_right_hand" in message
    assert "command.sample_before_contact=false" in message
    assert load("command.sample_before_contact=false", task="pnp_ground").motions.keys == KEYS


def test_contact_labels_that_some_motions_lack(load, library, caplog):
    without_contact(library, ["box__002"])
    with caplog.at_level(logging.WARNING):
        load(task="pnp_ground")
    (message,) = [record.getMessage() for record in caplog.records if "sample_before_contact" in record.getMessage()]
    assert "1 of 3 motions are missing contact data in their object motions pkl" in message
    assert "start anywhere: box__002." in message


def test_an_anti_contact_factor_needs_a_gate(load):
    factor = "++manager_env.rewards.grasp_reward_left.params.anti_contact_factor=-0.5"
    with pytest.raises(ConfigError, match="reward_grasp: anti_contact_factor requires gate_with_contact_label=True") as caught:
        load(factor, task="pnp_ground")
    assert "+rewards.grasp_left.gate.hand=left +rewards.grasp_left.gate.anti_contact_factor=-0.5" in str(caught.value)
    gated = load("++manager_env.rewards.grasp_reward_left.params.gate_with_contact_label=true", factor, task="pnp_ground")
    gate = gated.cfg.rewards["grasp_left"].gate
    assert (gate.hand, gate.missing, gate.anti_contact_factor) == ("left", "error", -0.5)


def test_basis_point_sets_that_some_motions_lack(load, library, manager, caplog):
    """Warned of by name, and the observation keeps its width of 10."""
    shape = np.arange(10, dtype=np.float32)
    (library / "bps").mkdir()
    np.save(library / "bps" / "box__001.npy", shape)
    with caplog.at_level(logging.WARNING):
        parts = load()
    (message,) = [record.getMessage() for record in caplog.records if "[BPS]" in record.getMessage()]
    assert "2 of 3 motions have no basis point set; their BPS obs will be 10 zeros" in message
    assert ": box__000, box__002." in message
    assert "grail data bps DIR" in message
    spec = scene_spec(parts.cfg, parts.robot, parts.motions, device="cpu")
    env = TrackingEnv(parts.cfg, KinematicEngine(spec), parts.motions, manager.registry)
    assert list(env.groups["policy"].layout.items())[-1] == ("object_bps", 10)
    observed = env.reset()["policy"]
    assert observed.shape == (4, 996)
    np.testing.assert_array_equal(observed[:3, -10:].numpy(), np.stack((0 * shape, shape, 0 * shape)))


def test_no_basis_point_sets_at_all(load, caplog):
    with caplog.at_level(logging.WARNING):
        parts = load()
    (message,) = [record.getMessage() for record in caplog.records if "[BPS]" in record.getMessage()]
    assert all(key in message for key in KEYS)
    assert parts.motions.bps.shape == (3, 10)


def test_a_task_that_does_not_observe_shapes_is_not_warned(load, caplog):
    with caplog.at_level(logging.WARNING):
        load("~observations.policy.terms.object_bps", "observations.policy.width=null")
    assert not [record for record in caplog.records if "[BPS]" in record.getMessage()]


def test_a_width_that_no_longer_fits_is_told_before_an_engine(load):
    """The release's width of the group is 996, and its basis point set is 10 of it."""
    with pytest.raises(EnvContractError, match="observation group 'policy' is 996 wide, the task asserts 995: command 58, "):
        load("observations.policy.width=995")
    with pytest.raises(
        EnvContractError, match=r"'policy' is 986 wide, the task asserts 996: .*observations\.policy\.width=986"
    ):
        load("~observations.policy.terms.object_bps")


def test_first_contacts_are_logged(load, manager, caplog):
    parts = load()
    with caplog.at_level(logging.INFO):
        spec = scene_spec(parts.cfg, parts.robot, parts.motions, device="cpu")
        TrackingEnv(parts.cfg, KinematicEngine(spec), parts.motions, manager.registry)
    text = caplog.text
    assert "[TrackingCommand] Derived first contact frames from motion_lib (left_hand+right_hand, 3 motions)" in text
    assert "box__001: first contact at frame 30, 60 frames" in text
    assert "min 30, max 30, mean 30.0, median 30.0" in text
