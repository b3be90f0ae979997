"""The observations of the universal-token network, against scipy and the arrays that the motions were made from."""

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from grail_framework.config import ObservationGroupCfg, ObservationTermCfg
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.envs.view import TrackingView
from grail_framework.errors import ConfigError
from grail_framework.mdp import token_observations as tokens
from grail_framework.motion.clip import MotionClip
from grail_framework.motion.library import MotionLibrary
from grail_framework.testing import assert_term_contract
from grail_framework.testing.fakes import KinematicEngine
from grail_framework.testing.tape import TapeGraph

LENGTHS = (80, 60)
FRAMES = (5, 58, 76)
"""The second and the third environment look beyond the ends of their motions."""
MOTIONS = (0, 1, 0)
N = 3
TOKENIZER = {
    "encoder_index": 3,
    "command_multi_future_nonflat": 580,
    "command_z_multi_future_nonflat": 10,
    "command_z": 1,
    "motion_anchor_ori_heading_mf_nonflat": 60,
    "motion_anchor_ori_heading": 6,
    "command_multi_future_lower_body": 240,
    "vr_3point_local_target": 9,
    "vr_3point_local_orn_target": 12,
    "smpl_joints_multi_future_local_nonflat": 720,
    "smpl_root_ori_heading_multi_future": 60,
    "joint_pos_multi_future_wrist_for_smpl": 60,
}
TERRAIN_TOKENIZER = {
    "encoder_index": 3,
    "command_multi_future_nonflat": 580,
    "command_z_multi_future": 10,
    "motion_anchor_ori_b_mf_nonflat": 60,
}
POLICY = {
    "base_ang_vel": 30,
    "joint_pos_wo_hand": 290,
    "joint_vel_wo_hand": 290,
    "actions_wo_hand": 290,
    "gravity_dir": 30,
}
LEGS = [0, 3, 6, 9, 13, 17, 1, 4, 7, 10, 14, 18]
"""Indices in Isaac Lab's joint order of the first twelve joints of MuJoCo's: left leg, right leg."""
WRISTS = slice(23, 29)
TRACKED = {"torso_link": 7, "left_wrist_yaw_link": 10, "right_wrist_yaw_link": 13}
POINTS = (
    ("left_wrist_yaw_link", (0.18, -0.025, 0.0)),
    ("right_wrist_yaw_link", (0.18, 0.025, 0.0)),
    ("torso_link", (0.0, 0.0, 0.35)),
)


def wxyz(rotation):
    return rotation.as_quat(scalar_first=True).astype(np.float32)


def make_clip(robot, key, frames, seed):
    """A motion without sense: every pose drawn anew."""
    rng = np.random.default_rng(seed)
    joints = robot.joints[: robot.num_motion_joints]
    low, high = np.array([j.lower for j in joints]), np.array([j.upper for j in joints])
    return MotionClip(
        key=key,
        path=Path(f"{key}.pkl"),
        fps=50.0,
        joint_names=robot.joint_names[: robot.num_motion_joints],
        root_pos=rng.normal(size=(frames, 3)).astype(np.float32),
        root_quat=wxyz(Rotation.random(frames, random_state=seed)),
        joint_pos=rng.uniform(low, high, size=(frames, len(joints))).astype(np.float32),
    )


