"""Body poses and velocities derived ahead of time and on demand: the same numbers, and those of other libraries."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from grail_framework.config.scene import MotionCfg
from grail_framework.motion import library as library_module
from grail_framework.motion import on_demand
from grail_framework.motion.library import MotionLibrary
from grail_framework.motion.loading import load_library, open_source
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.robots.kinematics import Kinematics

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.reference import ReferenceFrame
    from grail_framework.robots.spec import RobotSpec

FPS = 50.0


def cut(clip: MotionClip, frames: int) -> MotionClip:
    """Take the first frames, the object and its contacts left away."""
    arrays = {name: getattr(clip, name)[:frames] for name in ("root_pos", "root_quat", "joint_pos")}
    return attrs.evolve(clip, key=f"{clip.key}_{frames}", object=None, hand_action=None, fps=FPS, **arrays)


def read(folder: Path) -> list[MotionClip]:
    source = open_source(MotionCfg(data=str(folder)), [GrailReader()])
    return [source.read(key)[0] for key in source.keys]


def pair(clips: list[MotionClip], robot: RobotSpec) -> tuple[MotionLibrary, MotionLibrary]:
    ahead, demand = (MotionLibrary.build(clips, robot, device="cpu", derive=derive) for derive in ("ahead", "on_demand"))
    assert ahead.derives_ahead
    assert not demand.derives_ahead
    return ahead, demand


def every_frame(lib: MotionLibrary, motions: list[int] | None = None) -> ReferenceFrame:
    wanted = torch.arange(lib.num_motions) if motions is None else torch.tensor(motions)
    motion = torch.repeat_interleave(wanted, lib.num_frames[wanted])
    starts = torch.repeat_interleave(lib.num_frames[wanted].cumsum(0) - lib.num_frames[wanted], lib.num_frames[wanted])
    return lib.frame(motion, torch.arange(len(motion)) - starts)


def assert_close(a: Any, b: Any) -> None:
    for field in attrs.fields(type(a)):
        one, other = getattr(a, field.name), getattr(b, field.name)
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0.0, msg=lambda text, name=field.name: f"{name}: {text}")


@pytest.mark.parametrize("name", ["largebox_ha", "stairs", "flat"])
def test_both_ways_agree_on_the_real_clips(real_data: Path, g1: RobotSpec, name: str) -> None:
    clips = read(real_data / "grail" / name)
    shorts = [cut(clips[0], frames) for frames in (2, 3, 4, 9, 10, 17, 18, 19, 20)]
    ahead, demand = pair([*clips, *shorts], g1)
    assert_close(every_frame(demand), every_frame(ahead))


def test_both_ways_agree_on_motions_shorter_than_the_filter(library: Any, g1: RobotSpec) -> None:
    library.add("a", robot=library.robot_entry(60, FPS), obj=library.object_entry(60, FPS))
    clip = read(library.root)[0]
    ahead, demand = pair([clip, *(cut(clip, frames) for frames in (*range(1, 22), 40))], g1)
    assert_close(every_frame(demand), every_frame(ahead))
    outside = torch.tensor([0, 0, 1, 2]), torch.tensor([-5, 900, 3, -1])
    assert_close(demand.frame(*outside), ahead.frame(*outside))


def test_windows_agree_to_the_bit(library: Any, g1: RobotSpec) -> None:
    library.add("a")
    library.add("b", robot=library.robot_entry(3, FPS), obj=library.object_entry(3, FPS, contact_points_right_hand={}))
    ahead, demand = pair(read(library.root), g1)
    ids, frames = torch.tensor([0, 1, 0]), torch.tensor([[0, 5, 63, 64, 65], [0, 1, 2, 3, 9], [-1, 60, 62, 63, 64]])
    a, b = ahead.window(ids, frames), demand.window(ids, frames)
    for field in attrs.fields(type(a)):
        assert torch.equal(getattr(a, field.name), getattr(b, field.name)), field.name


@pytest.mark.parametrize("way", [0, 1], ids=["ahead", "on_demand"])
def test_a_state_is_part_of_its_frame(library: Any, g1: RobotSpec, way: int) -> None:
    library.add("a")
    library.add("b", robot=library.robot_entry(4, FPS), obj=library.object_entry(4, FPS, contact_points_right_hand={}))
    lib = pair(read(library.root), g1)[way]
    motion, at = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 30, 64, 0, 2, 9])
    frame, state = lib.frame(motion, at), lib.state(motion, at)
    for field in attrs.fields(type(state)):
        torch.testing.assert_close(getattr(state, field.name), getattr(frame, field.name), atol=1e-6, rtol=0.0)


def test_more_environments_than_a_batch_change_nothing(library: Any, g1: RobotSpec) -> None:
    library.add("a")
    demand = pair(read(library.root), g1)[1]
    frames = torch.arange(150) % 65
    whole = demand.frame(torch.zeros(150, dtype=torch.long), frames)
    for first in (0, 50, 100):
        part = demand.frame(torch.zeros(50, dtype=torch.long), frames[first : first + 50])
        torch.testing.assert_close(part.body_lin_vel_w, whole.body_lin_vel_w[first : first + 50], atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("derive", ["ahead", "on_demand"])
@pytest.mark.parametrize("frames", [2, 7, 60])
def test_velocities_are_scipys_filtered_differences(library: Any, g1: RobotSpec, derive: str, frames: int) -> None:
    rng = np.random.default_rng(3)
    library.add("a", robot=library.robot_entry(60, FPS), obj=library.object_entry(60, FPS))
    clip = read(library.root)[0]
    wiggle = rng.normal(scale=0.02, size=clip.joint_pos.shape).cumsum(axis=0).astype(np.float32)
    turned = Rotation.from_rotvec(rng.normal(scale=0.03, size=(60, 3)).cumsum(axis=0)).as_quat(scalar_first=True)
    clip = cut(attrs.evolve(clip, joint_pos=wiggle, root_quat=turned.astype(np.float32)), frames)
    frame = every_frame(MotionLibrary.build([clip], g1, device="cpu", derive=derive))
    joints = torch.zeros(frames, g1.num_joints, dtype=torch.float64)
    joints[:, :29] = frame.joint_pos.double()
    root = torch.from_numpy(clip.root_pos).double(), torch.from_numpy(clip.root_quat).double()
    pos, quat = Kinematics(g1, dtype=torch.float64).forward(*root, joints)
    for index, name in enumerate(g1.tracked_bodies):
        body = g1.body_ids([name])[0]
        np.testing.assert_allclose(frame.body_pos_w[:, index], pos[:, body], atol=1e-6)
        gradient = np.gradient(pos[:, body].numpy(), axis=0) * FPS
        expected = gaussian_filter1d(gradient, 2.0, axis=0, mode="nearest")
        np.testing.assert_allclose(frame.body_lin_vel_w[:, index], expected, atol=2e-5)
        rotation = Rotation.from_quat(quat[:, body].numpy(), scalar_first=True)
        rate = np.zeros((frames, 3))
        rate[:-1] = (rotation[1:] * rotation[:-1].inv()).as_rotvec() * FPS
        expected = gaussian_filter1d(rate, 2.0, axis=0, mode="nearest")
        np.testing.assert_allclose(frame.body_ang_vel_w[:, index], expected, atol=5e-5)


def test_the_weights_of_the_middle_of_a_motion_are_the_filters() -> None:
    linear, angular = on_demand.velocity_weights()
    impulse = np.zeros(41)
    impulse[20] = 1.0
    smooth = gaussian_filter1d(impulse, 2.0, mode="nearest")
    np.testing.assert_allclose(angular[9, 9], smooth[12:29], atol=1e-7)
    np.testing.assert_allclose(linear[9, 9], (smooth[10:29] - smooth[12:31]) / 2, atol=1e-7)
    assert torch.allclose(linear.sum(-1), torch.zeros(10, 10), atol=1e-6)
    assert torch.allclose(angular.sum(-1), torch.ones(10, 10), atol=1e-6)
    assert linear[0, 0].eq(0).all()


def test_only_what_cannot_be_derived_is_kept(library: Any, g1: RobotSpec) -> None:
    for key in ("a", "b"):
        alone = {"hand_action_left": None, "hand_action_right": None}
        library.add(key, robot=library.robot_entry(2000, FPS, **alone))
        (library.root / "objects" / f"{key}.pkl").unlink()
    demand = pair(read(library.root), g1)[1]
    assert demand.total_frames == 4000
    assert demand.num_bytes < 1.01 * 36 * 4 * 4000


def test_a_library_that_would_grow_too_large_is_derived_on_demand(
    library: Any, g1: RobotSpec, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library.add("a")
    clips = read(library.root)
    caplog.set_level(logging.INFO)
    assert MotionLibrary.build(clips, g1, device="cpu").derives_ahead
    assert "derived ahead of time: 0.1 MiB" in caplog.text
    monkeypatch.setattr(library_module, "AHEAD_BUDGET", 1000)
    assert not MotionLibrary.build(clips, g1, device="cpu").derives_ahead
    assert "derived when asked for; motion.derive=ahead keeps them" in caplog.text
    assert MotionLibrary.build(clips, g1, device="cpu", derive="ahead").derives_ahead
    arguments: dict[str, Any] = {"device": "cpu", "need_object": False, "need_table": False, "readers": [GrailReader()]}
    cfg = MotionCfg(data=str(library.root), derive="ahead")
    assert load_library(cfg, g1, **arguments).derives_ahead
    assert not load_library(attrs.evolve(cfg, derive="auto"), g1, **arguments).derives_ahead
