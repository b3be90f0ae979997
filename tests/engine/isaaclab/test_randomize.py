"""Physical properties of the robot of their own in every environment, on Newton's MuJoCo solver."""

from __future__ import annotations

import logging

import attrs
import mujoco
import numpy as np
import pytest
import torch

from grail_framework.engine.isaaclab.engine import build
from grail_framework.engine.protocol import BODY_COM, BODY_MASS, MATERIAL, RANDOMIZABLE, RandomizingEngine
from grail_framework.errors import EnvContractError
from grail_framework.tasks.randomisation import level0_4

from ..scenes import assert_same_bits, default_targets, everything, resting, snapshot

pytestmark = pytest.mark.slow

GRAVITY = 9.81
ASIDE = torch.tensor([3.0, 0.0, 1.0]).repeat(4, 1)
MASK = torch.tensor([False, True, False, True])


@pytest.fixture(scope="module")
def env(task_envs):
    """pnp_table with the release's preset: two objects by turns, so worlds are in another order than environments."""
    return task_envs("pnp_table", events=level0_4(), builders=(build,))[0]


@pytest.fixture(scope="module")
def drawn(env):
    """What the events of the preset set at startup: (friction, mass_factor, com_shift) by environment, and the model's values."""
    own = env.engine._physics.properties
    world = list(env.engine._physics._worlds.world_of_env)
    values = {name: getattr(own, name)[world].clone() for name in ("friction", "mass_factor", "com_shift")}
    return values, model_of(env.engine)


@pytest.fixture
def engine(env, drawn):
    """The environment's engine with the robot as it is described."""
    engine = env.engine
    bodies = len(engine.spec.robot.bodies)
    engine.randomize(MATERIAL, everything(engine.spec), torch.ones(4, 3))
    engine.randomize(BODY_MASS, everything(engine.spec), torch.ones(4, bodies))
    engine.randomize(BODY_COM, everything(engine.spec), torch.zeros(4, bodies, 3))
    engine.reset(everything(engine.spec), in_the_air(engine))
    return engine


def in_the_air(engine, **changes):
    return attrs.evolve(resting(engine.spec, 3.0, object_pos_w=ASIDE, table_pos_w=ASIDE + 2.0), **changes)


def model_of(engine):
    """What MuJoCo Warp has of the robot, by environment and link, and of the contact friction of its geoms."""
    solver, layout = engine._physics.solver, engine._physics.layout
    model, world = solver.mjw_model, list(engine._physics._worlds.world_of_env)
    newton_body = solver.mjc_body_to_newton.numpy()[0].tolist()
    bodies = [newton_body.index(link) for link in layout.links]
    geoms = np.flatnonzero(np.isin(model.geom_bodyid.numpy(), bodies))
    found = {name: getattr(model, name).numpy()[world][:, bodies] for name in ("body_mass", "body_inertia", "body_ipos")}
    found["subtree"] = model.body_subtreemass.numpy()[world][:, bodies[0]]
    found["friction"] = model.geom_friction.numpy()[world][:, geoms, 0]
    found["others"] = np.delete(model.geom_friction.numpy()[world][..., 0], geoms, axis=1)
    return {name: torch.from_numpy(np.array(values)) for name, values in found.items()}


def described(engine):
    bodies = engine.spec.robot.bodies
    return torch.tensor([body.mass for body in bodies]), torch.tensor([body.com for body in bodies])


# ---- the preset


