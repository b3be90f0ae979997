"""Checkpoints of the release as a run sees them: names, moments against torch's own optimiser, and the ways to start from one."""

from __future__ import annotations

import argparse
import copy
import logging
from typing import TYPE_CHECKING, Any

import pytest
import torch
from point_run import CFG, assert_same, run
from torch import nn

from grail_framework.errors import CheckpointError
from grail_framework.learning.bundles import split
from grail_framework.learning.networks import mlp
from grail_framework.learning.normalization import RunningMeanStd
from grail_framework.runs.checkpoint import check_model, with_own_parts
from grail_framework.runs.convert import convert_checkpoint
from grail_framework.runs.formats import find_format, read_checkpoint, serialize
from grail_framework.runs.moments import moments_by_name, optimizer_of
from grail_framework.runs.release_format import detect_release, read_release, write_release
from grail_framework.testing.release_bundles import write_release_bundle

if TYPE_CHECKING:
    from pathlib import Path


class Value(nn.Module):
    """The release's value network: its normaliser stands beside its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.critic_module = nn.ModuleDict({"module": nn.Sequential(nn.Linear(5, 6), nn.SiLU(), nn.Linear(6, 1))})
        self.running_mean_std = RunningMeanStd(5)


class Policy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.std = nn.Parameter(torch.full((2,), 0.05))
        self.actor_module = nn.ModuleDict({"module": nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 2))})


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.policy, self.value_model = Policy(), Value()


def groups_of(both: Both, kind: str) -> list[dict[str, Any]]:
    named = dict(both.named_parameters())
    if kind == "one group":
        return [{"params": list(named.values())}]
    if kind == "one each":
        return [{"params": list(both.policy.parameters())}, {"params": list(both.value_model.parameters())}]
    # transformers' Trainer, which the release's is one of: what has no decay comes second.
    return [{"params": [p for n, p in named.items() if ("bias" in n) == second]} for second in (False, True)]


def trained(kind: str) -> tuple[Both, torch.optim.AdamW]:
    """Train the release's networks for three steps, all parameters with gradients of their own."""
    torch.manual_seed(0)
    both = Both()
    optimizer = torch.optim.AdamW(groups_of(both, kind), lr=1e-3)
    for _ in range(3):
        for parameter in both.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return both, optimizer


def write(folder: Path, both: Both, optimizer: torch.optim.AdamW | None, **more: Any) -> Path:
    policy, value = both.policy.state_dict(), both.value_model.state_dict()
    return write_release_bundle(folder, policy, value, optimizer=None if optimizer is None else optimizer.state_dict(), **more)


@pytest.mark.parametrize("kind", ["one group", "one each", "by decay"])
def test_networks_moments_and_counters_are_those_of_the_file(tmp_path: Path, kind: str):
    both, optimizer = trained(kind)
    path = write(tmp_path, both, optimizer, learning_rate=4e-5, global_step=1234)
    assert detect_release(path)
    state = read_checkpoint(path)
    assert (state["iteration"], state["learning_rate"]) == (1234, 4e-5)
    assert set(state) == {"model", "optimizer_moments", "learning_rate", "iteration"}
    own = mlp(4, 5, 2, actor_hidden_dims=(8,), critic_hidden_dims=(6,), normalize_critic=True)
    own.load_state_dict(state["model"])
    assert torch.equal(own.critic_module.running_mean_std.running_var, both.value_model.running_mean_std.running_var)
    parameters = {
        name.removeprefix("policy.").removeprefix("value_model."): parameter for name, parameter in both.named_parameters()
    }
    assert state["optimizer_moments"].keys() == parameters.keys()
    for name, parameter in parameters.items():
        assert torch.equal(state["model"][name], parameter)
        for key, moment in optimizer.state[parameter].items():
            assert torch.equal(state["optimizer_moments"][name][key], moment), (name, key)


def test_the_runs_optimiser_takes_them_in_its_own_order():
    both, optimizer = trained("by decay")
    model = both.policy.state_dict() | {
        (f"critic_module.{name}" if name.startswith("running") else name): tensor
        for name, tensor in both.value_model.state_dict().items()
    }
    moments = moments_by_name(optimizer.state_dict(), model)
    network = mlp(4, 5, 2, actor_hidden_dims=(8,), critic_hidden_dims=(6,), normalize_critic=True)
    network.load_state_dict(model)
    critic = list(network.critic_parameters())
    actor = [p for p in network.parameters() if not any(p is other for other in critic)]
    own = torch.optim.AdamW([{"params": actor}, {"params": critic}], lr=1e-3)
    own.load_state_dict(copy.deepcopy(optimizer_of(moments, network, own.state_dict()["param_groups"])))
    gradients = {name: torch.randn_like(p) for name, p in network.named_parameters()}
    for name, parameter in network.named_parameters():
        parameter.grad = gradients[name].clone()
    for module in (both.policy, both.value_model):
        for name, parameter in module.named_parameters():
            parameter.grad = gradients[name].clone()
    own.step()
    optimizer.step()
    after = dict(both.policy.named_parameters()) | dict(both.value_model.named_parameters())
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, after[name]), name


