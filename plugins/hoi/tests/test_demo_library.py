"""The demo libraries of the four tasks, read back from their files and judged by MuJoCo."""

import mujoco
import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from grail_framework.assets.usd import read_object
from grail_framework.config import MotionCfg
from grail_framework.motion.preparation.bps import basis_points
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.robots.builder import ROOT_JOINT, build_robot
from grail_framework.robots.g1 import g1_43dof
from grail_hoi.demo.library import make_advanced_manip_ground, make_advanced_manip_table, make_pnp_ground, make_pnp_table

GRAVITY, FPS, SUBSTEPS = 9.81, 50.0, 4
FEET = ("left_ankle_roll_link", "right_ankle_roll_link")
CASES = {
    **{
        f"pickup_table__{kind}__{i:03d}": "table" for i, kind in enumerate(("can", "carton", "bottle", "cup", "barrel", "ball"))
    },
    **{f"pickup_ground__{kind}__{i:03d}": "ground" for i, kind in enumerate(("canister", "block", "rack"))},
    **{f"manipulation_table__{kind}__{i:03d}": "advanced_table" for i, kind in enumerate(("carton", "can", "cup", "barrel"))},
    **{f"manipulation_ground__rack__{i:03d}": "advanced_ground" for i in range(2)},
}
DENSITY = 300.0


