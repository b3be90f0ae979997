"""Small clips made on the spot."""

from pathlib import Path

import numpy as np
import pytest

from grail_framework.motion.clip import MotionClip, ObjectTrack
from grail_framework.motion.readers.grail_entries import JOINT_NAMES


@pytest.fixture
def make_clip():
    """Maker of a clip: a robot that stands at 0.79 m, an object that rises by 1 cm a frame from the fifth on."""

    def make(frames=12, *, root_z=0.79, **changes):
        up = np.maximum(np.arange(frames) - 4, 0) * 0.01
        track = ObjectTrack(
            pos=np.stack([np.full(frames, 0.4), np.zeros(frames), 0.8 + up], axis=-1).astype(np.float32),
            quat=np.tile(np.array([1, 0, 0, 0], np.float32), (frames, 1)),
            fps=30.0,
            contact_points={"left": {}, "right": {}},
        )
        values = {
            "key": "cup__000",
            "path": Path("cup__000.pkl"),
            "fps": 30.0,
            "joint_names": JOINT_NAMES,
            "root_pos": np.tile(np.array([0, 0, root_z], np.float32), (frames, 1)),
            "root_quat": np.tile(np.array([1, 0, 0, 0], np.float32), (frames, 1)),
            "joint_pos": np.full((frames, 29), 0.1, np.float32),
            "object": track,
            "object_name": "cup",
        }
        return MotionClip(**(values | changes))

    return make


@pytest.fixture
def real_box_clip(real_data):
    """The published clip of a robot that carries a large box, read without the project's readers."""
    path = real_data / "raw" / "holosoma_largebox" / "sub3_largebox_003_mj_w_obj.npz"
    archive = np.load(path)
    state = archive["joint_pos"].astype(np.float32)
    return MotionClip(
        key="box",
        path=path,
        fps=50.0,
        joint_names=tuple(archive["joint_names"].tolist()),
        root_pos=state[:, :3],
        root_quat=state[:, 3:7],
        joint_pos=state[:, 7:],
        object=ObjectTrack(
            pos=archive["object_pos_w"].astype(np.float32), quat=archive["object_quat_w"].astype(np.float32), fps=50.0
        ),
    )
