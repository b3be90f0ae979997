"""Clips of other formats turned into a library of the GRAIL layout, with objects, contacts, hand commands and shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from grail_framework.assets.usd_copy import copy_usd
from grail_framework.errors import ConfigError, DataError
from grail_framework.motion.clip import HANDS, ObjectTrack
from grail_framework.motion.faults import BadClipError
from grail_framework.motion.preparation.bps import basis_points
from grail_framework.motion.preparation.contacts import CONTACT_DISTANCE, find_contacts
from grail_framework.motion.preparation.folders import check_stems, claim_output, folder_stems
from grail_framework.motion.preparation.hands import close_from, find_lift_frame, from_contacts
from grail_framework.motion.preparation.object_source import (
    OBJECT_SUFFIXES,
    ObjectOptions,
    ObjectSource,
    pair_by_stem,
    read_object_source,
    read_terrain_source,
)
from grail_framework.motion.preparation.report import PrepareReport, Skipped
from grail_framework.motion.validate import Needs, check_clip
from grail_framework.motion.writer import write_bps, write_clip

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.preparation.report import Progress
    from grail_framework.motion.readers.protocol import ClipSource
    from grail_framework.robots.spec import RobotSpec


@attrs.frozen(kw_only=True)
class ImportOptions:
    """What is added to the clips."""

    object_mesh: Path | None = None
    """Mesh or USD file of the object all clips handle, or a folder with one file per motion stem."""
    object: ObjectOptions = attrs.field(factory=ObjectOptions)
    object_name: str = ""
    """Empty: the stem of the mesh file."""
    terrain: Path | None = None
    """Mesh of the terrain all clips walk on, or a folder with one file per motion stem."""
    terrain_scale: float = 1.0
    """Metres per unit of the terrain file."""
    table_size: tuple[float, float, float] | None = None
    """Along x, y, z; None: no table. [m]"""
    table_pos: tuple[float, float, float] | None = None
    """Of the table's centre, level and aligned with x and y. [m]"""
    contact_distance: float = CONTACT_DISTANCE
    """From the palm's centre to the object's surface. [m]"""
    contact_from_lift: bool = True
    """Contacts count from the lift of the object on; false: from the first touch on."""
    lift_threshold: float = 0.02
    """Rise of the object above its first height that counts as lifted. [m]"""
    grasp_anticipation_frames: int = 10
    """Frames by which a hand's command comes before its first contact. [-]"""
    name: str | None = None
    """Stem of the motion where there is one clip; None: from the file name."""

    def __attrs_post_init__(self) -> None:
        if self.object_mesh is not None and self.terrain is not None:
            raise ConfigError(
                "--object-mesh and --terrain exclude each other: a motion has one object, and terrain takes its place"
            )
        if (self.table_size is None) != (self.table_pos is None):
            raise ConfigError("a table needs both --table-size and --table-pos, in metres")


