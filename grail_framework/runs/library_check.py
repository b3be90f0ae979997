"""A whole motion library read and judged, motion by motion, without a run: what `grail data check` says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from grail_framework.config.scene import ObjectCfg
from grail_framework.motion.faults import BadClipError, ClipFault
from grail_framework.motion.loading import find_reader
from grail_framework.motion.plausibility import moves
from grail_framework.motion.selection import select_keys
from grail_framework.motion.validate import Needs, check_clip, check_library
from grail_framework.runs.usable_assets import asset_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grail_framework.config import RunCfg
    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.readers.protocol import ClipSource, MotionReader
    from grail_framework.robots.spec import RobotSpec
    from grail_framework.runs.motion_check import MotionsOfTask

_NOTHING: Final = np.zeros(0, dtype=np.float32)


@attrs.frozen(kw_only=True)
class LibraryCheck:
    """What was found in a library."""

    folder: Path
    reader: str
    """Name of the reader that knows the layout."""
    robot: str
    task: str | None
    """The task whose needs were checked; None: what every task needs."""
    num_motions: int
    num_frames: int
    """Frames of the motions that could be read, at the files' own rates."""
    findings: tuple[ClipFault, ...]
    """Faults, then warnings; each by motion."""

    @property
    def faults(self) -> tuple[ClipFault, ...]:
        """What prevents the use of a motion."""
        return tuple(fault for fault in self.findings if fault.fatal)

    @property
    def warnings(self) -> tuple[ClipFault, ...]:
        """What is odd and used."""
        return tuple(fault for fault in self.findings if not fault.fatal)

    @property
    def num_usable(self) -> int:
        """Number of motions without a fault."""
        return self.num_motions - len({fault.key for fault in self.faults})

    def document(self, *, strict: bool) -> dict[str, Any]:
        """Return everything as plain values; the keys and their meaning do not change."""
        findings = [
            {
                "motion": fault.key,
                "file": str(fault.path),
                "frame": fault.frame,
                "severity": severity(fault),
                "reason": fault.reason,
            }
            for fault in self.findings
        ]
        return {
            "folder": str(self.folder),
            "reader": self.reader,
            "robot": self.robot,
            "task": self.task,
            "motions": self.num_motions,
            "usable": self.num_usable,
            "frames": self.num_frames,
            "faults": len(self.faults),
            "warnings": len(self.warnings),
            "ok": self.ok(strict=strict),
            "findings": findings,
        }

    def ok(self, *, strict: bool) -> bool:
        """Say whether all is well; `strict` counts warnings too."""
        return not (self.findings if strict else self.faults)


def severity(fault: ClipFault) -> str:
    """Return `fault` where the motion cannot be used, `warning` where it is used."""
    return "fault" if fault.fatal else "warning"


def task_needs(cfg: RunCfg) -> Needs:
    """Return what a task's scene and command ask of every motion."""
    return Needs(
        object=cfg.scene.object is not None,
        table=cfg.scene.table is not None,
        hand_action=cfg.command.use_motion_hand_actions,
    )


def check_motion_library(
    cfg: MotionCfg,
    robot: RobotSpec,
    readers: Sequence[MotionReader],
    needs: Needs,
    *,
    task: str | None = None,
    asset: ObjectCfg | None = None,
    together: MotionsOfTask | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> LibraryCheck:
    """Read every selected motion of a library, check it, its object asset, and the motions together.

    Args:
        cfg: where the motions are and which of them count.
        robot: the robot they must be of.
        readers: tried in order; the first that recognises the files reads them.
        needs: what is asked of every motion.
        task: name of the task the needs are of.
        asset: what the task's scene says of the object; None: an object that never moves is terrain.
        together: given every motion that can be used, then asked what a run of the task asks of them together; None: nothing is.
        progress: called after each motion with how many are done, how many there are, and its stem.

    Raises:
        DataError: the folder does not exist, is empty, or is of no layout that a reader knows.
        ConfigError: the selection names motions that are not there.
    """
    reader = find_reader(cfg, readers)
    source = reader.open(cfg)
    keys = select_keys(source.keys, cfg)
    assets = _Assets(asset, fatal=needs.object)
    found: list[ClipFault] = list(_beside(source))
    usable: list[MotionClip] = []
    frames = 0
    for done, key in enumerate(keys, start=1):
        clip, faults = _check_motion(source, key, robot, needs, assets)
        if clip is not None:
            frames += len(clip.root_pos)
            if not any(fault.fatal for fault in faults):
                usable.append(_outline(clip))
                if together is not None:
                    together.take(clip)
        found += faults
        if progress is not None:
            progress(done, len(keys), key)
    found += [*check_library(usable), *(together.faults() if together is not None else ())]
    return LibraryCheck(
        folder=Path(cfg.robot_dir or cfg.data or "").expanduser(),
        reader=reader.name,
        robot=robot.name,
        task=task,
        num_motions=len(keys),
        num_frames=frames,
        findings=tuple(sorted(found, key=lambda fault: (not fault.fatal, fault.key))),
    )


def _check_motion(
    source: ClipSource, key: str, robot: RobotSpec, needs: Needs, assets: _Assets
) -> tuple[MotionClip | None, list[ClipFault]]:
    try:
        clip, notes = source.read(key)
    except BadClipError as error:
        return None, list(error.faults)
    return clip, [*notes, *check_clip(clip, robot, needs), *assets.check(clip)]


def _beside(source: ClipSource) -> Sequence[ClipFault]:
    """Return what a reader finds beside the motions; one of a plugin need not look."""
    look = getattr(source, "library_faults", None)
    return look() if look is not None else ()


def _outline(clip: MotionClip) -> MotionClip:
    """Keep what a clip has and let go of the values: a library may not fit into memory."""
    values = {name: None if getattr(clip, name) is None else _NOTHING for name in ("hand_action", "table_pos", "bps")}
    track = clip.object
    if track is not None:
        points = None if track.contact_points is None else {}
        track = attrs.evolve(track, pos=_NOTHING, quat=_NOTHING, contact_points=points)
    return attrs.evolve(clip, root_pos=_NOTHING, root_quat=_NOTHING, joint_pos=_NOTHING, object=track, **values)


class _Assets:
    """Object assets, each opened once: motions may share a file."""

    def __init__(self, settings: ObjectCfg | None, *, fatal: bool) -> None:
        self._settings = settings
        self._fatal = fatal
        self._problems: dict[tuple[Path, int], str] = {}

    def check(self, clip: MotionClip) -> list[ClipFault]:
        """Open the asset of a motion."""
        if clip.object_usd is None:
            return []
        asked = clip.object_usd, self._piece_limit(clip)
        if asked not in self._problems:
            self._problems[asked] = asset_problem(*asked)
        reason = self._problems[asked]
        return [ClipFault(path=clip.object_usd, key=clip.key, reason=reason, fatal=self._fatal)] if reason else []

    def _piece_limit(self, clip: MotionClip) -> int:
        settings = self._settings or ObjectCfg(dynamic=clip.object is None or moves(clip.object))
        return settings.piece_limit
