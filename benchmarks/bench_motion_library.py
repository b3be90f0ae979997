"""The motion library: loading a packed store, gathering windows, deriving frames, and how much memory a frame takes.

Usage: python benchmarks/bench_motion_library.py [--clips 100000] [--device cpu] [--envs 64 4096]

Clips of 100 to 150 random frames of the G1 are written to a store by the project's own writer; a stand-in file for each is there, so
that loading compares as many files as a real library has motions. Everything is removed afterwards.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch

from grail_framework.config import MotionCfg
from grail_framework.motion.compact import CONTACT_RUN, HAND_RUN, MOTION, CompactMotions, MotionFiles, MotionRows, checksums
from grail_framework.motion.loading import load_library
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.store import STORE_FOLDER, StoreWriter
from grail_framework.motion.store.finding import key_of
from grail_framework.motion.store.sources import list_sources
from grail_framework.robots.g1 import g1_43dof

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.motion.library import MotionLibrary
    from grail_framework.robots.spec import RobotSpec

FLOATS = 36
"""Root pose and joints: what a frame takes at least."""
CHUNK = 1000
SMALL = 2000
"""Clips of the library that both ways of deriving are measured on."""
WINDOW = 11


def synthetic_chunk(robot: RobotSpec, count: int, rng: np.random.Generator) -> CompactMotions:
    """Make robot-only motions that walk at random."""
    motions = np.zeros(count, dtype=MOTION)
    lengths = rng.integers(100, 151, count)
    motions["num_frames"], motions["first_contact"] = lengths, lengths
    for name in ("object_rows", "contact_runs", "hand_runs"):
        motions[name] = 1
    motions["table_quat"][:, 0] = 1.0
    rows = rng.normal(scale=0.01, size=(int(lengths.sum()), 7 + robot.num_motion_joints)).astype(np.float32).cumsum(axis=0)
    rows[:, 3:7] = [1.0, 0.0, 0.0, 0.0]
    objects = np.tile(np.array([0, 0, 0, 1, 0, 0, 0], dtype=np.float32), (count, 1))
    hands = np.zeros(count, dtype=HAND_RUN)
    hands["value"] = -1.0
    packed = MotionRows(robot=rows, objects=objects, contacts=np.zeros(count, dtype=CONTACT_RUN), hands=hands)
    motions["checksum"] = checksums(motions, packed)
    nothing = (None,) * count
    return CompactMotions(keys=(), files=(), object_names=("",) * count, object_usd=nothing, motions=motions, rows=packed)


def write_library(folder: Path, clips: int, robot: RobotSpec) -> MotionCfg:
    """Write a store with a stand-in file for each motion."""
    (folder / "robot").mkdir(parents=True)
    cfg = MotionCfg(data=str(folder), derive="on_demand")
    keys = [f"clip_{index:06d}" for index in range(clips)]
    files = [MotionFiles(robot=folder / "robot" / f"{key}.pkl") for key in keys]
    for file in files:
        file.robot.touch()
    chunk = synthetic_chunk(robot, min(CHUNK, clips), np.random.default_rng(0))
    with StoreWriter(folder / STORE_FOLDER, key_of(cfg, robot, GrailReader())) as writer:
        for start in range(0, clips, CHUNK):
            stop = min(start + CHUNK, clips)
            if stop - start < len(chunk.motions):
                chunk = synthetic_chunk(robot, stop - start, np.random.default_rng(0))
            writer.append(attrs.evolve(chunk, keys=tuple(keys[start:stop]), files=tuple(files[start:stop])))
        writer.finish(list_sources(cfg).with_digests())
    return cfg


def load(cfg: MotionCfg, robot: RobotSpec, device: str) -> MotionLibrary:
    """Load a library as a run does."""
    readers = [GrailReader()]
    return load_library(cfg, robot, device=device, need_object=False, need_table=False, readers=readers)


def seconds(call: Callable[[], object], device: str, repeats: int) -> float:
    """Median time of one call, after warming up. [s]"""
    times: list[float] = []
    for _ in range(repeats + 3):
        began = time.perf_counter()
        call()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[3:])


def captured(call: Callable[[], object], device: str) -> Callable[[], object]:
    """Return the call as a CUDA graph: what is left is the device's own time. On a CPU, the call itself."""
    if device == "cpu":
        return call
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def measure_windows(library: MotionLibrary, num_envs: int, name: str) -> None:
    """Compare a window gather to a contiguous copy of as many bytes."""
    device = library.device.type
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(library.num_motions, (num_envs,), generator=generator).to(device)
    frames = (torch.randint(100, (num_envs, 1), generator=generator) + 5 * torch.arange(WINDOW)).to(device)
    window = library.window(ids, frames)
    size = sum(getattr(window, field.name).nbytes for field in attrs.fields(type(window)))
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    copy = seconds(captured(lambda: target.copy_(source), device), device, 50)
    gather = seconds(captured(lambda: library.window(ids, frames), device), device, 50)
    print(
        f"window of {WINDOW} frames, {num_envs} envs, {name}: {gather * 1e3:.3f} ms, contiguous copy of the same {size / 2**20:.1f} MiB "
        f"{copy * 1e3:.3f} ms: copy/gather {copy / gather:.2f}"
    )


def measure_frames(ahead: MotionLibrary, on_demand: MotionLibrary, num_envs: int) -> None:
    """Compare frames that are gathered to frames that are derived."""
    device = ahead.device.type
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(ahead.num_motions, (num_envs,), generator=generator).to(device)
    frames = torch.randint(100, (num_envs,), generator=generator).to(device)
    times = [
        seconds(captured(lambda library=library: library.frame(ids, frames), device), device, 10 if num_envs > 1000 else 50)
        for library in (ahead, on_demand)
    ]
    print(
        f"frame, {num_envs} envs: ahead {times[0] * 1e3:.3f} ms, on demand {times[1] * 1e3:.3f} ms: "
        f"on demand/ahead {times[1] / times[0]:.1f}"
    )


def measure_size(folder: Path, library: MotionLibrary, took: float, clips: int) -> None:
    """Print load time and bytes per frame."""
    floor = 4 * FLOATS
    in_memory = library.num_bytes / library.total_frames
    store = folder / STORE_FOLDER
    on_disk = sum(path.stat().st_size for path in store.iterdir()) / library.total_frames
    print(
        f"{clips} clips, {library.total_frames} frames: loaded in {took:.2f} s, {clips / took:.0f} clips/s\n"
        f"bytes per frame: {in_memory:.1f} in memory = {in_memory / floor:.3f} times {FLOATS} floats, "
        f"{on_disk:.1f} on disk = {on_disk / floor:.3f} times"
    )


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--envs", type=int, nargs="+", default=[64, 4096])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    robot = g1_43dof()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "library"
        cfg = write_library(folder, arguments.clips, robot)
        began = time.perf_counter()
        library = load(cfg, robot, arguments.device)
        measure_size(folder, library, time.perf_counter() - began, arguments.clips)
        for num_envs in arguments.envs:
            measure_windows(library, num_envs, "joint velocities on demand")
        del library
        few = attrs.evolve(cfg, max_unique_motions=min(SMALL, arguments.clips))
        pair = [load(attrs.evolve(few, derive=derive), robot, arguments.device) for derive in ("ahead", "on_demand")]
        for num_envs in arguments.envs:
            measure_windows(pair[0], num_envs, "ahead")
            measure_frames(pair[0], pair[1], num_envs)


if __name__ == "__main__":
    main()
