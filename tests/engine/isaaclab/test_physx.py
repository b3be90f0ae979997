"""Isaac Lab's PhysX backends. The simulations run where ovphysx is installed, on the GPU where there is one: a process has one device."""

from __future__ import annotations

import math

import attrs
import pytest
import torch
from pxr import Usd, UsdPhysics

from grail_framework.config import distributions
from grail_framework.config.distributions import installed_version
from grail_framework.config.hardware import has_nvidia_gpu
from grail_framework.engine.isaaclab.engine import build
from grail_framework.engine.isaaclab.files import object_usd, table_usd
from grail_framework.engine.isaaclab.physics import check_backend
from grail_framework.engine.isaaclab.physx import places_of
from grail_framework.engine.isaaclab.physx_scene import contact_sensor_cfgs
from grail_framework.engine.isaaclab.poses import wxyz, xyzw
from grail_framework.engine.mujoco.engine import build as build_mujoco
from grail_framework.engine.objects import scene_objects
from grail_framework.engine.protocol import ContactSensorSpec, ResetState
from grail_framework.errors import AssetError, ConfigError

from ..scenes import (
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
)

GRAVITY = 9.81
DEVICE = "cuda:0" if has_nvidia_gpu() else "cpu"
SLAB_WEIGHT = (SLAB_MASS + FLAP_MASS) * GRAVITY
AT_REST = torch.zeros(1, 1)

simulated = pytest.mark.ovphysx


@pytest.fixture
def made():
    """Build engines one after the other and close the last one after the test."""
    engines = []

    def make(spec):
        if engines:
            engines.pop().close()
        engines.append(build(attrs.evolve(spec, physics="ovphysx", device=DEVICE)))
        return engines[-1]

    yield make
    if engines:
        engines.pop().close()


def reset(engine, to: ResetState, mask=None):
    moved = {name: None if value is None else value.to(DEVICE) for name, value in attrs.asdict(to, recurse=False).items()}
    engine.reset((everything(engine.spec) if mask is None else mask).to(DEVICE), ResetState(**moved))


def start(engine, height, **poses):
    reset(engine, resting(engine.spec, height, **poses))


def step(engine, targets, times=1):
    for _ in range(times):
        engine.step(targets.to(DEVICE))


def read(engine):
    return {name: value.cpu() for name, value in snapshot(engine).items()}


# ---- what goes in


def test_names_are_found_in_whatever_order_the_simulation_has():
    assert places_of(("a", "b", "c"), ["c", "a", "x", "b"], "joint") == [1, 3, 0]
    with pytest.raises(AssetError, match="joint 'b' is not in the simulation"):
        places_of(("a", "b"), ["a"], "joint")


def test_quaternions_turn_between_both_orders():
    quat = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    assert xyzw(quat).tolist() == [[[2.0, 3.0, 4.0, 1.0]]]
    assert torch.equal(wxyz(xyzw(quat)), quat)


def test_a_sensor_asks_for_its_links_and_its_partner(boxes):
    sensors = {
        "palm": ContactSensorSpec(links=("left_palm", "right_palm"), partner="object"),
        "feet": ContactSensorSpec(links=("foot",), partner="ground"),
        "touch": ContactSensorSpec(links=("foot",), partner="any"),
    }
    cfgs = contact_sensor_cfgs(attrs.evolve(slab_scene(boxes), contact_sensors=sensors))
    assert cfgs["contact_palm"].prim_path == "{ENV_REGEX_NS}/Robot/(left_palm|right_palm)"
    assert {name: cfg.filter_prim_paths_expr for name, cfg in cfgs.items()} == {
        "contact_palm": ["{ENV_REGEX_NS}/Object"],
        "contact_feet": ["/World/Ground/plane"],
        "contact_touch": [],
    }