@pytest.fixture(scope="module")
def robot():
    return g1_43dof()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One motion of every kind."""
    return {
        "table": make_pnp_table(tmp_path_factory.mktemp("table"), motions=6, seed=3),
        "ground": make_pnp_ground(tmp_path_factory.mktemp("ground"), motions=3, seed=3),
        "advanced_table": make_advanced_manip_table(tmp_path_factory.mktemp("advanced_table"), motions=4, seed=3),
        "advanced_ground": make_advanced_manip_ground(tmp_path_factory.mktemp("advanced_ground"), motions=2, seed=3),
    }


def read(folders, key):
    folder = folders[CASES[key]]
    clip, faults = GrailReader().open(MotionCfg(data=str(folder))).read(key)
    assert not faults
    return clip


@pytest.fixture(scope="module", params=CASES)
def led(request, folders, robot):
    return Led(read(folders, request.param), robot)


class Led:
    """A motion from its files, and what happens when a robot is led along it beside the real object.

    Joints that the motion describes are put where it says at every substep; fingers follow the hand actions by their motors.
    """

    def __init__(self, clip, robot):
        self.clip, self.robot = clip, robot
        self.advanced = CASES[clip.key].startswith("advanced")
        self.pieces = [piece.vertices for piece in read_object(clip.object_usd).pieces]
        self.model = self._scene()
        data = mujoco.MjData(self.model)
        frames = self.frames = len(clip.root_pos)
        self.qpos = self._led_qpos()
        self.joints = np.flatnonzero(self.model.dof_armature > 1e4)
        names = [self.model.body(i).name for i in range(self.model.nbody)]
        self.object_pos = np.zeros((frames, 3))
        self.touching: list[set[str]] = []
        self.depth: dict[tuple[str, str], float] = {}
        self.com, self.spin, self.soles = np.zeros((frames, 3)), np.zeros((frames, 3)), np.zeros((frames, 2, 4, 3))
        self.palm = {side: np.zeros((frames, 7)) for side in ("left", "right")}
        data.joint("object").qpos = [*clip.object.pos[0], *clip.object.quat[0]]
        for frame in range(frames):
            self._advance(data, max(frame - 1, 0), frame)
            self._note(data, frame, names)
        self._whole_body()

    def _scene(self):
        spec = build_robot(self.robot)
        spec.option.timestep = 1.0 / (FPS * SUBSTEPS)
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        for name in (ROOT_JOINT, *self.clip.joint_names):
            spec.joint(name).armature = 1e5
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0.0, 0.0, 1.0))
        if self.clip.table_pos is not None:
            table = spec.worldbody.add_body(name="table", pos=self.clip.table_pos, quat=self.clip.table_quat)
            table.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=0.5 * np.asarray(self.clip.table_size))
        body = spec.worldbody.add_body(name="object")
        body.add_freejoint(name="object")
        volumes = [ConvexHull(points).volume for points in self.pieces]
        for i, points in enumerate(self.pieces):
            spec.add_mesh(name=f"piece{i}", uservert=points.astype(np.float32).ravel())
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_MESH,
                meshname=f"piece{i}",
                mass=DENSITY * volumes[i] if self.advanced else 0.1 * volumes[i] / sum(volumes),
                priority=2,
            )
        model = spec.compile()
        model.stat.meaninertia = 0.1  # the solver's tolerance is relative to it
        return model

    def _led_qpos(self):
        qpos = np.zeros((self.frames, self.model.nq))
        qpos[:, :3] = self.clip.root_pos
        qpos[:, 3:7] = self.clip.root_quat / np.linalg.norm(self.clip.root_quat, axis=1, keepdims=True)
        for name, angles in zip(self.clip.joint_names, self.clip.joint_pos.T, strict=True):
            qpos[:, self.model.joint(name).qposadr[0]] = angles
        return qpos

    def _advance(self, data, before, frame):
        led = np.array([*range(7), *(self.model.joint(name).qposadr[0] for name in self.clip.joint_names)])
        speed = np.zeros(self.model.nv)
        mujoco.mj_differentiatePos(self.model, speed, 1.0 / FPS, self.qpos[before], self.qpos[frame])
        action_scale = {joint.name: joint.action_scale for joint in self.robot.joints}
        for column, side in enumerate(("left", "right")):
            hand = self.robot.hands[side]
            closed = self.clip.hand_action[before, column] >= 0.0
            for name, raw in zip(hand.joints, hand.closed_action if closed else hand.open_action, strict=True):
                data.actuator(name).ctrl = action_scale[name] * raw
        data.qpos[led] = self.qpos[before][led]
        for _ in range(SUBSTEPS if frame else 0):
            data.qvel[self.joints] = speed[self.joints]
            mujoco.mj_step(self.model, data)
        data.qpos[led] = self.qpos[frame][led]
        mujoco.mj_forward(self.model, data)

    def _note(self, data, frame, names):
        self.object_pos[frame] = data.body("object").xpos
        touching, wrench = set(), np.zeros(6)
        for index, contact in enumerate(data.contact):
            pair = tuple(sorted(names[self.model.geom_bodyid[geom]] for geom in contact.geom))
            self.depth[pair] = max(self.depth.get(pair, 0.0), -contact.dist)
            mujoco.mj_contactForce(self.model, data, index, wrench)
            if "object" in pair and np.linalg.norm(wrench[:3]) > 0.1:
                touching.update(pair)
        self.touching.append(touching)
        for side, poses in self.palm.items():
            body = data.body(self.robot.hands[side].palm)
            poses[frame] = [*body.xpos, *body.xquat]

    def _whole_body(self):
        """Note momentum and soles, the fingers open."""
        model = build_robot(self.robot).compile()
        data = mujoco.MjData(model)
        qpos = np.zeros((self.frames, model.nq))
        qpos[:, :7] = self.qpos[:, :7]
        for name, angles in zip(self.clip.joint_names, self.clip.joint_pos.T, strict=True):
            qpos[:, model.joint(name).qposadr[0]] = angles
        for frame in range(self.frames):
            before, after = max(frame - 1, 0), min(frame + 1, self.frames - 1)
            data.qpos[:] = qpos[frame]
            mujoco.mj_differentiatePos(model, data.qvel, (after - before) / FPS, qpos[before], qpos[after])
            mujoco.mj_forward(model, data)
            mujoco.mj_subtreeVel(model, data)
            self.com[frame], self.spin[frame] = data.subtree_com[0], data.subtree_angmom[0]
            for i, foot in enumerate(FEET):
                geom = model.geom(f"{foot}-0").id
                corners = np.array([[x, y, -1.0] for x in (-1, 1) for y in (-1, 1)]) * model.geom_size[geom]
                self.soles[frame, i] = corners @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
        self.mass = model.body_subtreemass[0]

    @property
    def held(self):
        """Frames with contact points of any hand."""
        return sorted({frame for points in self.clip.object.contact_points.values() for frame in points})

    @property
    def hands(self):
        """Sides that grasp."""
        return [side for side, points in self.clip.object.contact_points.items() if points]

    def lowest(self, frame):
        """Return the height of the object's lowest point as it is written."""
        turn = Rotation.from_quat(self.clip.object.quat[frame], scalar_first=True)
        return min((turn.apply(points) + self.clip.object.pos[frame])[:, 2].min() for points in self.pieces)

    @property
    def set_down(self):
        """Whether the object is set down in the end."""
        return self.advanced or self.clip.table_pos is not None

    @property
    def support(self):
        """Height of what the object stands on."""
        return 0.0 if self.clip.table_pos is None else self.clip.table_pos[2] + 0.5 * self.clip.table_size[2]


