"""Objects and tables as the simulation has them: what they weigh, how they slide, where they are solid."""

from __future__ import annotations

import math
import os
from pathlib import Path

import attrs
import mujoco
import numpy as np
import pytest
import torch
import trimesh

from grail_framework.assets.usd_writer import write_object_usd
from grail_framework.engine.protocol import ContactSensorSpec, ObjectSpec
from grail_framework.errors import AssetError, ConfigError

from .scenes import (
    actions,
    assert_same_bits,
    default_targets,
    everything,
    g1_scene,
    resting,
    slab_robot,
    slab_scene,
    snapshot,
    start,
)

GRAVITY = 9.81
FAR = torch.tensor([[4.0, 0.0, 0.05]])


def boxes_along_x(*extents):
    """Boxes side by side along x from the origin, as vertices and faces each."""
    found, x = [], 0.0
    for extent in extents:
        box = trimesh.creation.box(extent)
        box.apply_translation((x + 0.5 * extent[0], 0.0, 0.0))
        found.append((np.array(box.vertices), np.array(box.faces)))
        x += extent[0] + 0.02
    return found


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Objects of one to four pieces."""
    folder = tmp_path_factory.mktemp("objects")
    found = []
    for count in (1, 4, 2):
        extents = [(0.05, 0.06 + 0.02 * k, 0.1) for k in range(count)]
        path = write_object_usd(folder / f"comb_{count}.usd", boxes_along_x(*extents), mass=0.2)
        found.append(ObjectSpec(name=f"comb_{count}", path=str(path)))
    return tuple(found)


@pytest.fixture(scope="module")
def ell(tmp_path_factory):
    """A concave mesh in one prim, marked for decomposition, and its shape by trimesh."""
    folder = tmp_path_factory.mktemp("ell")
    mesh = trimesh.creation.extrude_triangulation(
        [(0, 0), (0.2, 0), (0.2, 0.1), (0.1, 0.1), (0.1, 0.2), (0, 0.2)], [(0, 1, 2), (0, 2, 3), (0, 3, 5), (5, 3, 4)], 0.2
    )
    path = write_object_usd(
        folder / "ell.usd", [(np.array(mesh.vertices), np.array(mesh.faces))], approximation="convexDecomposition"
    )
    return str(path), mesh


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "engine-cache"))


def on_the_table(made, spec, *, size=(1.0, 1.0, 0.1), at=(0.0, 0.0), tilt=0.0, steps=60, height=0.06):
    """Let an object settle on a table whose top is at z = 0.5 m in its middle; return the engine."""
    scene = attrs.evolve(slab_scene((spec,), table_size=size), contact_sensors={})
    engine = made(scene)
    quat = torch.tensor([[math.cos(tilt / 2), 0.0, math.sin(tilt / 2), 0.0]])
    normal = torch.tensor([math.sin(tilt), 0.0, math.cos(tilt)])
    top = torch.tensor([0.0, 0.0, 0.5])
    along = torch.tensor([math.cos(tilt), 0.0, -math.sin(tilt)])
    place = top + at[0] * along + torch.tensor([0.0, at[1], 0.0]) + height * normal
    reset = resting(
        scene,
        0.05,
        object_pos_w=place[None],
        object_quat_w=quat,
        table_pos_w=(top - 0.5 * size[2] * normal)[None],
        table_quat_w=quat,
    )
    engine.reset(everything(scene), attrs.evolve(reset, root_pos_w=torch.tensor([[6.0, 0.0, 0.05]])))
    for _ in range(steps):
        engine.step(torch.zeros(1, 1))
    return engine


def table_load(engine):
    """Vertical force of the object on the table, by MuJoCo's own contacts at the engine's state."""
    model = engine._models[0]
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, engine._physics[0].copy(), mujoco.mjtState.mjSTATE_FULLPHYSICS)
    index = int(model.body_mocapid[model.body("scene:table").id])
    data.mocap_pos[index], data.mocap_quat[index] = engine.state.table_pos_w[0].numpy(), engine.state.table_quat_w[0].numpy()
    mujoco.mj_forward(model, data)
    total = np.zeros(3)
    table = model.geom("scene:table").id
    for k in range(data.ncon):
        contact = data.contact[k]
        if table in contact.geom:
            wrench = np.zeros(6)
            mujoco.mj_contactForce(model, data, k, wrench)
            total += (1.0 if contact.geom[0] == table else -1.0) * contact.frame.reshape(3, 3).T @ wrench[:3]
    return total[2]


# ---- weight


@pytest.mark.parametrize(
    ("override", "mass"),
    [({}, 0.2), ({"mass": 0.7}, 0.7), ({"density": 300.0}, 300.0 * 0.05 * 0.06 * 0.1), ({"mass": 0.7, "density": 300.0}, 0.7)],
    ids=["file", "mass", "density", "mass before density"],
)
def test_an_object_presses_on_the_table_with_its_weight(made, objects, override, mass):
    engine = on_the_table(made, attrs.evolve(objects[0], **override))
    assert table_load(engine) == pytest.approx(mass * GRAVITY, rel=1e-3)
    assert engine.state.object_pos_w[0, 2].item() == pytest.approx(0.55, abs=1e-3)


def test_pieces_that_overlap_weigh_as_the_one_solid_they_are(made, ell):
    path, mesh = ell
    engine = on_the_table(made, ObjectSpec(name="ell", path=path, density=500.0), height=0.01, at=(-0.1, -0.1))
    assert table_load(engine) == pytest.approx(500.0 * mesh.volume * GRAVITY, rel=1e-3)
    model = engine._models[0]
    body = model.body("scene:object").id
    np.testing.assert_allclose(model.body_ipos[body], mesh.center_mass, atol=1e-6)
    expected = np.sort(np.linalg.eigvalsh(500.0 * mesh.moment_inertia))
    np.testing.assert_allclose(np.sort(model.body_inertia[body]), expected, rtol=1e-5)


def test_a_notch_stays_open(made, ell):
    """The slab, dropped into the notch of the L, comes to rest on its lower step, 10 cm below the hull's surface."""
    path, _ = ell
    slab = slab_robot()
    small = attrs.evolve(slab.bodies[0], colliders=(attrs.evolve(slab.bodies[0].colliders[0], size=(0.03, 0.03, 0.02)),))
    scene = attrs.evolve(
        slab_scene((ObjectSpec(name="ell", path=path),)),
        robot=attrs.evolve(slab, bodies=(small, slab.bodies[1])),
        object_dynamic=False,
    )
    engine = made(scene)
    # The L lies on its back: its outline in the x-z plane, the notch open to above.
    quat = torch.tensor([[math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0]])
    reset = resting(scene, 0.0, object_pos_w=torch.tensor([[0.0, 0.1, 0.0]]), object_quat_w=quat)
    engine.reset(everything(scene), attrs.evolve(reset, root_pos_w=torch.tensor([[0.15, 0.0, 0.16]])))
    for _ in range(50):
        engine.step(torch.zeros(1, 1))
    assert engine.state.root_pos_w[0, 2].item() == pytest.approx(0.12, abs=3e-3)


