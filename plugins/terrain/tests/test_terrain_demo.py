"""The demo library of terrain_tracking, read back from its files and judged by MuJoCo and trimesh."""

import mujoco
import numpy as np
import pytest
import trimesh
from scipy.optimize import linprog
from scipy.spatial.transform import Rotation

from grail_framework.assets.usd import read_object, read_triangles
from grail_framework.config import MotionCfg
from grail_framework.errors import ConfigError
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.robots.builder import build_robot
from grail_framework.robots.g1 import g1_29dof
from grail_terrain.demo.library import make_terrain_tracking
from grail_terrain.demo.profiles import curb, slope, stairs

FPS, GRAVITY = 50.0, 9.81
FEET = ("left_ankle_roll_link", "right_ankle_roll_link")
# The sole of the G1 in the frame of its link: 18 cm long and 6.2 cm wide, 35 mm below the ankle.
SOLE = np.array([(x, y, -0.035) for x in (-0.055, 0.125) for y in (-0.031, 0.031)])
KEYS = (
    "stairs_up__000",
    "curb_onto__001",
    "slope_up__002",
    "stairs_up__003",
    "curb_over__004",
    "slope_down__005",
    "stairs_down__006",
)
PIECES = {"stairs": (3, 4), "curb": (1,), "slope": (2,)}


@pytest.fixture(scope="module")
def robot():
    return g1_29dof()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_terrain_tracking(tmp_path_factory.mktemp("demo") / "library", motions=len(KEYS), seed=1)


def read(folder, key):
    clip, faults = GrailReader().open(MotionCfg(data=str(folder))).read(key)
    assert not faults
    return clip


@pytest.fixture(scope="module", params=KEYS)
def walked(request, folder, robot):
    return Walked(read(folder, request.param), robot)


class Walked:
    """A walk from its files: poses and momenta by MuJoCo's kinematics, the terrain by trimesh."""

    def __init__(self, clip, robot):
        self.clip, self.robot = clip, robot
        self.parts = [
            part
            for points, faces in [read_triangles(clip.object_usd)]
            for part in trimesh.Trimesh(points, faces).split(only_watertight=True)
        ]
        self.surface = trimesh.util.concatenate(self.parts)
        model = self.model = build_robot(robot).compile()
        data = mujoco.MjData(model)
        frames = self.frames = len(clip.root_pos)
        self.mass = model.body_subtreemass[1]
        self.com, self.spin = np.zeros((frames, 3)), np.zeros((frames, 3))
        self.soles, self.shapes, self.touching = np.zeros((frames, 2, 4, 3)), [], []
        qpos = self._qpos()
        for frame in range(frames):
            data.qpos[:] = qpos[frame]
            before, after = qpos[max(frame - 1, 0)], qpos[min(frame + 1, frames - 1)]
            mujoco.mj_differentiatePos(model, data.qvel, (2.0 if 0 < frame < frames - 1 else 1.0) / FPS, before, after)
            mujoco.mj_forward(model, data)
            mujoco.mj_subtreeVel(model, data)
            self.com[frame], self.spin[frame] = data.subtree_com[0], data.subtree_angmom[0]
            self.touching += [(-contact.dist, contact.geom) for contact in data.contact]
            for foot, name in enumerate(FEET):
                body = data.body(name)
                self.soles[frame, foot] = body.xpos + SOLE @ body.xmat.reshape(3, 3).T
            if frame % 5 == 0:
                self.shapes.append(
                    [(g, data.geom_xpos[g].copy(), data.geom_xmat[g].reshape(3, 3).copy()) for g in self._solid()]
                )
        self.below = self._ground(self.soles.reshape(-1, 3)).reshape(self.soles.shape[:3])
        self.stands = self._standing()

    def _qpos(self):
        qpos = np.zeros((self.frames, self.model.nq))
        qpos[:, :3] = self.clip.root_pos
        qpos[:, 3:7] = self.clip.root_quat / np.linalg.norm(self.clip.root_quat, axis=1, keepdims=True)
        for name, angles in zip(self.clip.joint_names, self.clip.joint_pos.T, strict=True):
            qpos[:, self.model.joint(name).qposadr[0]] = angles
        return qpos

    def _solid(self):
        return [g for g in range(self.model.ngeom) if self.model.geom_contype[g] or self.model.geom_conaffinity[g]]

    def _ground(self, points):
        """Return the height of terrain or ground under points, by vertical rays from above."""
        above = points + np.array([0.0, 0.0, 0.3])
        places, rays, _ = self.surface.ray.intersects_location(above, np.tile([0.0, 0.0, -1.0], (len(points), 1)))
        found = np.zeros(len(points))
        np.maximum.at(found, rays, places[:, 2])
        return found

    def _standing(self):
        """Return when each foot stands (T, 2): it does not move, and is where it was 40 ms before or after."""
        speed = np.linalg.norm(np.diff(self.soles, axis=0), axis=-1).max(axis=-1)
        still = speed < 2e-4
        return np.concatenate((still[:1], still)) | np.concatenate((still, still[-1:]))