def test_kinematic_bodies_are_loose_and_friction_is_a_product(boxes):
    objects = scene_objects(slab_scene(boxes))
    files = [object_usd(objects.bodies[0], slots=1, dynamic=False, fixed=False), table_usd((1.0, 0.6, 0.04), fixed=False)]
    for path in files:
        stage = Usd.Stage.Open(str(path))
        prims = list(stage.Traverse())
        assert UsdPhysics.RigidBodyAPI(stage.GetDefaultPrim()).GetKinematicEnabledAttr().Get()
        assert not any(prim.IsA(UsdPhysics.Joint) for prim in prims)
        (mode,) = [attr.Get() for prim in prims if (attr := prim.GetAttribute("physxMaterial:frictionCombineMode"))]
        assert mode == "multiply"


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    absent = {"ovphysx", "ovstage", "isaacsim"}
    monkeypatch.setattr(distributions, "installed_version", lambda name: None if name in absent else installed_version(name))
    with pytest.raises(ConfigError, match=r"pip install 'ovphysx==.*' 'ovstage==.*', or use --physics newton"):
        check_backend("ovphysx")
    with pytest.raises(ConfigError, match=r"pip install 'isaacsim"):
        check_backend("physx")
    with pytest.raises(ConfigError, match="allowed: newton, physx, ovphysx"):
        check_backend("bullet")
    check_backend("newton")


# ---- forces


@simulated
def test_contact_forces_balance_the_weights(made, boxes):
    engine = made(slab_scene(boxes))
    start(engine, 0.05, object_pos_w=torch.tensor([[0.05, 0.0, 0.15]]))
    step(engine, AT_REST, 100)
    forces = {name: force.cpu() for name, force in engine.state.contact_forces.items()}
    box = 0.3 * GRAVITY
    assert forces["object"][0, 1].tolist() == pytest.approx([0.0, 0.0, -box], abs=0.02)
    assert forces["ground"][0, 1].tolist() == pytest.approx([0.0, 0.0, SLAB_WEIGHT + box], abs=0.1)
    assert forces["any"][0, 1].tolist() == pytest.approx([0.0, 0.0, SLAB_WEIGHT], abs=0.1)
    for partner in ("object", "ground", "any"):
        assert forces[partner][0, 0].abs().max() == 0.0


@simulated
def test_contact_forces_end_within_a_control_step_and_on_reset(made, boxes):
    engine = made(slab_scene(boxes))
    away = {"object_pos_w": torch.tensor([[2.0, 0.0, 0.05]])}
    start(engine, 0.05, **away)
    step(engine, AT_REST, 10)
    assert engine.state.contact_forces["ground"][0, 1, 2] > 10.0
    # The contact is lost in the first of the four substeps.
    up, still = torch.tensor([[0.0, 0.0, 2.0]], device=DEVICE), torch.zeros(1, 3, device=DEVICE)
    engine.set_root_velocity(everything(engine.spec).to(DEVICE), up, still)
    assert engine.state.root_lin_vel_w[0].tolist() == pytest.approx([0.0, 0.0, 2.0])
    step(engine, AT_REST)
    assert engine.state.root_pos_w[0, 2] > 0.07
    assert engine.state.contact_forces["ground"].abs().max() == 0.0
    start(engine, 0.05, **away)
    step(engine, AT_REST, 10)
    start(engine, 1.0, **away)
    assert engine.state.contact_forces["ground"].abs().max() == 0.0
    step(engine, AT_REST)
    assert engine.state.contact_forces["any"].abs().max() == 0.0