def test_moments_of_other_parameters_are_no_obstacle_to_the_weights(tmp_path: Path):
    both, optimizer = trained("by decay")
    state = optimizer.state_dict()
    state["state"][0]["exp_avg"] = torch.zeros(7)
    path = write_release_bundle(tmp_path, both.policy.state_dict(), both.value_model.state_dict(), optimizer=state)
    read = read_release(path)
    assert "optimizer_moments" not in read
    assert "exp_avg of parameter 0 has the shape (7,), std (2,)" in read["optimizer_problem"]
    for wrong, message in (
        ({"state": {}, "param_groups": [{"params": [0, 1]}]}, "it has 2 parameters, the networks 9"),
        ({"state": {99: {}}, "param_groups": [{"params": list(range(9))}]}, r"its moments \[99\] are of no parameter"),
        (
            {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"params": list(range(9))}]},
            "no moments of Adam for parameter 0",
        ),
        (
            {"state": {0: {"step": "x", "exp_avg": 0, "exp_avg_sq": 0}}, "param_groups": [{"params": list(range(9))}]},
            "step of parameter 0 is no number",
        ),
        ({"state": {}}, "no state of a torch optimiser"),
        ({"state": {}, "param_groups": [{}]}, "do not number their parameters"),
    ):
        with pytest.raises(CheckpointError, match=message):
            moments_by_name(wrong, read["model"])


def point_bundle(folder: Path, tmp_path: Path) -> Path:
    """Train the point environment and write the result as the release would have."""
    run(tmp_path / "old", 4)
    return convert_checkpoint(tmp_path / "old", folder, to="release").destination


def with_foreign_state(path: Path, folder: Path, **more: Any) -> Path:
    """Write a converted checkpoint once more, with the objects of the release's trainer in it."""
    content = torch.load(path, weights_only=False)
    return write_release_bundle(
        folder,
        content["policy_state_dict"],
        content["value_state_dict"],
        optimizer=content["optimizer_state_dict"],
        learning_rate=content["args"].learning_rate,
        global_step=content["state"].global_step,
        **more,
    )


def test_a_checkpoint_alone_gives_weights(tmp_path: Path):
    path = with_foreign_state(point_bundle(tmp_path / "converted", tmp_path), tmp_path / "bundle")
    _, started_at = run(tmp_path / "new", 2, checkpoint=str(path.parent))
    first = read_checkpoint(tmp_path / "new/model_step_000000.pt")
    assert started_at == 0
    assert_same(first["model"], read_checkpoint(tmp_path / "old/last.pt")["model"])
    assert first["optimizer"]["state"] == {}
    assert first["learning_rate"].item() == pytest.approx(CFG.algorithm.learning_rate)


def test_a_warm_resume_from_the_release_continues_as_one_from_our_own_file(tmp_path: Path):
    path = with_foreign_state(point_bundle(tmp_path / "converted", tmp_path), tmp_path / "bundle")
    run(tmp_path / "theirs", 2, checkpoint=str(path), resume=True)
    run(tmp_path / "ours", 2, checkpoint=str(tmp_path / "old"), resume=True)
    for step in ("model_step_000000.pt", "last.pt"):
        first, second = (read_checkpoint(tmp_path / name / step) for name in ("theirs", "ours"))
        for key in ("model", "optimizer", "learning_rate", "iteration"):
            assert_same(first[key], second[key])
    assert read_checkpoint(tmp_path / "theirs/model_step_000000.pt")["iteration"] == 0


@pytest.mark.parametrize("named", [True, False])
def test_in_its_own_directory_it_lacks_what_a_full_resume_needs(tmp_path: Path, named: bool):
    path = with_foreign_state(point_bundle(tmp_path / "converted", tmp_path), tmp_path / "bundle")
    with pytest.raises(CheckpointError) as raised:
        run(path.parent, 8, checkpoint=str(path) if named else None, resume=True)
    message = str(raised.value)
    assert "holds no optimizer, num_envs, env, rollout, rng, which this resume needs" in message
    assert "--resume --checkpoint FILE with another --experiment-dir" in message


