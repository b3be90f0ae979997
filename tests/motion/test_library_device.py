"""The motion library on a GPU: nothing waits for the device, and everything can be captured in a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import torch

from grail_framework.motion.library import MotionLibrary
from grail_framework.testing.fakes import standing_clip

if TYPE_CHECKING:
    from grail_framework.robots.spec import RobotSpec

pytestmark = pytest.mark.gpu
NUM_ENVS = 300


def build(robot: RobotSpec, device: str, derive: str) -> MotionLibrary:
    clips = [standing_clip(robot, key=f"m{n}", frames=n, with_object=n > 30) for n in (3, 31, 60)]
    return MotionLibrary.build(clips, robot, device=device, derive=derive)


def places(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(NUM_ENVS, device=device) % 3, torch.arange(NUM_ENVS, device=device) % 70


@pytest.mark.parametrize("derive", ["ahead", "on_demand"])
def test_frames_and_windows_wait_for_nothing(g1: RobotSpec, derive: str) -> None:
    library = build(g1, "cuda:0", derive)
    ids, frames = places("cuda:0")
    offsets = torch.arange(10, device="cuda:0") * 5
    library.frame(ids, frames)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            library.frame(ids, frames)
            library.state(ids, frames)
            library.window(ids, frames.unsqueeze(1) + offsets)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("derive", ["ahead", "on_demand"])
def test_a_captured_graph_gives_what_the_cpu_gives(g1: RobotSpec, derive: str) -> None:
    library = build(g1, "cuda:0", derive)
    ids, frames = places("cuda:0")
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        library.frame(ids, frames)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = library.frame(ids, frames), library.window(ids, frames.unsqueeze(1) + 5)
    frames.copy_(frames.flip(0))
    graph.replay()
    cpu, (motion, at) = build(g1, "cpu", "ahead"), places("cpu")
    expected = cpu.frame(motion, at.flip(0)), cpu.window(motion, at.flip(0).unsqueeze(1) + 5)
    for one, other in zip(got, expected, strict=True):
        for field in attrs.fields(type(one)):
            a, b = getattr(one, field.name).cpu(), getattr(other, field.name)
            torch.testing.assert_close(a, b, atol=2e-5, rtol=0.0, msg=lambda text, name=field.name: f"{name}: {text}")