# ---- friction, size of the table


@pytest.mark.parametrize(("friction", "slides"), [(0.2, True), (0.5, False)])
def test_friction_decides_what_slides_on_a_tilted_table(made, objects, friction, slides):
    tilt = math.atan(0.35)
    engine = on_the_table(made, attrs.evolve(objects[0], friction=friction), tilt=tilt, height=0.0505, steps=25)
    travelled = math.hypot(engine.state.object_pos_w[0, 0].item() - 0.0505 * math.sin(tilt), 0.0)
    if slides:
        # x = a t^2 / 2 along the slope, a = g (sin - friction cos), after 0.5 s.
        expected = 0.5 * GRAVITY * (math.sin(tilt) - friction * math.cos(tilt)) * 0.25 * math.cos(tilt)
        assert travelled == pytest.approx(expected, rel=0.1)
    else:
        assert travelled < 5e-3


@pytest.mark.parametrize(("size", "stays"), [((1.0, 0.6, 0.04), True), ((0.5, 0.6, 0.04), False), ((1.0, 0.6, 0.2), True)])
def test_the_table_is_solid_over_its_size(made, objects, size, stays):
    engine = on_the_table(made, objects[0], size=size, at=(0.4, 0.0))
    height = engine.state.object_pos_w[0, 2].item()
    assert height == pytest.approx(0.55, abs=2e-3) if stays else height < 0.2
    model = engine._models[0]
    np.testing.assert_allclose(2.0 * model.geom("scene:table").size, size)


