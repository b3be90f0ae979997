"""What the engine owes the framework: state that is read back, masks, resumes, mistakes that are named. Against itself and by hand."""

from __future__ import annotations

import attrs
import mujoco_warp
import pytest
import torch
import warp as wp

from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.engine.isaaclab.engine import build
from grail_framework.engine.isaaclab.memory import model_bytes, solver_bytes, step_bytes, world_size
from grail_framework.engine.isaaclab.physics import capacity
from grail_framework.engine.objects import scene_objects
from grail_framework.engine.protocol import ObjectSpec
from grail_framework.errors import CheckpointError, ConfigError, EnvContractError

from ..scenes import (
    actions,
    assert_same_bits,
    buffers,
    default_targets,
    everything,
    g1_scene,
    resting,
    snapshot,
    start,
)

pytestmark = pytest.mark.slow

ENVS = 4
TABLE = (1.0, 0.6, 0.04)
SIZES = ((0.1, 0.1, 0.1), (0.3, 0.2, 0.4))


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    paths = [str(write_box_usd(folder / f"{number}.usd", size)) for number, size in enumerate(SIZES)]
    return tuple(ObjectSpec(name=f"box {number}", path=path, mass=0.3 + 0.4 * number) for number, path in enumerate(paths))


@pytest.fixture(scope="module")
def scene(boxes):
    """Two sizes of box by turns: the simulation has its worlds in another order than the environments."""
    return g1_scene(ENVS, boxes, table_size=TABLE)


class Process:
    """Opens engines one after the other, as a process can."""

    def __init__(self):
        self._engine = None

    def engine(self, scene):
        if self._engine is None or self._engine.spec is not scene:
            self.close()
            self._engine = build(scene)
        return self._engine

    def close(self):
        if self._engine is not None:
            self._engine.close()
        self._engine = None


@pytest.fixture(scope="module")
def process():
    one = Process()
    yield one
    one.close()


@pytest.fixture
def engine(process, scene):
    engine = process.engine(scene)
    start(engine, **places())
    return engine


def places(height=0.8):
    """Poses of the box and of a table beside it."""
    return {
        "object_pos_w": torch.tensor([1.0, 0.0, height]).repeat(ENVS, 1),
        "table_pos_w": torch.tensor([1.0, 0.0, 0.5]).repeat(ENVS, 1),
    }


def step(engine, count=1):
    for _ in range(count):
        engine.step(default_targets(engine))


# ---- state


def test_a_reset_state_is_read_back_and_the_others_are_left_alone(engine):
    step(engine, 2)
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(ENVS, *shape, generator=generator)

    def turn():
        return torch.nn.functional.normalize(random(4), dim=-1)

    poses = {"object_pos_w": random(3), "table_pos_w": random(3), "object_quat_w": turn(), "table_quat_w": turn()}
    to = attrs.evolve(
        resting(engine.spec, 1.0, root_quat_w=turn(), **poses),
        root_lin_vel_w=random(3),
        root_ang_vel_w=random(3),
        joint_vel=random(43),
        object_lin_vel_w=random(3),
        object_ang_vel_w=random(3),
    )
    before, mask = snapshot(engine), torch.tensor([True, False, True, False])
    assert before["contact:feet"][:, :, 2].min() > 10.0
    engine.reset(mask, to)
    names = ("root_pos_w", "root_ang_vel_w", "joint_pos", "joint_vel", *poses, "object_lin_vel_w", "object_ang_vel_w")
    for name in (*names, "root_quat_w"):
        torch.testing.assert_close(buffers(engine)[name][mask], getattr(to, name)[mask], atol=1e-5, rtol=0.0)
    for name, value in snapshot(engine).items():
        assert torch.equal(value[~mask], before[name][~mask]), name
    for name in ("contact:feet", "contact:all", "contact:hand", "joint_torque"):
        assert not buffers(engine)[name][mask].any(), name


def test_what_one_environment_does_is_nothing_to_the_others(engine):
    targets = actions(engine, 4)
    alone = []
    for moved in (False, True):
        start(engine, **places())
        for number, target in enumerate(targets):
            if moved and number == 1:
                engine.reset(torch.tensor([False, True, False, False]), resting(engine.spec, 2.0, **places(1.5)))
            engine.step(target)
        alone.append(snapshot(engine))
    for name, value in alone[0].items():
        torch.testing.assert_close(value[[0, 2, 3]], alone[1][name][[0, 2, 3]], atol=1e-5, rtol=1e-5, msg=name)
    assert alone[1]["root_pos_w"][1, 2] > 1.5


