"""Contact points of the hands, against MuJoCo's distances between the links' shapes and the object."""

import attrs
import mujoco
import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from grail_framework.errors import ConfigError, DataError
from grail_framework.motion.clip import ObjectTrack
from grail_framework.motion.preparation.bodies import body_poses
from grail_framework.motion.preparation.contacts import find_contacts, hand_shapes
from grail_framework.motion.preparation.surface import Surface, hull_triangles

BOX = (0.3, 0.2, 0.16)
GEOMS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}


@pytest.fixture
def box_surface():
    mesh = trimesh.creation.box(extents=BOX)
    return Surface(mesh.vertices, mesh.faces)


def with_box(clip, offset):
    """Put a turned box at an offset from the left palm, which does not move."""
    frames = len(clip.root_pos)
    quat = Rotation.from_euler("xyz", [20, -10, 35], degrees=True).as_quat(scalar_first=True)
    track = ObjectTrack(pos=offset.astype(np.float32), quat=np.tile(quat, (frames, 1)).astype(np.float32), fps=clip.fps)
    return attrs.evolve(clip, object=track)


def mujoco_contacts(clip, robot, frame):
    """Distance of each palm and finger link of the left hand to the box and the closest point on it, in the box's frame."""
    hand = robot.hands["left"]
    pos, quat = body_poses(clip, robot)
    spec = mujoco.MjSpec()
    spec.worldbody.add_geom(
        name="box", type=GEOMS["box"], size=np.array(BOX) / 2, pos=clip.object.pos[frame], quat=clip.object.quat[frame]
    )
    links = [b.name for b in robot.bodies if b.name == hand.palm or (b.joint is not None and b.joint.name in hand.joints)]
    for link in links:
        body = robot.body_names.index(link)
        frame_of_link = spec.worldbody.add_body(name=link, pos=pos[frame, body], quat=quat[frame, body])
        for number, shape in enumerate(robot.bodies[body].colliders):
            name = f"{link}/{number}"
            if shape.shape == "mesh":
                spec.add_mesh(name=name, uservert=np.array(shape.vertices, np.float32).ravel())
                # MuJoCo moves a mesh to its centre of mass and remembers that; the geom stays where it was put.
                frame_of_link.add_geom(
                    name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, pos=shape.pos, quat=shape.quat
                )
            else:
                size = [*shape.size, 0.0, 0.0][:3]
                frame_of_link.add_geom(name=name, type=GEOMS[shape.shape], size=size, pos=shape.pos, quat=shape.quat)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    to_box = Rotation.from_quat(clip.object.quat[frame], scalar_first=True).inv()
    found = {}
    for geom in range(1, model.ngeom):
        ends = np.zeros(6)
        gap = mujoco.mj_geomDistance(model, data, geom, 0, 5.0, ends)
        link = model.body(model.geom_bodyid[geom]).name
        if link not in found or gap < found[link][0]:
            found[link] = (gap, to_box.apply(ends[3:] - clip.object.pos[frame]))
    return found


def test_contact_begins_where_the_palms_centre_is_near(make_clip, g1, box_surface):
    clip = make_clip(frames=20, joint_pos=np.zeros((20, 29), np.float32))
    pos, quat = body_poses(clip, g1)
    hand = hand_shapes(g1)["left"]
    center = pos[0, hand.palm] + Rotation.from_quat(quat[0, hand.palm], scalar_first=True).apply(hand.palm_center)
    gaps = np.linspace(0.21, 0.02, 20)
    # An unturned box that comes from ahead: its face is gap metres in front of the palm's centre.
    places = center + np.stack([gaps + BOX[0] / 2, np.zeros(20), np.zeros(20)], axis=-1)
    track = ObjectTrack(pos=places, quat=np.tile([1.0, 0, 0, 0], (20, 1)), fps=30.0)
    found = find_contacts(attrs.evolve(clip, object=track), g1, box_surface, contact_distance=0.105)
    assert sorted(found["left"]) == np.flatnonzero(gaps < 0.105).tolist()
    for points in found["left"].values():
        np.testing.assert_allclose(points[:, 0].min(), -BOX[0] / 2, atol=1e-6)


def test_points_are_those_closest_to_the_links_as_mujoco_finds_them(make_clip, g1, box_surface):
    clip = make_clip(frames=3)
    palm = body_poses(clip, g1)[0][:, g1.body_names.index(g1.hands["left"].palm)]
    clip = with_box(clip, palm + np.array([[0.2, -0.14, 0.05], [0.05, -0.2, 0.0], [0.1, 0.0, -0.2]]))
    found = find_contacts(clip, g1, box_surface, contact_distance=0.15)["left"]
    assert sorted(found) == [0, 1, 2]
    apart = 0
    for frame, points in found.items():
        assert points.dtype == np.float32
        _, gap = box_surface.closest(points)
        assert gap.max() < 1e-6  # on the surface
        for distance, closest in mujoco_contacts(clip, g1, frame).values():
            if 0.0 < distance < 0.14:
                apart += 1
                assert np.linalg.norm(points - closest, axis=1).min() < 0.02
    assert apart >= 12


def test_a_finer_look_at_the_links_finds_the_same_distances(make_clip, g1, box_surface):
    clip = make_clip(frames=1)
    palm = body_poses(clip, g1)[0][:, g1.body_names.index(g1.hands["left"].palm)]
    clip = with_box(clip, palm + np.array([[0.2, -0.16, 0.05]]))
    hand = hand_shapes(g1)["left"]
    pos, quat = body_poses(clip, g1)
    world = pos[0, hand.bodies] + Rotation.from_quat(quat[0, hand.bodies], scalar_first=True).apply(hand.points)
    turn = Rotation.from_quat(clip.object.quat[0], scalar_first=True)
    _, gap = box_surface.closest(turn.inv().apply(world - clip.object.pos[0]))
    for link, (distance, _) in mujoco_contacts(clip, g1, 0).items():
        own = hand.bodies == g1.body_names.index(link)
        assert (gap - hand.radii)[own].min() == pytest.approx(distance, abs=0.004)


def test_contacts_of_the_real_box_are_those_found_independently(real_data, g1, real_box_clip):
    mesh = trimesh.load_mesh(real_data / "raw" / "holosoma_largebox" / "largebox.obj", process=False)
    every = slice(None, None, 6)
    clip = attrs.evolve(
        real_box_clip,
        root_pos=real_box_clip.root_pos[every],
        root_quat=real_box_clip.root_quat[every],
        joint_pos=real_box_clip.joint_pos[every],
        object=attrs.evolve(real_box_clip.object, pos=real_box_clip.object.pos[every], quat=real_box_clip.object.quat[every]),
    )
    hull = np.asarray(mesh.convex_hull.vertices)
    found = find_contacts(clip, g1, Surface(hull, hull_triangles(hull)))
    # Contact ends at source frames 290 (left) and 294 (right) there; every sixth frame is looked at here.
    assert [max(found[hand]) * 6 for hand in ("left", "right")] == [288, 294]


def test_what_cannot_touch_is_refused(make_clip, g1, box_surface):
    with pytest.raises(DataError, match="no object motion"):
        find_contacts(make_clip(object=None), g1, box_surface)
    with pytest.raises(DataError, match="one frame rate"):
        find_contacts(make_clip(fps=50.0), g1, box_surface)
    with pytest.raises(ConfigError, match="has no hands"):
        hand_shapes(attrs.evolve(g1, hands={}))
