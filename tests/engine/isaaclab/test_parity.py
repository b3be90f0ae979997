"""The same scene and targets on the mujoco engine and on this one."""

from __future__ import annotations

import attrs
import pytest
import torch
import trimesh

from grail_framework.assets.usd_writer import write_object_usd
from grail_framework.engine.protocol import ContactSensorSpec, ObjectSpec

from ...assets.solids import arrays
from ..scenes import buffers, default_targets, everything, resting

pytestmark = pytest.mark.slow

GRAVITY = 9.81
ANKLES = ("left_ankle_roll_link", "right_ankle_roll_link")
SOLE = 0.745
"""From the sole up to the root in the default pose, feet pressed in as far as the weight does. [m]"""
ASIDE = (3.0, 0.0, 1.0)
"""Where nothing is touched. [m]"""


@pytest.fixture(scope="module")
def envs(task_envs, tmp_path_factory):
    """pnp_table with sensors of all partners; the last environment holds an object whose centre of mass is off its origin."""
    folder = tmp_path_factory.mktemp("parity")
    parts = [trimesh.creation.cylinder(0.03, 0.12, sections=16), trimesh.creation.box((0.16, 0.02, 0.02))]
    parts[1].apply_translation((0.07, 0.01, 0.0))
    path = write_object_usd(folder / "lopsided.usd", [arrays(part) for part in parts], mass=0.25)

    def change(spec):
        sensors = {
            f"feet_{name}": ContactSensorSpec(links=ANKLES, partner=name) for name in ("ground", "table", "object", "any")
        }
        return attrs.evolve(
            spec,
            objects=(*spec.objects, ObjectSpec(name="lopsided", path=str(path))),
            env_object=(*spec.env_object[:-1], len(spec.objects)),
            contact_sensors={**spec.contact_sensors, **sensors},
        )

    return task_envs("pnp_table", change=change)


@pytest.fixture(scope="module")
def pair(envs):
    return [env.engine for env in envs]


def put(pair, height, **poses):
    """Put the robot of both engines in its default pose, and object and table aside unless they are placed."""
    n = pair[0].spec.num_envs
    aside = torch.tensor(ASIDE).repeat(n, 1)
    to = resting(pair[0].spec, height, **{"object_pos_w": aside, "table_pos_w": aside + torch.tensor([0.0, 3.0, 0.0]), **poses})
    for engine in pair:
        engine.reset(everything(engine.spec), to)
    return to


def differences(pair):
    first, second = (buffers(engine) for engine in pair)
    return {name: (first[name] - second[name]).abs().max().item() for name in first}


def run(pair, targets, *, each=None):
    """Step both engines; return what `each` finds in them, (engines, steps, ...)."""
    found = [[], []]
    for target in targets:
        for engine, seen in zip(pair, found, strict=True):
            engine.step(target)
            seen.append(each(engine).clone())
    return [torch.stack(seen) for seen in found]


# ---- what is observed


def test_observations_at_reset_are_the_same(envs):
    first, second = (env.reset() for env in envs)
    assert first.keys() == second.keys() == {"policy", "critic"}
    for group, values in first.items():
        assert values.isfinite().all()
        torch.testing.assert_close(second[group], values, atol=1e-4, rtol=0.0, msg=lambda text, group=group: f"{group}: {text}")