def test_two_box_sizes_rest_at_their_own_heights(engine):
    heights = torch.tensor([0.52 + 0.5 * SIZES[k % 2][2] for k in range(ENVS)])
    poses = places()
    poses["object_pos_w"][:, 2] = heights + 0.002
    start(engine, **poses)
    step(engine, 25)
    torch.testing.assert_close(engine.state.object_pos_w[:, 2], heights, atol=1e-3, rtol=0.0)


def test_buffers_are_overwritten_in_place(engine):
    before = {name: value.data_ptr() for name, value in buffers(engine).items()}
    step(engine)
    engine.load_state_dict(engine.state_dict())
    engine.reset(everything(engine.spec), resting(engine.spec, 1.0, **places()))
    assert {name: value.data_ptr() for name, value in buffers(engine).items()} == before


# ---- resume


def test_a_resumed_run_goes_on_with_the_same_bits(engine):
    targets = actions(engine, 26)
    for target in targets[:6]:
        engine.step(target)
    saved, seen = engine.state_dict(), snapshot(engine)
    kept = {name: value.clone() for name, value in saved.items() if isinstance(value, torch.Tensor)}
    ends = []
    for again in (False, True):
        if again:
            engine.load_state_dict(saved)
            assert_same_bits(snapshot(engine), seen)
        for target in targets[6:]:
            engine.step(target)
        ends.append(snapshot(engine))
    assert_same_bits(*ends)
    for name, value in kept.items():
        assert torch.equal(saved[name], value), f"{name} of a saved state is no copy"


def test_a_state_of_another_scene_is_refused(engine):
    saved = engine.state_dict()
    with pytest.raises(CheckpointError, match="same number of environments"):
        engine.load_state_dict({**saved, "joint_q": saved["joint_q"][:2]})
    with pytest.raises(CheckpointError, match=r"keys \['joint_q'\]; the isaaclab engine needs"):
        engine.load_state_dict({"joint_q": saved["joint_q"]})
    with pytest.raises(CheckpointError, match="other joint names"):
        engine.load_state_dict({**saved, "joint_names": ["hinge"]})
    with pytest.raises(CheckpointError, match=r"other physics: physx"):
        engine.load_state_dict({**saved, "physics": "physx"})


# ---- memory


def arrays(thing, seen, depth=5):
    """Gather all Warp arrays and tensors that something holds, by address: rows and bytes."""
    if isinstance(thing, (wp.array, torch.Tensor)):
        address, held = (
            (thing.ptr, thing.capacity)
            if isinstance(thing, wp.array)
            else (thing.untyped_storage().data_ptr(), thing.untyped_storage().nbytes())
        )
        if address and held:
            seen.setdefault(address, (thing.shape[0], held))
        return seen
    parts = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else ()
    for part in [*parts, *(getattr(thing, "__dict__", {}).values() if not parts else ())]:
        if depth:
            arrays(part, seen, depth - 1)
    return seen


def expected_size(scene):
    objects = scene_objects(scene)
    contacts, constraints = capacity(objects, dynamic=True, room=scene.contact_room)
    return world_size(scene, objects, contacts=contacts, constraints=constraints)


def test_memory_of_the_solver_is_what_was_counted(engine):
    data, size = engine._physics.solver.mjw_data, expected_size(engine.spec)
    assert (data.njmax, data.naconmax) == (size.constraints, ENVS * size.contacts)
    held = sum(bytes_ for _, bytes_ in arrays(data, {}).values())
    assert ENVS * solver_bytes(size) == pytest.approx(held, rel=0.05)


def test_memory_of_a_step_is_what_was_counted(engine, monkeypatch):
    solver, size, taken = engine._physics.solver, expected_size(engine.spec), []
    assert (size.corners, size.degree) == (solver.mjw_model.npolygonmax, solver.mjw_model.nmeshdegmax) == (4, 3)
    empty = wp.empty

    def counted(*args, **settings):
        made = empty(*args, **settings)
        taken.append(made.capacity)
        return made

    monkeypatch.setattr(wp, "empty", counted)
    mujoco_warp.collision(solver.mjw_model, solver.mjw_data)
    assert sum(taken) == ENVS * step_bytes(size)