def test_files(folder):
    for part, suffix in (("robot", "pkl"), ("objects", "pkl"), ("meta", "pkl"), ("object_usd", "usd")):
        assert sorted(path.stem for path in (folder / part).glob(f"*.{suffix}")) == sorted(KEYS)
    assert not (folder / "bps").exists()
    placeholder = np.concatenate([piece.vertices for piece in read_object(folder / "flat_placeholder.usd").pieces])
    assert placeholder[:, 2].max() < -0.9


def test_the_terrain_is_closed_parts_of_triangles_that_stand_still(walked):
    clip = walked.clip
    assert len(walked.parts) in PIECES[clip.key.partition("_")[0]]
    assert all(part.is_watertight and part.volume > 0.0 for part in walked.parts)
    np.testing.assert_array_equal(clip.object.pos, 0.0)
    np.testing.assert_array_equal(clip.object.quat, np.tile([1.0, 0.0, 0.0, 0.0], (walked.frames, 1)))
    assert len(read_object(clip.object_usd).pieces) == len(walked.parts)


def test_the_motion_lasts_some_seconds_and_its_wrists_are_straight(walked):
    assert walked.clip.fps == FPS
    assert 4.0 <= walked.frames / FPS <= 6.0
    wrists = [i for i, name in enumerate(walked.clip.joint_names) if "wrist" in name]
    assert len(wrists) == 6
    assert np.abs(walked.clip.joint_pos[:, wrists]).max() < 0.1
    assert walked.clip.hand_action is None
    quat = walked.clip.root_quat
    assert ((quat[1:] * quat[:-1]).sum(axis=1) > 0.99).all()


def test_it_goes_where_the_terrain_leads(walked):
    levels = walked.below[[0, -1]].mean(axis=(1, 2))
    rise = {"stairs_up": 0.29, "curb_onto": 0.09, "slope_up": 0.1, "slope_down": -0.1, "stairs_down": -0.17, "curb_over": 0.0}
    least = rise[walked.clip.key[:-5]]
    assert (levels[1] - levels[0]) * np.sign(least) >= abs(least)
    assert np.linalg.norm(walked.clip.root_pos[-1, :2] - walked.clip.root_pos[0, :2]) > 0.7
    assert abs(levels[0] - max(0.0, -(levels[1] - levels[0]))) < 1e-3


def test_soles_are_flat_on_the_treads_and_still(walked):
    assert walked.stands.any(axis=1).all()
    assert (walked.stands.sum(axis=0) > 0.3 * walked.frames).all()
    assert (~walked.stands).any(axis=0).all()
    gap = (walked.soles[..., 2] - walked.below)[walked.stands]
    assert np.abs(gap).max() < 0.004
    for foot in (0, 1):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], walked.stands[:, foot].astype(int), [0]))))
        for start, end in edges.reshape(-1, 2):
            assert np.linalg.norm(walked.soles[start:end, foot] - walked.soles[start, foot], axis=-1).max() < 0.004


