"""Bundles in the release's schema: names, class paths, what is beside the weights, and what is said where something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml

from grail_framework.errors import CheckpointError
from grail_framework.learning.bundles import (
    check_model_config,
    read_bundle,
    read_model_config,
    rewrite_class_paths,
    split,
    write_bundle,
)
from grail_framework.learning.networks import mlp
from grail_framework.testing.release_bundles import write_release_bundle

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: dict[str, Any] = {
    "env_config": {"robot": {"actions_dim": 43}},
    "algo_config": {
        "actor": {
            "_target_": "gear_sonic.trl.modules.actor_critic_modules.Actor",
            "backbone": {
                "num_fsq_levels": 32,
                "fsq_level_list": 32,
                "max_num_tokens": 2,
                "encoders": {"g1": {"params": {"obs_dim_dict": {"actor_obs": 930, "critic_obs": 1645, "tokenizer": 1761}}}},
            },
        },
        "num_actions": 29,
    },
}
WIDTHS = {
    "num_tokens": 2,
    "token_dim": 32,
    "fsq_levels": 32,
    "proprioception_dim": 930,
    "tokenizer_dim": 1761,
    "num_actions": 29,
}


def networks() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = mlp(4, 5, 2, actor_hidden_dims=(8,), critic_hidden_dims=(6,), normalize_critic=True).state_dict()
    model["critic_module.running_mean_std.running_mean"] += torch.arange(5)
    policy, value = split(model)
    assert value is not None
    return policy, value


def same(first: dict[str, torch.Tensor] | None, second: dict[str, torch.Tensor] | None) -> bool:
    if first is None or second is None:
        return first is second
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_file_has_the_releases_names_and_reads_back_bitwise(tmp_path: Path):
    policy, value = networks()
    write_bundle(tmp_path / "b", policy=policy, value=value, model_config=CONFIG)
    content = torch.load(tmp_path / "b" / "last.pt", weights_only=True)
    assert list(content) == ["policy_state_dict", "value_state_dict"]
    assert list(content["policy_state_dict"]) == [
        "std",
        *(f"actor_module.module.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")),
    ]
    assert set(content["value_state_dict"]) == {
        *(f"running_mean_std.{name}" for name in ("running_mean", "running_var", "count")),
        *(f"critic_module.module.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")),
    }
    assert yaml.safe_load((tmp_path / "b" / "model_config.yaml").read_text()) == CONFIG
    for where in (tmp_path / "b", tmp_path / "b" / "last.pt"):
        bundle = read_bundle(where)
        assert bundle.path == tmp_path / "b" / "last.pt"
        assert same(bundle.policy, policy)
        assert same(bundle.value, value)
        assert bundle.model_config == CONFIG
        assert bundle.extra == {}
    assert sorted(entry.name for entry in (tmp_path / "b").iterdir()) == ["last.pt", "model_config.yaml"]


def test_a_view_does_not_bring_what_it_is_a_view_of(tmp_path: Path):
    large = torch.zeros(1_000_000)
    write_bundle(tmp_path, policy={"std": large[:3]}, value=None, model_config=None)
    assert (tmp_path / "last.pt").stat().st_size < 5000
    bundle = read_bundle(tmp_path)
    assert (bundle.value, bundle.model_config) == (None, None)
    assert "value_state_dict" not in torch.load(tmp_path / "last.pt", weights_only=True)


def test_a_file_of_the_releases_trainer(tmp_path: Path):
    policy, value = networks()
    config = {"algo_config": {"_target_": "groot.rl.trl.modules.universal_token_modules.UniversalTokenModule"}}
    write_release_bundle(tmp_path, policy, value, model_config=config, learning_rate=3e-5, global_step=7)
    bundle = read_bundle(tmp_path)
    assert same(bundle.policy, policy)
    assert same(bundle.value, value)
    assert bundle.model_config == {
        "algo_config": {"_target_": "gear_sonic.trl.modules.universal_token_modules.UniversalTokenModule"}
    }
    assert bundle.extra["args"].attributes["learning_rate"] == 3e-5
    assert bundle.extra["state"].attributes["global_step"] == 7
    assert set(bundle.extra) == {"optimizer_state_dict", "lr_scheduler_state_dict", "state", "args", "env_state_dict"}


def test_a_distilled_policy_and_the_other_name_of_the_actor(tmp_path: Path):
    policy, _ = networks()
    write_release_bundle(tmp_path, policy, None)
    assert read_bundle(tmp_path).value is None
    write_release_bundle(tmp_path, {"std": torch.zeros(1)}, None, extra={"actor_model_state_dict": policy})
    assert same(read_bundle(tmp_path).policy, policy)


def test_checkpoints_of_the_framework_are_bundles_too(tmp_path: Path):
    policy, value = networks()
    native = {"format": "grail_framework_checkpoint", "format_version": 1, "model": policy | value, "iteration": 3}
    torch.save(native, tmp_path / "model_step_000003.pt")
    (tmp_path / "last.pt").symlink_to("model_step_000003.pt")
    bundle = read_bundle(tmp_path)
    assert same(bundle.policy, policy)
    assert same(bundle.value, value)
    assert bundle.model_config is None
    assert bundle.extra["iteration"] == 3
    write_bundle(tmp_path / "bundle", policy=policy, value=value, model_config=CONFIG)
    assert read_bundle(tmp_path).model_config == CONFIG
    (tmp_path / "last.pt").unlink()
    assert read_bundle(tmp_path).path == tmp_path / "bundle" / "last.pt"


def refusal(where: Path) -> str:
    with pytest.raises(CheckpointError) as raised:
        read_bundle(where)
    return str(raised.value)


def test_what_is_missing_or_wrong_is_said(tmp_path: Path):
    assert f"no checkpoint {tmp_path / 'x.pt'}; allowed: a *.pt file" in refusal(tmp_path / "x.pt")
    assert f"{tmp_path} has no last.pt; it has no *.pt file" in refusal(tmp_path)
    torch.save({}, tmp_path / "model_step_000001.pt")
    assert "it has model_step_000001.pt" in refusal(tmp_path)
    path = tmp_path / "last.pt"
    torch.save([1], path)
    assert "holds a list, where a checkpoint is a dictionary" in refusal(tmp_path)
    torch.save({"weights": 1, "epoch": 2}, path)
    assert "holds no policy_state_dict; it has: weights, epoch" in refusal(tmp_path)
    torch.save({"policy_state_dict": {"std": [1.0]}}, path)
    assert "'std' of its policy_state_dict is [1.0], where a tensor is needed" in refusal(tmp_path)
    torch.save({"policy_state_dict": 1}, path)
    assert "its policy_state_dict is a int, where a dictionary of tensors is needed" in refusal(tmp_path)


def test_a_bundle_replaces_an_older_one_and_leaves_nothing_else(tmp_path: Path):
    write_bundle(tmp_path, policy={"std": torch.zeros(1)}, value=None, model_config=CONFIG)
    write_bundle(tmp_path, policy={"std": torch.ones(1)}, value=None, model_config=None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]
    assert read_bundle(tmp_path).policy["std"].item() == 1.0
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_bundle(tmp_path / "file", policy={}, value=None, model_config=None)


def test_a_configuration_with_tags_of_other_programs_is_plain(tmp_path: Path):
    path = tmp_path / "model_config.yaml"
    path.write_text(
        "a: !!python/object/apply:os.system ['touch canary']\n"
        "b: !gear {_target_: groot.rl.utils.x, n: 2}\n"
        "c: !!python/name:os.system ''\n"
        "d: ${algo.x}\n"
    )
    assert read_model_config(path) == {
        "a": ["touch canary"],
        "b": {"_target_": "gear_sonic.utils.x", "n": 2},
        "c": "",
        "d": "${algo.x}",
    }
    for wrong in ("a: [", "- 1", "{a: 1}: 2"):
        path.write_text(wrong)
        with pytest.raises(CheckpointError, match=r"model_config\.yaml"):
            read_model_config(path)


def test_class_paths_of_the_old_package():
    assert rewrite_class_paths("groot.rl.trl.Actor") == "gear_sonic.trl.Actor"
    assert rewrite_class_paths("torch.nn.SiLU") == "torch.nn.SiLU"


def test_a_configuration_that_agrees_has_no_contradictions():
    assert check_model_config(CONFIG, WIDTHS) == []
    assert check_model_config({}, WIDTHS) == []
    assert check_model_config({"fsq_level_list": [32] * 64, "num_fsq_levels": True}, WIDTHS) == []
    nested: dict[str, Any] = {}
    nested["self"] = [nested, nested]
    assert check_model_config(nested, WIDTHS) == []


def test_contradictions_name_the_key_and_both_numbers():
    assert check_model_config(CONFIG, WIDTHS | {"token_dim": 16, "proprioception_dim": 900}) == [
        "model_config.yaml says algo_config.actor.backbone.num_fsq_levels=32, and the weights have token_dim 16",
        "model_config.yaml says algo_config.actor.backbone.encoders.g1.params.obs_dim_dict.actor_obs=930, and the weights have "
        "proprioception_dim 900",
    ]
    assert check_model_config({"fsq_level_list": [8] * 6}, WIDTHS) == [
        "model_config.yaml says fsq_level_list=8, and the weights have fsq_levels 32"
    ]
    assert check_model_config({"a": {"width": 3}}, {"width": 4}) == [
        "model_config.yaml says a.width=3, and the weights have width 4"
    ]
