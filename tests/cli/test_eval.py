"""`grail eval` on an engine without physics: what it needs, what it refuses, what it writes."""

import json

import attrs
import pytest
import torch
from click.testing import CliRunner

from grail_framework import hookimpl
from grail_framework.cli.main import build_cli
from grail_framework.config import MotionCfg, NetworkCfg, hardware
from grail_framework.config.files import to_yaml
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.testing.bases import without_base
from grail_framework.testing.fakes import write_box_library

KEYS = ("ball__000", "box__000", "box__001")


class KinematicPlugin:
    grail_api = ">=1,<2"

    @hookimpl
    def grail_register_engines(self, registry):
        registry.add("kinematic", "grail_framework.testing.fakes:KinematicEngine")


@pytest.fixture(scope="module")
def manager():
    loaded = GrailPluginManager().load()
    loaded.register(KinematicPlugin(), "kinematics")
    return loaded


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_box_library(tmp_path_factory.mktemp("library"), KEYS)


@pytest.fixture(scope="module")
def trained(manager, library, tmp_path_factory):
    """A run directory as `grail run` leaves it, as far as `grail eval` looks."""
    from grail_framework.runs.assembly import build_env, build_network, load_parts
    from grail_framework.runs.formats import serialize

    folder = tmp_path_factory.mktemp("run")
    cfg = without_base(manager.registry.find("task", "hoi:pnp_ground").load()(), manager)
    cfg = attrs.evolve(
        cfg,
        network=NetworkCfg(func="core:mlp", params={"actor_hidden_dims": (8,), "critic_hidden_dims": (8,)}),
        motion=MotionCfg(data=str(library), filter_motion_keys=("box__000", "box__001")),
        engine=attrs.evolve(cfg.engine, name="kinematics:kinematic", device="cpu"),
    )
    torch.manual_seed(0)
    env = build_env(load_parts(cfg, manager), num_envs=1)
    state = {"model": dict(build_network(cfg, manager, env).state_dict()), "iteration": 50}
    (folder / "model_step_000050.pt").write_bytes(serialize(state | {"task": cfg.task, "robot": cfg.robot.name}))
    (folder / "last.pt").symlink_to("model_step_000050.pt")
    (folder / "config.yaml").write_text(to_yaml(cfg))
    return folder


@pytest.fixture
def grail(manager):
    return lambda *arguments: CliRunner().invoke(build_cli(manager), ["eval", *map(str, arguments)])


def test_the_motions_of_the_run_in_a_table_and_a_file(grail, trained):
    result = grail("--checkpoint", trained, "--baseline")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].endswith("iteration 50: hoi:pnp_ground on kinematics:kinematic, deterministic policy, from frame 0")
    assert [line.split()[0] for line in lines if line.startswith(("box", "ball"))] == ["box__000", "box__001"]
    (total,) = [line for line in lines if line.startswith("total")]
    assert total.split() == ["total", "policy", "zero", "action"]
    for label in ("tracked fraction", "success rate", "mpjpe_pa [mm]", "obj_ori_error [rad]", "success_paper", "ended by"):
        assert any(line.startswith(label) for line in lines), label
    written = json.loads((trained / "metrics_eval.json").read_text())
    assert written["iteration"] == 50
    assert list(written["motions"]) == ["box__000", "box__001"]
    assert written["checkpoint"].endswith("model_step_000050.pt")
    assert "batch 1 of 1: 2 of 2 motions" in result.stderr


def test_json_is_the_only_thing_on_stdout(grail, trained, tmp_path):
    target = tmp_path / "scores.json"
    result = grail("--checkpoint", trained / "model_step_000050.pt", "--json", "--output", target)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == json.loads(target.read_text())


@pytest.mark.parametrize(
    ("chosen", "keys"),
    [
        (("--motions", "ball.*"), ["ball__000"]),
        (("--motions", "box__001", "--motions", "ball__000"), ["box__001", "ball__000"]),
    ],
)
def test_motions_are_chosen_by_pattern(grail, trained, tmp_path, chosen, keys):
    result = grail("--checkpoint", trained, "--json", "--output", tmp_path / "x.json", *chosen)
    assert result.exit_code == 0, result.stderr
    assert list(json.loads(result.stdout)["motions"]) == keys


def test_another_library_is_evaluated_whole_and_in_batches(grail, trained, tmp_path):
    other = write_box_library(tmp_path / "other", ("crate__000", "crate__001", "crate__002"))
    result = grail("--checkpoint", trained, "--data", other, "--num-envs", 2, "--json", "--output", tmp_path / "x.json")
    assert result.exit_code == 0, result.stderr
    assert list(json.loads(result.stdout)["motions"]) == ["crate__000", "crate__001", "crate__002"]
    assert "batch 2 of 2: 1 of 3 motions" in result.stderr


