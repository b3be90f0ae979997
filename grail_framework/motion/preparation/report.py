"""What a preparation step did: what was written, what was left out and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Progress = Callable[[int, int, str], None]
    """Called with (done, total, stem) after each file."""


@attrs.frozen(kw_only=True)
class Skipped:
    """A motion or asset that was left out."""

    key: str
    reason: str
    asked: bool = False
    """An option said to leave such ones out; they do not make the command fail."""


@attrs.frozen(kw_only=True)
class PrepareReport:
    """Outcome of one command over a library."""

    out: Path
    written: tuple[str, ...]
    """Stems."""
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    """(stem, what was done or is odd)."""
    problems: tuple[str, ...] = ()
    """What does not fit together in the written library."""
    remarks: tuple[str, ...] = ()
    """What to know about the library as a whole."""

    @property
    def ok(self) -> bool:
        """Nothing was left out unasked, and the files fit together."""
        return not self.problems and all(item.asked for item in self.skipped)
