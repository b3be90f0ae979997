"""pnp_table trained on the CPU engine through a small base policy, continued, and refused another base."""

import shutil

import pytest
import torch

from grail_framework.config.compose import RunOptions, compose
from grail_framework.config.files import load_config
from grail_framework.envs.replay import replay
from grail_framework.errors import CheckpointError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.assembly import build_env, load_parts
from grail_framework.runs.formats import read_checkpoint
from grail_framework.runs.launch import launch
from grail_framework.runs.nan_dump import read_dump, replay_dump, write_dumps
from grail_framework.testing.bases import write_base
from grail_framework.testing.fakes import write_box_library

SMALL = (
    "algorithm.num_steps_per_env=6",
    "algorithm.num_learning_epochs=1",
    "network.params.actor_hidden_dims=[16]",
    "network.params.critic_hidden_dims=[16]",
    "evaluation.at_start=true",
    "evaluation.at_end=false",
    "logging.console=off",
    "logging.tensorboard=false",
)


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="module")
def resolve(manager, tmp_path_factory):
    library = write_box_library(tmp_path_factory.mktemp("library"), table=True)

    def run(*overrides, task="pnp_table", **options):
        given = RunOptions(data=str(library), engine="mujoco", num_envs=4, **options)
        return compose(
            manager.registry, task=task, options=given, overrides=[*SMALL, *overrides], settle=manager.settle_run
        ).cfg

    return run


@pytest.fixture(scope="module")
def trained(manager, resolve, tmp_path_factory):
    """A run of three iterations in a folder that has a base policy where it is looked for."""
    root = tmp_path_factory.mktemp("root")
    write_base(root / "models" / "sonic_manipulation_base", seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        summary = launch(resolve(iterations=3, experiment_dir="run"), manager)
    return root, summary


def test_it_trains_and_says_through_which_base(trained):
    root, summary = trained
    assert summary.iterations == 3
    state = read_checkpoint(root / "run" / "last.pt")
    assert state["model"]["std"].shape == (66,)
    assert not any("encoder" in name or "decoder" in name for name in state["model"])
    assert sum(state["observation_layout"]["tokenizer"].values()) == 1761
    assert len(state["contact_links"]["policy"]["finger_tips_force"]) == 8
    (action,) = (rank["action"] for rank in state["env"])
    assert action["latent"].abs().sum() > 0
    assert action["base_digest"].shape == (32,)
    cfg = load_config(root / "run" / "config.yaml")
    assert cfg.action.params["base_checkpoint"] == "models/sonic_manipulation_base"
    assert "full_latent_rate_l2" in cfg.rewards


def test_it_goes_on_with_its_base_and_with_no_other(trained, manager, resolve, monkeypatch, tmp_path):
    root, _ = trained
    monkeypatch.chdir(root)
    shutil.copytree(root / "run", tmp_path / "run", symlinks=True)
    options = {"experiment_dir": str(tmp_path / "run"), "resume": True}
    assert launch(resolve(iterations=4, **options), manager).iterations == 4
    other = write_base(tmp_path / "other", seed=2)
    with pytest.raises(CheckpointError, match="was trained on a base policy with the digest"):
        launch(resolve(f"action.params.base_checkpoint={other}", iterations=5, **options), manager)


def test_weights_of_a_task_with_other_sensors_are_refused_with_both(trained, manager, resolve, monkeypatch):
    """24 numbers of the 8 links of pnp_table against 12 of 4: the release's usual reason why a warm start fails."""
    monkeypatch.chdir(trained[0])
    fingers = [f"right_hand_{link}_link" for link in ("palm", "thumb_0", "thumb_1", "thumb_2", "index_0", "index_1")]
    with pytest.raises(CheckpointError) as raised:
        launch(resolve(task="pnp_ground", iterations=1, experiment_dir="ground", checkpoint="run"), manager)
    message = str(raised.value)
    assert "actor_module.module.0.weight: (16, 996) in the checkpoint, (16, 984) in this run" in message
    assert f"observation policy.finger_tips_force: 24 wide (8 links: {', '.join(fingers)}" in message
    assert "12 wide (4 links: right_hand_thumb_2_link, right_hand_index_1_link, right_hand_middle_1_link" in message


def test_an_invalid_environment_is_replayed_through_the_base(trained, manager, resolve, monkeypatch, tmp_path):
    monkeypatch.chdir(trained[0])
    cfg = resolve()
    env = build_env(load_parts(cfg, manager))
    env.begin_evaluation()
    env.reset()
    for step in range(4):
        action = torch.full((4, env.num_actions), 0.5 * step)
        if step == 3:
            action[1, 3] = float("nan")
        env.step(action)
    (path,) = write_dumps(env.drain_invalid(), cfg, tmp_path, iteration=1, rank=0)
    env.close()
    report = replay_dump(read_dump(path), manager)
    assert [(finding.step, finding.what, finding.entries) for finding in report.findings] == [(3, "action", (3,))]


def test_a_replay_acts_on_the_observations_of_its_own_steps(trained, manager, resolve, monkeypatch):
    """Each replayed step starts from its recorded state, so the base sees what it saw then, but for the history before the record."""
    monkeypatch.chdir(trained[0])
    env = build_env(load_parts(resolve("safe_nan=true"), manager), num_envs=1)
    env.begin_evaluation()
    env.reset()
    targets = []
    inner = env.action_term.apply
    monkeypatch.setattr(env.action_term, "apply", lambda action: targets.append(inner(action)) or targets[-1])
    for step in range(4):
        env.step(torch.full((1, env.num_actions), 0.5 * step if step < 3 else float("nan")))
    (record,) = env.drain_invalid()
    first = [target.clone() for target in targets[:3]]
    targets.clear()
    replay(env, record)
    env.close()
    assert len(targets) == 3
    for ours, theirs in zip(targets, first, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)
