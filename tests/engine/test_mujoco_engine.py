from __future__ import annotations

import math

import attrs
import mujoco
import numpy as np
import pytest
import torch

from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.engine.protocol import ObjectSpec

from .scenes import (
    FLAP_MASS,
    SLAB_MASS,
    actions,
    buffers,
    default_targets,
    everything,
    g1_scene,
    resting,
    slab_scene,
    snapshot,
    start,
)

GRAVITY = 9.81

# ---- contact forces


def test_contact_forces_balance_the_weights(made, boxes):
    engine = made(slab_scene(boxes))
    start(engine, 0.05, object_pos_w=torch.tensor([[0.05, 0.0, 0.15]]))
    for _ in range(100):
        engine.step(torch.zeros(1, 1))
    forces = engine.state.contact_forces
    robot, box = (SLAB_MASS + FLAP_MASS) * GRAVITY, 0.3 * GRAVITY
    assert forces["object"][0, 1].tolist() == pytest.approx([0.0, 0.0, -box], abs=2e-3)
    assert forces["ground"][0, 1].tolist() == pytest.approx([0.0, 0.0, robot + box], abs=2e-2)
    assert forces["any"][0, 1].tolist() == pytest.approx([0.0, 0.0, robot], abs=2e-2)
    for partner in ("object", "ground", "any"):
        assert forces[partner][0, 0].abs().max() == 0.0


def test_contact_forces_are_in_the_world_frame_on_a_tilted_table(made, boxes):
    engine = made(slab_scene(boxes, table_size=(2.0, 2.0, 0.1)))
    tilt = 0.2
    quat = torch.tensor([[math.cos(tilt / 2), 0.0, math.sin(tilt / 2), 0.0]])
    # The slab stands on the inclined table top, which lies 0.05 above the table's centre along its own normal.
    normal = torch.tensor([[math.sin(tilt), 0.0, math.cos(tilt)]])
    centre = torch.tensor([[0.0, 0.0, 0.5]])
    reset = resting(
        engine.spec, 0.0, root_quat_w=quat, table_pos_w=centre, table_quat_w=quat, object_pos_w=torch.tensor([[0.0, 3.0, 0.05]])
    )
    engine.reset(everything(engine.spec), attrs.evolve(reset, root_pos_w=centre + 0.1 * normal))
    for _ in range(50):
        engine.step(torch.zeros(1, 1))
    weight = (SLAB_MASS + FLAP_MASS) * GRAVITY
    assert engine.state.contact_forces["table"][0, 1].tolist() == pytest.approx([0.0, 0.0, weight], abs=0.02 * weight)
    assert engine.state.contact_forces["ground"].abs().max() == 0.0
    torch.testing.assert_close(engine.state.table_pos_w, centre)
    torch.testing.assert_close(engine.state.table_quat_w, quat)


def test_forces_in_the_air_are_zero_and_return_to_zero_on_reset(made, boxes):
    engine = made(slab_scene(boxes))
    start(engine, 0.05, object_pos_w=torch.tensor([[2.0, 0.0, 0.05]]))
    for _ in range(10):
        engine.step(torch.zeros(1, 1))
    assert engine.state.contact_forces["ground"][0, 1, 2] > 10.0
    start(engine, 1.0, object_pos_w=torch.tensor([[2.0, 0.0, 0.05]]))
    assert engine.state.contact_forces["ground"].abs().max() == 0.0
    engine.step(torch.zeros(1, 1))
    assert engine.state.contact_forces["any"].abs().max() == 0.0


def test_the_g1_s_feet_carry_its_weight(made):
    engine = made(g1_scene(1, ()))
    start(engine, 0.745)
    forces = []
    for step in range(20):
        engine.step(default_targets(engine))
        if step >= 10:
            forces.append(engine.state.contact_forces["feet"].sum(dim=1))
    weight = sum(body.mass for body in engine.spec.robot.bodies) * GRAVITY
    assert torch.cat(forces)[:, 2].mean().item() == pytest.approx(weight, rel=0.1)
    assert engine.state.root_pos_w[0, 2] > 0.7


# ---- state


