"""Compact motions held in host memory, wherever they came from, to be put together from several libraries before they are packed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import attrs
import numpy as np

from grail_framework.motion.compact import ROW_COUNTS, MotionRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from grail_framework.motion.packing import MotionSource

_AT_ORIGIN = np.array([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]], dtype=np.float32)


@attrs.frozen(kw_only=True, eq=False)
class HeldMotions:
    """M motions, joints in the robot's order; a `MotionSource`."""

    keys: tuple[str, ...]
    object_names: tuple[str, ...]
    object_usd: tuple[Path | None, ...]
    motions: np.ndarray  # (M,) MOTION
    rows: MotionRows

    @classmethod
    def of(cls, source: MotionSource) -> Self:
        """Copy the rows of a source.

        Raises:
            StoreError: the source is a packed store that is damaged.
        """
        rows = MotionRows.joined([rows for _, rows in source.chunks()])
        return cls(
            keys=source.keys,
            object_names=source.object_names,
            object_usd=source.object_usd,
            motions=source.motions,
            rows=rows,
        )

    @classmethod
    def joined(cls, parts: Sequence[HeldMotions]) -> Self:
        """Put motions behind one another; their keys must differ."""
        return cls(
            keys=tuple(key for part in parts for key in part.keys),
            object_names=tuple(name for part in parts for name in part.object_names),
            object_usd=tuple(path for part in parts for path in part.object_usd),
            motions=np.concatenate([part.motions for part in parts]),
            rows=MotionRows.joined([part.rows for part in parts]),
        )

    def chunks(self) -> Iterator[tuple[np.ndarray, MotionRows]]:
        """Yield all motions at once."""
        yield self.motions, self.rows

    def renamed(self, names: Mapping[str, str]) -> Self:
        """Return the motions under other keys; those that `names` does not have keep theirs."""
        return attrs.evolve(self, keys=tuple(names.get(key, key) for key in self.keys))

    def with_assets(self, paths: Mapping[str, Path]) -> Self:
        """Return the motions with the object assets given by key."""
        return attrs.evolve(self, object_usd=tuple(paths[key] for key in self.keys))

    def on_flat_ground(self) -> Self:
        """Return the motions with an object that stands at the origin, whatever object they had."""
        motions = self.motions.copy()
        motions["object_rows"], motions["has_object"] = 1, False
        objects = np.repeat(_AT_ORIGIN, len(motions), axis=0)
        return attrs.evolve(self, motions=motions, rows=attrs.evolve(self.rows, objects=objects))

    @property
    def total_frames(self) -> int:
        """Frames of all motions together."""
        return int(self.motions[ROW_COUNTS["robot"]].sum(dtype=np.int64))
