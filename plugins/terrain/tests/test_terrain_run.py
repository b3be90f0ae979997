"""Whole runs of terrain_tracking on the CPU engine: from nothing, in two halves, and from a checkpoint in the release's schema."""

from itertools import pairwise

import pytest
import torch

from grail_framework.config.compose import RunOptions, compose
from grail_framework.errors import CheckpointError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs import launch
from grail_framework.runs.formats import read_checkpoint
from grail_framework.testing.release_bundles import write_release_bundle
from grail_terrain.demo.library import make_terrain_tracking

QUICK = (
    "algorithm.num_steps_per_env=6",
    "algorithm.num_learning_epochs=2",
    "evaluation.at_start=false",
    "evaluation.at_end=false",
    "logging.console=off",
    "logging.tensorboard=false",
    "extra.terrain.keys_mirror_dir=null",
)
LAYERS = {"encoder": (24, 16), "dyn": (20,), "kin": (12,), "critic": (28, 16)}
NARROW = tuple(f"network.params.{part}_hidden_dims=[{','.join(map(str, layers))}]" for part, layers in LAYERS.items())


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A step and a curb."""
    return make_terrain_tracking(tmp_path_factory.mktemp("demo") / "library", motions=2, step_count=1)


@pytest.fixture(scope="module")
def train(manager, library):
    def run(path, iterations, *, overrides=(), preset=None, **options):
        options = RunOptions(
            data=str(library),
            engine="mujoco",
            num_envs=4,
            iterations=iterations,
            experiment_dir=str(path),
            seed=5,
            **options,
        )
        composed = compose(
            manager.registry,
            task="terrain_tracking",
            preset=preset,
            options=options,
            overrides=[*QUICK, *overrides],
            settle=manager.settle_run,
        )
        launch.launch(composed.cfg, manager)
        return read_checkpoint(path / "last.pt")

    return run


def flat(tree, place=""):
    """Return the leaves of a checkpoint by their places."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    found = {name: leaf for key, value in pairs for name, leaf in flat(value, f"{place}.{key}").items()}
    return found or {place: tree}


def test_two_halves_are_one_whole(train, tmp_path):
    whole = train(tmp_path / "whole", 2, preset="laptop")
    assert set(whole["observation_layout"]) == {"policy", "critic", "tokenizer"}
    assert "loss/imitation" in (tmp_path / "whole" / "metrics.jsonl").read_text()
    train(tmp_path / "halves", 1, preset="laptop")
    halves = train(tmp_path / "halves", 2, preset="laptop", resume=True)
    first, second = flat(whole), flat(halves)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name], name


def chain(name, *widths):
    """Return random parameters of an MLP whose layers sit at the even indices."""
    found = {}
    for layer, (reads, gives) in enumerate(pairwise(widths)):
        found[f"{name}.{2 * layer}.weight"] = 0.05 * torch.randn(gives, reads)
        found[f"{name}.{2 * layer}.bias"] = 0.05 * torch.randn(gives)
    return found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A file like the release's terrain checkpoints, at other widths, and what is in it by the framework's names."""
    torch.manual_seed(1)
    projector = "actor_module.encoder_input_projectors.g1.height_map_z_flat"
    policy = {
        "std": torch.full((29,), 0.07),
        **chain("actor_module.encoders.g1.module", 1920, *LAYERS["encoder"], 64),
        **chain("actor_module.decoders.g1_dyn.module", 1093, *LAYERS["dyn"], 29),
        **chain("actor_module.decoders.g1_kin.module", 64, *LAYERS["kin"], 640),
        **{
            f"{projector}.conv_layers.{i}.weight": 0.1 * torch.randn(shape)
            for i, shape in ((0, (16, 1, 3, 3)), (3, (32, 16, 3, 3)))
        },
        **{f"{projector}.conv_layers.{i}.bias": 0.1 * torch.randn(width) for i, width in ((0, 16), (3, 32))},
        **chain(f"{projector}.mlp_head", 128, 128, 128),
    }
    value = {
        **chain("critic_module.module", 1744, *LAYERS["critic"], 1),
        "critic_module.running_mean_std.running_mean": torch.randn(1744),
        "critic_module.running_mean_std.running_var": torch.rand(1744) + 0.5,
        "critic_module.running_mean_std.count": torch.tensor(1e6),
    }
    return write_release_bundle(tmp_path_factory.mktemp("models") / "terrain_stairs", policy, value), policy | value


def test_it_starts_from_a_terrain_checkpoint_of_the_release(train, bundle, tmp_path):
    path, weights = bundle
    after = train(tmp_path / "run", 1, overrides=NARROW, checkpoint=str(path))
    first = read_checkpoint(tmp_path / "run" / "model_step_000000.pt")
    assert first["model"].keys() == weights.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(first["model"][name].float(), tensor.float(), rtol=0.0, atol=0.0, msg=name)
    # And it learns: everything that has a gradient has moved.
    still = {name for name, tensor in after["model"].items() if torch.equal(tensor, first["model"][name])}
    assert not {name for name in still if "running" not in name}


def test_another_width_is_told_by_name(train, bundle, tmp_path):
    path, _ = bundle
    with pytest.raises(CheckpointError, match=r"g1_dyn\.module\.0\.weight: \(20, 1093\) in the checkpoint, \(22, 1093\)"):
        train(tmp_path / "run", 1, overrides=[*NARROW, "network.params.dyn_hidden_dims=[22]"], checkpoint=str(path))