def reference(engine, targets, env):
    """Step MuJoCo itself, one environment, through the same controls."""
    model = engine._models[env]
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, engine._physics[env].copy(), mujoco.mjtState.mjSTATE_FULLPHYSICS)
    for target in targets:
        data.ctrl[[model.actuator(name).id for name in engine.spec.robot.joint_names]] = target[env].numpy()
        data.qacc_warmstart[:] = 0.0
        for _ in range(engine.spec.decimation):
            mujoco.mj_step(model, data)
        torques = [data.actuator(name).force[0] for name in engine.spec.robot.joint_names]
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_comVel(model, data)
    return model, data, torques


@pytest.mark.parametrize("decimation", [4, 1])
def test_the_state_is_that_of_mujoco_stepped_by_hand(made, boxes, decimation):
    engine = made(g1_scene(2, boxes, decimation=decimation))
    start(engine, 0.9, object_pos_w=torch.tensor([0.3, 0.0, 0.8]).repeat(2, 1))
    targets = actions(engine, 6)
    references = [reference(engine, targets, env) for env in range(2)]
    for target in targets:
        engine.step(target)
    state, robot = engine.state, engine.spec.robot
    for env, (model, data, torques) in enumerate(references):
        joints = [data.joint(name) for name in robot.joint_names]
        expected = {
            "root_pos_w": data.joint("root").qpos[:3],
            "root_quat_w": data.joint("root").qpos[3:],
            "joint_pos": [joint.qpos[0] for joint in joints],
            "body_pos_w": [data.body(name).xpos for name in robot.body_names],
            "object_pos_w": data.body("scene:object").xpos,
            "object_quat_w": data.body("scene:object").xquat,
        }
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(state, name)[env].numpy(), np.array(value), atol=1e-6, err_msg=name)
        np.testing.assert_allclose(state.joint_torque[env].numpy(), torques, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(state.joint_vel[env].numpy(), [joint.qvel[0] for joint in joints], rtol=1e-5, atol=1e-5)
        for name, prefix in [*((body, "body") for body in robot.body_names), ("pelvis", "root"), ("scene:object", "object")]:
            velocity = np.zeros(6)
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, model.body(name).id, velocity, 0)
            row = (env, robot.body_names.index(name)) if prefix == "body" else (env,)
            np.testing.assert_allclose(getattr(state, f"{prefix}_ang_vel_w")[row], velocity[:3], atol=2e-4, err_msg=name)
            np.testing.assert_allclose(getattr(state, f"{prefix}_lin_vel_w")[row], velocity[3:], atol=2e-4, err_msg=name)


def test_a_reset_state_is_read_back(made, boxes):
    engine = made(g1_scene(3, boxes, table_size=(1.0, 0.6, 0.04)))
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(3, *shape, generator=generator)

    to = resting(
        engine.spec,
        1.0,
        object_pos_w=random(3),
        table_pos_w=random(3),
        object_quat_w=torch.nn.functional.normalize(random(4), dim=-1),
        table_quat_w=torch.nn.functional.normalize(random(4), dim=-1),
        root_quat_w=torch.nn.functional.normalize(random(4), dim=-1),
    )
    to = attrs.evolve(to, root_lin_vel_w=random(3), root_ang_vel_w=random(3), joint_vel=random(43))
    before = snapshot(engine)
    mask = torch.tensor([True, False, True])
    engine.reset(mask, to)
    for name in ("root_pos_w", "root_quat_w", "root_ang_vel_w", "joint_pos", "joint_vel"):
        torch.testing.assert_close(buffers(engine)[name][mask], getattr(to, name)[mask], atol=1e-5, rtol=0.0)
    for name in ("object_pos_w", "object_quat_w", "table_pos_w", "table_quat_w"):
        torch.testing.assert_close(buffers(engine)[name][mask], getattr(to, name)[mask], atol=1e-6, rtol=0.0)
    # The pelvis' centre of mass is below its origin: a turning root moves it.
    com = torch.tensor(engine.spec.robot.bodies[0].com)
    expected = to.root_lin_vel_w + torch.linalg.cross(to.root_ang_vel_w, rotate(to.root_quat_w, com))
    torch.testing.assert_close(engine.state.root_lin_vel_w[mask], expected[mask], atol=1e-5, rtol=0.0)
    assert engine.state.object_lin_vel_w[mask].abs().max() == 0.0
    for name, value in before.items():
        assert torch.equal(buffers(engine)[name][1], value[1]), name