def test_files_and_shapes(folders):
    for where, folder in folders.items():
        keys = sorted(key for key, place in CASES.items() if place == where)
        for part, suffix in (("robot", "pkl"), ("objects", "pkl"), ("meta", "pkl"), ("object_usd", "usd")):
            assert sorted(path.stem for path in (folder / part).glob(f"*.{suffix}")) == keys
        np.testing.assert_array_equal(np.load(folder / "bps" / "_basis.npy"), basis_points())
        assert np.load(folder / "bps" / f"{keys[0]}.npy").shape == (10,)


def test_objects_differ(folders):
    sizes = {
        tuple(np.ptp(np.concatenate([p.vertices for p in read_object(read(folders, key).object_usd).pieces]), axis=0).round(3))
        for key in CASES
    }
    assert len(sizes) == len(CASES)
    places = np.array([read(folders, key).object.pos[0, :2] for key in CASES])
    assert np.ptp(places, axis=0).min() > 0.05


def test_the_table_is_the_release_s(led):
    if led.clip.table_pos is None:
        assert "ground" in led.clip.key
    else:
        np.testing.assert_allclose(led.clip.table_size, (1.0 if led.advanced else 2.0, 0.6, 0.04))
        np.testing.assert_allclose(led.clip.table_quat, (1.0, 0.0, 0.0, 0.0), atol=1e-6)


def test_the_motion_lasts_some_seconds_and_starts_in_the_default_pose(led):
    assert led.clip.fps == FPS
    assert 4.0 <= led.frames / FPS <= 8.0
    default = {joint.name: joint.default_pos for joint in led.robot.joints}
    np.testing.assert_allclose(led.clip.joint_pos[0], [default[name] for name in led.clip.joint_names], atol=0.02)


def test_quaternions_are_of_unit_length_and_do_not_jump(led):
    for quat in (led.clip.root_quat, led.clip.object.quat):
        np.testing.assert_allclose(np.linalg.norm(quat, axis=1), 1.0, atol=1e-6)
        assert ((quat[1:] * quat[:-1]).sum(axis=1) > 0.99).all()


def test_joints_stay_within_soft_limits_and_speeds(led):
    joints = {joint.name: joint for joint in led.robot.joints}
    for name, angles in zip(led.clip.joint_names, led.clip.joint_pos.T, strict=True):
        joint = joints[name]
        middle, half = 0.5 * (joint.lower + joint.upper), 0.5 * (joint.upper - joint.lower)
        assert np.abs(angles - middle).max() <= 0.9 * half + 1e-5, name
        assert np.abs(np.diff(angles)).max() * FPS < 0.6 * joint.velocity, name


def test_feet_stand_on_the_ground_and_stay(led):
    assert np.abs(led.soles[..., 2]).max() < 0.005
    assert np.ptp(led.soles[..., :2], axis=0).max() < 0.005


def test_the_centre_of_pressure_is_inside_the_feet(led):
    """From the momentum of the whole body, the object's weight left out."""
    acceleration = np.gradient(np.gradient(led.com, 1 / FPS, axis=0), 1 / FPS, axis=0)
    moment = np.gradient(led.spin, 1 / FPS, axis=0)
    lift = led.mass * (acceleration[:, 2] + GRAVITY)
    x = led.com[:, 0] - (led.mass * acceleration[:, 0] * led.com[:, 2] + moment[:, 1]) / lift
    y = led.com[:, 1] - (led.mass * acceleration[:, 1] * led.com[:, 2] - moment[:, 0]) / lift
    for point, soles in zip(np.stack((x, y), axis=1)[2:-2], led.soles[2:-2], strict=True):
        hull = ConvexHull(soles.reshape(-1, 3)[:, :2])
        assert (hull.equations[:, :2] @ point + hull.equations[:, 2]).max() < -0.01


def test_nothing_cuts_into_anything(led):
    deepest = max(led.depth, key=lambda pair: led.depth[pair])
    assert led.depth[deepest] < 0.005, deepest


def test_no_part_of_the_robot_touches_the_table(led):
    assert not [pair for pair in led.depth if "table" in pair and "object" not in pair]