def test_swinging_feet_clear_the_terrain(walked):
    """Between the middle of two stances a sole is above what is under its corners."""
    height = (walked.soles[..., 2] - walked.below).min(axis=2)
    assert height.min() > -0.004
    for foot in (0, 1):
        edges = np.flatnonzero(np.diff(walked.stands[:, foot].astype(int)))
        for start, end in edges.reshape(-1, 2):
            assert height[start:end, foot].max() > 0.02


def test_nothing_is_inside_the_terrain_or_the_robot(walked):
    """Points on all collision shapes against the closed parts; MuJoCo's own contacts among the links."""
    assert max((depth for depth, _ in walked.touching), default=0.0) < 0.005
    clouds = {g: surface_of(walked.model, g) for g, _, _ in walked.shapes[0]}
    points = np.concatenate([pos + clouds[g] @ axes.T for shapes in walked.shapes for g, pos, axes in shapes])
    assert points[:, 2].min() > -0.005
    for part in walked.parts:
        low, high = part.bounds
        near = points[((points > low + 0.002) & (points < high - 0.002)).all(axis=1)]
        # These parts are convex: inside is behind every face.
        behind = (near @ part.face_normals.T - np.einsum("ij,ij->i", part.face_normals, part.triangles[:, 0])).max(axis=1)
        assert -behind.min(initial=0.0) < 0.005