def import_clips(
    source: ClipSource,
    source_path: Path,
    out: Path,
    robot: RobotSpec,
    *,
    options: ImportOptions,
    on_bad_clip: str = "stop",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PrepareReport:
    """Write all clips of an opened source as a library of the GRAIL layout.

    Args:
        source: clips of any registered reader.
        source_path: where they come from; never written to.
        out: folder to write.
        robot: the robot the clips are of.
        options: what is added.
        on_bad_clip: `stop` at the first clip that cannot be used, or `skip` it and report it.
        overwrite: replace files of the same names in a folder that is not empty.
        progress: called after each clip.

    Raises:
        DataError: the folders are refused, a clip or mesh cannot be used and `on_bad_clip` is `stop`, or none is left.
        ConfigError: options that do not go together or with the clips.
    """
    if options.name is not None and len(source.keys) != 1:
        raise ConfigError(
            f"--name {options.name!r} names one motion, but {source_path} has {len(source.keys)}; name a single file"
        )
    claim_output(out, source_path, overwrite=overwrite)
    before = folder_stems(out / "robot")
    run = _Import(out=out, robot=robot, options=options)
    skipped: list[Skipped] = []
    for done, key in enumerate(source.keys, start=1):
        try:
            run.add(source, key)
        except ConfigError:
            raise
        except DataError as error:
            if on_bad_clip == "stop":
                raise DataError(
                    f"{error}\nStopped; {len(run.written)} motions were written to {out}. Mend the file, or leave such motions out "
                    "with --on-bad-clip skip."
                ) from error
            skipped.append(Skipped(key=key, reason=str(error)))
        if progress is not None:
            progress(done, len(source.keys), key)
    if not run.written:
        raise DataError(f"no motion was written to {out}; " + "; ".join(f"{item.key}: {item.reason}" for item in skipped[:5]))
    stale = sorted(before - set(run.written))
    remarks = [f"{len(stale)} motions in {out} are not from this run: {', '.join(stale[:5])}"] if stale else []
    return PrepareReport(
        out=out,
        written=tuple(run.written),
        skipped=tuple(skipped),
        notes=tuple(run.notes),
        problems=check_stems(out),
        remarks=tuple(remarks),
    )


class _Import:
    """What has been done so far, and the meshes that have been read."""

    def __init__(self, *, out: Path, robot: RobotSpec, options: ImportOptions) -> None:
        self._out, self._robot, self._options = out, robot, options
        self._meshes: dict[Path, ObjectSource] = {}
        self.written: list[str] = []
        self.notes: list[tuple[str, str]] = []

    def add(self, source: ClipSource, key: str) -> None:
        clip, faults = source.read(key)
        stem = self._options.name or key
        faults = [*faults, *check_clip(clip, self._robot, Needs())]
        if any(fault.fatal for fault in faults):
            raise BadClipError(*(fault for fault in faults if fault.fatal))
        mesh = self._mesh(key)
        notes = [fault.reason for fault in faults]
        clip = self._complete(attrs.evolve(clip, key=stem), mesh, notes)
        if mesh is not None:
            mesh.write(self._out / "object_usd" / stem)
        elif clip.object_usd is not None:
            copy_usd(clip.object_usd, self._out / "object_usd" / f"{stem}{clip.object_usd.suffix}")
        write_clip(clip, self._out, self._robot)
        if clip.bps is not None:
            write_bps(self._out / "bps" / "_basis.npy", basis_points())
        self.written.append(stem)
        self.notes += [(stem, note) for note in notes]

    def _mesh(self, key: str) -> ObjectSource | None:
        options = self._options
        given = options.object_mesh or options.terrain
        if given is None:
            return None
        path = pair_by_stem(given, key, OBJECT_SUFFIXES)
        if path not in self._meshes:
            if options.terrain is not None:
                mesh = read_terrain_source(path, options.terrain_scale)
            else:
                mesh = read_object_source(path, options.object)
            if given.is_dir():
                return mesh
            self._meshes[path] = mesh
        return self._meshes[path]

    def _complete(self, clip: MotionClip, mesh: ObjectSource | None, notes: list[str]) -> MotionClip:
        options = self._options
        if mesh is not None:
            clip = attrs.evolve(clip, object_name=options.object_name or mesh.path.stem)
        if options.table_pos is not None and options.table_size is not None:
            clip = attrs.evolve(
                clip,
                table_pos=np.array(options.table_pos, dtype=np.float32),
                table_quat=np.array((1.0, 0.0, 0.0, 0.0), dtype=np.float32),
                table_size=np.array(options.table_size, dtype=np.float32),
            )
        if options.terrain is not None:
            return _on_terrain(clip)
        if mesh is None:
            if clip.object is not None and clip.object_usd is None:
                notes.append("has an object motion but no object asset; give its mesh with --object-mesh")
            return clip
        if clip.object is None:
            raise DataError(f"{clip.path} (motion {clip.key!r}): has no object motion, which --object-mesh needs")
        return self._with_contacts(clip, mesh, notes)

    def _with_contacts(self, clip: MotionClip, mesh: ObjectSource, notes: list[str]) -> MotionClip:
        options = self._options
        assert clip.object is not None
        assert mesh.surface is not None
        contacts = find_contacts(clip, self._robot, mesh.surface, contact_distance=options.contact_distance)
        if options.contact_from_lift:
            lift = find_lift_frame(clip.object.pos[:, 2], options.lift_threshold)
            if lift is None:
                notes.append(
                    f"the object never rises by {options.lift_threshold:g} m, so there are no contacts; use --contact-from-touch "
                    "for an object that is not lifted"
                )
            contacts = {
                hand: {frame: own for frame, own in points.items() if lift is not None and frame >= lift}
                for hand, points in contacts.items()
            }
        frames = len(clip.root_pos)
        starts = from_contacts(contacts, lift_frame=None, anticipation=options.grasp_anticipation_frames)
        notes += [_describe(hand, contacts.get(hand, {}), starts.get(hand)) for hand in HANDS]
        return attrs.evolve(
            clip,
            object=attrs.evolve(clip.object, contact_points=contacts),
            hand_action=np.stack([close_from(starts.get(hand), frames) for hand in HANDS], axis=-1),
            bps=mesh.bps,
        )


def _on_terrain(clip: MotionClip) -> MotionClip:
    """Put a terrain, which stands at the world's origin, in the place of the object; hands have no commands there."""
    frames = len(clip.root_pos)
    track = ObjectTrack(
        pos=np.zeros((frames, 3), dtype=np.float32),
        quat=np.tile(np.array((1.0, 0.0, 0.0, 0.0), dtype=np.float32), (frames, 1)),
        fps=clip.fps,
    )
    return attrs.evolve(clip, object=track, hand_action=None, bps=None)


def _describe(hand: str, points: dict[int, np.ndarray], start: int | None) -> str:
    if not points:
        return f"{hand} hand: no contact, stays open"
    return f"{hand} hand: contact in {len(points)} frames, {min(points)} to {max(points)}, closes at {start}"
