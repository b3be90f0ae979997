"""Typed access to the dictionary of one motion file; every problem is a fault that names file, key and frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from grail_framework.errors import suggest
from grail_framework.motion.faults import BadClipError, ClipFault

if TYPE_CHECKING:
    from pathlib import Path


class Entry:
    """The content of one file of a motion."""

    def __init__(self, path: Path, key: str, values: dict[Any, Any]) -> None:
        self.path = path
        self.key = key
        self.values = values

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def fault(self, reason: str, *, frame: int | None = None, fatal: bool = True) -> ClipFault:
        """Make a fault of this file."""
        return ClipFault(path=self.path, key=self.key, frame=frame, reason=reason, fatal=fatal)

    def fail(self, reason: str, *, frame: int | None = None) -> NoReturn:
        """Give the clip up.

        Raises:
            BadClipError: always.
        """
        raise BadClipError(self.fault(reason, frame=frame))

    def array(self, name: str, *shape: int | None) -> np.ndarray:
        """Return a finite float32 array of the given shape; None stands for any length.

        Raises:
            BadClipError: the key is missing, not numeric, of another shape, or not finite.
        """
        if name not in self:
            names = [str(given) for given in self.values]
            self.fail(f"the key {name!r} is missing; the file has {', '.join(sorted(names)) or 'no keys'}")
        try:
            value = np.asarray(self.values[name])
            value = value.astype(np.float32) if value.dtype.kind in "biuf" else None
        except ValueError:  # rows of different lengths
            value = None
        if value is None:
            self.fail(f"{name!r} is no array of numbers")
        if value.ndim != len(shape) or any(want is not None and want != n for want, n in zip(shape, value.shape, strict=True)):
            wanted = ", ".join("T" if n is None else str(n) for n in shape)
            self.fail(f"{name!r} has the shape {value.shape}, allowed: ({wanted})")
        if not np.isfinite(value).all():
            frame = int(np.argwhere(~np.isfinite(value))[0][0])
            self.fail(f"{name!r} holds NaN or infinity", frame=frame)
        return value

    def number(self, name: str, default: float) -> float:
        """Return a number, or the default where the key is absent.

        Raises:
            BadClipError: the value is no finite number.
        """
        value = np.asarray(self.values.get(name, default))
        if value.size != 1 or value.dtype.kind not in "biuf" or not np.isfinite(value).all():
            self.fail(f"{name!r} is {self.values[name]!r}, allowed: a finite number")
        return float(value.reshape(-1)[0])

    def text(self, name: str) -> str:
        """Return a string, empty where the key is absent or of another type."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def hint(self, wanted: str) -> str:
        """Say which of the file's keys look like the one that is wanted."""
        return suggest(wanted, [str(name) for name in self.values])