def test_a_state_in_motion_is_read_alike(pair):
    generator = torch.Generator().manual_seed(4)

    def random(*shape):
        return torch.randn(4, *shape, generator=generator)

    to = put(pair, 2.0, root_quat_w=torch.nn.functional.normalize(random(4), dim=-1))
    moving = attrs.evolve(
        to,
        root_lin_vel_w=random(3),
        root_ang_vel_w=random(3),
        joint_vel=random(pair[0].spec.robot.num_joints),
        object_quat_w=torch.nn.functional.normalize(random(4), dim=-1),
        object_lin_vel_w=random(3),
        object_ang_vel_w=random(3),
        table_quat_w=torch.nn.functional.normalize(random(4), dim=-1),
    )
    for engine in pair:
        engine.reset(everything(engine.spec), moving)
    assert max(differences(pair).values()) < 2e-5, differences(pair)
    # By hand as well: velocities are given of the root's origin and read of its centre of mass; the object's are of its own.
    mine = pair[1].state
    torch.testing.assert_close(mine.object_lin_vel_w, moving.object_lin_vel_w, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(mine.root_ang_vel_w, moving.root_ang_vel_w, atol=1e-5, rtol=0.0)
    w, axis = moving.root_quat_w[:, :1], moving.root_quat_w[:, 1:]
    local = torch.tensor(pair[0].spec.robot.bodies[0].com).expand_as(axis)
    arm = local + 2.0 * torch.linalg.cross(axis, torch.linalg.cross(axis, local) + w * local)
    expected = moving.root_lin_vel_w + torch.linalg.cross(moving.root_ang_vel_w, arm)
    torch.testing.assert_close(mine.root_lin_vel_w, expected, atol=1e-5, rtol=0.0)


def test_the_root_can_be_given_another_velocity(pair):
    put(pair, 2.0)
    for target in [default_targets(pair[0])] * 3:
        for engine in pair:
            engine.step(target)
    generator = torch.Generator().manual_seed(5)
    linear, angular = torch.randn(4, 3, generator=generator), torch.randn(4, 3, generator=generator)
    mask = torch.tensor([True, False, False, True])
    before = buffers(pair[1])["root_lin_vel_w"][1:3].clone()
    for engine in pair:
        engine.set_root_velocity(mask, linear, angular)
    mine = pair[1].state
    torch.testing.assert_close(mine.root_lin_vel_w[mask], linear[mask], atol=1e-5, rtol=0.0)
    torch.testing.assert_close(mine.root_ang_vel_w[mask], angular[mask], atol=1e-5, rtol=0.0)
    assert torch.equal(mine.root_lin_vel_w[1:3], before)
    for engine in pair:
        engine.step(default_targets(engine))
    assert differences(pair)["root_pos_w"] < 1e-5
    assert differences(pair)["joint_pos"] < 1e-4


# ---- free flight


def small_moves(engine):
    generator = torch.Generator().manual_seed(1)
    rest = default_targets(engine)
    return [rest + 0.1 * torch.randn(rest.shape, generator=generator) for _ in range(25)]


def wrists_at_their_limit(engine):
    """A step that is too large for the wrists' motors, which drive slender links: they saturate, and slow down at their own rate."""
    target, robot = default_targets(engine), engine.spec.robot
    for column, joint in enumerate(robot.joints):
        if "wrist" in joint.name:
            target[:, column] = min(joint.default_pos + 1.2, joint.upper)
    return [target] * 25


@pytest.mark.parametrize("moves", [small_moves, wrists_at_their_limit])
def test_free_flight_of_half_a_second(pair, moves):
    put(pair, 3.0)
    targets = moves(pair[0])
    first, second = run(
        pair, targets, each=lambda engine: torch.cat((engine.state.joint_pos, engine.state.joint_torque), dim=1)
    )
    joints = pair[0].spec.robot.num_joints
    assert (first - second)[..., :joints].abs().max() < 1e-3
    if moves is wrists_at_their_limit:
        efforts = torch.tensor([joint.effort for joint in pair[0].spec.robot.joints])
        at_limit = (second[..., joints:].abs().amax(dim=(0, 1)) >= 0.999 * efforts).nonzero().flatten().tolist()
        assert {pair[0].spec.robot.joint_names[k] for k in at_limit} >= {"left_wrist_pitch_joint", "right_wrist_yaw_joint"}
    assert differences(pair)["root_pos_w"] < 1e-4
    assert differences(pair)["body_pos_w"] < 1e-3


# ---- contact


def standing(pair, sensor, com):
    """Stand for 0.8 s; return of both engines the force on the feet (steps, N, 3), the root's height and the centre of mass."""

    def seen(engine):
        force = engine.state.contact_forces[sensor].sum(dim=1)
        return torch.cat((force, engine.state.root_pos_w[:, 2:], com(engine)), dim=1)

    return [found.split((3, 1, 3), dim=-1) for found in run(pair, [default_targets(pair[0])] * 40, each=seen)]


@pytest.mark.parametrize("floor", ["ground", "table"])
def test_standing(pair, com, floor):
    top = 0.0
    poses = {}
    if floor == "table":
        thickness = pair[0].spec.table_size[2]
        top = 0.4
        poses = {"table_pos_w": torch.tensor([0.0, 0.0, top - 0.5 * thickness]).repeat(4, 1)}
    put(pair, top + SOLE, **poses)
    (force, height, centre), (their_force, their_height, their_centre) = standing(pair, f"feet_{floor}", com)
    weight = sum(body.mass for body in pair[0].spec.robot.bodies) * GRAVITY
    torch.testing.assert_close(their_height, height, atol=1e-3, rtol=0.0)
    torch.testing.assert_close(their_centre, centre, atol=1e-3, rtol=0.0)
    torch.testing.assert_close(their_force[10:].mean(dim=0), force[10:].mean(dim=0), atol=0.005 * weight, rtol=0.0)
    # Force is mass times acceleration: what carries the robot also brakes or lifts its centre of mass.
    speed = their_centre.diff(dim=0)[..., 2] / pair[1].spec.step_dt
    acceleration = (speed[-1] - speed[9]) / (len(speed) - 10) / pair[1].spec.step_dt
    carried = their_force[11:, :, 2].mean(dim=0) - acceleration * weight / GRAVITY
    assert (carried - weight).abs().max() < 0.01 * weight
    for name, buffer in pair[1].state.contact_forces.items():
        if name.startswith("feet") and name not in (f"feet_{floor}", "feet_any"):
            assert buffer.abs().max() == 0.0
    torch.testing.assert_close(
        pair[1].state.contact_forces["feet_any"], pair[1].state.contact_forces[f"feet_{floor}"], atol=1e-3, rtol=1e-5
    )


def closed_hand(engine):
    """Targets (n,) of the closed right hand's joints, and their columns."""
    robot = engine.spec.robot
    hand, joints = robot.hands["right"], {joint.name: joint for joint in robot.joints}
    closed = [
        joints[name].default_pos + joints[name].action_scale * a
        for name, a in zip(hand.joints, hand.closed_action, strict=True)
    ]
    return torch.tensor(closed), robot.joint_ids(hand.joints)


def test_a_grasp_lifts_the_object_alike(envs, pair):
    """The hand closes at the reference's first contact and follows it up: what it presses, and how high the object gets."""
    env = envs[0]
    motions, ids = env.motions, env.command.motion_ids
    env.command.start.copy_(motions.first_contact[ids])
    to = env.start_state()
    for engine in pair:
        engine.reset(everything(engine.spec), to)
    fingers, columns = closed_hand(pair[0])
    targets = []
    for step in range(60):
        frame = env.command.start + max(step - 20, 0)
        target = torch.cat((motions.state(ids, frame).joint_pos, to.joint_pos[:, 29:]), dim=1)
        target[:, columns] = fingers
        targets.append(target)

    def seen(engine):
        force = engine.state.contact_forces["object_right_hand"]
        return torch.cat((force.norm(dim=2).sum(dim=1, keepdim=True), force.sum(dim=1), engine.state.object_pos_w), dim=1)

    # The other environments hold another object, or the same again.
    mine, theirs = (found[:, :2] for found in run(pair, targets, each=seen))
    held = slice(40, None)
    for found in (mine, theirs):
        assert (found[-1, :, 6] - found[0, :, 6] > 0.015).all(), "the object is not lifted"
        assert (found[held, :, 0].mean(dim=0) > 5.0).all(), "the hand does not press"
    squeeze, their_squeeze = (found[held, :, 0].mean(dim=0) for found in (mine, theirs))
    torch.testing.assert_close(their_squeeze, squeeze, rtol=0.1, atol=0.0)
    # In the air the hand alone carries it, so it presses down on the hand by its weight.
    weights = torch.tensor([model.body("scene:object").mass[0] * GRAVITY for model in pair[0]._models[:2]], dtype=torch.float32)
    for found in (mine, theirs):
        torch.testing.assert_close(-found[held, :, 3].mean(dim=0), weights, rtol=0.1, atol=0.0)
    torch.testing.assert_close(theirs[-1, :, 4:], mine[-1, :, 4:], atol=0.01, rtol=0.0)
    torch.testing.assert_close(theirs[-1, :, 6], mine[-1, :, 6], atol=2e-3, rtol=0.0)
