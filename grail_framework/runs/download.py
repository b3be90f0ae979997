"""Fetching the release's bundles: what is complete stays, what was cut goes on, what does not fit its checksum is thrown away.

A file is fetched beside its place under a hidden name, which holds the digest of the content it belongs to, and takes its place only
when it is whole and compared. The download functions of `huggingface_hub` begin anew in every process; here the next process goes on
where a killed one stopped.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

import attrs

from grail_framework.errors import DownloadError
from grail_framework.runs.atomic import sync
from grail_framework.runs.bundle_catalogue import find_bundle
from grail_framework.runs.download_record import compare_digest, read_records, sha256_of, write_record
from grail_framework.runs.hub import find_on_hub, stream_from_hub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from grail_framework.runs.bundle_catalogue import ReleaseBundle
    from grail_framework.runs.hub import HubFile

_log = logging.getLogger(__name__)

DEFAULT_REVISION: Final = "main"
"""The branch of the hub that is fetched where no revision is named."""
_LOCK: Final = ".download.lock"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

State = Literal["complete", "fetched", "resumed"]
"""`complete`: it was there; `resumed`: fetched from where an earlier attempt had stopped."""


@attrs.frozen(kw_only=True)
class DownloadedFile:
    """A file of a bundle that is there, whole."""

    path: Path
    """Where."""
    state: State
    """How it came."""
    size: int
    """Bytes."""
    sha256: str
    """Of its content."""
    revision: str
    """The branch, tag or commit that was asked for."""
    commit: str
    """The commit it is of."""
    notes: tuple[str, ...] = ()
    """What a user should know about its origin."""


@attrs.frozen(kw_only=True)
class _Wanted:
    """A file to fetch: where to, and what the hub says of it."""

    target: Path
    revision: str
    remote: HubFile

    @property
    def partial(self) -> Path:
        """Where it grows; named by its content, so that no other content is ever appended to it."""
        content = re.sub(r"[^0-9A-Za-z]", "_", self.remote.etag or "unnamed")
        return self.target.with_name(f".{self.target.name}.{content}.partial")

    def kept(self) -> int:
        """Bytes that an earlier attempt left of this content."""
        if self.remote.etag is None or self.remote.size is None or not self.partial.exists():
            return 0
        size = self.partial.stat().st_size
        return size if size <= self.remote.size else 0


def download_bundles(
    bundles: Sequence[ReleaseBundle],
    models: Path,
    *,
    revision: str = DEFAULT_REVISION,
    endpoint: str | None = None,
    force: bool = False,
    tell: Callable[[str], None] | None = None,
) -> list[DownloadedFile]:
    """Bring the files of bundles to `<models>/<bundle>/`; those that are there and whole are not fetched again.

    The server is asked for all files before the first is fetched, so that what speaks against a download is said at once.

    Args:
        bundles: what to fetch.
        models: the folder for bundles; made where it is missing.
        revision: branch, tag or commit of the release's data set.
        endpoint: address of a hub; None: the library's own, or that of `HF_ENDPOINT`.
        force: fetch files that are there too, and replace files of the same name that are not the release's.
        tell: told in a line what is done next.

    Raises:
        DownloadError: no network, an unknown revision, a file of one's own in the way, no room, a wrong checksum; the message says what
            is kept.
    """
    say = tell or (lambda _: None)
    address = None if endpoint is None else endpoint.rstrip("/")
    done: dict[Path, DownloadedFile] = {}
    waiting: list[_Wanted] = []
    targets = [models / bundle.name / name for bundle in bundles for name in bundle.files]
    for target in targets:
        there = None if force else _downloaded_before(target, revision)
        if there is None:
            remote = find_on_hub(f"{target.parent.name}/{target.name}", revision=revision, endpoint=address)
            wanted = _Wanted(target=target, revision=revision, remote=remote)
            there = None if force else _same_content(wanted)
            if there is None:
                waiting.append(wanted)
                continue
        done[target] = there
        say(f"{target.parent.name}/{target.name}: complete, {describe_size(there.size)}")
    if waiting:
        _check_room(models, waiting)
        with _alone(models):
            for wanted in waiting:
                say(f"{wanted.remote.name}: {_amount(wanted)}")
                done[wanted.target] = _fetch(wanted)
    return [done[target] for target in targets]


def describe_size(size: int) -> str:
    """Return bytes in the unit that gives a short number."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


def _downloaded_before(target: Path, revision: str) -> DownloadedFile | None:
    """Return a file that a download of this revision left and nobody changed; its content is read, the server not asked."""
    record = read_records(target.parent).get(target.name)
    if record is None or record.revision != revision or not target.is_file() or sha256_of(target) != record.sha256:
        return None
    return _downloaded(target, "complete", revision=revision, commit=record.commit, sha256=record.sha256)