def test_a_warm_resume_without_usable_moments_says_why(tmp_path: Path):
    path = point_bundle(tmp_path / "converted", tmp_path)
    path = with_foreign_state(path, tmp_path / "bundle", extra={"optimizer_state_dict": {"state": 1}})
    with pytest.raises(CheckpointError) as raised:
        run(tmp_path / "new", 1, checkpoint=str(path), resume=True)
    assert "holds no optimizer (its optimiser state cannot be used: it is no state of a torch optimiser)" in str(raised.value)
    assert "leave out --resume" in str(raised.value)
    run(tmp_path / "new2", 1, checkpoint=str(path))
    path = with_foreign_state(tmp_path / "converted/last.pt", tmp_path / "bundle", extra={"args": argparse.Namespace()})
    with pytest.raises(CheckpointError, match="holds no learning_rate"):
        run(tmp_path / "new3", 1, checkpoint=str(path), resume=True)


def test_a_policy_without_a_value_network_leaves_the_critic_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = with_foreign_state(
        point_bundle(tmp_path / "converted", tmp_path),
        tmp_path / "bundle",
        extra={"value_state_dict": None, "optimizer_state_dict": None},
    )
    with caplog.at_level(logging.WARNING, logger="grail_framework"):
        run(tmp_path / "new", 1, checkpoint=str(path))
    assert "has no weights of critic_module.running_mean_std.running_mean, " in caplog.text
    first = read_checkpoint(tmp_path / "new/model_step_000000.pt")["model"]
    old = read_checkpoint(tmp_path / "old/last.pt")["model"]
    assert_same(split(first)[0], split(old)[0])
    assert not torch.equal(first["critic_module.module.0.weight"], old["critic_module.module.0.weight"])


def test_names_that_only_one_side_has_are_all_listed(tmp_path: Path):
    policy = {f"actor_module.encoders.smpl.module.{i}.weight": torch.zeros(1) for i in range(0, 40, 2)}
    state = read_release(write_release_bundle(tmp_path, policy | {"std": torch.zeros(2)}, None))
    own = {"std": torch.zeros(2), "critic_module.module.0.weight": torch.zeros(1), "actor_module.module.0.bias": torch.zeros(2)}
    with pytest.raises(CheckpointError) as raised:
        check_model(with_own_parts(state, own, where="x"), own, where="x")
    message = str(raised.value)
    assert f"not in this run's network: {', '.join(policy)}\n" in message
    assert "not in the checkpoint: actor_module.module.0.bias\n" in message


def test_what_is_written_loads_as_the_releases_trainer_loads_it(tmp_path: Path):
    both, optimizer = trained("by decay")
    write(tmp_path / "theirs", both, optimizer, learning_rate=1e-3)
    state = read_checkpoint(tmp_path / "theirs/last.pt") | {"task": "hoi:pnp_ground", "robot": "g1_43dof"}
    write_release(tmp_path / "ours/last.pt", state)
    content = torch.load(tmp_path / "ours/last.pt", weights_only=False)
    other = Both()
    other.policy.load_state_dict(content["policy_state_dict"], strict=False)
    other.value_model.load_state_dict(content["value_state_dict"])
    resumed = torch.optim.AdamW(groups_of(other, "by decay"), lr=1.0)
    resumed.load_state_dict(content["optimizer_state_dict"])
    assert (content["args"].learning_rate, content["state"].global_step) == (1e-3, 6000)
    assert resumed.param_groups[0]["weight_decay"] == 0.0
    for group in (*optimizer.param_groups, *resumed.param_groups):
        group["weight_decay"] = 0.0
    torch.manual_seed(1)
    gradients = [torch.randn_like(parameter) for parameter in both.parameters()]
    for module, adam in ((both, optimizer), (other, resumed)):
        for parameter, gradient in zip(module.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        adam.step()
    assert all(torch.equal(a, b) for a, b in zip(both.parameters(), other.parameters(), strict=True))
    assert read_checkpoint(tmp_path / "ours/last.pt")["task"] == "hoi:pnp_ground"
    with pytest.raises(CheckpointError, match=r"written as last\.pt of a folder"):
        write_release(tmp_path / "x.pt", state)


def test_other_files_are_not_taken_for_the_releases(tmp_path: Path):
    path = tmp_path / "x.pt"
    path.write_bytes(serialize({"model": {"std": torch.zeros(1)}, "iteration": 1, "note": "policy_state_dict"}))
    found = find_format(path)
    assert found is not None
    assert found.name == "grail_framework"
    torch.save({"state_dict": {}}, path)
    assert find_format(path) is None
    with pytest.raises(CheckpointError, match="tried: grail_framework, grail_release"):
        read_checkpoint(path)
    torch.save({"policy_state_dict": None, "value_state_dict": {}}, path)
    with pytest.raises(CheckpointError, match="holds no policy_state_dict"):
        read_checkpoint(path)
    torch.save(["policy_state_dict"], path)
    with pytest.raises(CheckpointError, match="holds a list"):
        read_checkpoint(path)