@simulated
def test_a_table_is_put_where_the_reset_says_and_carries(made, boxes):
    engine = made(slab_scene(boxes, table_size=(2.0, 2.0, 0.1)))
    tilt = 0.2
    quat = torch.tensor([[math.cos(tilt / 2), 0.0, math.sin(tilt / 2), 0.0]])
    # The slab stands on the inclined table top, which lies 0.05 above the table's centre along its own normal.
    normal = torch.tensor([[math.sin(tilt), 0.0, math.cos(tilt)]])
    centre = torch.tensor([[0.0, 0.0, 0.5]])
    to = resting(
        engine.spec, 0.0, root_quat_w=quat, table_pos_w=centre, table_quat_w=quat, object_pos_w=torch.tensor([[0.0, 3.0, 0.05]])
    )
    reset(engine, attrs.evolve(to, root_pos_w=centre + 0.1 * normal))
    step(engine, AT_REST, 50)
    state = read(engine)
    assert state["contact:table"][0, 1].tolist() == pytest.approx([0.0, 0.0, SLAB_WEIGHT], abs=0.02 * SLAB_WEIGHT)
    assert state["contact:ground"].abs().max() == 0.0
    torch.testing.assert_close(state["root_pos_w"], centre + 0.1 * normal, atol=1e-3, rtol=0.0)
    torch.testing.assert_close(state["table_pos_w"], centre)
    torch.testing.assert_close(state["table_quat_w"], quat)


@simulated
def test_a_fixed_object_stays_and_carries(made, boxes):
    engine = made(attrs.evolve(slab_scene(boxes), object_dynamic=False))
    place = torch.tensor([[0.0, 0.0, 0.05]])
    start(engine, 0.15, object_pos_w=place)
    step(engine, AT_REST, 50)
    state = read(engine)
    torch.testing.assert_close(state["object_pos_w"], place)
    assert state["object_lin_vel_w"].abs().max() == 0.0
    assert state["root_pos_w"][0, 2].item() == pytest.approx(0.15, abs=1e-3)
    # The slab is four times as wide as what it stands on, so its force trembles.
    assert state["contact:object"][0, 1, 2].item() == pytest.approx(SLAB_WEIGHT, rel=0.1)


# ---- state


@simulated
def test_a_masked_reset_is_that_of_the_mujoco_engine_and_leaves_the_others_alone(made, boxes):
    spec = g1_scene(3, boxes, table_size=(1.0, 0.6, 0.04), num_threads=1)
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(3, *shape, generator=generator)

    def unit():
        return torch.nn.functional.normalize(random(4), dim=-1)

    poses = {name: random(3) for name in ("object_pos_w", "table_pos_w", "object_lin_vel_w", "object_ang_vel_w")}
    to = resting(spec, 1.0, **poses, object_quat_w=unit(), table_quat_w=unit(), root_quat_w=unit())
    to = attrs.evolve(to, root_lin_vel_w=random(3), root_ang_vel_w=random(3), joint_vel=random(43))
    engine = made(spec)
    start(engine, 2.0, object_pos_w=random(3), table_pos_w=random(3))
    before = read(engine)
    mask = torch.tensor([True, False, True])
    reset(engine, to, mask)
    after = read(engine)
    mujoco = build_mujoco(spec)
    mujoco.reset(mask, to)
    for name, value in buffers(mujoco).items():
        torch.testing.assert_close(after[name][mask], value[mask], atol=1e-4, rtol=0.0, msg=name)
        torch.testing.assert_close(after[name][1], before[name][1], atol=0.0, rtol=0.0, msg=name)
    mujoco.close()


@simulated
def test_free_flight_is_that_of_the_mujoco_engine(made):
    spec = g1_scene(2, (), num_threads=1)
    to = resting(spec, 2.0)
    to = attrs.evolve(to, joint_vel=0.3 * torch.randn(to.joint_vel.shape, generator=torch.Generator().manual_seed(1)))
    engine, mujoco = made(spec), build_mujoco(spec)
    reset(engine, to)
    mujoco.reset(everything(spec), to)
    targets = default_targets(mujoco) + 0.1
    for _ in range(5):  # then hands and hips meet
        step(engine, targets)
        mujoco.step(targets)
        difference = (engine.state.joint_pos.cpu() - mujoco.state.joint_pos).abs()
        # PhysX integrates a substep in as many parts as it has iterations, and stops a joint at its limit at once.
        assert difference.max() < 0.01
        assert difference.median() < 2e-3
        torch.testing.assert_close(engine.state.body_pos_w.cpu(), mujoco.state.body_pos_w, atol=5e-3, rtol=0.0)
    mujoco.close()


