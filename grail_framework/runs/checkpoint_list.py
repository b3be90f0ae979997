"""What checkpoints there are: the release's bundles and other folders below `models/`, and those of one's own runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Literal

import attrs
import yaml

from grail_framework.errors import CheckpointError
from grail_framework.runs.bundle_catalogue import BUNDLES, WEIGHTS, find_bundle
from grail_framework.runs.directory import RunDirectory, list_checkpoints
from grail_framework.runs.download_record import known_sha256, read_records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grail_framework.plugins.results import CheckpointFormat

_log = logging.getLogger(__name__)

BundleState = Literal["absent", "incomplete", "usable", "downloaded", "complete", "own"]
"""`incomplete`: no weights that can be read; `usable`: weights that can, without the file that describes them; `downloaded`: all files are
as a download left them; `complete`: all are there, origin unknown; `own`: none of the release's names."""
_UNREADABLE: Final = ("damaged", "unknown")


@attrs.frozen(kw_only=True)
class BundleFile:
    """A file of a bundle on this machine."""

    name: str
    """Within the bundle."""
    size: int
    """Bytes."""
    sha256: str
    """Of its content."""
    format: str | None
    """The checkpoint format, `damaged`, or `unknown`; None for what is no checkpoint."""
    commit: str | None
    """The release's commit it was fetched from; None where it was not, or has changed since."""


@attrs.frozen(kw_only=True)
class BundleEntry:
    """A bundle of the release, or another folder with checkpoints."""

    name: str
    """The folder's name."""
    about: str
    """What the release has it for."""
    state: BundleState
    """Whether it is there."""
    path: str
    """Where it is or would be."""
    missing: list[str]
    """Names of files that a download would bring."""
    files: list[BundleFile]
    """What is there, checkpoints and configurations."""
    partial: int
    """Bytes of a download that was cut."""

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


@attrs.frozen(kw_only=True)
class RunEntry:
    """A run directory with checkpoints."""

    path: str
    """The directory, which `--checkpoint` accepts."""
    task: str | None
    """As its manifest says."""
    iteration: int
    """Of the newest checkpoint."""
    checkpoints: int
    """How many there are."""
    size: int
    """Bytes of all of them."""
    bundle: str | None
    """Its bundle in the release's layout, which can be the base of another run; None where it wrote none."""


def list_bundles(models: Path, formats: Sequence[CheckpointFormat] = ()) -> list[BundleEntry]:
    """List the release's bundles, there or not, then the other folders of `models` that hold `.pt` files.

    Args:
        models: the folder for bundles; it may be missing.
        formats: checkpoint formats beside the framework's own.
    """
    known = [bundle.name for bundle in BUNDLES]
    folders = sorted(folder for folder in models.iterdir() if folder.is_dir()) if models.is_dir() else []
    others = [folder.name for folder in folders if folder.name not in known and any(folder.glob("*.pt"))]
    return [_bundle_entry(models / name, formats) for name in (*known, *others)]


def list_runs(root: Path) -> list[RunEntry]:
    """List the run directories below `root` that hold checkpoints, in the order of their paths."""
    folders = sorted({path.parent for path in root.rglob("model_step_*.pt")}) if root.is_dir() else []
    entries: list[RunEntry] = []
    for folder in folders:
        found = list_checkpoints(folder)
        if found:
            bundle = folder / "bundle"
            entries.append(
                RunEntry(
                    path=str(folder),
                    task=_task(folder),
                    iteration=found[-1][0],
                    checkpoints=len(found),
                    size=sum(path.stat().st_size for _, path in found),
                    bundle=str(bundle) if (bundle / "last.pt").is_file() else None,
                )
            )
    return entries


def format_name(path: Path, formats: Sequence[CheckpointFormat] = ()) -> str:
    """Return the name of a checkpoint's format, `damaged` or `unknown`; nothing in the file is executed."""
    from grail_framework.runs.formats import find_format  # it imports torch, which a list without checkpoints does without

    try:
        found = find_format(path, formats)
    except CheckpointError:
        return "damaged"
    return "unknown" if found is None else found.name


def _bundle_entry(folder: Path, formats: Sequence[CheckpointFormat]) -> BundleEntry:
    bundle = find_bundle(folder.name)
    records = read_records(folder)
    there = sorted(path for path in folder.glob("*") if path.suffix in (".pt", ".yaml") and path.is_file())
    files: list[BundleFile] = []
    for path in there:
        sha256, record = known_sha256(path, records), records.get(path.name)
        files.append(
            BundleFile(
                name=path.name,
                size=path.stat().st_size,
                sha256=sha256,
                format=format_name(path, formats) if path.suffix == ".pt" else None,
                commit=record.commit if record is not None and record.sha256 == sha256 else None,
            )
        )
    wanted = () if bundle is None else bundle.files
    missing = [name for name in wanted if name not in {file.name for file in files}]
    partial = sum(path.stat().st_size for path in folder.glob(".*.partial"))
    return BundleEntry(
        name=folder.name,
        about="" if bundle is None else bundle.about,
        state=_state(wanted, missing, files, partial),
        path=str(folder),
        missing=missing,
        files=files,
        partial=partial,
    )


def _state(wanted: Sequence[str], missing: Sequence[str], files: Sequence[BundleFile], partial: int) -> BundleState:
    if not wanted:
        return "own"
    if not files and not partial:
        return "absent"
    if missing:
        readable = any(file.name == WEIGHTS and file.format not in _UNREADABLE for file in files)
        return "usable" if readable else "incomplete"
    return "downloaded" if all(file.commit for file in files if file.name in wanted) else "complete"


def _task(folder: Path) -> str | None:
    path = RunDirectory(folder).meta
    try:
        meta = yaml.safe_load(path.read_text()) if path.exists() else None
    except (OSError, yaml.YAMLError) as error:
        _log.warning("%s cannot be read: %s", path, error)
        return None
    return meta.get("task") if isinstance(meta, dict) else None