@pytest.fixture(scope="module")
def clips(robot):
    return [make_clip(robot, f"clip_{i}", length, seed=7 + i) for i, length in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def motions(robot, clips):
    return MotionLibrary.build(clips, robot, device="cpu")


@pytest.fixture
def cfg(registry):
    return attrs.evolve(registry.find("task", "core:motion_base").load()(), num_envs=N)


@pytest.fixture
def endless(cfg):
    """Nothing ends an episode."""
    return attrs.evolve(cfg, terminations={})


@pytest.fixture
def build(cfg, robot, registry, motions):
    def make(cfg=cfg, motions=motions, **options):
        engine = KinematicEngine(scene_spec(cfg, robot, motions, device="cpu"))
        return TrackingEnv(cfg, engine, motions, registry, **options)

    return make


def put(env, frames=FRAMES):
    """Go to given frames, with a robot that stands and moves anyhow."""
    env.reset()
    env.command.frame[:] = torch.tensor(frames)
    env.command.gather()
    generator = torch.Generator().manual_seed(3)
    for name in ("joint_pos", "joint_vel", "root_ang_vel_w", "root_pos_w"):
        getattr(env.state, name).normal_(generator=generator)
    env.state.root_quat_w.copy_(torch.from_numpy(wxyz(Rotation.random(N, random_state=9))))
    env.engine.refresh()
    env.view = TrackingView(env)
    return env


@pytest.fixture
def env(build):
    return put(build())


def close(tensor, expected, atol=1e-5):
    np.testing.assert_allclose(np.asarray(tensor), np.asarray(expected), atol=atol)


def rot(quat):
    return Rotation.from_quat(np.asarray(quat, dtype=np.float64), scalar_first=True)


def six(rotation):
    return rotation.as_matrix()[..., :2].reshape(*rotation.as_matrix().shape[:-2], 6)


def heading(rotation):
    """What is left of a rotation without the x and y of its quaternion."""
    x, y, z, w = rotation.as_quat()
    return Rotation.from_quat(np.array([0.0 * x, 0.0 * y, z, w]) / np.hypot(z, w))


def ahead(i, spacing):
    return np.minimum(FRAMES[i] + spacing * np.arange(10), LENGTHS[MOTIONS[i]] - 1)


def each(clips):
    """The environments with the clip each follows."""
    return [(i, clips[motion]) for i, motion in enumerate(MOTIONS)]


def test_layout_of_both_groups(env):
    assert list(env.groups["policy"].layout.items()) == list(POLICY.items())
    assert list(env.groups["tokenizer"].layout.items()) == list(TOKENIZER.items())
    assert (env.observation_dims["policy"], env.observation_dims["tokenizer"]) == (930, 1761)
    assert env.num_actions == 29


def test_layout_of_the_terrain_terms(build, cfg):
    terms = {name: ObservationTermCfg(func=f"core:{name}") for name in TERRAIN_TOKENIZER}
    terms["encoder_index"] = attrs.evolve(terms["encoder_index"], params={"probabilities": [1, 1, 1]})
    groups = {**cfg.observations, "tokenizer": ObservationGroupCfg(terms=terms, width=774 - 121)}
    layout = build(attrs.evolve(cfg, observations=groups)).groups["tokenizer"].layout
    assert list(layout.items()) == list(TERRAIN_TOKENIZER.items())


def test_every_term_keeps_the_contract(env, registry):
    for name in {**POLICY, **TOKENIZER, **TERRAIN_TOKENIZER}:
        assert_term_contract(registry.find("observation", f"core:{name}").load(), env, kind="observation")


def test_window_of_joints_is_cut_into_rows_that_are_no_frames(env, clips):
    value = tokens.command_multi_future_nonflat(env)
    for i, clip in each(clips):
        positions, velocities = joints_of(clip, ahead(i, 5))
        close(value[i, :290], positions.ravel())
        close(value[i, 290:], velocities.ravel(), atol=1e-3)


def joints_of(clip, frames):
    """Positions and velocities: forward differences, at the last frame the one before the last."""
    positions = clip.joint_pos.astype(np.float64)
    differences = 50.0 * np.diff(positions, axis=0)
    differences = np.concatenate((differences, differences[-2:-1]))
    return positions[frames], differences[frames]


def test_window_of_legs(env, clips):
    value = tokens.command_multi_future_lower_body(env)
    for i, clip in each(clips):
        positions, velocities = joints_of(clip, ahead(i, 5))
        close(value[i, :120], positions[:, LEGS].ravel())
        close(value[i, 120:], velocities[:, LEGS].ravel(), atol=1e-3)


def test_window_of_heights(env, clips):
    for term in (tokens.command_z_multi_future, tokens.command_z_multi_future_nonflat):
        for i, clip in each(clips):
            close(term(env)[i], clip.root_pos[ahead(i, 5), 2])


def test_window_of_wrists_is_one_step_apart(env, clips):
    value = tokens.joint_pos_multi_future_wrist_for_smpl(env)
    for i, clip in each(clips):
        close(value[i], clip.joint_pos[ahead(i, 1), WRISTS].ravel())


def test_both_ways_to_keep_motions_give_the_same_joints(env, robot, clips):
    derived = MotionLibrary.build(clips, robot, device="cpu", derive="on_demand")
    assert env.motions.derives_ahead
    assert not derived.derives_ahead
    ids, frames = torch.tensor(MOTIONS), torch.tensor([[-3, 0, 1], [58, 59, 60], [77, 79, 200]])
    for i, clip in each(clips):
        expected = clip.joint_pos[frames[i].clamp(0, LENGTHS[MOTIONS[i]] - 1).numpy()]
        for library in (env.motions, derived):
            assert torch.equal(library.joint_pos(ids, frames)[i], torch.from_numpy(expected))


def test_orientations_in_the_robots_heading(env, clips):
    window, now = tokens.motion_anchor_ori_heading_mf_nonflat(env), tokens.motion_anchor_ori_heading(env)
    for i, clip in each(clips):
        robot_yaw = heading(rot(env.state.root_quat_w[i]))
        close(window[i].view(10, 6), six(robot_yaw.inv() * rot(clip.root_quat[ahead(i, 5)])))
        close(now[i], six(robot_yaw.inv() * rot(clip.root_quat[FRAMES[i]])))


def test_orientations_in_the_robots_frame(env, clips):
    value = tokens.motion_anchor_ori_b_mf_nonflat(env)
    for i, clip in each(clips):
        close(value[i].view(10, 6), six(rot(env.state.root_quat_w[i]).inv() * rot(clip.root_quat[ahead(i, 5)])))


def test_vr_points_of_the_reference(env):
    pos, quat = tokens.vr_3point_local_target(env), tokens.vr_3point_local_orn_target(env)
    reference = env.reference
    for i in range(N):
        to_pelvis = rot(reference.root_quat[i]).inv()
        for k, (link, offset) in enumerate(POINTS):
            body = TRACKED[link]
            assert env.robot.tracked_bodies[body] == link
            turned = rot(reference.body_quat_w[i, body])
            point = np.asarray(reference.body_pos_w[i, body]) + turned.apply(offset) - np.asarray(reference.root_pos[i])
            close(pos[i, 3 * k : 3 * k + 3], to_pelvis.apply(point))
            close(rot(quat[i, 4 * k : 4 * k + 4]).as_matrix(), (to_pelvis * turned).as_matrix())


def test_vr_points_of_a_robot_that_stands_straight(build, robot):
    """With all joints at zero every link is turned as the pelvis, and the torso's point is right above the waist."""
    straight = attrs.evolve(make_clip(robot, "straight", 20, seed=1), joint_pos=np.zeros((20, 29), dtype=np.float32))
    env = put(build(motions=MotionLibrary.build([straight], robot, device="cpu")), frames=(0, 7, 19))
    # The links' mounts are rounded.
    close(tokens.vr_3point_local_orn_target(env), np.tile([1.0, 0.0, 0.0, 0.0], (N, 3)), atol=2e-4)
    points = tokens.vr_3point_local_target(env).view(N, 3, 3).numpy()
    mirrored = points[:, 1] * [1.0, -1.0, 1.0]
    close(points[:, 0], mirrored, atol=1e-3)
    assert (points[:, 0, 1] > 0.0).all()
    close(points[:, 2, 1], 0.0)
    assert (points[:, 2, 2] > 0.35).all()


def test_human_models_are_zeros(env):
    for term, width in ((tokens.smpl_joints_multi_future_local_nonflat, 72), (tokens.smpl_root_ori_heading_multi_future, 6)):
        assert torch.equal(term(env), torch.zeros(N, 10 * width))
        assert term(env, num_frames=3).shape == (N, 3 * width)


def test_joints_without_hands(build, endless, robot):
    env = put(build(endless))
    default = np.array([joint.default_pos for joint in robot.joints[:29]])
    close(tokens.joint_pos_wo_hand(env), env.state.joint_pos[:, :29].numpy() - default)
    close(tokens.joint_vel_wo_hand(env), env.state.joint_vel[:, :29])
    env.step(torch.full((N, 29), 30.0))
    close(tokens.actions_wo_hand(env), np.full((N, 29), 20.0))


def test_histories_begin_with_ten_times_the_first_value(build, endless):
    env = build(endless)
    env.begin_evaluation()
    first = env.reset()["policy"]
    values = env.groups["policy"].values()
    close(first, torch.cat([value.repeat(1, 10) for value in values.values()], dim=1))
    assert (first[:, 610:900] == 0.0).all()  # the actions
    second = env.step(torch.linspace(-1.0, 1.0, 29).repeat(N, 1))[0]["policy"]
    close(second[:, 610 : 610 + 9 * 29], np.zeros((N, 9 * 29)))
    close(second[:, 610 + 9 * 29 : 900], np.tile(np.linspace(-1.0, 1.0, 29), (N, 1)))
    close(second[:, 30:291], first[:, 59:320])


def test_only_g1_is_drawn_unless_asked(build):
    env = build()
    before = env.generator.get_state()
    (term,) = [term for name, term in env.stateful_terms() if "encoder_index" in name]
    term.reset(torch.ones(N, dtype=torch.bool))
    assert torch.equal(env.generator.get_state(), before)
    assert term.state_dict() == {}
    close(env.groups["tokenizer"].values()["encoder_index"], np.tile([1.0, 0.0, 0.0], (N, 1)))


def test_shares_of_the_encoders(build, cfg):
    env = build(attrs.evolve(cfg, num_envs=3000), capture=False)
    term = tokens.encoder_index(env, probabilities=(1.0, 3.0, 5.0))
    everywhere = torch.ones(3000, dtype=torch.bool)
    term.reset(everywhere)
    drawn = term(env)
    assert torch.equal(drawn.sum(dim=1), torch.ones(3000))
    close(drawn.mean(dim=0), [0.25, 0.75, 0.0], atol=0.04)  # five standard deviations
    half = torch.arange(3000) < 1500
    term.reset(half)
    assert torch.equal(term(env)[1500:], drawn[1500:])
    assert not torch.equal(term(env)[:1500], drawn[:1500])
    saved = term.state_dict()
    again = term(env)
    term.reset(everywhere)
    assert not torch.equal(term(env), again)
    term.load_state_dict(saved)
    assert torch.equal(term(env), again)


@pytest.mark.parametrize(("probabilities", "one"), [((0, 1, 0), 1), ((2, 0, 1), 0)])
def test_one_encoder_alone(env, probabilities, one):
    term = tokens.encoder_index(env, probabilities=probabilities)
    term.reset(torch.ones(N, dtype=torch.bool))
    assert torch.equal(term(env), torch.eye(3)[one].repeat(N, 1))


@pytest.mark.parametrize("probabilities", [(1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (1.0, -1.0, 1.0), (float("nan"),) * 3])
def test_shares_that_make_no_sense(env, probabilities):
    with pytest.raises(ConfigError, match="three numbers of at least 0 for g1, teleop, smpl"):
        tokens.encoder_index(env, probabilities=probabilities)


def test_the_terms_are_captured(build, cfg):
    """Replayed from graphs the step gives the same as eagerly, also where encoders are drawn."""
    group = cfg.observations["tokenizer"]
    drawn = attrs.evolve(group.terms["encoder_index"], params={"probabilities": [1, 1, 0]})
    group = attrs.evolve(group, terms={**group.terms, "encoder_index": drawn})
    cfg = attrs.evolve(cfg, num_envs=16, observations={**cfg.observations, "tokenizer": group})
    captured, eager = (build(cfg, capture=TapeGraph) for _ in range(2))
    eager.graphs.turn_off("it is the eager twin")
    for env in (captured, eager):
        env.reset()
    action, seen = torch.zeros(16, 29), set()
    for _ in range(40):
        ours, theirs = (env.step(action)[0] for env in (captured, eager))
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
        seen |= set(ours["tokenizer"][:, :3].argmax(dim=1).tolist())
    assert captured.graphs.captured == ("before", "after"), captured.graphs.off
    assert seen == {0, 1}
