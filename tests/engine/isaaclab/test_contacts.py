from __future__ import annotations

import mujoco
import mujoco_warp
import numpy as np
import pytest
import torch
import warp as wp

from grail_framework.engine.isaaclab.contacts import WORLD_BODY, ContactForces, mujoco_bodies
from grail_framework.engine.protocol import ContactSensorSpec
from grail_framework.errors import ConfigError

LINKS = ("torso", "hand", "fingertip", "shield", "palm")
SENSORS = {
    "hand_object": ContactSensorSpec(links=("fingertip", "hand"), partner="object"),
    "palm_table": ContactSensorSpec(links=("palm", "hand", "torso"), partner="table"),
    "feet": ContactSensorSpec(links=("torso",), partner="ground"),
    "all": ContactSensorSpec(links=LINKS, partner="any"),
}
PARTNERS = {"object": "cube", "table": "table", "ground": "world"}
ROBOT_WITHOUT_PALM = 20 + 0.5 + 0.05 + 0.3
"""Mass that stands on the ground; the palm rests on the table. [kg]"""
GRAVITY = 9.81

# A torso on the ground reaches with a hand, whose fingertip is welded on, and pushes a cube against the rim of a kinematic table; a
# shield of the same robot lies on the hand and a palm on the table.
SCENE = """
<mujoco>
  <option timestep="0.002" cone="{cone}" iterations="100" tolerance="1e-10"/>
  <default><geom friction="0.8 0.02 0.001" condim="{condim}" solref="0.01 1"/></default>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 0.1"/>
    <body name="table" mocap="true" pos="0 0 0.45">
      <geom type="box" size="0.3 0.3 0.05"/>
      <geom type="box" size="0.05 0.3 0.05" pos="-0.102 0 0.1"/>
    </body>
    <body name="cube" pos="0 0 0.549"><freejoint/><geom type="box" size="0.05 0.05 0.05" mass="0.4"/></body>
    <body name="torso" pos="0.5 0 0.299">
      <freejoint/>
      <geom type="box" size="0.1 0.15 0.3" mass="20"/>
      <body name="hand" pos="-0.3 0 0.25">
        <joint name="reach" type="slide" axis="1 0 0" damping="5"/>
        <geom type="box" size="0.04 0.04 0.03" mass="0.5"/>
        <body name="fingertip" pos="-0.12 0 0"><geom type="sphere" size="0.03" mass="0.05"/></body>
      </body>
      <body name="shield" pos="-0.3 0 0.31">
        <joint name="fall" type="slide" axis="0 0 1" damping="1"/>
        <geom type="box" size="0.03 0.03 0.031" mass="0.3"/>
      </body>
      <body name="palm" pos="-0.3 0.2 0.231">
        <joint name="press" type="slide" axis="0 0 1" damping="1"/>
        <geom type="box" size="0.04 0.03 0.03" mass="0.6"/>
      </body>
    </body>
  </worldbody>
  {sensors}
</mujoco>
"""


def contact_sensors():
    """Return the sensors of the CPU engine for the same contacts: force the first body exerts on the second."""
    lines = []
    for sensor in SENSORS.values():
        partner = f'body1="{PARTNERS[sensor.partner]}"' if sensor.partner != "any" else ""
        lines += [f'<contact {partner} body2="{link}" data="force" reduce="netforce"/>' for link in sensor.links]
    return f"<sensor>{''.join(lines)}</sensor>"


def scene(cone="pyramidal", condim=3, sensors=""):
    return SCENE.format(cone=cone, condim=condim, sensors=sensors)


def simulate(model, steps=150):
    data = mujoco.MjData(model)
    data.qfrc_applied[model.joint("reach").dofadr[0]] = -6.0
    for _ in range(steps):
        mujoco.mj_step(model, data)
    return data


def contact_forces(model, warp_model, warp_data, sensors=SENSORS):
    return ContactForces(
        warp_model,
        warp_data,
        sensors=sensors,
        link_bodies={link: model.body(link).id for link in LINKS},
        partner_bodies={partner: {model.body(body).id} for partner, body in PARTNERS.items()},
    )


