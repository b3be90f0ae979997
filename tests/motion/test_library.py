from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from grail_framework.config.scene import MotionCfg
from grail_framework.errors import ConfigError, DataError
from grail_framework.motion import ahead
from grail_framework.motion.clip import ContactLabels, MotionClip
from grail_framework.motion.library import MotionLibrary
from grail_framework.motion.loading import load_library
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.robots.rotations import quat_apply, quat_conj, quat_mul, rotvec_from_quat

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.robots.spec import RobotSpec


def load(where: Path, robot: RobotSpec, **kwargs: Any) -> MotionLibrary:
    arguments: dict[str, Any] = {
        "device": "cpu",
        "need_object": False,
        "need_table": False,
        "readers": [GrailReader()],
    } | kwargs
    cfg = MotionCfg(data=str(where), **arguments.pop("cfg", {}))
    return load_library(cfg, robot, **arguments)


def ids(*values: int) -> torch.Tensor:
    return torch.tensor(values)


@pytest.fixture
def three(library: Any) -> Path:
    """Three motions: 40 frames at 30 fps, 30 frames at 50 fps without contact keys, 50 frames at 25 fps."""
    library.add("a")
    plain = library.object_entry(30, 50.0, contact_points_left_hand=None, contact_points_right_hand=None)
    library.add("b", robot=library.robot_entry(30, 50.0), obj=plain)
    table = {"object_name": "cup", "table_pos": [0.5, 0.4, 0.0], "table_quat": [1.0, 0.0, 0.0, 0.0]}
    library.add("c", robot=library.robot_entry(50, 25.0), obj=library.object_entry(50, 25.0), meta=table)
    return library.root


def test_what_the_library_knows_of_each_motion(three: Path, g1: RobotSpec) -> None:
    lib = load(three, g1, need_object=True)
    assert lib.keys == ("a", "b", "c")
    assert lib.num_motions == 3
    assert lib.num_frames.tolist() == [65, 30, 98]
    assert lib.starts.tolist() == [0, 65, 95]
    assert lib.total_frames == 193
    assert lib.has_object.tolist() == [True, True, True]
    assert lib.has_contact_labels.tolist() == [True, False, True]
    assert lib.missing(lib.has_contact_labels) == ("b",)
    assert lib.first_contact.tolist() == [int(20 * 50 / 30), 30, 50]
    assert lib.has_table.tolist() == [False, False, True]
    np.testing.assert_allclose(lib.table_pos[2], [0.5, 0.4, 0.0])
    assert lib.table_quat.tolist() == [[1.0, 0.0, 0.0, 0.0]] * 3
    assert lib.bps.shape == (3, 10)
    assert lib.has_bps.all()
    assert lib.object_names == ("cube", "cube", "cup")
    assert lib.object_usd[0] == three / "object_usd" / "a.usd"


def test_shapes_of_a_frame_and_of_a_window(three: Path, g1: RobotSpec) -> None:
    lib = load(three, g1)
    frame = lib.frame(ids(0, 2, 2, 1), ids(0, 5, 7, 9))
    bodies = len(g1.tracked_bodies)
    shapes = {field.name: tuple(getattr(frame, field.name).shape) for field in attrs.fields(type(frame))}
    assert shapes["joint_pos"] == shapes["joint_vel"] == (4, 29)
    assert shapes["body_quat_w"] == (4, bodies, 4)
    assert shapes["body_pos_w"] == shapes["body_lin_vel_w"] == shapes["body_ang_vel_w"] == (4, bodies, 3)
    assert shapes["contact_center"] == (4, 2, 3)
    assert shapes["contact_label"] == shapes["hand_action"] == (4, 2)
    assert shapes["root_quat"] == shapes["object_quat_w"] == (4, 4)
    for name in ("root_pos", "root_lin_vel", "root_ang_vel", "object_pos_w", "object_lin_vel_w", "object_ang_vel_w"):
        assert shapes[name] == (4, 3)
    window = lib.window(ids(0, 1), torch.arange(10).expand(2, 10) * 5)
    assert window.joint_vel.shape == (2, 10, 29)
    assert window.object_quat.shape == (2, 10, 4)