def rotate(quat, vector):
    rows = []
    for value in quat.double().numpy():
        out = np.zeros(3)
        mujoco.mju_rotVecQuat(out, vector.double().numpy(), value)
        rows.append(out)
    return torch.tensor(np.stack(rows), dtype=torch.float32)


def test_buffers_are_overwritten_in_place(made, boxes):
    engine = made(g1_scene(2, boxes))
    before = {name: value.data_ptr() for name, value in buffers(engine).items()}
    start(engine)
    engine.step(default_targets(engine))
    engine.load_state_dict(engine.state_dict())
    assert {name: value.data_ptr() for name, value in buffers(engine).items()} == before


def test_two_box_sizes_rest_at_their_own_heights_in_one_run(made, boxes):
    engine = made(g1_scene(4, boxes))
    start(engine, object_pos_w=torch.tensor([1.0, 0.0, 0.25]).repeat(4, 1))
    for _ in range(40):
        engine.step(default_targets(engine))
    heights = engine.state.object_pos_w[:, 2]
    torch.testing.assert_close(heights, torch.tensor([0.05, 0.2, 0.05, 0.2]), atol=2e-3, rtol=0.0)
    masses = [model.body_mass[model.body("scene:object").id] for model in engine._models]
    assert masses == pytest.approx([0.3, 0.7, 0.3, 0.7])


def test_a_fixed_object_stays_and_carries(made, boxes):
    scene = attrs.evolve(slab_scene(boxes), object_dynamic=False)
    engine = made(scene)
    start(engine, 0.15, object_pos_w=torch.tensor([[0.0, 0.0, 0.05]]))
    for _ in range(50):
        engine.step(torch.zeros(1, 1))
    torch.testing.assert_close(engine.state.object_pos_w, torch.tensor([[0.0, 0.0, 0.05]]))
    assert engine.state.object_lin_vel_w.abs().max() == 0.0
    weight = (SLAB_MASS + FLAP_MASS) * GRAVITY
    assert engine.state.contact_forces["object"][0, 1, 2].item() == pytest.approx(weight, rel=1e-2)


def test_density_and_default_mass(made, tmp_path):
    path = str(write_box_usd(tmp_path / "box.usd", (0.1, 0.2, 0.3)))
    objects = (ObjectSpec(name="a", path=path, density=300.0), ObjectSpec(name="b", path=path))
    engine = made(g1_scene(2, objects))
    masses = [model.body_mass[model.body("scene:object").id] for model in engine._models]
    assert masses == pytest.approx([300.0 * 0.006, 1000.0 * 0.006], rel=1e-5)


def test_objects_of_different_complexity_share_one_size(made, tmp_path, boxes):
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.CreateNew(str(tmp_path / "dumbbell.usda"))
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/Object").GetPrim())
    for index, x in enumerate((-0.1, 0.1)):
        sphere = UsdGeom.Sphere.Define(stage, f"/Object/ball_{index}")
        sphere.CreateRadiusAttr(0.06)
        sphere.AddTranslateOp().Set((x, 0.0, 0.0))
    stage.Save()
    dumbbell = ObjectSpec(name="dumbbell", path=str(tmp_path / "dumbbell.usda"), mass=0.4)
    engine = made(g1_scene(3, (*boxes[:1], dumbbell, boxes[1]), num_threads=2))
    start(engine, object_pos_w=torch.tensor([1.0, 0.0, 0.2]).repeat(3, 1))
    for _ in range(40):
        engine.step(default_targets(engine))
    assert engine.state.object_pos_w[:, 2].tolist() == pytest.approx([0.05, 0.06, 0.2], abs=3e-3)
    lone = made(g1_scene(1, boxes[:1]))
    start(lone, object_pos_w=torch.tensor([[1.0, 0.0, 0.2]]))
    for _ in range(40):
        lone.step(default_targets(lone))
    # An empty slot changes nothing.
    torch.testing.assert_close(lone.state.object_pos_w[0], engine.state.object_pos_w[0], atol=1e-6, rtol=0.0)
    torch.testing.assert_close(lone.state.joint_pos[0], engine.state.joint_pos[0], atol=1e-6, rtol=0.0)