# ---- terrain


def stairs(folder: Path) -> Path:
    """Five steps of 0.3 x 1.0 x 0.15 m that touch, each a closed part of one mesh as the released stairs are."""
    steps = []
    for k in range(5):
        step = trimesh.creation.box((0.3, 1.0, 0.15))
        step.apply_translation((0.3 * k, 0.0, 0.15 * k + 0.075))
        steps.append(step)
    mesh = trimesh.util.concatenate(steps)
    return write_object_usd(
        folder / "stairs.usd", [(np.array(mesh.vertices), np.array(mesh.faces))], dynamic=False, approximation="none"
    )


@pytest.mark.parametrize("step", [0, 2, 4])
def test_every_step_of_a_terrain_carries(made, tmp_path, step):
    scene = attrs.evolve(slab_scene((ObjectSpec(name="stairs", path=str(stairs(tmp_path))),)), object_dynamic=False)
    slab = scene.robot
    small = attrs.evolve(slab.bodies[0], colliders=(attrs.evolve(slab.bodies[0].colliders[0], size=(0.1, 0.1, 0.05)),))
    scene = attrs.evolve(scene, robot=attrs.evolve(slab, bodies=(small, slab.bodies[1])))
    engine = made(scene)
    offset = torch.tensor([[0.5, 0.3, 0.0]])
    top = 0.15 * (step + 1)
    reset = resting(scene, 0.0, object_pos_w=offset)
    engine.reset(everything(scene), attrs.evolve(reset, root_pos_w=offset + torch.tensor([[0.3 * step, 0.0, top + 0.06]])))
    for _ in range(50):
        engine.step(torch.zeros(1, 1))
    assert engine.state.root_pos_w[0, 2].item() == pytest.approx(top + 0.05, abs=2e-3)
    assert engine.state.contact_forces["object"][0, 1, 2].item() == pytest.approx(5.5 * GRAVITY, rel=0.02)