def test_memory_of_the_models_is_what_was_counted(engine):
    physics, size = engine._physics, expected_size(engine.spec)
    roots = (physics.model, physics.solver, physics._manager.get_state_0(), physics._manager.get_control())
    seen = {}
    for root in (*roots, vars(physics._manager), engine._session.scene, physics):
        arrays(root, seen)
    for address in arrays(physics.solver.mjw_data, {}):
        seen.pop(address, None)
    # What all environments share, meshes above all, has no row for each of them.
    per_env = {size.bodies, size.dofs, size.shapes, size.contacts, len(engine.spec.robot.joints), len(engine.spec.robot.bodies)}
    near = {rows + more for rows in per_env for more in (-1, 0, 1, 2)} | set(range(1000, size.pairs + 1))
    held = sum(bytes_ for rows, bytes_ in seen.values() if rows == ENVS or (rows // ENVS in near and rows % ENVS <= 1))
    assert ENVS * model_bytes(size) == pytest.approx(held, rel=0.1)


# ---- what can go wrong


@pytest.mark.parametrize("broken", ["state", "targets"])
def test_a_lost_environment_is_seen_and_harms_no_other(engine, broken):
    ends = []
    for lose in (False, True):
        start(engine, **places())
        targets = actions(engine, 4)
        for number, target in enumerate(targets):
            if lose and number == 1 and broken == "state":
                world = engine._physics._worlds.world_of_env[1]
                engine._physics.joint_q[world, 9] = float("nan")
            if lose and number == 1 and broken == "targets":
                target[1, 4] = float("nan")
            engine.step(target)
            if lose and number == 1:
                assert not engine.state.joint_vel[1].isfinite().all()
        ends.append(snapshot(engine))
    whole, damaged = ends
    for name, value in whole.items():
        assert torch.equal(value[[0, 2, 3]], damaged[name][[0, 2, 3]]), name
    engine.reset(torch.tensor([False, True, False, False]), resting(engine.spec, 0.745, **places()))
    step(engine, 2)
    assert all(value.isfinite().all() for value in buffers(engine).values())
    assert engine.state.root_pos_w[1, 2] > 0.7


def test_contacts_that_do_not_fit_are_counted(engine):
    engine.drain_overflows()
    flags = engine._physics.overflow
    flags[1] = int(mujoco_warp.OverflowType.NEFC | mujoco_warp.OverflowType.NARROWPHASE)
    flags[2] = int(mujoco_warp.OverflowType.LS_ITERATIONS)
    assert int(engine.drain_overflows()) == 1
    assert int(engine.drain_overflows()) == 0


def test_wrong_shapes_and_missing_poses_are_named(engine):
    before = snapshot(engine)
    with pytest.raises(EnvContractError, match=r"shape \(2, 29\); the scene needs \(4, 43\)"):
        engine.step(torch.zeros(2, 29))
    with pytest.raises(EnvContractError, match="gives no object_pos_w"):
        engine.reset(everything(engine.spec), resting(engine.spec, 0.8))
    with pytest.raises(EnvContractError, match="gives no table_pos_w"):
        engine.reset(everything(engine.spec), resting(engine.spec, 0.8, object_pos_w=torch.ones(ENVS, 3)))
    assert_same_bits(snapshot(engine), before)


def test_a_second_engine_is_refused_while_one_is_open(engine, scene):
    with pytest.raises(ConfigError, match=r"simulates one scene per process.*close its engine first"):
        build(scene)
    step(engine)
    assert engine.state.root_pos_w.isfinite().all()


def test_after_one_is_closed_another_engine_works_with_objects_that_are_led(process, scene):
    """Kinematic objects: each stays where it is put, and carries. Here with half as much room again for contacts."""
    engine = process.engine(attrs.evolve(scene, object_dynamic=False, contact_room=1.5))
    data = engine._physics.solver.mjw_data
    assert (data.naconmax, data.njmax) == (ENVS * 96, 600)
    tall = torch.tensor([0.0, 0.0, 0.2]).repeat(ENVS, 1)
    aside = torch.tensor([3.0, 0.0, 0.3]).repeat(ENVS, 1)
    on_top = torch.tensor([False, True, False, True])
    poses = {"object_pos_w": torch.where(on_top.unsqueeze(1), tall, aside), "table_pos_w": aside + 2.0}
    to = resting(engine.spec, 0.75, **poses)
    # Where the large box stands, the robot lies on it, its pelvis a little above.
    engine.reset(
        everything(engine.spec),
        attrs.evolve(to, root_pos_w=to.root_pos_w + 0.6 * on_top.unsqueeze(1) * torch.tensor([0.0, 0.0, 1.0])),
    )
    step(engine, 10)
    assert torch.equal(engine.state.object_pos_w, poses["object_pos_w"])
    assert not engine.state.object_lin_vel_w.any()
    assert engine.state.contact_forces["feet"][~on_top].sum(dim=1)[:, 2].min() > 100.0
    assert not engine.state.contact_forces["feet"][on_top].any()
    moved = attrs.evolve(to, object_pos_w=poses["object_pos_w"] + 0.5)
    engine.reset(on_top, moved)
    step(engine)
    torch.testing.assert_close(engine.state.object_pos_w[on_top], moved.object_pos_w[on_top])
    assert torch.equal(engine.state.object_pos_w[~on_top], poses["object_pos_w"][~on_top])