def test_the_object_rests_on_its_support_until_it_is_held_and_after(led):
    closing = int(np.argmax((led.clip.hand_action > 0).any(axis=1)))
    np.testing.assert_allclose([led.lowest(frame) for frame in range(closing)], led.support, atol=1e-3)
    still = led.clip.object.pos[: closing + 1]
    np.testing.assert_allclose(still, np.tile(still[0], (len(still), 1)), atol=1e-5)
    if led.set_down:
        assert led.lowest(led.frames - 1) == pytest.approx(led.support, abs=1e-3)
        assert (led.clip.hand_action[-1] == -1.0).all()
    if led.set_down and not led.advanced:
        assert np.linalg.norm(led.clip.object.pos[-1] - led.clip.object.pos[0]) > 0.05


def test_an_advanced_object_is_tilted_and_set_down_turned(led):
    turn = Rotation.from_quat(led.clip.object.quat, scalar_first=True)
    tilt = np.arccos(np.clip(turn.apply([0.0, 0.0, 1.0])[:, 2], -1.0, 1.0))
    about_z = abs((turn[-1] * turn[0].inv()).as_rotvec()[2])
    if led.advanced:
        assert tilt.max() > 0.1
        assert tilt[[0, -1]].max() < 1e-3
        assert about_z > 0.09
    else:
        assert tilt.max() < 0.1


def test_the_asset_has_the_mass_of_its_task(led):
    volume = sum(ConvexHull(points).volume for points in led.pieces)
    assert read_object(led.clip.object_usd).mass == pytest.approx(DENSITY * volume if led.advanced else 0.1, rel=1e-4)


def test_the_object_is_lifted(led):
    rise = led.clip.object.pos[:, 2].max() - led.clip.object.pos[0, 2]
    assert rise > (0.09 if led.set_down else 0.3)


def test_the_held_object_is_rigid_in_the_hand(led):
    for side in led.hands:
        palm = led.palm[side][led.held]
        turn = Rotation.from_quat(palm[:, 3:], scalar_first=True)
        pos = turn.inv().apply(led.clip.object.pos[led.held] - palm[:, :3])
        assert np.ptp(pos, axis=0).max() < 2e-3
        relative = turn.inv() * Rotation.from_quat(led.clip.object.quat[led.held], scalar_first=True)
        assert (relative * relative[0].inv()).magnitude().max() < 0.02


def test_contact_points_are_there_for_both_hands_and_on_the_object(led):
    points = led.clip.object.contact_points
    assert set(points) == {"left", "right"}
    assert led.hands == (["left", "right"] if "rack" in led.clip.key else ["right"])
    hulls = [ConvexHull(piece) for piece in led.pieces]
    for side in led.hands:
        assert sorted(points[side]) == led.held
        first = points[side][led.held[0]]
        assert len(first) >= 3
        for frame in led.held:
            np.testing.assert_array_equal(points[side][frame], first)
        inside = [np.max(hull.equations[:, :3] @ first.T + hull.equations[:, 3:], axis=0) for hull in hulls]
        assert np.abs(np.min(inside, axis=0)).max() < 0.005
    column = {"left": 0, "right": 1}
    for side in led.hands:
        assert (led.clip.hand_action[led.held, column[side]] == 1.0).all()


def grasps(led, side):
    """Return whether thumb and fingers, three links in all, touch the object, for every held frame."""
    found = []
    for frame in led.held:
        links = [name for name in led.touching[frame] if name.startswith(f"{side}_hand") and "palm" not in name]
        thumb = sum("thumb" in name for name in links)
        found.append(len(links) >= 3 and 0 < thumb < len(links))
    return np.array(found)


def test_thumb_and_fingers_hold_the_object_which_follows(led):
    for side in led.hands:
        assert grasps(led, side).mean() > 0.95
    error = np.linalg.norm(led.object_pos - led.clip.object.pos, axis=1)
    assert error.max() < 0.03


def test_the_same_seed_gives_the_same_files(tmp_path, folders):
    again = make_pnp_table(tmp_path / "again", motions=1, seed=3)
    files = [path.relative_to(again) for path in again.rglob("*") if path.is_file()]
    assert len(files) == 6
    assert all((again / file).read_bytes() == (folders["table"] / file).read_bytes() for file in files)


def test_another_seed_gives_other_motions(tmp_path, folders):
    other = make_pnp_ground(tmp_path / "other", motions=1, seed=4)
    name = "robot/pickup_ground__canister__000.pkl"
    assert (other / name).read_bytes() != (folders["ground"] / name).read_bytes()