def released_stairs() -> list[Path]:
    root = Path(os.environ.get("GRAIL_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    return sorted(root.glob("grail/stairs/object_usd/*.usd"))


@pytest.mark.skipif(not released_stairs(), reason="no released stairs here; the made ones are tested above")
def test_released_stairs_of_different_length_stand_in_one_run(made):
    specs = tuple(ObjectSpec(name=path.stem, path=str(path), max_pieces=128) for path in released_stairs())
    scene = attrs.evolve(g1_scene(len(specs), specs, num_threads=2), object_dynamic=False)
    engine = made(scene)
    assert len({int((model.geom_bodyid == model.body("scene:object").id).sum()) for model in engine._models}) == 1
    start(engine, object_pos_w=torch.tensor([0.0, 3.0, 0.0]).repeat(len(specs), 1))
    for target in actions(engine, 5):
        engine.step(target)
    assert all(value.isfinite().all() for value in snapshot(engine).values())


def test_too_many_pieces_are_refused_with_the_setting(made, tmp_path):
    spec = ObjectSpec(name="stairs", path=str(stairs(tmp_path)), max_pieces=4)
    with pytest.raises(AssetError, match=r"stairs\.usd: .*5 separate parts.*set scene\.object\.max_pieces=5"):
        made(g1_scene(1, (spec,)))


def test_an_object_that_mujoco_refuses_is_named(made, tmp_path, objects):
    from pxr import Usd, UsdPhysics

    path = write_object_usd(tmp_path / "odd.usda", boxes_along_x((0.1, 0.1, 0.1)), mass=1.0)
    stage = Usd.Stage.Open(str(path))
    UsdPhysics.MassAPI(stage.GetDefaultPrim()).CreateDiagonalInertiaAttr((1.0, 1.0, 5.0))  # no body has such moments
    stage.Save()
    with pytest.raises(AssetError, match=r"odd\.usda: MuJoCo refuses the object \(.*inertia"):
        made(g1_scene(2, (objects[0], ObjectSpec(name="odd", path=str(path)))))


# ---- mixed runs


def test_objects_of_one_to_four_pieces_resume_bitwise(made, objects, ell):
    scene = g1_scene(4, (*objects, ObjectSpec(name="ell", path=ell[0])), num_threads=2, table_size=(1.0, 0.6, 0.04))
    poses = {
        "table_pos_w": torch.tensor([0.6, 0.0, 0.5]).repeat(4, 1),
        "object_pos_w": torch.tensor([0.5, 0.0, 0.6]).repeat(4, 1),
    }
    whole = made(scene)
    start(whole, **poses)
    targets = actions(whole, 20)
    for target in targets[:10]:
        whole.step(target)
    saved = whole.state_dict()
    for target in targets[10:]:
        whole.step(target)
    resumed = made(attrs.evolve(scene, num_threads=1))
    resumed.load_state_dict(saved)
    for target in targets[10:]:
        resumed.step(target)
    assert_same_bits(snapshot(whole), snapshot(resumed))


def test_a_piece_more_or_less_in_the_run_changes_nothing(made, objects):
    alone, mixed = made(g1_scene(1, objects[:1])), made(g1_scene(3, objects))
    for engine in (alone, mixed):
        start(engine, object_pos_w=torch.tensor([0.3, 0.0, 0.9]).repeat(engine.spec.num_envs, 1))
        for _ in range(30):
            engine.step(default_targets(engine))
    for name, value in snapshot(alone).items():
        torch.testing.assert_close(snapshot(mixed)[name][:1], value, atol=1e-5, rtol=1e-4, msg=name)


def test_a_sensor_for_a_partner_of_the_table_counts_every_piece(made, objects):
    """The slab lies on the four-piece comb: the sensor gives the sum over the pieces."""
    scene = attrs.evolve(
        slab_scene(objects[1:2]), contact_sensors={"object": ContactSensorSpec(links=("slab",), partner="object")}
    )
    engine = made(scene)
    reset = resting(scene, 0.0, object_pos_w=torch.tensor([[-0.13, 0.0, 0.05]]))
    engine.reset(everything(scene), attrs.evolve(reset, root_pos_w=torch.tensor([[0.0, 0.0, 0.155]])))
    for _ in range(60):
        engine.step(torch.zeros(1, 1))
    assert engine.state.contact_forces["object"][0, 0, 2].item() == pytest.approx(5.5 * GRAVITY, rel=0.02)


def test_object_and_table_without_each_other(made, objects):
    engine = made(g1_scene(1, (), table_size=(1.0, 0.6, 0.04)))
    engine.reset(everything(engine.spec), resting(engine.spec, 0.8, table_pos_w=torch.tensor([[1.0, 0.0, 0.4]])))
    engine.step(default_targets(engine))
    assert engine.state.object_pos_w.abs().max() == 0.0
    torch.testing.assert_close(engine.state.table_pos_w, torch.tensor([[1.0, 0.0, 0.4]]))
    with pytest.raises(ConfigError, match="the scene has no object"):
        made(attrs.evolve(g1_scene(1, ()), contact_sensors={"o": ContactSensorSpec(links=("pelvis",), partner="object")}))
