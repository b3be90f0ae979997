import re

import attrs
import numpy as np
import pytest
import torch

from grail_framework import hookimpl
from grail_framework.config import ContactGate, RewardTermCfg
from grail_framework.envs.command import ReferenceCommand
from grail_framework.envs.gating import gate_faults
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.clip import ContactLabels
from grail_framework.motion.library import MotionLibrary
from grail_framework.testing.fakes import KinematicEngine, standing_clip


def gated(missing, factor=None):
    gate = ContactGate(hand="right", missing=missing, anti_contact_factor=factor)
    # A perfect orientation makes the raw value exactly 1.
    return {"ori": RewardTermCfg(func="core:tracking_anchor_ori", weight=50.0, params={"std": 0.4}, gate=gate)}


@pytest.fixture
def cfg(pnp_cfg):
    return attrs.evolve(
        pnp_cfg,
        command=attrs.evolve(pnp_cfg.command, start_from_first_frame=True, sample_before_contact=False),
        terminations={},
    )


def rewards_over(env, steps):
    env.reset()
    action = torch.zeros(env.num_envs, env.num_actions)
    return torch.stack([env.step(action)[1] for _ in range(steps)])  # (steps, N)


def unlabelled(robot, key="bare"):
    clip = standing_clip(robot, key=key, with_object=True)
    return attrs.evolve(clip, object=attrs.evolve(clip.object, contact_points=None))


def test_the_label_switches_the_reward_on(make_env, cfg):
    rewards = rewards_over(make_env(attrs.evolve(cfg, rewards=gated("error"))), 40)[:, 0]
    assert rewards[:30].tolist() == [0.0] * 30  # frames 0 .. 29 are before the contact
    assert rewards[30:].tolist() == pytest.approx([1.0] * 10)


def test_anti_contact_factor_counts_before_the_contact(make_env, cfg):
    rewards = rewards_over(make_env(attrs.evolve(cfg, rewards=gated("error", factor=-0.5))), 40)[:, 0]
    assert rewards[:30].tolist() == pytest.approx([-0.5] * 30)
    assert rewards[30:].tolist() == pytest.approx([1.0] * 10)


@pytest.mark.parametrize(("missing", "expected"), [("ones", 1.0), ("zero", 0.0)])
def test_stand_ins_apply_to_clips_without_labels_only(make_env, cfg, robot, missing, expected):
    clips = [standing_clip(robot, key="labelled", with_object=True), unlabelled(robot)]
    rewards = rewards_over(make_env(attrs.evolve(cfg, rewards=gated(missing)), clips), 5)
    assert (rewards[:, 0] == 0.0).all()  # labelled, before its contact
    assert rewards[:, 1].tolist() == pytest.approx([expected] * 5)


def test_missing_labels_stop_the_run_and_name_reward_and_clips(robot):
    motions = MotionLibrary.build([standing_clip(robot, key="fine", with_object=True), unlabelled(robot)], robot, device="cpu")
    gate = ContactGate(hand="right")
    rewards = {"grasp_right": RewardTermCfg(func="rewards:grasp", weight=1.0, params={"sensor": "s"}, gate=gate)}
    (fault,) = gate_faults(rewards, motions)
    assert (fault.keys, fault.fatal) == (("bare",), True)
    assert re.match(
        r"reward_grasp: gate_with_contact_label=True but no contact label found\. .*grasp_right; clips without labels: bare\. Prepare",
        str(fault),
    )


def test_gates_with_a_stand_in_need_no_labels(robot):
    motions = MotionLibrary.build([unlabelled(robot)], robot, device="cpu")
    assert gate_faults(gated("ones"), motions) == []
    assert gate_faults(gated("zero"), motions) == []


@pytest.mark.parametrize(("missing", "expected"), [("ones", 1.0), ("zero", -0.25)])
def test_a_stand_in_label_counts_for_the_anti_contact_part_too(make_env, cfg, robot, missing, expected):
    env = make_env(attrs.evolve(cfg, rewards=gated(missing, factor=-0.25)), [unlabelled(robot)])
    assert rewards_over(env, 3)[:, 0].tolist() == pytest.approx([expected] * 3)


def test_only_the_named_hand_gates(make_env, cfg, robot):
    clip = standing_clip(robot, with_object=True)
    points = clip.object.contact_points
    clip = attrs.evolve(clip, object=attrs.evolve(clip.object, contact_points={"left": points["left"], "right": {}}))
    assert (rewards_over(make_env(attrs.evolve(cfg, rewards=gated("error")), [clip]), 40) == 0.0).all()


def test_labels_of_a_plugin_gate_and_decide_where_episodes_start(
    grail_manager, register_plugin, registry, robot, cfg, tmp_path
):
    """A plugin's labels go before the clip's own: here the right hand touches from frame 12 instead of 30 on."""

    def grail_contact_labels(motion, num_frames, target_fps):
        assert (motion.key, target_fps) == ("stand", 50.0)
        label = np.zeros((num_frames, 2), dtype=np.float32)
        label[12:, 1] = 1.0
        return ContactLabels(label=label, center=np.zeros((num_frames, 2, 3), dtype=np.float32))

    register_plugin(hookimpl(grail_contact_labels))
    clip = attrs.evolve(standing_clip(robot, with_object=True), object_usd=tmp_path / "object.usd")
    motions = MotionLibrary.build([clip], robot, device="cpu", labeler=grail_manager.contact_labels)
    assert motions.first_contact.tolist() == [12]
    cfg = attrs.evolve(cfg, rewards=gated("error"))
    env = TrackingEnv(cfg, KinematicEngine(scene_spec(cfg, robot, motions, device="cpu")), motions, registry)
    rewards = rewards_over(env, 20)[:, 0]
    assert rewards[:12].tolist() == [0.0] * 12
    assert rewards[12:].tolist() == pytest.approx([1.0] * 8)
    before = attrs.evolve(cfg.command, sample_before_contact=True, start_from_first_frame=False)
    command = ReferenceCommand(before, motions, 200, 0.02, torch.Generator().manual_seed(0))
    command.draw_start(torch.ones(200, dtype=torch.bool))
    assert set(command.start.tolist()) == {0, 1}  # 12 less the margin of 10
