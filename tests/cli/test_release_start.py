"""The release's finetune and evaluation lines on a file of its trainer, through the command line, on an engine without physics."""

import json

import pytest
import torch
from click.testing import CliRunner

from grail_framework import hookimpl
from grail_framework.cli.main import build_cli
from grail_framework.learning.bundles import split
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.formats import read_checkpoint
from grail_framework.runs.moments import decay_groups, trained_names
from grail_framework.testing.fakes import write_box_library
from grail_framework.testing.release_bundles import write_release_bundle

EXP = "+exp=manager/universal_token/hoi/pnp_ground"
SMALL = ["algorithm.num_steps_per_env=4", "network.params.actor_hidden_dims=[8]", "network.params.critic_hidden_dims=[8]"]
QUIET = ["logging.console=off", "logging.tensorboard=false", "evaluation.at_start=false", "evaluation.at_end=false"]


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


@pytest.fixture
def grail(manager, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(build_cli(manager), [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_box_library(tmp_path_factory.mktemp("library"), ("box__000", "box__001"))


@pytest.fixture
def line(library):
    """What the release's launch script would be given, and how small it is here."""
    motions = "++manager_env.commands.motion.motion_lib_cfg"
    data = [
        f"{motions}.motion_file={library}/robot",
        f"{motions}.object_motion_file={library}/objects",
        f"++manager_env.config.object_usd_path={library}/object_usd",
    ]
    return [EXP, "--engine", "kinematic", "num_envs=4", "headless=True", *data, *SMALL, *QUIET]


@pytest.fixture
def bundle(grail, line, tmp_path):
    """A warm-start bundle: networks of the task's widths, with moments in the order of the release's optimiser."""
    assert grail("run", *line, "++algo.config.num_learning_iterations=1", f"experiment_dir={tmp_path}/made").exit_code == 0
    model = read_checkpoint(tmp_path / "made/last.pt")["model"]
    torch.manual_seed(0)
    model = {name: torch.randn_like(tensor) * 0.05 for name, tensor in model.items()} | {"std": model["std"]}
    policy, value = split(model)
    actor, critic = trained_names(model)
    groups = decay_groups([*actor, *critic])
    order = [name for group in groups for name in group]
    parameters = [torch.nn.Parameter(model[name]) for name in order]
    optimizer = torch.optim.AdamW(
        [{"params": parameters[: len(groups[0])]}, {"params": parameters[len(groups[0]) :]}], weight_decay=0.0
    )
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return write_release_bundle(
        tmp_path / "models/pnp_ground_warmstart",
        policy,
        value,
        optimizer=optimizer.state_dict(),
        learning_rate=4e-5,
        global_step=6000,
    )


def test_the_finetune_line_takes_weights_moments_and_rate_and_counts_from_zero(grail, line, bundle, tmp_path):
    more = ["++checkpoint=models/pnp_ground_warmstart/last.pt", "++resume=True", f"experiment_dir={tmp_path}/finetune"]
    result = grail("run", *line, *more, "++algo.config.num_learning_iterations=2")
    assert result.exit_code == 0, result.output
    first = read_checkpoint(tmp_path / "finetune/model_step_000000.pt")
    theirs = read_checkpoint(bundle)
    assert all(torch.equal(first["model"][name], tensor) for name, tensor in theirs["model"].items())
    assert first["learning_rate"].item() == pytest.approx(4e-5)
    actor, critic = trained_names(first["model"])
    for index, name in enumerate([*actor, *critic]):
        assert torch.equal(first["optimizer"]["state"][index]["exp_avg"], theirs["optimizer_moments"][name]["exp_avg"]), name
    assert read_checkpoint(tmp_path / "finetune/last.pt")["iteration"] == 2
    log = (tmp_path / "finetune/run.log").read_text()
    assert "warm resume: weights, optimiser and learning rate of models/pnp_ground_warmstart/last.pt" in log
    # The same line once more goes on with the run it has made only where the checkpoint is its own.
    again = grail(
        "run", *line, "++resume=True", f"experiment_dir={tmp_path}/finetune", "++algo.config.num_learning_iterations=3"
    )
    assert again.exit_code == 0, again.output
    assert read_checkpoint(tmp_path / "finetune/last.pt")["iteration"] == 3


def test_the_other_start_modes(grail, line, bundle, tmp_path):
    alone = grail("run", *line, f"++checkpoint={bundle}", f"experiment_dir={tmp_path}/alone", "--iterations", 1)
    assert alone.exit_code == 0, alone.output
    first = read_checkpoint(tmp_path / "alone/model_step_000000.pt")
    assert first["optimizer"]["state"] == {}
    assert torch.equal(first["model"]["std"], read_checkpoint(bundle)["model"]["std"])
    for more in ([f"++checkpoint={bundle}"], []):
        same = grail("run", *line, *more, "++resume=True", f"experiment_dir={bundle.parent}", "--iterations", 9)
        assert same.exit_code == 2
        assert "holds no optimizer, num_envs, env, rollout, rng, which this resume needs" in same.stderr
    assert not (bundle.parent / "config.yaml").exists()


def test_a_bundle_is_evaluated_as_the_task_that_is_named(grail, bundle, library, tmp_path):
    (bundle.parent / "config.yaml").write_text("manager_env:\n  config: {num_envs: 4}\nalgo: {_target_: gear_sonic.x}\n")
    more = ["--data", library, "--engine", "kinematic", "--num-envs", 2, "--json", "--output", tmp_path / "x.json", *SMALL]
    unnamed = grail("eval", "--checkpoint", bundle.parent, *more)
    assert unnamed.exit_code == 2
    assert "has the config.yaml of the GRAIL release" in unnamed.stderr
    assert "Add --task NAME" in unnamed.stderr
    named = grail("eval", "--checkpoint", bundle.parent, "--task", "pnp_ground", *more)
    assert named.exit_code == 0, named.output
    found = json.loads(named.stdout)
    assert (found["iteration"], list(found["motions"])) == (6000, ["box__000", "box__001"])


def test_a_policy_without_a_critic_is_evaluated(grail, bundle, library, tmp_path):
    policy, _ = split(read_checkpoint(bundle)["model"])
    path = write_release_bundle(tmp_path / "distilled", policy, None)
    more = ["--data", library, "--engine", "kinematic", "--num-envs", 2, "--json", "--output", tmp_path / "x.json", *SMALL]
    result = grail("eval", "--checkpoint", path, "--task", "pnp_ground", *more)
    assert result.exit_code == 0, result.output
    both = grail("eval", "--checkpoint", bundle, "--task", "pnp_ground", *more)
    assert json.loads(result.stdout)["tracked_fraction"] == json.loads(both.stdout)["tracked_fraction"]


def test_a_run_does_not_start_in_the_folder_of_a_bundle(grail, line, bundle):
    before = bundle.read_bytes()
    result = grail("run", *line, f"++checkpoint={bundle}", f"experiment_dir={bundle.parent}", "--iterations", 1)
    assert result.exit_code == 2
    assert "already holds a run. Add --resume to go on with it, or name another folder" in result.stderr
    assert bundle.read_bytes() == before