@simulated
def test_the_g1_stands_and_its_feet_carry_its_weight(made, boxes):
    spec = g1_scene(4, boxes, num_threads=1)
    engine, mujoco = made(spec), build_mujoco(spec)
    place = torch.tensor([1.0, 0.0, 0.25]).repeat(4, 1)
    start(engine, 0.745, object_pos_w=place)
    mujoco.reset(everything(spec), resting(spec, 0.745, object_pos_w=place))
    targets = default_targets(mujoco)
    forces = {"ovphysx": [], "mujoco": []}
    for index in range(40):
        step(engine, targets)
        mujoco.step(targets)
        if 10 <= index < 20:
            forces["ovphysx"].append(engine.state.contact_forces["feet"].sum(dim=1).cpu())
            forces["mujoco"].append(mujoco.state.contact_forces["feet"].sum(dim=1))
        if index == 19:
            heights = engine.state.root_pos_w[:, 2].cpu(), mujoco.state.root_pos_w[:, 2]
    weight = sum(body.mass for body in spec.robot.bodies) * GRAVITY
    for mean in (torch.stack(rows).mean(dim=(0, 1)) for rows in forces.values()):
        assert mean[2].item() == pytest.approx(weight, rel=0.1)
        assert mean[1].item() == pytest.approx(0.0, abs=0.02 * weight)
    torch.testing.assert_close(*heights, atol=0.01, rtol=0.0)
    rest = engine.state.object_pos_w[:, 2].cpu()
    torch.testing.assert_close(rest, torch.tensor([0.05, 0.2, 0.05, 0.2]), atol=2e-3, rtol=0.0)
    mujoco.close()


@simulated
def test_environments_do_not_meet(made, boxes):
    """All robots and objects in one place."""
    engine = made(g1_scene(3, boxes[:1], env_spacing=0.0))
    start(engine, 0.745, object_pos_w=torch.tensor([1.0, 0.0, 0.05]).repeat(3, 1))
    step(engine, default_targets(engine), 10)
    state = read(engine)
    for name in ("root_pos_w", "joint_pos", "object_pos_w"):
        torch.testing.assert_close(state[name], state[name][:1].expand_as(state[name]), atol=5e-3, rtol=0.0, msg=name)


@simulated
def test_a_resumed_run_follows_the_same_course_in_the_same_buffers(made, boxes):
    engine = made(g1_scene(2, boxes, table_size=(1.0, 0.6, 0.04)))
    places = {name: torch.tensor([1.0, 0.0, z]).repeat(2, 1) for name, z in (("table_pos_w", 0.5), ("object_pos_w", 0.8))}
    start(engine, 0.745, **places)
    pointers = {name: value.data_ptr() for name, value in buffers(engine).items()}
    steps = actions(engine, 8)
    for targets in steps[:5]:
        step(engine, targets)
    saved, here = engine.state_dict(), read(engine)
    for targets in steps[5:]:
        step(engine, targets)
    straight = read(engine)
    engine.load_state_dict(saved)
    assert {name: value.data_ptr() for name, value in buffers(engine).items()} == pointers
    for name, value in read(engine).items():
        torch.testing.assert_close(value, here[name], atol=1e-5, rtol=0.0, msg=name)
    for targets in steps[5:]:
        step(engine, targets)
    resumed = read(engine)
    for name, bound in (("root_pos_w", 2e-3), ("joint_pos", 0.02), ("object_pos_w", 2e-3), ("table_pos_w", 0.0)):
        torch.testing.assert_close(resumed[name], straight[name], atol=bound, rtol=0.0, msg=name)
