"""`grail bench motion`: reading, loading and gathering motions.

Windows against a contiguous copy of as many bytes, frames that are derived against frames that are gathered, a packed store against
reading its files, and the safe reader against the usual ones.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import torch

from grail_framework.bench.motion_files import measure_reading
from grail_framework.bench.motion_store import SHORTEST, load, write_library
from grail_framework.bench.record import Goal, Row, Samples
from grail_framework.bench.timing import alternating, captured, seconds
from grail_framework.motion.store import STORE_FOLDER
from grail_framework.robots.g1 import g1_43dof

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grail_framework.config import MotionCfg
    from grail_framework.motion.library import MotionLibrary
    from grail_framework.robots.spec import RobotSpec

FLOATS: Final = 36
"""Root pose and joints: what a frame takes at least."""
WINDOW: Final = 11
"""Frames of a window, 5 frames apart."""
SMALL: Final = 2000
"""Clips of the library that both ways of deriving are measured on."""
CALLS: Final = 20
"""Gathers, and copies, in one measured block."""
GATHER_GOAL: Final = Goal(bound=0.5, at_least=True)
SIZE_GOAL: Final = Goal(bound=1.3)
LOAD_GOAL: Final = Goal(bound=2000.0, at_least=True, of_figure=True)


@attrs.frozen(kw_only=True)
class MotionBench:
    """What is to be measured."""

    clips: int
    device: torch.device
    num_envs: tuple[int, ...]
    repeats: int
    data: str | None = None
    """Library whose first motion is read; None: one that is made."""


def choose_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def measure(bench: MotionBench) -> tuple[list[Row], list[str]]:
    """Return the rows, and what was left out."""
    robot = g1_43dof()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "library"
        cfg = write_library(folder, bench.clips, robot)
        rows = _storage(bench, cfg, robot, folder)
        few = attrs.evolve(cfg, max_unique_motions=min(SMALL, bench.clips))
        device = str(bench.device)
        ahead, on_demand = (load(attrs.evolve(few, derive=derive), robot, device) for derive in ("ahead", "on_demand"))
        for num_envs in bench.num_envs:
            rows += [
                window_row(bench, ahead, num_envs, "body poses and velocities derived ahead"),
                window_row(bench, on_demand, num_envs, "joint velocities on demand"),
                _frame_row(bench, ahead, on_demand, num_envs),
            ]
        del ahead, on_demand
        read, notes = measure_reading(bench.data, Path(temporary), robot, bench.repeats)
    return rows + read, notes


def window_row(bench: MotionBench, library: MotionLibrary, num_envs: int, name: str) -> Row:
    """Compare the bandwidth of a window gather to that of a contiguous copy of as many bytes."""
    device = bench.device
    ids, frames = _draw(library, num_envs, device)
    frames = frames.unsqueeze(1) + 5 * torch.arange(WINDOW, device=device)
    window = library.window(ids, frames)
    size = sum(getattr(window, field.name).nbytes for field in attrs.fields(type(window)))
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    gather, copy = _per_call(
        captured(lambda: library.window(ids, frames), device), captured(lambda: target.copy_(source), device), bench
    )
    return Row(
        unit="GB/s",
        figure=Samples(name=f"window of {WINDOW} frames, {name}", values=[size / took / 1e9 for took in gather]),
        reference=Samples(name="contiguous copy of as many bytes", values=[size / took / 1e9 for took in copy]),
        goal=GATHER_GOAL,
        conditions=_conditions(bench, library, num_envs=num_envs, bytes=size),
        details={"window_ms": 1e3 * Samples(name="window", values=gather).median},
    )


def _frame_row(bench: MotionBench, ahead: MotionLibrary, on_demand: MotionLibrary, num_envs: int) -> Row:
    """Compare frames that are derived to frames that are gathered."""
    ids, frames = _draw(ahead, num_envs, bench.device)
    derived, gathered = _per_call(
        captured(lambda: on_demand.frame(ids, frames), bench.device),
        captured(lambda: ahead.frame(ids, frames), bench.device),
        bench,
    )
    return Row(
        unit="ms",
        figure=Samples(name="frame with all bodies, derived on demand", values=[1e3 * took for took in derived]),
        reference=Samples(name="the same gathered, derived ahead", values=[1e3 * took for took in gathered]),
        conditions=_conditions(bench, ahead, num_envs=num_envs),
    )


def _storage(bench: MotionBench, cfg: MotionCfg, robot: RobotSpec, folder: Path) -> list[Row]:
    """Measure how long a packed store takes to load, and how large it is on disk and in memory."""
    files = sorted((folder / STORE_FOLDER).iterdir())
    took: list[float] = []
    plain: list[float] = []
    library = load(cfg, robot, str(bench.device))
    for _ in range(bench.repeats):
        began = time.perf_counter()
        library = load(cfg, robot, str(bench.device))
        took.append(time.perf_counter() - began)
        plain.append(seconds(lambda: _read_and_copy(files, bench.device), bench.device))
    on_disk = sum(path.stat().st_size for path in files)
    floor = Samples(name=f"{FLOATS} floats", values=[4.0 * FLOATS])
    conditions = _conditions(bench, library)
    return [
        Row(
            unit="clips/s",
            figure=Samples(name="load a packed library", values=[bench.clips / each for each in took]),
            reference=Samples(name="read its files and copy them to the device", values=[bench.clips / each for each in plain]),
            goal=LOAD_GOAL,
            conditions=conditions,
            details={"load_s": Samples(name="load", values=took).median, "store_mib": on_disk / 2**20},
        ),
        *(
            Row(
                unit="bytes",
                figure=Samples(name=f"a frame {where}", values=[total / library.total_frames]),
                reference=floor,
                goal=SIZE_GOAL,
                conditions=conditions,
            )
            for where, total in (("in memory", library.num_bytes), ("on disk", on_disk))
        ),
    ]


def _read_and_copy(files: Sequence[Path], device: torch.device) -> list[torch.Tensor]:
    return [torch.from_numpy(np.fromfile(path, dtype=np.uint8)).to(device, copy=True) for path in files]


def _draw(library: MotionLibrary, num_envs: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a motion and a frame of it for each environment, (N,) each."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(library.num_motions, (num_envs,), generator=generator)
    frames = torch.randint(SHORTEST, (num_envs,), generator=generator)
    return ids.to(device), frames.to(device)


def _per_call(first: Callable[[], object], second: Callable[[], object], bench: MotionBench) -> tuple[list[float], list[float]]:
    """Time two calls in turns, many of one in a block. [s]"""

    def block(call: Callable[[], object]) -> Callable[[], object]:
        return lambda: [call() for _ in range(CALLS)]

    times = alternating(block(first), block(second), device=bench.device, repeats=bench.repeats)
    mine, theirs = ([took / CALLS for took in column] for column in times)
    return mine, theirs


def _conditions(bench: MotionBench, library: MotionLibrary, **more: int) -> dict[str, Any]:
    return {"device": str(bench.device), "clips": library.num_motions, "frames": library.total_frames, **more}