def test_overrides_change_the_runs_configuration(grail, trained, tmp_path):
    output = ("--json", "--output", tmp_path / "x.json")
    before = json.loads(grail("--checkpoint", trained, *output).stdout)
    result = grail("--checkpoint", trained, *output, "~terminations.ee_body_pos")
    assert result.exit_code == 0, result.stderr
    assert before["termination_causes"] == {"ee_body_pos": 2}  # this network moves its arms
    assert "ee_body_pos" not in json.loads(result.stdout)["termination_causes"]


def test_a_checkpoint_of_another_task_is_refused_in_a_sentence(grail, trained):
    result = grail("--checkpoint", trained, "--task", "motion_tracking")
    assert result.exit_code == 2
    assert "was trained for the task hoi:pnp_ground, and --task says motion_tracking. Leave out --task" in result.stderr


def test_a_checkpoint_moved_beside_the_configuration_of_another_task_is_refused(grail, trained, tmp_path, manager, library):
    cfg = manager.registry.find("task", "core:motion_tracking").load()()
    cfg = attrs.evolve(cfg, engine=attrs.evolve(cfg.engine, name="kinematics:kinematic"), motion=MotionCfg(data=str(library)))
    (tmp_path / "config.yaml").write_text(to_yaml(cfg))
    (tmp_path / "last.pt").write_bytes((trained / "last.pt").read_bytes())
    result = grail("--checkpoint", tmp_path)
    assert result.exit_code == 2
    assert "was trained for the task hoi:pnp_ground, and this evaluation is of core:motion_tracking" in result.stderr


def test_without_a_configuration_the_task_must_be_named(grail, trained, tmp_path, library):
    (tmp_path / "last.pt").write_bytes((trained / "last.pt").read_bytes())
    result = grail("--checkpoint", tmp_path / "last.pt")
    assert result.exit_code == 2
    assert "has no config.yaml" in result.stderr
    assert "Add --task NAME" in result.stderr
    named = ("--task", "pnp_ground", "--data", library, "--engine", "kinematic", "engine.device=cpu")
    network = ("network.params.actor_hidden_dims=[8]", "network.params.critic_hidden_dims=[8]")
    result = grail("--checkpoint", tmp_path / "last.pt", *named, *network)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "metrics_eval.json").is_file()


@pytest.fixture(scope="module")
def trained_on_a_gpu(trained, tmp_path_factory):
    """The same run as the engine isaaclab on the second GPU leaves it."""
    folder = tmp_path_factory.mktemp("gpu_run")
    (folder / "last.pt").write_bytes((trained / "last.pt").read_bytes())
    text = (trained / "config.yaml").read_text()
    there = text.replace("name: kinematics:kinematic\n  device: cpu", "name: isaaclab\n  device: cuda:1")
    assert there != text
    (folder / "config.yaml").write_text(there)
    return folder


@pytest.mark.parametrize("engine", ["mujoco", "kinematic"])
def test_a_policy_of_another_engine_is_judged(grail, trained_on_a_gpu, tmp_path, engine):
    output = ("--json", "--output", tmp_path / "x.json")
    result = grail("--checkpoint", trained_on_a_gpu, "--engine", engine, "--motions", "box__000", *output)
    assert result.exit_code == 0, result.stderr
    scores = json.loads(result.stdout)
    assert (scores["engine"], list(scores["motions"])) == (engine, ["box__000"])
    assert 0 < scores["tracked_fraction"] <= 1


def test_an_engine_that_this_machine_has_not_is_refused_with_the_one_it_has(grail, trained_on_a_gpu, monkeypatch):
    monkeypatch.setattr(hardware, "is_installed", lambda package: False)
    result = grail("--checkpoint", trained_on_a_gpu)
    assert result.exit_code == 2
    assert "isaaclab" in result.stderr
    assert "--engine mujoco" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--checkpoint", "{run}", "--device", "cuda"), "no NVIDIA GPU"),
        (("--checkpoint", "{run}", "--physics", "newtn"), "'ovphysx'"),
        (("--checkpoint", "nowhere"), "nowhere does not exist"),
        (("--checkpoint", "{run}", "--motions", "bxo.*"), "motion.filter_motion_keys: 'bxo.*'"),
        (("--checkpoint", "{run}", "--output", "no/such/folder/x.json"), "use --output FILE"),
        (("--checkpoint", "{run}", "--engine", "mujco"), "no engine 'mujco'"),
    ],
)
def test_mistakes(grail, trained, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)
    result = grail(*(argument.format(run=trained) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