def rows(forces, world):
    """Return all forces of a world, sensor after sensor."""
    return np.concatenate([buffer[world].cpu().numpy() for buffer in forces.buffers.values()])


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(scene())


@pytest.fixture(scope="module")
def pushed(model):
    return simulate(model)


@pytest.fixture
def on_device(model, pushed):
    """Return the `mujoco_warp` model and data of two worlds in the same state."""
    return mujoco_warp.put_model(model), mujoco_warp.put_data(model, pushed, nworld=2)


@pytest.mark.parametrize("cone", ["pyramidal", "elliptic"])
@pytest.mark.parametrize("condim", [1, 3, 4, 6])
def test_forces_are_those_of_mujocos_contact_sensors(cone, condim):
    model = mujoco.MjModel.from_xml_string(scene(cone, condim))
    with_sensors = mujoco.MjModel.from_xml_string(scene(cone, condim, contact_sensors()))
    expected = simulate(with_sensors).sensordata.reshape(-1, 3)

    forces = contact_forces(model, mujoco_warp.put_model(model), mujoco_warp.put_data(model, simulate(model), nworld=3))
    forces.update()

    for world in range(3):
        np.testing.assert_allclose(rows(forces, world), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert forces.buffers["all"].norm(dim=-1).min() > 0.1, "a link touches nothing: the test would show little"


def test_weight_and_third_law(model):
    rest = simulate(model, steps=1500)
    forces = contact_forces(model, mujoco_warp.put_model(model), mujoco_warp.put_data(model, rest))
    forces.update()

    assert forces.buffers["feet"][0, 0, 2] == pytest.approx(ROBOT_WITHOUT_PALM * GRAVITY, rel=5e-3)
    assert forces.buffers["palm_table"][0, 0, 2] == pytest.approx(0.6 * GRAVITY, rel=5e-3)
    assert forces.buffers["hand_object"][0, 0, 0] > 1.0, "the cube, on the far side in -x, pushes the fingertip back"
    hand, shield = (forces.buffers["all"][0, LINKS.index(link)] for link in ("hand", "shield"))
    torch.testing.assert_close(hand, -shield)
    assert shield[2] == pytest.approx(0.3 * GRAVITY, rel=5e-3)


def test_every_contact_counts_for_its_own_world_in_any_order(model, on_device):
    warp_model, data = on_device
    forces = contact_forces(model, warp_model, data)
    forces.update()
    once = rows(forces, 0)

    data.efc.force.assign(data.efc.force.numpy() * np.array([[1.0], [3.0]]))
    order = np.arange(data.naconmax)
    np.random.default_rng(0).shuffle(order[: data.nacon.numpy()[0]])
    for name in ("worldid", "geom", "dim", "frame", "friction", "efc_address"):
        array = getattr(data.contact, name)
        array.assign(array.numpy()[order])
    forces.update()

    np.testing.assert_allclose(rows(forces, 0), once, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(rows(forces, 1), 3.0 * once, rtol=1e-5, atol=1e-4)


def test_only_slots_and_rows_that_exist_are_read(model, on_device):
    warp_model, data = on_device
    forces = contact_forces(model, warp_model, data)
    forces.update()
    once = rows(forces, 1)

    data.nacon.fill_(data.naconmax + 7)  # the solver counts what it had no room for
    forces.update()
    np.testing.assert_array_equal(rows(forces, 1), once)

    addresses = data.contact.efc_address.numpy()
    data.contact.efc_address.assign(np.where(np.arange(addresses.shape[1]) >= 2, -1, addresses))
    forces.update()
    assert np.isfinite(rows(forces, 1)).all()
    assert 0.0 < np.abs(rows(forces, 1)).max() < np.abs(once).max()

    data.nacon.zero_()
    forces.update()
    assert not np.any(rows(forces, 1))


def test_buffers_stay_and_are_overwritten(model, on_device):
    forces = contact_forces(model, *on_device)
    buffers = dict(forces.buffers)
    assert {name: tuple(buffer.shape) for name, buffer in buffers.items()} == {
        "hand_object": (2, 2, 3),
        "palm_table": (2, 3, 3),
        "feet": (2, 1, 3),
        "all": (2, 5, 3),
    }
    assert all(buffer.is_contiguous() and not buffer.any() for buffer in buffers.values())
    forces.update()
    first = buffers["all"].clone()
    forces.update()

    assert first.any()
    torch.testing.assert_close(buffers["all"], first, rtol=0, atol=0)


def test_clear_sets_the_rows_of_the_mask_to_zero(model, on_device):
    forces = contact_forces(model, *on_device)
    forces.update()
    kept = {name: buffer[1].clone() for name, buffer in forces.buffers.items()}

    forces.clear(torch.tensor([True, False]))

    for name, buffer in forces.buffers.items():
        assert not buffer[0].any()
        assert torch.equal(buffer[1], kept[name])


def test_no_sensors_is_no_work(model, on_device):
    forces = contact_forces(model, *on_device, sensors={})
    forces.update()
    forces.clear(torch.tensor([True, False]))

    assert forces.buffers == {}


@pytest.mark.parametrize(
    ("sensor", "message"),
    [
        (ContactSensorSpec(links=("palm",), partner="wall"), "has no 'wall', only object, table, ground, any"),
        (ContactSensorSpec(links=("plam",), partner="table"), "no link 'plam': did you mean 'palm'"),
        (ContactSensorSpec(links=("palm", "palm"), partner="table"), "names a link twice"),
    ],
)
def test_a_sensor_that_cannot_be_is_refused(model, on_device, sensor, message):
    with pytest.raises(ConfigError, match=message):
        contact_forces(model, *on_device, sensors={"wrong": sensor})


def test_another_contact_source_is_refused(model, on_device):
    warp_model, data = on_device
    with pytest.raises(ConfigError, match="use_mujoco_cpu=False"):
        contact_forces(model, warp_model, None)
    warp_model.opt.run_collision_detection = False
    with pytest.raises(ConfigError, match="use_mujoco_contacts=True"):
        contact_forces(model, warp_model, data)


def test_more_sensors_than_bits_are_refused(model, on_device):
    sensors = {f"sensor_{index}": SENSORS["feet"] for index in range(31)}
    contact_forces(model, *on_device, sensors=sensors).update()
    with pytest.raises(ConfigError, match="32 contact sensors; at most 31"):
        contact_forces(model, *on_device, sensors=sensors | {"one_more": SENSORS["feet"]})


@pytest.fixture(scope="module")
def stepped():
    """Return Newton's solver after 0.3 s of three worlds: a cube pushed, pushed less, and falling."""
    import newton

    robot = newton.ModelBuilder(up_axis=newton.Axis.Z)
    robot.add_mjcf(scene())
    builder = newton.ModelBuilder(up_axis=newton.Axis.Z)
    builder.replicate(robot, 3)
    model = builder.finalize(device="cpu")
    solver = newton.solvers.SolverMuJoCo(model, nconmax=100, njmax=200)
    state, following, control = model.state(), model.state(), model.control()
    joint_q = model.joint_q.numpy().reshape(3, -1)
    joint_q[2, :3] = 0.0, 0.0, 0.9
    state.joint_q.assign(joint_q.ravel())
    joint_f = np.zeros((3, model.joint_dof_count // 3), dtype=np.float32)
    joint_f[:, solver.mj_model.joint("worldbody_torso_hand_reach").dofadr[0]] = -6.0, -2.0, 0.0
    control.joint_f.assign(joint_f.ravel())
    for _ in range(150):
        solver.step(state, following, control, None, 0.002)
        state, following = following, state
    return solver


@pytest.mark.slow
def test_bodies_of_newtons_solver_are_found_by_path(stepped):
    links = mujoco_bodies(stepped, "worldbody/torso")

    assert set(links) == set(LINKS)
    for link, body in links.items():
        assert stepped.mj_model.body(body).name.endswith(f"_{link}" if link != "torso" else "worldbody_torso")
    assert list(mujoco_bodies(stepped, "worldbody/cube")) == ["cube"]
    with pytest.raises(ConfigError, match=r"no body at or below worldbody/tors .*did you mean 'worldbody/torso'"):
        mujoco_bodies(stepped, "worldbody/tors")


@pytest.mark.slow
def test_forces_on_newtons_solver_are_its_constraint_forces(stepped):
    links = mujoco_bodies(stepped, "worldbody/torso")
    bodies = {name: set(mujoco_bodies(stepped, f"worldbody/{PARTNERS[name]}").values()) for name in ("object", "table")}
    data = stepped.mjw_data
    forces = ContactForces(
        stepped.mjw_model,
        data,
        sensors=SENSORS,
        link_bodies=links,
        partner_bodies=bodies | {"ground": {WORLD_BODY}},
    )
    forces.update()

    each = wp.zeros(int(data.nacon.numpy()[0]), dtype=wp.spatial_vector, device="cpu")
    slots = wp.array(np.arange(len(each)), dtype=wp.int32, device="cpu")
    mujoco_warp.contact_force(stepped.mjw_model, data, slots, True, each)
    on_second = each.numpy()[:, :3]
    world = data.contact.worldid.numpy()[: len(each)]
    first, second = stepped.mj_model.geom_bodyid[data.contact.geom.numpy()[: len(each)]].T
    partners = {**bodies, "ground": {WORLD_BODY}, "any": set(range(stepped.mj_model.nbody))}
    for env in range(3):
        expected = [
            on_second[(world == env) & (second == links[link]) & np.isin(first, list(partners[sensor.partner]))].sum(0)
            - on_second[(world == env) & (first == links[link]) & np.isin(second, list(partners[sensor.partner]))].sum(0)
            for sensor in SENSORS.values()
            for link in sensor.links
        ]
        np.testing.assert_allclose(rows(forces, env), expected, rtol=1e-4, atol=1e-3)

    # Contacts are the only constraints of the robot, and those between its links cancel out in the force on its free joint.
    torso = stepped.mj_model.joint("worldbody_torso_torso_freejoint").dofadr[0]
    applied = data.qfrc_constraint.numpy()[:, torso : torso + 3]
    np.testing.assert_allclose(forces.buffers["all"].sum(dim=1).numpy(), applied, rtol=1e-3, atol=1e-2)
    assert np.abs(applied).max() > 100.0
    assert forces.buffers["hand_object"][:, 0].norm(dim=-1).tolist()[2] == 0.0, "that cube is not there"


@pytest.mark.gpu
def test_update_and_clear_are_captured_in_a_graph_without_a_sync(model, pushed):
    with wp.ScopedDevice("cuda:0"):
        warp_model, data = mujoco_warp.put_model(model), mujoco_warp.put_data(model, pushed, nworld=4096)
        forces = contact_forces(model, warp_model, data)
        forces.update()
        once = rows(forces, 4095)
        with wp.ScopedCapture() as capture:
            forces.update()
        data.efc.force.assign(2.0 * data.efc.force.numpy())
        wp.capture_launch(capture.graph)
        wp.synchronize()

    np.testing.assert_allclose(rows(forces, 4095), 2.0 * once, rtol=1e-4, atol=1e-3)
    mask = torch.zeros(4096, dtype=torch.bool, device="cuda:0")
    mask[0] = True
    second = torch.ones((), dtype=torch.bool, device="cuda:0")
    graph = torch.cuda.CUDAGraph()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.cuda.graph(graph):
            forces.clear(mask)
        mask[1].copy_(second)
        graph.replay()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    assert not rows(forces, 1).any()
    np.testing.assert_allclose(rows(forces, 4095), 2.0 * once, rtol=1e-4, atol=1e-3)
