"""Which pairs of geoms are looked at."""

from __future__ import annotations

import mujoco
import mujoco_warp
import pytest

from grail_framework.engine.isaaclab.static_pairs import drop_static_pairs

SCENE = """
<mujoco>
  <worldbody>
    <geom name="ground" type="plane" size="0 0 1"/>
    <body mocap="true" pos="0 0 0.05"><geom name="table" type="box" size="0.5 0.5 0.1"/></body>
    <body mocap="true"><geom name="step" type="box" size="0.1 0.1 0.1" pos="0.2 0 0"/></body>
    <body pos="0 0 0.2"><freejoint/><geom name="ball" type="sphere" size="0.1"/></body>
    <body pos="0.05 0 0.4">
      <freejoint/><geom name="rod" type="capsule" size="0.1 0.1"/>
      <body><geom name="tip" type="sphere" size="0.05" pos="0 0 0.2"/></body>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def models():
    model = mujoco.MjModel.from_xml_string(SCENE)
    return model, mujoco_warp.put_model(model)


def named(model, pairs):
    return {frozenset(model.geom(int(index)).name for index in pair) for pair in pairs}


def test_only_what_moves_is_looked_at(models):
    model, device_model = models
    assert frozenset(("ground", "table")) in named(model, device_model.nxn_geom_pair_filtered.numpy())
    drop_static_pairs(device_model, model)
    movable, still = ("ball", "rod", "tip"), ("ground", "table", "step")
    expected = {frozenset((one, other)) for one in movable for other in still}
    expected |= {frozenset(("ball", "rod")), frozenset(("ball", "tip"))}
    assert named(model, device_model.nxn_geom_pair_filtered.numpy()) == expected
    assert len(device_model.nxn_pairid_filtered) == len(expected)
    # The other broad phases read the full list, with its marks.
    marked = device_model.nxn_pairid.numpy()[:, 0] == -2
    assert named(model, device_model.nxn_geom_pair.numpy()[~marked]) == expected


def test_types_are_counted_as_mujoco_warp_does(models):
    model, device_model = models
    without_static = SCENE.replace('name="ground"', 'name="ground" contype="2" conaffinity="1"')
    for name in ("table", "step"):
        without_static = without_static.replace(f'name="{name}"', f'name="{name}" contype="2" conaffinity="1"')
    for name in ("ball", "rod", "tip"):
        without_static = without_static.replace(f'name="{name}"', f'name="{name}" contype="1" conaffinity="3"')
    other = mujoco.MjModel.from_xml_string(without_static)
    drop_static_pairs(device_model, model)
    assert device_model.geom_pair_type_count == tuple(int(count) for count in mujoco_warp.put_model(other).geom_pair_type_count)


def test_the_device_finds_the_contacts_that_mujoco_finds(models):
    model, device_model = models
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    drop_static_pairs(device_model, model)
    device_data = mujoco_warp.put_data(model, data, nconmax=32, njmax=128)
    mujoco_warp.collision(device_model, device_data)
    count = int(device_data.nacon.numpy()[0])
    assert named(model, device_data.contact.geom.numpy()[:count]) == named(model, data.contact.geom)
