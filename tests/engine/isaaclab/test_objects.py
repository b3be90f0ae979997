"""Objects of different shape in the environments of one simulation, held against the mujoco engine."""

from __future__ import annotations

import pytest

pytest.importorskip("isaaclab", reason="comes with the isaaclab extra")

import attrs
import numpy as np
import torch
import trimesh
from scipy.spatial.transform import Rotation

from grail_framework.assets.usd_writer import write_object_usd
from grail_framework.engine.isaaclab.engine import build
from grail_framework.engine.mujoco.engine import build as build_mujoco
from grail_framework.engine.protocol import ContactSensorSpec, ObjectSpec

from ...assets.solids import arrays, mug
from ..scenes import default_targets, everything, g1_scene, resting

TABLE_TOP = 0.6
DROP = 0.004
STEPS = 50
OBJECTS = ("box", "cylinder", "ball", "mug")
ENVS = (0, 1, 2, 3, 1)
"""Object of each environment."""
HALF_HEIGHT = {"box": 0.03, "cylinder": 0.06, "ball": 0.05, "mug": 0.0}
"""From the table to the object's origin. [m]"""


def shapes() -> dict[str, trimesh.Trimesh]:
    return {
        "box": trimesh.creation.box((0.1, 0.08, 0.06)),
        "cylinder": trimesh.creation.cylinder(0.04, 0.12, sections=32),
        "ball": trimesh.creation.icosphere(subdivisions=3, radius=0.05),
        "mug": mug(),
    }


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objects")
    objects = []
    for number, (name, mesh) in enumerate(shapes().items()):
        path = write_object_usd(
            folder / f"{name}.usd", [arrays(mesh)], mass=0.2 + 0.1 * number, approximation="convexDecomposition"
        )
        objects.append(ObjectSpec(name=name, path=str(path)))
    spec = g1_scene(len(ENVS), tuple(objects), table_size=(1.0, 0.6, 0.04), num_threads=1)
    on_table = ContactSensorSpec(links=("right_hand_palm_link",), partner="object")
    return attrs.evolve(spec, env_object=ENVS, contact_sensors={"hand": on_table})


@pytest.fixture(scope="module")
def engines(scene):
    """Both engines with every object at rest on its table."""
    made = [build_mujoco(scene), build(scene)]
    heights = torch.tensor([TABLE_TOP + DROP + HALF_HEIGHT[OBJECTS[index]] for index in ENVS])
    place = torch.stack((torch.full_like(heights, 1.0), torch.zeros_like(heights), heights), dim=1)
    table = torch.tensor([1.0, 0.0, TABLE_TOP - 0.02]).repeat(len(ENVS), 1)
    for engine in made:
        engine.reset(everything(scene), resting(scene, 0.745, object_pos_w=place, table_pos_w=table))
        for _ in range(STEPS):
            engine.step(default_targets(engine))
    yield made
    for engine in made:
        engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("env", range(len(ENVS)))
def test_each_object_rests_at_its_own_height(engines, env):
    reference, engine = engines
    expected = TABLE_TOP + HALF_HEIGHT[OBJECTS[ENVS[env]]]
    height = engine.state.object_pos_w[env, 2].item()
    assert height == pytest.approx(expected, abs=1.5e-3)
    assert height == pytest.approx(reference.state.object_pos_w[env, 2].item(), abs=1e-3)
    assert engine.state.object_lin_vel_w[env].norm() < 0.02
    if OBJECTS[ENVS[env]] != "ball":
        torch.testing.assert_close(
            engine.state.object_quat_w[env].abs(), torch.tensor([1.0, 0.0, 0.0, 0.0]), atol=5e-3, rtol=0.0
        )


@pytest.mark.slow
def test_each_object_weighs_what_it_weighs_in_the_other_engine(engines):
    reference, engine = engines
    solver = engine._physics.solver
    body = int(np.flatnonzero(solver.mjc_body_to_newton.numpy()[0] == engine._physics.layout.object_body)[0])
    model = solver.mjw_model
    for env, theirs in enumerate(reference._models):
        other, world = theirs.body("scene:object").id, engine._physics._worlds.world_of_env[env]
        assert model.body_mass.numpy()[world, body] == pytest.approx(theirs.body_mass[other], rel=1e-5)
        np.testing.assert_allclose(model.body_ipos.numpy()[world, body], theirs.body_ipos[other], atol=1e-6)
        np.testing.assert_allclose(
            _tensor(model.body_inertia.numpy()[world, body], model.body_iquat.numpy()[world, body]),
            _tensor(theirs.body_inertia[other], theirs.body_iquat[other]),
            rtol=1e-3,
            atol=1e-3 * theirs.body_inertia[other].max(),
        )


def _tensor(moments, quat):
    axes = Rotation.from_quat(quat, scalar_first=True).as_matrix()
    return axes @ np.diag(moments) @ axes.T
