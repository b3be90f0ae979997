"""Motions with one fault each, made from a good one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import attrs
import joblib
import numpy as np

from grail_framework.motion.readers.joints import ISAAC_JOINT_NAMES, JOINT_AXES, JOINT_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAN = np.float32(np.nan)


@attrs.define
class Motion:
    """The content of a motion's files; what is None is not written."""

    robot: Any
    obj: Any
    meta: Any
    bps: Any
    usd: Path | None

    def write(self, root: Path, key: str) -> None:
        for part, content in (("robot", self.robot), ("objects", self.obj), ("meta", self.meta)):
            (root / part).mkdir(parents=True, exist_ok=True)
            if content is not None:
                joblib.dump(content if part == "meta" else {key: content}, root / part / f"{key}.pkl")
        for part in ("bps", "object_usd"):
            (root / part).mkdir(parents=True, exist_ok=True)
        if self.bps is not None:
            np.save(root / "bps" / f"{key}.npy", self.bps)
        if self.usd is not None:
            shutil.copyfile(self.usd, root / "object_usd" / f"{key}.usd")


def put(entry: dict[str, Any], name: str, where: Any, value: Any) -> None:
    """Overwrite some values of an array, in a copy that can be written."""
    entry[name] = np.array(entry[name])
    entry[name][where] = value


def add(entry: dict[str, Any], name: str, where: Any, value: Any) -> None:
    entry[name] = np.array(entry[name])
    entry[name][where] += value


def scale(entry: dict[str, Any], name: str, factor: float) -> None:
    entry[name] = np.array(entry[name]) * np.float32(factor)


def angles_only(m: Motion) -> None:
    """Describe the robot by joint angles and a root quaternion, as some files do."""
    del m.robot["pose_aa"]


def two_knees(frames: int, order: tuple[str, ...]) -> np.ndarray:
    """A crouch, whose columns are in the given order."""
    dof = np.zeros((frames, 29), np.float32)
    for name in ("left_knee_joint", "right_knee_joint"):
        dof[:, order.index(name)] = 1.0
    return dof


def isaac_angles(m: Motion) -> None:
    angles_only(m)
    m.robot["dof"] = two_knees(len(m.robot["dof"]), ISAAC_JOINT_NAMES)


def isaac_pose(m: Motion) -> None:
    pose = np.array(m.robot["pose_aa"])
    axes = np.eye(3, dtype=np.float32)[["xyz".index(axis) for axis in JOINT_AXES]]
    moving = pose[:, 1:].sum(axis=-1) + np.float32(0.3)
    in_isaac = [JOINT_NAMES.index(name) for name in ISAAC_JOINT_NAMES]
    pose[:, 1:] = (moving[:, :, None] * axes)[:, in_isaac]
    m.robot["pose_aa"] = pose


def degrees(m: Motion) -> None:
    m.robot["pose_aa"] = np.array(m.robot["pose_aa"])
    m.robot["pose_aa"][:, 1:] *= np.float32(180 / np.pi)
    del m.robot["dof"]


def short_object(m: Motion, share: float) -> None:
    frames = max(2, int(len(m.obj["root_pos"]) * share))
    for name in ("root_pos", "root_quat"):
        m.obj[name] = m.obj[name][:frames]
    for name in ("contact_points_left_hand", "contact_points_right_hand"):
        m.obj[name] = {}


def contact(m: Motion, frame: int, points: Any) -> None:
    m.obj["contact_points_left_hand"] = {**m.obj["contact_points_left_hand"], frame: points}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_usd(m: Motion, content: bytes) -> None:
    assert m.usd is not None
    m.usd = m.usd.with_name("damaged.usd")
    m.usd.write_bytes(content)


ROBOT, OBJECT, META, BPS, USD = "robot/bad.pkl", "objects/bad.pkl", "meta/bad.pkl", "bps/bad.npy", "object_usd/bad.usd"
ONE = np.full((1, 3), 0.05, np.float32)