def test_a_window_is_its_frames_and_both_stop_at_the_ends(three: Path, g1: RobotSpec) -> None:
    lib = load(three, g1)
    motions, frames = ids(0, 1, 2), torch.tensor([[0, 3, 64, 65, 900], [-4, 0, 29, 30, 31], [96, 97, 98, 99, 10]])
    window = lib.window(motions, frames)
    for column in range(frames.shape[1]):
        frame = lib.frame(motions, frames[:, column])
        for name, other in (("root_pos", "root_pos"), ("joint_pos", "joint_pos"), ("object_quat", "object_quat_w")):
            assert torch.equal(getattr(window, name)[:, column], getattr(frame, other))
    assert torch.equal(window.root_pos[0, 2], window.root_pos[0, 4])
    assert torch.equal(window.root_pos[1, 0], window.root_pos[1, 1])
    assert not torch.equal(window.root_pos[1, 2], window.root_pos[2, 4])


def test_the_made_motion_has_the_velocities_it_was_made_with(three: Path, g1: RobotSpec) -> None:
    frame = load(three, g1).frame(ids(1), ids(15))
    np.testing.assert_allclose(frame.root_lin_vel[0], [0.3, 0.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(frame.root_ang_vel[0], [0.0, 0.0, 0.2], atol=1e-4)
    np.testing.assert_allclose(frame.body_lin_vel_w[0, 0], frame.root_lin_vel[0])
    np.testing.assert_allclose(frame.object_lin_vel_w[0], [0.0, 0.0, 0.1], atol=1e-4)
    np.testing.assert_allclose(frame.object_ang_vel_w[0], [0.3, 0.0, 0.0], atol=1e-4)
    knee = g1.joint_names.index("left_knee_joint")
    assert frame.joint_pos[0, knee].item() == pytest.approx(0.5 + 0.3 * np.sin(2 * 0.3), abs=1e-5)
    assert frame.joint_vel[0, knee].item() == pytest.approx(0.6 * np.cos(2 * 0.31), abs=1e-3)
    assert frame.hand_action[0].tolist() == [-1.0, 1.0]


def test_labels_reach_the_frames(three: Path, g1: RobotSpec) -> None:
    lib = load(three, g1)
    frame = lib.frame(ids(0, 0, 1), ids(32, 33, 20))
    assert frame.contact_label.tolist() == [[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    np.testing.assert_allclose(frame.contact_center[1], [[0, 0, 0], [0.2, 0, 0]], atol=1e-7)


def test_a_labeler_goes_first(three: Path, g1: RobotSpec) -> None:
    def labeler(clip: MotionClip, num_frames: int, fps: float) -> ContactLabels | None:
        assert fps == 50.0
        if clip.key != "b":
            return None
        label = np.zeros((num_frames, 2), np.float32)
        label[7:, 0] = 1.0
        return ContactLabels(label=label, center=np.zeros((num_frames, 2, 3), np.float32))

    lib = load(three, g1, labeler=labeler)
    assert lib.has_contact_labels.all()
    assert lib.first_contact.tolist() == [33, 7, 50]

    def short(clip: MotionClip, num_frames: int, fps: float) -> ContactLabels:
        return ContactLabels(label=np.zeros((3, 2)), center=np.zeros((3, 2, 3)))

    with pytest.raises(DataError, match=r"allowed: \(65, 2\)"):
        load(three, g1, labeler=short)


def test_chunks_change_nothing(three: Path, g1: RobotSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(three, g1)
    monkeypatch.setattr(ahead, "_CHUNK_FRAMES", 70)
    parts = load(three, g1)
    every = (torch.repeat_interleave(torch.arange(3), whole.num_frames), torch.cat([torch.arange(n) for n in (65, 30, 98)]))
    a, b = whole.frame(*every), parts.frame(*every)
    for field in attrs.fields(type(a)):
        np.testing.assert_allclose(getattr(a, field.name), getattr(b, field.name), atol=2e-5, err_msg=field.name)


def test_joints_are_mapped_by_name(three: Path, g1: RobotSpec) -> None:
    clip, _ = GrailReader().open(MotionCfg(data=str(three))).read("a")
    order = np.random.default_rng(0).permutation(29)
    shuffled = attrs.evolve(clip, joint_names=tuple(clip.joint_names[i] for i in order), joint_pos=clip.joint_pos[:, order])
    a, b = (MotionLibrary.build([c], g1, device="cpu").frame(ids(0), ids(9)) for c in (clip, shuffled))
    assert torch.equal(a.joint_pos, b.joint_pos)
    assert torch.equal(a.body_pos_w, b.body_pos_w)
    with pytest.raises(DataError, match="has no joint"):
        MotionLibrary.build([attrs.evolve(clip, joint_names=("x", *clip.joint_names[1:]))], g1, device="cpu")
    with pytest.raises(DataError, match="two motions are called 'a'"):
        MotionLibrary.build([clip, clip], g1, device="cpu")
    with pytest.raises(DataError, match="at least one"):
        MotionLibrary.build([], g1, device="cpu")


def test_one_bad_file_stops_or_is_left_out(three: Path, g1: RobotSpec) -> None:
    (three / "robot" / "b.pkl").write_bytes(pickle.dumps({"b": print}))
    with pytest.raises(DataError, match=r"1 of 3 motions cannot be used:\n.*b\.pkl \(motion 'b'\).*builtins\.print"):
        load(three, g1)
    lib = load(three, g1, cfg={"on_bad_clip": "skip"})
    assert lib.keys == ("a", "c")
    with pytest.raises(DataError, match="no motion is left"):
        load(three, g1, cfg={"on_bad_clip": "skip", "filter_motion_keys": ("b",)})


def test_a_needed_table_is_demanded(three: Path, g1: RobotSpec) -> None:
    with pytest.raises(DataError, match=r"2 of 3 motions.*\n.*motion 'a'.*missing required keys 'table_pos'"):
        load(three, g1, need_table=True)
    assert load(three, g1, need_table=True, cfg={"on_bad_clip": "skip"}).keys == ("c",)


def test_selection_and_shards_apply(three: Path, g1: RobotSpec) -> None:
    assert load(three, g1, cfg={"filter_motion_keys": ("c", "a")}).keys == ("c", "a")
    assert load(three, g1, cfg={"shard_by_rank": True}, rank=1, world_size=3).keys == ("b",)
    with pytest.raises(ConfigError, match="matches no motion"):
        load(three, g1, cfg={"filter_motion_keys": ("zzz",)})


def test_a_place_without_motions_says_what_was_looked_for(tmp_path: Path, g1: RobotSpec) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "none", g1)
    with pytest.raises(DataError, match=r"grail: DIR/robot/<stem>\.pkl"):
        load(tmp_path, g1)
    with pytest.raises(DataError, match="--data"):
        load_library(MotionCfg(), g1, device="cpu", need_object=False, need_table=False, readers=[])


@pytest.mark.parametrize(
    ("name", "frames"), [("largebox_ha", [325, 325, 324]), ("stairs", [422, 279, 279]), ("flat", [249] * 3)]
)
def test_real_libraries_load(real_data: Path, g1: RobotSpec, name: str, frames: list[int]) -> None:
    lib = load(real_data / "grail" / name, g1, need_object=name != "flat")
    assert lib.num_frames.tolist() == frames
    every = torch.arange(lib.total_frames)
    motion = torch.repeat_interleave(torch.arange(3), lib.num_frames)
    frame = lib.frame(motion, every - lib.starts[motion])
    for field in attrs.fields(type(frame)):
        assert torch.isfinite(getattr(frame, field.name)).all(), field.name
    assert frame.body_pos_w[..., 2].min() > -0.05
    assert lib.has_contact_labels.tolist() == [name == "largebox_ha"] * 3


def every_frame(lib: MotionLibrary, motion: int) -> Any:
    count = int(lib.num_frames[motion])
    return lib.frame(torch.full((count,), motion), torch.arange(count))


def test_the_mirrored_and_the_turned_clip_match_the_original(real_data: Path, g1: RobotSpec) -> None:
    lib = load(real_data / "grail" / "largebox_ha", g1, need_object=True)
    original, mirrored, turned = (every_frame(lib, motion) for motion in range(3))
    flip = torch.tensor([1.0, -1.0, 1.0])
    swapped = g1.tracked_bodies.index("right_wrist_yaw_link"), g1.tracked_bodies.index("left_wrist_yaw_link")
    np.testing.assert_allclose(mirrored.body_pos_w[:, swapped[0]], original.body_pos_w[:, swapped[1]] * flip, atol=1e-3)
    assert torch.equal(mirrored.contact_label[:, 0], original.contact_label[:, 1])
    # The points of a contact are a small cross whose arms were not mirrored with it: 5 mm.
    np.testing.assert_allclose(mirrored.contact_center[:, 0], original.contact_center[:, 1] * flip, atol=0.0051)
    # The third clip is every second frame of the first, yawed: equal there, interpolated between.
    np.testing.assert_allclose(turned.joint_pos[::2], original.joint_pos[:324:2], atol=1e-5)
    np.testing.assert_allclose(turned.body_pos_w[::2, :, 2], original.body_pos_w[:324:2, :, 2], atol=1e-5)
    np.testing.assert_allclose(turned.joint_pos, original.joint_pos[:324], atol=0.06)
    relative = quat_mul(turned.root_quat, quat_conj(original.root_quat[:324]))
    np.testing.assert_allclose(rotvec_from_quat(relative)[::2], [[0.0, 0.0, 0.6]] * 162, atol=1e-4)


def test_bodies_of_the_real_clip_are_where_its_publisher_has_them(real_data: Path, g1: RobotSpec) -> None:
    frame = every_frame(load(real_data / "grail" / "largebox_ha", g1, need_object=True), 0)
    raw = np.load(real_data / "raw" / "holosoma_largebox" / "sub3_largebox_003_mj_w_obj.npz")
    names = raw["body_names"].tolist()
    for index, name in enumerate(g1.tracked_bodies):
        other = names.index(name)
        gap = np.linalg.norm(frame.body_pos_w[:, index].numpy() - raw["body_pos_w"][:, other], axis=-1)
        # The publisher's model is an earlier revision, whose waist joints sit up to a centimetre elsewhere; the legs are the same.
        lower = any(part in name for part in ("pelvis", "hip", "knee", "ankle"))
        assert gap.max() < (1e-5 if lower else 0.013), name
        dot = np.abs((frame.body_quat_w[:, index].numpy() * raw["body_quat_w"][:, other]).sum(-1))
        assert dot.min() > 1 - 1e-5, name


def test_reference_velocities_of_the_real_clip_equal_smoothed_differences_of_the_published_poses(
    real_data: Path, g1: RobotSpec
) -> None:
    frame = every_frame(load(real_data / "grail" / "largebox_ha", g1, need_object=True), 0)
    raw = np.load(real_data / "raw" / "holosoma_largebox" / "sub3_largebox_003_mj_w_obj.npz")
    names = raw["body_names"].tolist()
    for name in ("pelvis", "left_knee_link", "right_ankle_roll_link"):
        pos = raw["body_pos_w"][:, names.index(name)]
        expected = gaussian_filter1d(np.gradient(pos, axis=0) * 50.0, 2.0, axis=0, mode="nearest")
        got = frame.body_lin_vel_w[:, g1.tracked_bodies.index(name)]
        np.testing.assert_allclose(got, expected, atol=1e-4)
    order = [raw["joint_names"].tolist().index(name) for name in g1.joint_names[:29]]
    np.testing.assert_allclose(frame.joint_vel[:-1], np.diff(raw["joint_pos"][:, 7:], axis=0)[:, order] * 50.0, atol=1e-3)


def test_the_contact_centres_of_the_real_clip_lie_near_the_wrists(real_data: Path, g1: RobotSpec) -> None:
    frame = every_frame(load(real_data / "grail" / "largebox_ha", g1, need_object=True), 0)
    for hand, name in enumerate(("left_wrist_yaw_link", "right_wrist_yaw_link")):
        world = frame.object_pos_w + quat_apply(frame.object_quat_w, frame.contact_center[:, hand])
        gap = (world - frame.body_pos_w[:, g1.tracked_bodies.index(name)]).norm(dim=-1)
        assert gap[frame.contact_label[:, hand] > 0.5].max() < 0.3
