"""Compact motions on a device: the tensors that every frame and window is gathered or derived from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

import attrs
import numpy as np
import torch

from grail_framework.motion.compact import MOTION, POSE_WIDTH, ROW_COUNTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from grail_framework.motion.compact import MotionRows


class MotionSource(Protocol):
    """Compact motions of which the rows arrive a few motions at a time: in host memory, or selected from a store."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Stems, (M,)."""
        ...

    @property
    def object_names(self) -> tuple[str, ...]:
        """Names of the objects, (M,)."""
        ...

    @property
    def object_usd(self) -> tuple[Path | None, ...]:
        """Object assets, (M,)."""
        ...

    @property
    def motions(self) -> np.ndarray:
        """(M,) of the dtype `MOTION`."""
        ...

    def chunks(self) -> Iterator[tuple[np.ndarray, MotionRows]]:
        """Yield all motions in their order, some at a time, each time with their rows."""
        ...


@attrs.frozen(kw_only=True, eq=False)
class Runs:
    """Values that hold from one packed frame until the next run; every motion begins a run of its own."""

    starts: torch.Tensor  # (R,) long, packed frames, ascending
    values: torch.Tensor  # (R, k)

    def at(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the values (N, k) that hold at packed frames (N,)."""
        return self.values.index_select(0, torch.searchsorted(self.starts, rows, right=True) - 1)


@attrs.frozen(kw_only=True, eq=False)
class PackedMotions:
    """M motions, F frames together; all tensors on one device."""

    keys: tuple[str, ...]
    object_names: tuple[str, ...]
    object_usd: tuple[Path | None, ...]
    fps: float
    lengths: tuple[int, ...]
    """Frames of each motion, for the host."""
    robot_rows: torch.Tensor  # (F, 7 + J): root position, root quaternion, joints
    object_rows: torch.Tensor  # (O, 7)
    contacts: Runs  # labels (2), centres (6)
    hands: Runs  # (2)
    num_frames: torch.Tensor  # (M,) long
    starts: torch.Tensor  # (M,) long, first row of a motion in `robot_rows`
    object_starts: torch.Tensor  # (M,) long, first row of a motion in `object_rows`
    object_last: torch.Tensor  # (M,) long, frame from which on the object's pose stays
    first_contact: torch.Tensor  # (M,) long
    per_motion: dict[str, torch.Tensor]
    """Flags, tables and basis point sets by their name in `MOTION`, (M, ...)."""

    @classmethod
    def of(cls, source: MotionSource, *, num_joints: int, fps: float, device: torch.device) -> Self:
        """Copy compact motions to a device, a few at a time."""
        motions = source.motions
        total = {name: int(motions[count].sum(dtype=np.int64)) for name, count in ROW_COUNTS.items()}
        robot_rows = torch.empty(total["robot"], POSE_WIDTH + num_joints, device=device)
        object_rows = torch.empty(total["objects"], POSE_WIDTH, device=device)
        contacts, hands = _empty_runs(total["contacts"], 8, device), _empty_runs(total["hands"], 2, device)
        at = dict.fromkeys(ROW_COUNTS, 0)
        for some, rows in source.chunks():
            first = at["robot"] + np.cumsum(some["num_frames"], dtype=np.int64) - some["num_frames"]
            stop = {name: at[name] + len(getattr(rows, name)) for name in ROW_COUNTS}
            robot_rows[at["robot"] : stop["robot"]] = torch.from_numpy(rows.robot)
            object_rows[at["objects"] : stop["objects"]] = torch.from_numpy(rows.objects)
            for name, runs in (("contacts", contacts), ("hands", hands)):
                given, span = getattr(rows, name), slice(at[name], stop[name])
                begins = np.repeat(first, some[ROW_COUNTS[name]]) + given["start"]
                runs.starts[span] = torch.from_numpy(begins)
                runs.values[span] = torch.from_numpy(np.ascontiguousarray(given["value"]))
            at = stop
        return cls(
            keys=source.keys,
            object_names=source.object_names,
            object_usd=source.object_usd,
            fps=fps,
            lengths=tuple(motions["num_frames"].tolist()),
            robot_rows=robot_rows,
            object_rows=object_rows,
            contacts=contacts,
            hands=hands,
            num_frames=_long(motions["num_frames"], device),
            starts=_starts(motions["num_frames"], device),
            object_starts=_starts(motions["object_rows"], device),
            object_last=_long(motions["object_rows"], device) - 1,
            first_contact=_long(motions["first_contact"], device),
            per_motion={name: torch.from_numpy(motions[name].copy()).to(device) for name in _DESCRIPTION},
        )

    @property
    def total_frames(self) -> int:
        """Frames of all motions together."""
        return sum(self.lengths)

    @property
    def num_bytes(self) -> int:
        """Device memory of all tensors. [bytes]"""
        runs = (self.contacts.starts, self.contacts.values, self.hands.starts, self.hands.values)
        per_motion = (self.num_frames, self.starts, self.object_starts, self.object_last, self.first_contact)
        return sum(t.nbytes for t in (self.robot_rows, self.object_rows, *runs, *per_motion, *self.per_motion.values()))

    def rows(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Return the packed frame of each frame of each motion; `frames` must lie inside the motions."""
        return self.starts[motion_ids] + frames

    def object_pose(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Return the object's pose (..., 7) at frames (...) inside the motions."""
        rows = self.object_starts[motion_ids] + torch.minimum(frames, self.object_last[motion_ids])
        return gather_rows(self.object_rows, rows)


_DESCRIPTION = tuple(name for name in MOTION.names or () if name.startswith(("has_", "table_", "bps")))


def gather_rows(rows: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return rows (..., k) of a matrix (F, k) at an index (...): whole rows are copied, which plain indexing does not do on a CPU."""
    return rows.index_select(0, index.reshape(-1)).view(*index.shape, rows.shape[-1])


def _empty_runs(count: int, width: int, device: torch.device) -> Runs:
    starts = torch.empty(count, dtype=torch.long, device=device)
    return Runs(starts=starts, values=torch.empty(count, width, device=device))


def _long(values: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(device)


def _starts(counts: np.ndarray, device: torch.device) -> torch.Tensor:
    return _long(np.cumsum(counts, dtype=np.int64) - counts, device)
