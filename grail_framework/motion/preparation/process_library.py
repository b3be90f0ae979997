"""A whole retargeted library made ready for training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from grail_framework.config.scene import MotionCfg
from grail_framework.errors import ConfigError, DataError
from grail_framework.motion.faults import BadClipError
from grail_framework.motion.loading import open_source
from grail_framework.motion.preparation.folders import check_stems, claim_output, folder_stems, link_folder
from grail_framework.motion.preparation.process import NoLiftError, ProcessOptions, process_clip
from grail_framework.motion.preparation.report import PrepareReport, Skipped
from grail_framework.motion.validate import Needs, check_clip
from grail_framework.motion.writer import meta_entry, object_entry, robot_entry, write_clip, write_pickle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.preparation.process import Processed
    from grail_framework.motion.preparation.report import Progress
    from grail_framework.motion.readers.protocol import ClipSource, MotionReader
    from grail_framework.robots.spec import RobotSpec

MONOLITHS = {
    "robot": "processed_robot_motions.pkl",
    "objects": "processed_object_motions.pkl",
    "meta": "processed_meta_motions.pkl",
}
"""File names of a library that is not written one file per motion (GRAIL release)."""


def process_library(
    raw: Path,
    out: Path,
    robot: RobotSpec,
    *,
    readers: Sequence[MotionReader],
    options: ProcessOptions | None = None,
    per_object: bool = True,
    skip_no_lift: bool = True,
    on_bad_clip: str = "stop",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PrepareReport:
    """Process every motion of `raw` and write a library of the GRAIL layout to `out`, uncompressed; `raw` is not touched.

    `out/object_usd` becomes a relative link to the assets of `raw`. Basis point sets stay with `raw` where the reader looks for them
    (`out` is called like `raw` with `_ha` behind it) and are copied otherwise.

    Args:
        raw: a motion library.
        out: folder to write.
        robot: the robot the motions are of.
        readers: tried in order; the first that recognises the files reads them.
        options: what is done to each motion; None: the defaults.
        per_object: one file per motion; false: three files for all of them.
        skip_no_lift: leave out motions whose object is never lifted; false: such a motion is a bad one.
        on_bad_clip: `stop` at the first motion that cannot be used, or `skip` it and report it.
        overwrite: replace files of the same names in a folder that is not empty.
        progress: called after each motion.

    Raises:
        DataError: the folders are refused, a motion cannot be used and `on_bad_clip` is `stop`, or none is left.
    """
    source = open_source(MotionCfg(data=str(raw)), readers)
    claim_output(out, raw, overwrite=overwrite)
    before = folder_stems(out / "robot")
    run = _Run(raw=raw, out=out, robot=robot, options=options or ProcessOptions(), per_object=per_object)
    for done, key in enumerate(source.keys, start=1):
        try:
            run.add(source, key)
        except NoLiftError as error:
            if not skip_no_lift:
                run.refuse(key, f"{error}; leave such motions out with --skip-no-lift", on_bad_clip)
            else:
                run.skipped.append(Skipped(key=key, reason=str(error), asked=True))
        except ConfigError:
            raise
        except DataError as error:
            run.refuse(key, str(error), on_bad_clip)
        if progress is not None:
            progress(done, len(source.keys), key)
    return run.finish(before)


class _Run:
    """What has been done so far."""

    def __init__(self, *, raw: Path, out: Path, robot: RobotSpec, options: ProcessOptions, per_object: bool) -> None:
        self._raw, self._out, self._robot = raw, out, robot
        self._options = options
        self._per_object = per_object
        self._monoliths: dict[str, dict[str, Any]] = {part: {} for part in MONOLITHS}
        self._written: list[str] = []
        self._notes: list[tuple[str, str]] = []
        self.skipped: list[Skipped] = []

    def add(self, source: ClipSource, key: str) -> None:
        clip, notes = source.read(key)
        faults = [*notes, *check_clip(clip, self._robot, Needs())]
        if any(fault.fatal for fault in faults):
            raise BadClipError(*(fault for fault in faults if fault.fatal))
        done = process_clip(clip, self._robot, self._options)
        self._write(done.clip)
        self._note(key, [fault.reason for fault in faults], done)

    def refuse(self, key: str, reason: str, on_bad_clip: str) -> None:
        if on_bad_clip == "stop":
            raise DataError(
                f"{reason}\nStopped; {len(self._written)} motions were written to {self._out}. Mend the file, or leave such "
                "motions out with --on-bad-clip skip."
            )
        self.skipped.append(Skipped(key=key, reason=reason))

    def finish(self, before: frozenset[str]) -> PrepareReport:
        if not self._written:
            reasons = "; ".join(f"{item.key}: {item.reason}" for item in self.skipped[:5])
            raise DataError(f"no motion was written to {self._out}; {reasons}")
        if not self._per_object:
            for part, name in MONOLITHS.items():
                write_pickle(self._out / name, self._monoliths[part], compress=False)
        remarks = self._attach_assets()
        stale = sorted(before - set(self._written))
        if stale and self._per_object:
            remarks.append(f"{len(stale)} motions in {self._out} are not from this run: {', '.join(stale[:5])}")
        return PrepareReport(
            out=self._out,
            written=tuple(self._written),
            skipped=tuple(self.skipped),
            notes=tuple(self._notes),
            problems=check_stems(self._out) if self._per_object else (),
            remarks=tuple(remarks),
        )

    def _note(self, key: str, faults: list[str], done: Processed) -> None:
        lift = [] if done.lift_frame is None else [f"lift at frame {done.lift_frame}"]
        self._notes += [(key, text) for text in (*faults, *lift, *done.notes)]

    def _write(self, clip: MotionClip) -> None:
        clip = attrs.evolve(clip, bps=None if self._bps_found_beside_raw else clip.bps)
        if self._per_object:
            write_clip(clip, self._out, self._robot, compress=False)
        else:
            self._monoliths["robot"][clip.key] = robot_entry(clip, self._robot)
            self._monoliths["meta"][clip.key] = meta_entry(clip)
            if clip.object is not None:
                self._monoliths["objects"][clip.key] = object_entry(clip)
        self._written.append(clip.key)

    @property
    def _bps_found_beside_raw(self) -> bool:
        raw, out = self._raw.resolve(), self._out.resolve()
        return out.parent == raw.parent and out.name == f"{raw.name}_ha"

    def _attach_assets(self) -> list[str]:
        remarks: list[str] = []
        if (self._raw / "object_usd").is_dir():
            link_folder(self._out / "object_usd", self._raw / "object_usd")
            remarks.append(f"object_usd is a link to {(self._out / 'object_usd').readlink()}")
        else:
            remarks.append(f"no object assets: {self._raw / 'object_usd'} does not exist")
        if not (self._raw / "bps").is_dir():
            remarks.append(f"no basis point sets; make them with `grail data bps {self._raw}`")
        return remarks