@attrs.frozen
class Fault:
    """What is done to a good motion (or, in the second table, to its library's folder), and what has to be said about it."""

    damage: Callable[[Any], Any]
    file: str
    reason: str
    frame: int | str | None = None
    """`any`: some frame; `end`: the number of the object's frames."""
    fatal: bool = True


FAULTS: dict[str, Fault] = {
    "robot: no root position": Fault(lambda m: m.robot.pop("root_trans_offset"), ROBOT, "'root_trans_offset' is missing"),
    "robot: no pose": Fault(lambda m: (m.robot.pop("pose_aa"), m.robot.pop("dof")), ROBOT, "neither 'pose_aa' nor 'dof'"),
    "robot: no root rotation": Fault(lambda m: (angles_only(m), m.robot.pop("root_rot")), ROBOT, "'root_rot' is missing"),
    "robot: NaN root": Fault(lambda m: put(m.robot, "root_trans_offset", (7, 1), NAN), ROBOT, "NaN or infinity", frame=7),
    "robot: infinite joint": Fault(lambda m: put(m.robot, "pose_aa", (9, 4, 1), np.inf), ROBOT, "NaN or infinity", frame=9),
    "robot: fps 0": Fault(lambda m: m.robot.update(fps=0.0), ROBOT, "fps is 0, allowed: 1 to 1000"),
    "robot: fps negative": Fault(lambda m: m.robot.update(fps=-30.0), ROBOT, "fps is -30"),
    "robot: fps NaN": Fault(lambda m: m.robot.update(fps=float("nan")), ROBOT, "'fps' is nan, allowed: a finite number"),
    "robot: fps of a clock": Fault(lambda m: m.robot.update(fps=1e6), ROBOT, "fps is 1e"),
    "robot: fps a text": Fault(lambda m: m.robot.update(fps="fast"), ROBOT, "'fps' is 'fast'"),
    "robot: fps missing": Fault(lambda m: m.robot.pop("fps"), ROBOT, "30 is assumed", fatal=False),
    "robot: 12 joints": Fault(
        lambda m: m.robot.update(pose_aa=m.robot["pose_aa"][:, :13], dof=m.robot["dof"][:, :12]),
        ROBOT,
        "12 joints, allowed: 29",
    ),
    "robot: 23 joints": Fault(
        lambda m: m.robot.update(pose_aa=m.robot["pose_aa"][:, [0, *range(1, 20), *range(23, 27)]], dof=m.robot["dof"][:, :23]),
        ROBOT,
        "23 joints.*29-joint G1",
    ),
    "robot: joints in Isaac order, by axes": Fault(
        isaac_pose, ROBOT, "another order than that of the Unitree G1 MJCF", frame="any"
    ),
    "robot: joints in Isaac order, by limits": Fault(
        isaac_angles, ROBOT, "in range if the file has them in the order of Isaac Lab", frame=0
    ),
    "robot: joints in degrees": Fault(degrees, ROBOT, "in degrees", frame="any"),
    "robot: a joint out of range": Fault(
        lambda m: (m.robot.pop("dof"), put(m.robot, "pose_aa", (5, 4, 1), 3.3)),
        ROBOT,
        r"left_knee_joint is at 3.300 rad, its range",
        frame=5,
        fatal=False,
    ),
    "robot: a joint jumps": Fault(
        lambda m: (m.robot.pop("dof"), put(m.robot, "pose_aa", (5, 1, 1), -2.4)),
        ROBOT,
        "left_hip_pitch_joint jumps by",
        frame="any",
        fatal=False,
    ),
    "robot: dof and pose_aa disagree": Fault(
        lambda m: add(m.robot, "dof", (8, 3), 0.4), ROBOT, "differ by 0.400 rad at left_knee_joint", frame=8, fatal=False
    ),
    "robot: root_rot in xyzw": Fault(
        lambda m: (
            angles_only(m),
            m.robot.update(root_rot=np.tile(np.array([0, 0, 0.1, 0.995], np.float32), (len(m.robot["dof"]), 1))),
        ),
        ROBOT,
        "read as xyzw",
        fatal=False,
    ),
    "robot: root not of unit length": Fault(
        lambda m: (angles_only(m), m.robot.update(root_rot=np.array(m.robot["root_rot"]) * np.float32(1.2))),
        ROBOT,
        "no unit quaternion",
        frame="any",
    ),
    "robot: a zero quaternion": Fault(
        lambda m: (angles_only(m), put(m.robot, "root_rot", 3, 0.0)), ROBOT, "no unit quaternion", frame=3
    ),
    "robot: the root jumps": Fault(
        lambda m: add(m.robot, "root_trans_offset", (slice(20, None), 0), 3.0),
        ROBOT,
        "the root moves by [23].* it jumps",
        frame=20,
    ),
    "robot: the root flips": Fault(
        lambda m: add(m.robot, "pose_aa", (slice(20, None), 0, 2), 2.5), ROBOT, "the root turns by", frame="any", fatal=False
    ),
    "robot: underground": Fault(
        lambda m: add(m.robot, "root_trans_offset", (slice(None), 2), -1.5), ROBOT, "below the ground", frame="any"
    ),
    "robot: in the air": Fault(
        lambda m: add(m.robot, "root_trans_offset", (slice(None), 2), 3.0), ROBOT, "it floats", frame="any"
    ),
    "robot: millimetres": Fault(lambda m: scale(m.robot, "root_trans_offset", 1000.0), ROBOT, "in millimetres", frame="any"),
    "robot: one frame": Fault(
        lambda m: m.robot.update({name: m.robot[name][:1] for name, value in m.robot.items() if np.ndim(value)}),
        ROBOT,
        "has 1 frames",
    ),
    "robot: no frames": Fault(
        lambda m: m.robot.update({name: m.robot[name][:0] for name, value in m.robot.items() if np.ndim(value)}),
        ROBOT,
        "has 0 frames",
    ),
    "robot: lengths differ": Fault(
        lambda m: m.robot.update(root_trans_offset=m.robot["root_trans_offset"][:-3]), ROBOT, "frames of root"
    ),
    "robot: one hand": Fault(lambda m: m.robot.pop("hand_action_left"), ROBOT, "for one hand only"),
    "robot: no hands": Fault(
        lambda m: (m.robot.pop("hand_action_left"), m.robot.pop("hand_action_right")),
        ROBOT,
        "hand_action_left/right not found in motion data",
    ),
    "robot: hand action too short": Fault(
        lambda m: m.robot.update(hand_action_left=np.ones(5)), ROBOT, "'hand_action_left' has the shape"
    ),
    "robot: hand action out of range": Fault(
        lambda m: put(m.robot, "hand_action_right", 6, 40.0), ROBOT, "hand_action is 40, allowed: -1", frame=6
    ),
    "robot: table in the robot file": Fault(
        lambda m: (m.robot.update(table_pos=[0, 0, 0.4]), m.meta.pop("table_pos"), m.meta.pop("table_quat")),
        ROBOT,
        "belongs into meta/",
        fatal=False,
    ),
    "robot: a list": Fault(
        lambda m: setattr(m, "robot", [1, 2]), ROBOT, "'root_trans_offset' is missing|allowed: a dictionary|holds 1"
    ),
    "object: none": Fault(lambda m: setattr(m, "obj", None), ROBOT, "no object motion"),
    "object: no position": Fault(lambda m: m.obj.pop("root_pos"), OBJECT, "'root_pos' is missing"),
    "object: two objects": Fault(
        lambda m: m.obj.update({name: np.repeat(m.obj[name], 2, axis=1) for name in ("root_pos", "root_quat")}),
        OBJECT,
        "2 objects",
    ),
    "object: NaN": Fault(lambda m: put(m.obj, "root_pos", (11, 0, 2), NAN), OBJECT, "NaN or infinity", frame=11),
    "object: fps negative": Fault(lambda m: m.obj.update(fps=-1.0), OBJECT, "fps of the object is -1"),
    "object: another fps": Fault(
        lambda m: m.obj.update(fps=m.obj["fps"] * 0.9), OBJECT, "frames per second, the robot", fatal=False
    ),
    "object: zero quaternion": Fault(
        lambda m: put(m.obj, "root_quat", (4, 0), 0.0), OBJECT, "object rotation is no unit quaternion", frame=4
    ),
    "object: identity in xyzw": Fault(
        lambda m: m.obj.update(root_quat=np.tile(np.array([0, 0, 0, 1], np.float32), (len(m.obj["root_pos"]), 1, 1))),
        OBJECT,
        "read as xyzw",
        fatal=False,
    ),
    "object: jumps": Fault(
        lambda m: add(m.obj, "root_pos", (slice(20, None), 0, 0), 4.0), OBJECT, "the object moves by .* it jumps", frame=20
    ),
    "object: below the ground": Fault(
        lambda m: add(m.obj, "root_pos", (slice(None), 0, 2), -2.0), OBJECT, "below the ground", frame="any"
    ),
    "object: far from the robot": Fault(
        lambda m: add(m.obj, "root_pos", (slice(None), 0, 0), 20.0), OBJECT, "never nearer to the robot", fatal=False
    ),
    "object: millimetres": Fault(lambda m: scale(m.obj, "root_pos", 1000.0), OBJECT, "in millimetres", frame="any"),
    "object: shorter": Fault(lambda m: short_object(m, 0.8), OBJECT, "the object's motion lasts", frame="any", fatal=False),
    "object: much shorter": Fault(lambda m: short_object(m, 0.3), OBJECT, "the object's motion lasts", frame="any"),
    "contact: beyond the end": Fault(
        lambda m: contact(m, len(m.obj["root_pos"]), ONE), OBJECT, "left hand lie outside the object's", frame="end"
    ),
    "contact: before the start": Fault(lambda m: contact(m, -1, ONE), OBJECT, "left hand lie outside", frame=-1),
    "contact: wrong shape": Fault(lambda m: contact(m, 3, np.ones((2, 2))), OBJECT, r"points of the shape \(2, 2\)", frame=3),
    "contact: NaN": Fault(lambda m: contact(m, 3, ONE * NAN), OBJECT, "NaN or infinity", frame=3),
    "contact: metres away": Fault(lambda m: contact(m, 3, ONE * 100), OBJECT, "m from the object's origin", frame=3),
    "contact: in the world": Fault(
        lambda m: contact(m, 3, ONE + 1.0), OBJECT, "points belong into its frame", frame=3, fatal=False
    ),
    "contact: no frame number": Fault(
        lambda m: m.obj["contact_points_left_hand"].update(first=ONE), OBJECT, "source frame numbers"
    ),
    "contact: a list": Fault(lambda m: m.obj.update(contact_points_left_hand=[ONE]), OBJECT, "no dictionary"),
    "contact: none in this file": Fault(
        lambda m: (m.obj.pop("contact_points_left_hand"), m.obj.pop("contact_points_right_hand")),
        OBJECT,
        "has no contact points, which 1 other",
        fatal=False,
    ),
    "meta: none": Fault(lambda m: setattr(m, "meta", None), ROBOT, "Meta pkl missing for motion 'bad'"),
    "meta: no table": Fault(
        lambda m: (m.meta.pop("table_pos"), m.meta.pop("table_quat")),
        META,
        "missing required keys 'table_pos' and/or 'table_quat'",
    ),
    "meta: half a table": Fault(
        lambda m: m.meta.pop("table_quat"), META, "missing required keys 'table_pos' and/or 'table_quat'"
    ),
    "meta: table in xyzw": Fault(
        lambda m: m.meta.update(table_quat=[0.0, 0.0, 0.38268343, 0.92387953]), META, "read as xyzw", fatal=False
    ),
    "meta: table in NaN": Fault(lambda m: m.meta.update(table_pos=[0.0, NAN, 0.4]), META, "NaN or infinity", frame=1),
    "meta: table turned by nothing": Fault(
        lambda m: m.meta.update(table_quat=[0.0, 0.0, 0.0, 0.0]), META, "table_quat is no unit", frame=0
    ),
    "meta: object far from its table": Fault(
        lambda m: m.meta.update(table_pos=[9.0, 9.0, 0.4]), META, "does not start at its table", frame=0
    ),
    "bps: wrong width": Fault(lambda m: setattr(m, "bps", np.ones(7, np.float32)), BPS, "allowed: 10 finite numbers"),
    "bps: NaN": Fault(lambda m: setattr(m, "bps", np.full(10, NAN)), BPS, "allowed: 10 finite numbers"),
    "bps: pickled": Fault(lambda m: setattr(m, "bps", np.array([{}] * 10)), BPS, "no readable array"),
    "bps: none": Fault(lambda m: setattr(m, "bps", None), BPS, "no basis point set for this motion", fatal=False),
    "asset: none": Fault(lambda m: setattr(m, "usd", None), ROBOT, "no object asset of its stem"),
    "asset: empty": Fault(lambda m: damage_usd(m, b""), USD, "readable|cannot|empty|not a"),
    "asset: garbage": Fault(lambda m: damage_usd(m, b"#usda 1.0\ndef garbage"), USD, "readable"),
}
FILE_FAULTS: dict[str, Fault] = {
    "robot file truncated": Fault(lambda root: truncate(root / ROBOT), ROBOT, "damaged one|truncated"),
    "robot file empty": Fault(lambda root: (root / ROBOT).write_bytes(b""), ROBOT, "no readable pickle"),
    "robot file a text": Fault(lambda root: (root / ROBOT).write_text("root_pos"), ROBOT, "no readable pickle"),
    "robot file a dictionary of numbers": Fault(
        lambda root: joblib.dump({"a": 1}, root / ROBOT), ROBOT, "'root_trans_offset' is missing"
    ),
    "robot file a list": Fault(lambda root: joblib.dump([1], root / ROBOT), ROBOT, "holds a list, allowed: a dictionary"),
    "robot file with two motions": Fault(
        lambda root: joblib.dump({"x": {"a": 1}, "y": {"a": 1}}, root / ROBOT), ROBOT, "holds 2 motions"
    ),
    "robot file unreadable": Fault(lambda root: ((root / ROBOT).unlink(), (root / ROBOT).mkdir()), ROBOT, "no readable"),
    "object file truncated": Fault(lambda root: truncate(root / OBJECT), OBJECT, "damaged one"),
    "meta file empty": Fault(lambda root: (root / META).write_bytes(b""), META, "no readable pickle"),
    "basis point set truncated": Fault(lambda root: truncate(root / BPS), BPS, "no readable array"),
    "two robot files of one stem": Fault(
        lambda root: ((root / "robot" / "more").mkdir(), shutil.copyfile(root / ROBOT, root / "robot" / "more" / "bad.pkl")),
        ROBOT,
        "stem of its own",
    ),
    "two assets of one stem": Fault(
        lambda root: shutil.copyfile(root / USD, root / "object_usd" / "bad.usda"), USD, "has one stem with"
    ),
    "object without a robot": Fault(
        lambda root: shutil.copyfile(root / OBJECT, root / "objects" / "lost.pkl"),
        "objects/lost.pkl",
        "1 object motions have no robot motion",
        fatal=False,
    ),
    "asset without a motion": Fault(
        lambda root: shutil.copyfile(root / USD, root / "object_usd" / "lost.usd"),
        "object_usd/lost.usd",
        "1 object assets have no robot motion",
        fatal=False,
    ),
}