def test_the_preset_s_values_arrive_in_every_environment(env, drawn):
    values, model = drawn
    mass, com = described(env.engine)
    factor, shift, friction = values["mass_factor"], values["com_shift"], values["friction"]
    assert ((factor >= 0.9) & (factor <= 1.1)).all()
    assert factor.std(dim=0).min() > 0.0, "two environments have the same masses"
    torso = env.robot.body_names.index("torso_link")
    assert (shift[:, torso].abs() <= torch.tensor([0.025, 0.05, 0.05])).all()
    assert shift[:, torso].abs().min() > 0.0
    assert not shift[:, [k for k in range(len(mass)) if k != torso]].any()
    assert ((friction >= 0.3) & (friction <= 1.2)).all()
    torch.testing.assert_close(model["body_mass"], mass * factor, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(model["subtree"], (mass * factor).sum(dim=1), rtol=1e-5, atol=0.0)
    torch.testing.assert_close(model["body_ipos"], com + shift, rtol=0.0, atol=1e-6)
    torch.testing.assert_close(model["friction"], friction.unsqueeze(1).expand_as(model["friction"]))
    assert (model["others"] == 1.0).all()


def test_the_environment_runs_with_it(env):
    env.reset()
    for _ in range(3):
        observations, reward, *_ = env.step(torch.zeros(env.num_envs, env.num_actions))
    assert reward.isfinite().all()
    assert all(values.isfinite().all() for values in observations.values())
    assert env.drain_invalid() == []


# ---- one property at a time


def test_what_the_engine_can(env):
    assert isinstance(env.engine, RandomizingEngine)
    assert env.engine.randomizable == set(RANDOMIZABLE)


def test_values_are_relative_to_the_description_and_only_where_the_mask_says(engine):
    before, bodies = model_of(engine), len(engine.spec.robot.bodies)
    factor = torch.linspace(0.5, 1.5, 4 * bodies).view(4, bodies)
    for _ in range(2):  # not relative to the last call
        engine.randomize(BODY_MASS, MASK, factor)
    after = model_of(engine)
    torch.testing.assert_close(after["body_mass"][MASK], before["body_mass"][MASK] * factor[MASK], rtol=1e-6, atol=0.0)
    torch.testing.assert_close(
        after["body_inertia"][MASK], (before["body_inertia"] * factor.unsqueeze(2))[MASK], rtol=1e-6, atol=0.0
    )
    for name, value in before.items():
        assert torch.equal(after[name][~MASK], value[~MASK]), name
    engine.randomize(BODY_MASS, everything(engine.spec), torch.ones(4, bodies))
    assert_same_bits(model_of(engine), before)


def test_a_heavier_robot_stands_as_heavily(engine):
    factor = torch.where(MASK, 1.25, 1.0).unsqueeze(1).expand(4, len(engine.spec.robot.bodies))
    engine.randomize(BODY_MASS, everything(engine.spec), factor)
    engine.reset(everything(engine.spec), resting(engine.spec, 0.757, object_pos_w=ASIDE, table_pos_w=ASIDE + 2.0))
    seen = []
    for _ in range(20):
        engine.step(default_targets(engine))
        seen.append(carried(engine))
    ratio = torch.stack(seen[8:]).mean(dim=0)
    torch.testing.assert_close(ratio[MASK] / ratio[~MASK], torch.full((2,), 1.25), rtol=0.05, atol=0.0)


def carried(engine):
    """Force of the ground on the robot (N,): the solver's rows of contacts with the plane. [N]"""
    solver, world = engine._physics.solver, torch.tensor(engine._physics._worlds.world_of_env)
    data = solver.mjw_data
    count = int(data.nacon.numpy()[0])
    ground = (solver.mjw_model.geom_bodyid.numpy()[data.contact.geom.numpy()[:count]] == 0).any(axis=1)
    total = torch.zeros(4)
    for row in np.flatnonzero(ground):
        rows, owner = data.contact.efc_address.numpy()[row], data.contact.worldid.numpy()[row]
        total[owner] += float(data.efc.force.numpy()[owner][rows[rows >= 0]].sum())
    return total[world]


def test_a_shifted_centre_of_mass_moves_as_mujoco_says(engine):
    """In free fall from the same state, against MuJoCo's C library with the same mass and centre of mass."""
    bodies, torso = len(engine.spec.robot.bodies), engine.spec.robot.body_names.index("torso_link")
    factor, shift = torch.ones(4, bodies), torch.zeros(4, bodies, 3)
    factor[MASK, torso], shift[MASK, torso] = 1.4, torch.tensor([0.02, -0.05, 0.04])
    shift[MASK, 0] = torch.tensor([0.03, 0.0, -0.01])
    engine.randomize(BODY_MASS, MASK, factor)
    engine.randomize(BODY_COM, MASK, shift)
    spin = torch.tensor([0.3, -0.2, 0.5]).repeat(4, 1)
    to = in_the_air(engine, root_ang_vel_w=spin, root_lin_vel_w=torch.tensor([0.1, 0.2, 0.3]).repeat(4, 1))
    engine.reset(everything(engine.spec), to)
    _, com = described(engine)
    for env in range(4):
        # Upright: velocities are given of the root's origin, and read of its centre of mass, wherever that is.
        arm = com[0] + (shift[env, 0] if MASK[env] else 0.0)
        expected = to.root_lin_vel_w[env] + torch.linalg.cross(spin[env], arm)
        torch.testing.assert_close(engine.state.root_lin_vel_w[env], expected, atol=1e-5, rtol=0.0)
    target = default_targets(engine)
    for name in ("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint"):
        target[:, engine.spec.robot.joint_names.index(name)] += 0.4
    ends = [falling(engine, to, env, target[env], factor[env], shift[env]) for env in range(2)]
    for _ in range(10):
        engine.step(target)
    for env, (root, joints) in enumerate(ends):
        np.testing.assert_allclose(engine.state.root_pos_w[env].numpy(), root, atol=1e-5)
        np.testing.assert_allclose(engine.state.joint_pos[env].numpy(), joints, atol=1e-4)
    assert (torch.tensor(ends[0][1]) - torch.tensor(ends[1][1])).abs().max() > 1e-3, (
        "the shift makes no difference: the test shows little"
    )


def falling(engine, to, env, target, factor, shift):
    """Return the root's position and the joints of one environment after ten control steps of MuJoCo itself."""
    from grail_framework.robots.builder import build_robot

    spec, robot = build_robot(engine.spec.robot), engine.spec.robot
    spec.option.timestep = engine.spec.physics_dt
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    model = spec.compile()
    for k, name in enumerate(robot.body_names):
        body = model.body(name).id
        model.body_mass[body] *= float(factor[k])
        model.body_inertia[body] *= float(factor[k])
        model.body_ipos[body] += shift[k].numpy()
    mujoco.mj_setConst(model, mujoco.MjData(model))
    data = mujoco.MjData(model)
    data.qpos[:7] = [*to.root_pos_w[env].tolist(), *to.root_quat_w[env].tolist()]
    data.qvel[:6] = [
        *to.root_lin_vel_w[env].tolist(),
        *to.root_ang_vel_w[env].tolist(),
    ]  # upright: the root's axes are the world's
    for k, name in enumerate(robot.joint_names):
        data.joint(name).qpos = float(to.joint_pos[env, k])
        data.actuator(name).ctrl = float(target[k])
    for _ in range(10 * engine.spec.decimation):
        mujoco.mj_step(model, data)
    return data.qpos[:3].copy(), np.array([data.joint(name).qpos[0] for name in robot.joint_names])


def test_slippery_soles_slide(engine):
    material = torch.tensor([1.0, 1.0, 0.0]).repeat(4, 1)
    material[MASK] = torch.tensor([1.6, 0.05, 0.5])
    engine.randomize(MATERIAL, everything(engine.spec), material)
    pushed = attrs.evolve(
        resting(engine.spec, 0.757, object_pos_w=ASIDE, table_pos_w=ASIDE + 2.0),
        root_lin_vel_w=torch.tensor([0.0, 0.6, 0.0]).repeat(4, 1),
    )
    engine.reset(everything(engine.spec), pushed)
    ankle = engine.spec.robot.body_names.index("left_ankle_roll_link")
    before = engine.state.body_pos_w[:, ankle, 1].clone()
    for _ in range(12):
        engine.step(default_targets(engine))
    moved = engine.state.body_pos_w[:, ankle, 1] - before
    assert moved[MASK].min() > 3.0 * moved[~MASK].max(), moved
    assert moved[MASK].min() > 0.03


def test_it_is_part_of_a_saved_state(engine):
    bodies = len(engine.spec.robot.bodies)
    generator = torch.Generator().manual_seed(2)
    engine.randomize(BODY_MASS, MASK, 0.8 + 0.4 * torch.rand(4, bodies, generator=generator))
    engine.randomize(BODY_COM, MASK, 0.02 * torch.randn(4, bodies, 3, generator=generator))
    engine.randomize(MATERIAL, MASK, torch.full((4, 3), 0.4))
    saved, model = engine.state_dict(), model_of(engine)
    ends = []
    for again in (False, True):
        if again:
            engine.randomize(BODY_MASS, everything(engine.spec), torch.ones(4, bodies))
            engine.randomize(BODY_COM, everything(engine.spec), torch.zeros(4, bodies, 3))
            engine.randomize(MATERIAL, everything(engine.spec), torch.ones(4, 3))
            engine.load_state_dict(saved)
            assert_same_bits(model_of(engine), model)
        for _ in range(3):
            engine.step(default_targets(engine))
        ends.append(snapshot(engine))
    assert_same_bits(*ends)


def test_mistakes_are_named(engine):
    with pytest.raises(EnvContractError, match=r"values of body_mass have shape \(4, 3\); the scene needs \(4, 46\)"):
        engine.randomize(BODY_MASS, MASK, torch.ones(4, 3))
    with pytest.raises(
        EnvContractError, match="'gravity' cannot be set per environment with physics=newton; body_com, body_mass, material can"
    ):
        engine.randomize("gravity", MASK, torch.ones(4, 3))


def test_a_friction_of_objects_that_is_lost_is_said(engine, caplog, monkeypatch):
    own = engine._physics.properties
    objects = tuple(attrs.evolve(spec, friction=0.5) for spec in engine.spec.objects)
    monkeypatch.setattr(own, "_spec", attrs.evolve(engine.spec, objects=objects))
    monkeypatch.setattr(own, "_warned", False)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            engine.randomize(MATERIAL, MASK, torch.ones(4, 3))
    (record,) = caplog.records
    assert "the ground's friction of 1 counts instead of the object's 0.5" in record.getMessage()