def surface_of(model, geom):
    """Return points (n, 3) on a box or a capsule in its own frame."""
    size = model.geom_size[geom]
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
        return np.array([[x, y, z] for x in (-1, -0.5, 0, 0.5, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]) * size[:3]
    assert model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE
    ball = trimesh.creation.icosphere(subdivisions=1, radius=size[0]).vertices
    return np.concatenate([ball + np.array([0.0, 0.0, z]) for z in np.linspace(-size[1], size[1], 5)])


def test_joints_stay_within_soft_limits_and_speeds(walked):
    joints = {joint.name: joint for joint in walked.robot.joints}
    for name, angles in zip(walked.clip.joint_names, walked.clip.joint_pos.T, strict=True):
        joint = joints[name]
        middle, half = 0.5 * (joint.lower + joint.upper), 0.5 * (joint.upper - joint.lower)
        assert np.abs(angles - middle).max() <= 0.9 * half + 1e-5, name
        assert np.abs(np.diff(angles)).max() * FPS < 0.6 * joint.velocity, name


def test_the_soles_can_give_what_the_motion_asks(walked):
    """The whole body's momentum changes by gravity and by forces at the corners of the standing soles, within friction cones of 1.

    A linear programme; corners 5 mm inside. In the air there would be no solution, nor beside the soles.
    """
    falling = np.gradient(np.gradient(walked.com, 1 / FPS, axis=0), 1 / FPS, axis=0) + np.array([0.0, 0.0, GRAVITY])
    force = walked.mass * falling
    moment = np.gradient(walked.spin, 1 / FPS, axis=0)  # about the centre of mass
    weight = walked.mass * GRAVITY
    missing = []
    for frame in range(3, walked.frames - 3, 3):
        missing.append(missing_share(walked, frame, np.concatenate((force[frame], moment[frame] / 0.1)) / weight))
    assert np.mean(missing) < 0.005
    assert max(missing) < 0.03, (np.argmax(missing) * 3 + 3, max(missing))


def missing_share(walked, frame, wanted):
    """Return the least sum of what is missing of a wrench, over the weight, with an arm of 0.1 m."""
    columns = []
    for foot in np.flatnonzero(walked.stands[frame]):
        corners = walked.soles[frame, foot]
        middle = corners.mean(axis=0)
        normal = np.cross(corners[2] - corners[0], corners[1] - corners[0])
        ahead, across = corners[2] - corners[0], corners[1] - corners[0]
        ahead, across, normal = (v / np.linalg.norm(v) for v in (ahead, across, normal))
        normal *= np.sign(normal[2])
        for corner in corners:
            inner = corner - 0.005 * (np.sign((corner - middle) @ ahead) * ahead + np.sign((corner - middle) @ across) * across)
            for angle in np.arange(8) * np.pi / 4:
                push = normal + np.cos(angle) * ahead + np.sin(angle) * across
                columns.append(np.concatenate((push, np.cross(inner - walked.com[frame], push) / 0.1)))
    matrix = np.hstack((np.array(columns).T, np.eye(6), -np.eye(6)))
    cost = np.concatenate((np.zeros(len(columns)), np.ones(12)))
    solved = linprog(cost, A_eq=matrix, b_eq=wanted, method="highs")
    assert solved.status == 0
    return solved.fun


def test_the_same_seed_gives_the_same_files(folder, tmp_path):
    again = make_terrain_tracking(tmp_path / "again", motions=1, seed=1)
    files = [path.relative_to(again) for path in again.rglob("*") if path.is_file()]
    assert len(files) == 5
    assert all((again / file).read_bytes() == (folder / file).read_bytes() for file in files)


def test_sizes_are_those_asked_for(tmp_path):
    made = make_terrain_tracking(tmp_path / "made", motions=1, seed=2, step_height=0.12, step_depth=0.3, step_count=2)
    points, faces = read_triangles(made / "object_usd" / "stairs_up__000.usd")
    steps = trimesh.Trimesh(points, faces).split()
    yaw = Rotation.from_quat(read(made, "stairs_up__000").root_quat[0], scalar_first=True).as_euler("ZYX")[0]
    ahead = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    places = sorted(((step.vertices @ ahead).min(), np.ptp(step.vertices @ ahead), step.bounds[1, 2]) for step in steps)
    np.testing.assert_allclose([place[2] for place in places], (0.12, 0.24), atol=1e-6)
    np.testing.assert_allclose([place[0] for place in places], (0.15, 0.45), atol=0.02)
    assert places[0][1] == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"step_height": 0.5}, "step_height=0.5: allowed: 0.02 to 0.2"),
        ({"step_depth": 0.1}, "step_depth=0.1: allowed: 0.23"),
        ({"step_count": 0}, "step_count=0"),
        ({"step_count": 2.5}, "a whole number"),
        ({"pitch": 40.0}, "pitch=40"),
    ],
)
def test_sizes_out_of_range_are_refused(tmp_path, sizes, message):
    with pytest.raises(ConfigError, match=message):
        make_terrain_tracking(tmp_path / "made", **sizes)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "profile",
    [
        stairs(up=True, rise=0.1, depth=0.28, count=3),
        stairs(up=False, rise=0.1, depth=0.28, count=3),
        slope(up=True, pitch=0.15, stride=0.25, count=4),
        slope(up=False, pitch=0.15, stride=0.25, count=4),
        curb(rise=0.1, stride=0.25, count=2, off=True),
        curb(rise=0.1, stride=0.25, count=2, off=False),
    ],
    ids=lambda profile: profile.name,
)
def test_heights_are_those_of_the_mesh(profile):
    mesh = trimesh.util.concatenate([trimesh.Trimesh(*part) for part in profile.meshes()])
    x = np.arange(profile.strides + 1) * profile.stride
    x = np.concatenate((x, x + 0.08, x - 0.08))
    origins = np.column_stack((x, np.full_like(x, 0.013), np.full_like(x, 3.0)))
    places, rays, _ = mesh.ray.intersects_location(origins, np.tile([0.0, 0.0, -1.0], (len(x), 1)))
    found = np.zeros(len(x))
    np.maximum.at(found, rays, places[:, 2])
    np.testing.assert_allclose(profile.height(x), found, atol=1e-9)
    _, _, pitch = profile.foothold(1)
    tilt = {"slope_up": -0.15, "slope_down": 0.15}.get(profile.name, 0.0)
    assert pitch == pytest.approx(tilt, abs=1e-9)
