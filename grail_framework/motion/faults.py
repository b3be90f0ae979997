"""What can be wrong with a clip, and what becomes of a library that has such clips."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from grail_framework.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)
_SHOWN = 100
"""Faults listed in an error; `grail data check` lists all."""
_NAMED = 20
"""Motions that the message about all of them together names."""


@attrs.frozen(kw_only=True)
class ClipFault:
    """One thing wrong with one file of a motion."""

    path: Path
    key: str
    """Stem of the motion."""
    frame: int | None = None
    """Source frame where it was found first; None: it concerns the whole file."""
    reason: str
    fatal: bool = True
    """The clip cannot be used; false: it is used, and the user is told."""

    def __str__(self) -> str:
        where = f", frame {self.frame}" if self.frame is not None else ""
        return f"{self.path} (motion {self.key!r}{where}): {self.reason}"


@attrs.frozen(kw_only=True)
class LibraryFault:
    """What a task asks of the motions together and some of them lack; told in one message, or motion by motion."""

    keys: tuple[str, ...]
    """Stems of the motions that lack it."""
    problem: str
    """What is wrong; the full stop is added."""
    listing: str = ": "
    """What leads from the problem to the names of the motions; empty: it is about all of them, and none is named."""
    remedy: str
    """What to do, sentences."""
    fatal: bool = True
    """The run stops; false: it goes on, and the user is told."""

    def __str__(self) -> str:
        names = ", ".join(self.keys[:_NAMED]) + (f" and {len(self.keys) - _NAMED} more" if len(self.keys) > _NAMED else "")
        return f"{self.problem}{self.listing + names if self.listing else ''}. {self.remedy}"

    def by_motion(self, files: Mapping[str, Path]) -> list[ClipFault]:
        """Return a fault for each motion; `files` are where the motions have, or should have, what is missing."""
        reason = f"{self.problem}. {self.remedy}"
        return [ClipFault(path=files[key], key=key, reason=reason, fatal=self.fatal) for key in self.keys]


def missing_table(found: Sequence[str]) -> str:
    """Say that a meta file lacks the table's pose, and which keys it has."""
    return (
        f"Meta pkl missing required keys 'table_pos' and/or 'table_quat'. Found keys: {sorted(found)}. Write both: the table's centre "
        "[x, y, z] in metres and its orientation [w, x, y, z], in the motion's world; motions without a table are for a task without"
    )


class BadClipError(DataError):
    """A clip that cannot be read; carries its faults."""

    def __init__(self, *faults: ClipFault) -> None:
        self.faults = faults
        super().__init__("; ".join(str(fault) for fault in faults))


@attrs.frozen(kw_only=True)
class BadClipReport:
    """The faults found while a library was read."""

    faults: tuple[ClipFault, ...]
    num_motions: int
    """How many motions were looked at."""

    @property
    def bad_keys(self) -> tuple[str, ...]:
        """Stems of the motions that cannot be used, sorted."""
        return tuple(sorted({fault.key for fault in self.faults if fault.fatal}))

    def summary(self) -> str:
        """Say how many motions are bad and list the first faults, one a line."""
        fatal = [fault for fault in self.faults if fault.fatal]
        lines = [f"{len(self.bad_keys)} of {self.num_motions} motions cannot be used:"]
        lines += [f"  {fault}" for fault in fatal[:_SHOWN]]
        if len(fatal) > _SHOWN:
            lines.append(f"  ... and {len(fatal) - _SHOWN} more faults; grail data check lists all")
        return "\n".join(lines)

    def apply(self, on_bad_clip: str) -> frozenset[str]:
        """Stop the run, or report the faults and return the stems to leave out.

        Args:
            on_bad_clip: `stop`, or `skip` to go on without the bad motions.

        Raises:
            DataError: there are fatal faults and `on_bad_clip` is `stop`, or no motion is left.
        """
        bad = self.bad_keys
        if bad and on_bad_clip == "stop":
            raise DataError(f"{self.summary()}\nMend the files, or leave these motions out with --on-bad-clip skip.")
        for fault, count in _grouped(self.faults):
            more = f" (and {count - 1} more motions with the same)" if count > 1 else ""
            _log.warning("%s %s%s", "skipped:" if fault.fatal else "used, but check:", fault, more)
        if bad and len(bad) == self.num_motions:
            raise DataError(f"no motion is left: {self.summary()}")
        return frozenset(bad)


def _grouped(faults: Iterable[ClipFault]) -> list[tuple[ClipFault, int]]:
    """Return faults and how often each occurs: what is fatal one by one, notes of the same words once."""
    groups: dict[object, tuple[ClipFault, int]] = {}
    for number, fault in enumerate(faults):
        group = number if fault.fatal else fault.reason
        first, count = groups.get(group, (fault, 0))
        groups[group] = (first, count + 1)
    return list(groups.values())
