"""Reading one motion and finding all that is wrong with it, whatever the task will ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from grail_framework.motion.faults import BadClipError, ClipFault
from grail_framework.motion.validate import Needs, check_clip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.readers.protocol import ClipSource
    from grail_framework.robots.spec import RobotSpec

_NEEDS = tuple(field.name for field in attrs.fields(Needs))


@attrs.frozen(kw_only=True)
class FoundFault:
    """A fault, and which need of a task makes it one."""

    fault: ClipFault
    need: str | None = None
    """A field of `Needs`; None: it is a fault for every task."""


def read_motion(source: ClipSource, key: str, robot: RobotSpec) -> tuple[MotionClip | None, list[FoundFault]]:
    """Read and check a motion.

    Returns:
        The clip, None where it cannot be read, and everything found wrong with it under any need.
    """
    try:
        clip, notes = source.read(key)
    except BadClipError as error:
        return None, [FoundFault(fault=fault) for fault in error.faults]
    found = [FoundFault(fault=fault) for fault in notes]
    if not check_clip(clip, robot, Needs(**dict.fromkeys(_NEEDS, True))):
        return clip, found
    always = check_clip(clip, robot, Needs())
    found += [FoundFault(fault=fault) for fault in always]
    for need in _NEEDS:
        found += [
            FoundFault(fault=fault, need=need)
            for fault in check_clip(clip, robot, Needs(**{need: True}))
            if fault not in always
        ]
    return clip, found


def that_matter(found: Iterable[FoundFault], needs: Needs) -> list[ClipFault]:
    """Return the faults that are faults for a task."""
    return [each.fault for each in found if each.need is None or getattr(needs, each.need)]


def usable_by_some(clips: Sequence[MotionClip], found: Iterable[FoundFault]) -> list[MotionClip]:
    """Leave out the clips that no task can use."""
    bad = {each.fault.key for each in found if each.need is None and each.fault.fatal}
    return [clip for clip in clips if clip.key not in bad]
