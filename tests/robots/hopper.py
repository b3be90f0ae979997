"""A robot that is no G1: a trunk on one leg. It is a plugin too: `GrailPluginManager(plugin_files=[__file__])` registers it."""

from __future__ import annotations

from grail_framework import hookimpl

TRUNK_MASS, THIGH_MASS, SHANK_MASS, PAD_MASS = 8.0, 2.0, 1.0, 0.5


def hopper():
    """Describe a hopper of four links and two joints, 0.9 m high, without hands."""
    from grail_framework.robots.spec import BodySpec, ColliderSpec, JointSpec, RobotSpec

    def joint(name, lower, upper, default):
        return JointSpec(
            name=name,
            axis=(0.0, 1.0, 0.0),
            lower=lower,
            upper=upper,
            stiffness=80.0,
            damping=4.0,
            armature=0.01,
            effort=60.0,
            velocity=20.0,
            action_scale=0.25 * 60.0 / 80.0,
            default_pos=default,
        )

    def link(name, parent, z, mass, shape, moved_by=None):
        return BodySpec(
            name=name,
            parent=parent,
            pos=(0.0, 0.0, z),
            mass=mass,
            com=(0.0, 0.0, 0.0 if parent is None else -0.1),
            inertia=(0.02, 0.02, 0.01, 0.0, 0.0, 0.0),
            joint=moved_by,
            colliders=(shape,),
        )

    thigh = ColliderSpec(shape="capsule", size=(0.04, 0.12), pos=(0.0, 0.0, -0.2))
    shank = ColliderSpec(shape="capsule", size=(0.03, 0.12), pos=(0.0, 0.0, -0.2))
    return RobotSpec(
        name="hopper",
        bodies=(
            link("trunk", None, 0.0, TRUNK_MASS, ColliderSpec(shape="box", size=(0.15, 0.1, 0.05))),
            link("thigh", "trunk", -0.05, THIGH_MASS, thigh, joint("hip", -1.5, 1.5, -0.3)),
            link("shank", "thigh", -0.4, SHANK_MASS, shank, joint("knee", 0.0, 2.5, 0.6)),
            link("pad", "shank", -0.4, PAD_MASS, ColliderSpec(shape="box", size=(0.12, 0.1, 0.02), pos=(0.0, 0.0, -0.02))),
        ),
        joint_names=("knee", "hip"),  # not the order of the links
        num_motion_joints=2,
        anchor_body="trunk",
        tracked_bodies=("trunk", "shank", "pad"),
        end_effectors=("pad",),
        spawn_height=0.85,
        source="made up for tests",
    )


class HopperReader:
    """Motions of the hopper: `.hop` files of JSON, one row per frame with height, hip and knee."""

    name = "hop"
    layout = "DIR/<stem>.hop"

    def detect(self, cfg):
        from pathlib import Path

        return cfg.data is not None and any(Path(cfg.data).glob("*.hop"))

    def open(self, cfg):
        from pathlib import Path

        return HopperSource({path.stem: path for path in sorted(Path(cfg.data).glob("*.hop"))})


class HopperSource:
    """An opened folder."""

    def __init__(self, paths):
        self._paths = paths
        self.keys = tuple(paths)

    def read(self, key):
        import json

        import numpy as np

        from grail_framework.motion.clip import MotionClip

        rows = np.array(json.loads(self._paths[key].read_text(encoding="utf-8")), dtype=np.float32)
        upright = np.tile(np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32), (len(rows), 1))
        root = np.zeros((len(rows), 3), dtype=np.float32)
        root[:, 2] = rows[:, 0]
        clip = MotionClip(
            key=key,
            path=self._paths[key],
            fps=50.0,
            joint_names=("hip", "knee"),
            root_pos=root,
            root_quat=upright,
            joint_pos=rows[:, 1:],
        )
        return clip, []


@hookimpl
def grail_register_robots(registry):
    registry.add("hopper", f"{__name__}:hopper", summary="A trunk on one leg")


@hookimpl
def grail_register_motion_readers(registry):
    registry.add("hop", f"{__name__}:HopperReader", summary="Heights and angles of a hopper")