def _same_content(wanted: _Wanted) -> DownloadedFile | None:
    """Return the file where it is there already, whoever brought it; None where it is to be fetched.

    Raises:
        DownloadError: another file of this name is there, which no download brought.
    """
    target = wanted.target
    if not target.exists():
        return None
    sha256, fits = compare_digest(target, wanted.remote.etag)
    if fits:
        try:
            _record(wanted, sha256)
        except OSError as error:
            _log.warning("%s is complete, which could not be noted beside it: %s", target, error)
        return _downloaded(target, "complete", revision=wanted.revision, commit=wanted.remote.commit, sha256=sha256)
    record = read_records(target.parent).get(target.name)
    if record is not None and record.sha256 == sha256:  # another revision's, as it was fetched
        return None
    raise DownloadError(
        f"{target} is there and is not the release's at revision {wanted.revision!r} (its sha256 is {sha256}): move it away, "
        "replace it with --force, or fetch into another folder with --models"
    )


def _fetch(wanted: _Wanted) -> DownloadedFile:
    """Bring one file to its place.

    Raises:
        DownloadError: it does not come whole, is not what the server announced, or the disk does not take it.
    """
    target, partial, kept = wanted.target, wanted.partial, wanted.kept()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for old in target.parent.glob(f".{target.name}.*.partial"):
            if old != partial or kept == 0:
                old.unlink()
        with partial.open("ab") as file:
            stream_from_hub(wanted.remote, file, start=kept)
            file.flush()
            os.fsync(file.fileno())
        sha256, notes = _compared(wanted)
        os.replace(partial, target)
        sync(target.parent)
        _record(wanted, sha256)
    except OSError as error:
        what = "the disk is full" if error.errno in _FULL else f"it cannot be written ({error.strerror or error})"
        raise DownloadError(
            f"{target}: {what}. What came is kept: make room or make it writable, and the same command goes on from there"
        ) from error
    state: State = "resumed" if kept else "fetched"
    return _downloaded(target, state, revision=wanted.revision, commit=wanted.remote.commit, sha256=sha256, notes=notes)


def _compared(wanted: _Wanted) -> tuple[str, tuple[str, ...]]:
    """Return the SHA-256 of what came, and what is to be said of it.

    Raises:
        DownloadError: it is not what the server announced; nothing of it is kept.
    """
    sha256, fits = compare_digest(wanted.partial, wanted.remote.etag)
    if fits is None:
        return sha256, ("the server states no checksum; only its size was compared",)
    if not fits:
        wanted.partial.unlink()
        raise DownloadError(
            f"{wanted.remote.name}: wrong checksum, what came (sha256 {sha256}) is not what the server announces "
            f"({wanted.remote.etag}). Nothing of it is kept and {wanted.target} is as it was; run the command again to fetch it anew"
        )
    return sha256, ()


def _record(wanted: _Wanted, sha256: str) -> None:
    write_record(wanted.target, revision=wanted.revision, commit=wanted.remote.commit, etag=wanted.remote.etag, sha256=sha256)


def _downloaded(
    target: Path, state: State, *, revision: str, commit: str, sha256: str, notes: tuple[str, ...] = ()
) -> DownloadedFile:
    bundle = find_bundle(target.parent.name)
    documented = None if bundle is None else bundle.documented.get(target.name)
    if documented is not None and documented != sha256:
        notes = (
            *notes,
            f"its sha256 {sha256} is not {documented}, which the release's documentation names; it may have changed",
        )
    return DownloadedFile(
        path=target, state=state, size=target.stat().st_size, sha256=sha256, revision=revision, commit=commit, notes=notes
    )


def _amount(wanted: _Wanted) -> str:
    size = "of unknown size" if wanted.remote.size is None else describe_size(wanted.remote.size)
    kept = wanted.kept()
    return f"going on at {describe_size(kept)} of {size}" if kept else f"fetching {size}"


def _check_room(models: Path, waiting: Sequence[_Wanted]) -> None:
    needed = sum((wanted.remote.size or 0) - wanted.kept() for wanted in waiting)
    there = next(folder for folder in (models.absolute(), *models.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DownloadError(
            f"{describe_size(needed)} are to be fetched into {models}, where {describe_size(free)} are free: make room, name another "
            "folder with --models, or fetch fewer bundles with --only"
        )


@contextmanager
def _alone(models: Path) -> Iterator[None]:
    """Keep other downloads out of a folder.

    Raises:
        DownloadError: another one is at work, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        models.mkdir(parents=True, exist_ok=True)
        lock = FileLock(models / _LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise DownloadError(f"another download into {models} is going on; wait for it, or name another folder") from None
    except OSError as error:
        raise DownloadError(
            f"{models} cannot be written ({error.strerror}); make it writable or name another folder"
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a system that keeps open files from going leaves it, which does no harm
            (models / _LOCK).unlink(missing_ok=True)
        lock.release()
