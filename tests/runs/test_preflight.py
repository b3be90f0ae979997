"""Checks before the engine: what passes, what only warns, and the answers that need a machine or a plugin of a certain kind."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "config"))
from config_example import grasp, lift, lift_from_table, make_library, make_registry, mlp, time_out, walk

from grail_framework.config import ActionCfg
from grail_framework.config.consistency import check_consistency
from grail_framework.errors import CheckpointError, ConfigError, DataError, PluginLoadError
from grail_framework.registry import Entry
from grail_framework.runs import preflight as module
from grail_framework.runs.directory import step_of
from grail_framework.runs.preflight import preflight
from grail_framework.runs.term_check import TermUse, check_params, term_uses


def runnable(cfg=None, **changes):
    cfg = lift() if cfg is None else cfg
    cfg = attrs.evolve(cfg, num_envs=64, engine=attrs.evolve(cfg.engine, name="mujoco"))
    top = {name: value for name, value in changes.items() if "__" not in name}
    for name, value in changes.items():
        section, _, field = name.partition("__")
        if field:
            top[section] = attrs.evolve(top.get(section, getattr(cfg, section)), **{field: value})
    return attrs.evolve(cfg, **top)


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def registry():
    return make_registry()


@pytest.fixture
def library(tmp_path):
    return make_library(tmp_path / "box_ha")


@pytest.mark.parametrize("task", [lift, lift_from_table, walk])
def test_a_right_configuration_passes(registry, library, task):
    assert preflight(runnable(task(), motion__data=str(library)), registry) == []


def test_nothing_is_written(registry, library, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    preflight(runnable(motion__data=str(library), experiment_dir="a/b/c"), registry)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_library_with_contents_passes(registry, box_library):
    policy = lift().observations["policy"]
    policy = attrs.evolve(policy, terms={"joint_pos": policy.terms["joint_pos"]})
    cfg = runnable(motion__data=str(box_library), observations={"policy": policy, "critic": policy})
    assert preflight(cfg, registry) == []


def test_a_task_with_a_demo_library_needs_no_data(registry):
    registry.commit([Entry(kind="demo_library", name="lift", plugin="example", target="x:y")])
    assert preflight(runnable(task="example:lift"), registry) == []


def test_parts_may_lie_elsewhere(registry, library, tmp_path):
    objects = library / "objects"
    moved = objects.rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"motion\.object_dir=DIR"):
        preflight(runnable(motion__data=str(library)), registry)
    assert preflight(runnable(motion__data=str(library), motion__object_dir=str(moved)), registry) == []


def test_robot_motions_may_lie_alone(registry, library):
    assert preflight(runnable(walk(), motion__robot_dir=str(library / "robot")), registry) == []


def test_bps_of_the_twin_is_found(registry, library, tmp_path):
    (tmp_path / "box").mkdir()
    (library / "bps").rename(tmp_path / "box" / "bps")
    assert preflight(runnable(motion__data=str(library)), registry) == []


def test_a_linked_asset_folder_is_followed(registry, library, tmp_path):
    (tmp_path / "box").mkdir()
    (library / "object_usd").rename(tmp_path / "box" / "object_usd")
    (library / "object_usd").symlink_to("../box/object_usd")
    assert preflight(runnable(motion__data=str(library)), registry) == []


def test_one_asset_file_for_all(registry, library):
    usd = next((library / "object_usd").iterdir())
    assert preflight(runnable(motion__data=str(library), motion__object_usd=str(usd)), registry) == []
    with pytest.raises(DataError, match=r"motion\.object_usd.*is a file"):
        preflight(
            runnable(motion__data=str(library), motion__object_usd=str(library / "meta" / "cup__lift__000.pkl")), registry
        )


@pytest.mark.parametrize("keys", [("cup__lift__000", "box__carry__001"), ("box.*",), (".*000",)])
def test_motion_filters_that_match(registry, library, keys):
    assert preflight(runnable(motion__data=str(library), motion__filter_motion_keys=keys), registry) == []


def test_a_prefix_that_removes_nothing_is_told(registry, library):
    (warning,) = preflight(runnable(motion__data=str(library), motion__remove_motion_keys=("bxo",)), registry)
    assert "no motion begins with 'bxo'" in warning


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"rewards": {name: attrs.evolve(term, weight=0.0) for name, term in lift().rewards.items()}},
            "all reward weights are 0",
        ),
        ({"terminations": {"anchor_pos": lift().terminations["anchor_pos"]}}, "time_out=true"),
        ({"command__start_from_first_frame": True}, "no effect while command.sample_before_contact"),
        ({"checkpoints__save_frequency": 120}, "common multiples with save_frequency=120"),
    ],
)
def test_doubts(changes, warning):
    (said,) = check_consistency(runnable(**changes))
    assert warning in said


# --- checkpoints ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def run_dir(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.yaml").write_text("task: x\n")
    (path / "model_step_000050.pt").write_bytes(b"x")
    (path / "last.pt").symlink_to("model_step_000050.pt")
    return path


def test_iteration_of_a_checkpoint(run_dir):
    assert step_of(run_dir / "last.pt") == 50
    assert step_of(run_dir / "model_step_000050.pt") == 50
    assert step_of(run_dir / "released.pt") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"checkpoint": "run"},
        {"checkpoint": "run/last.pt"},
        {"checkpoint": "run/last.pt", "resume": True},
        {"checkpoint": "run", "resume": True, "experiment_dir": "other", "iterations": 10},
        {"checkpoint": "run", "resume": True, "experiment_dir": "run", "iterations": 51},
        {"resume": True, "experiment_dir": "run"},
    ],
)
def test_starts_that_pass(registry, library, run_dir, changes):
    assert preflight(runnable(motion__data=str(library), **changes), registry) == []


def test_a_resume_that_is_already_done(registry, library, run_dir):
    cfg = runnable(
        motion__data=str(library), checkpoint="run/model_step_000050.pt", resume=True, experiment_dir="run", iterations=50
    )
    with pytest.raises(ConfigError, match=r"already at iteration 50.*more than 50"):
        preflight(cfg, registry)


def test_a_warm_resume_begins_no_second_run_in_a_folder(registry, library, run_dir, tmp_path):
    (tmp_path / "base.pt").write_bytes(b"weights")
    cfg = runnable(motion__data=str(library), checkpoint="base.pt", resume=True, experiment_dir="run")
    with pytest.raises(ConfigError, match=r"run already holds a run.*base\.pt.*Leave out --checkpoint to go on with it"):
        preflight(cfg, registry)
    assert preflight(attrs.evolve(cfg, experiment_dir="other"), registry) == []


def test_a_link_to_a_checkpoint_that_is_gone(registry, library, run_dir):
    (run_dir / "model_step_000050.pt").unlink()
    with pytest.raises(CheckpointError, match=r"last\.pt points to model_step_000050\.pt, which is gone"):
        preflight(runnable(motion__data=str(library), checkpoint="run"), registry)


def test_a_folder_that_cannot_be_written(registry, library, tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    # Not by mode bits, which do not bind the superuser.
    monkeypatch.setattr(module.os, "access", lambda path, mode: Path(path).name != "locked")
    with pytest.raises(ConfigError, match=r"locked is not writable.*--experiment-dir DIR"):
        preflight(runnable(motion__data=str(library), experiment_dir="locked/run"), registry)


# --- machine --------------------------------------------------------------------------------------------------------------


def test_wandb_that_is_not_installed(registry, library, monkeypatch):
    monkeypatch.setattr(module, "is_installed", lambda package: False)
    with pytest.raises(ConfigError, match=r"wandb is not installed.*logging\.wandb=false"):
        preflight(runnable(motion__data=str(library), logging__wandb=True), registry)


def test_what_the_engine_makes_no_use_of_is_told(registry, library):
    (said,) = preflight(runnable(motion__data=str(library), engine__physics="physx"), registry)
    assert "engine.physics=physx has no effect" in said


# --- terms ----------------------------------------------------------------------------------------------------------------


def use(params, kind="reward", supplied=()):
    return TermUse(kind=kind, path="rewards.x", func="grasp", params=params, supplied=supplied)


@pytest.mark.parametrize(
    "params",
    [
        {"sensor": "a"},
        {"sensor": "a", "force_threshold": 1, "min_contacts": 2, "mode": "sum"},
        {"sensor": "a", "links": ("x", "y")},
        {"sensor": "a", "links": ["x"]},
    ],
)
def test_parameters_that_fit(params):
    check_params(use(params), grasp)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, r"needs sensor\. Add \+rewards\.x\.params\.sensor="),
        ({"sensor": 3}, r"rewards\.x\.params\.sensor: got 3 \(int\), allowed: a string"),
        ({"sensor": "a", "force_threshold": "b"}, r"params\.force_threshold.*a number"),
        ({"sensor": "a", "links": ("x", 3)}, r"params\.links\[1\]"),
        ({"sensor": "a", "env": 1}, r"params\.env: .*no such parameter"),
    ],
)
def test_parameters_that_do_not_fit(params, message):
    with pytest.raises(ConfigError, match=message):
        check_params(use(params), grasp)


def test_a_term_that_is_a_class_and_a_network():
    check_params(use({"margin": 2}), time_out)
    with pytest.raises(ConfigError, match="margin"):
        check_params(use({"margin": 2.5}), time_out)
    names = ("actor_obs_dim", "critic_obs_dim", "num_actions")
    check_params(use({"hidden": (64, 64)}, supplied=names), mlp)
    with pytest.raises(ConfigError, match=r"params\.num_actions: .*no such parameter"):
        check_params(use({"num_actions": 3}, supplied=names), mlp)


def test_annotations_that_only_a_type_checker_knows_are_not_checked():
    def term(env: Env, weights: Tensor, *, scale: float = 1.0) -> Tensor: ...  # noqa: F821

    check_params(use({"weights": {"a": 1}}), term)
    with pytest.raises(ConfigError, match="scale"):
        check_params(use({"weights": 1, "scale": "x"}), term)


def test_a_term_that_takes_anything():
    def term(env, **params): ...

    check_params(use({"whatever": 1}), term)


def test_a_term_whose_module_does_not_load(registry, library):
    registry.commit([Entry(kind="action", name="broken", plugin="example", target="no_such_module:action")])
    with pytest.raises(PluginLoadError, match=r"action\.func: .*no_such_module"):
        preflight(runnable(motion__data=str(library), action=ActionCfg(func="broken")), registry)


def test_a_name_that_is_not_callable(registry, library):
    registry.commit([Entry(kind="action", name="number", plugin="example", target="config_example:EXPERIMENT")])
    with pytest.raises(ConfigError, match=r"action\.func: .*str, allowed: something callable"):
        preflight(runnable(motion__data=str(library), action=ActionCfg(func="number")), registry)


def test_every_kind_of_term_is_looked_at():
    assert {u.kind for u in term_uses(lift())} == {"observation", "reward", "termination", "action", "network"}
