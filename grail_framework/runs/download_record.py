"""What is known of downloaded files: the record beside them and the digests they are compared by. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.runs.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)

RECORD: Final = ".download.json"
"""Name of the record in a bundle's folder."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_BLOB = re.compile(r"[0-9a-f]{40}")


@attrs.frozen(kw_only=True)
class FileRecord:
    """One file as it was when it had been fetched and compared."""

    revision: str
    """The branch, tag or commit that was asked for."""
    commit: str
    """The commit it was."""
    etag: str | None
    """What the server identifies the content by."""
    sha256: str
    """Of the content."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Time of the last change, for telling cheaply whether there was one since."""


def read_records(folder: Path) -> dict[str, FileRecord]:
    """Read a bundle's record, by file name; empty where there is none or it cannot be read, which is said in the log."""
    path = folder / RECORD
    try:
        found = json.loads(path.read_text())
        return {str(name): FileRecord(**values) for name, values in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("%s cannot be read (%s); the files beside it count as not downloaded", path, error)
        return {}


def write_record(target: Path, *, revision: str, commit: str, etag: str | None, sha256: str) -> None:
    """Add a file to the record of its folder.

    Raises:
        OSError: the record cannot be written; it is as it was.
    """
    state = target.stat()
    record = FileRecord(
        revision=revision, commit=commit, etag=etag, sha256=sha256, size=state.st_size, mtime_ns=state.st_mtime_ns
    )
    records = read_records(target.parent) | {target.name: record}
    content = {name: attrs.asdict(value) for name, value in sorted(records.items())}
    write_atomically(target.parent / RECORD, json.dumps(content, indent=2) + "\n")


def sha256_of(path: Path) -> str:
    """Return the digest of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path, records: Mapping[str, FileRecord]) -> str:
    """Return a file's digest, from the record where size and time say that it has not changed since."""
    record, state = records.get(path.name), path.stat()
    if record is not None and (record.size, record.mtime_ns) == (state.st_size, state.st_mtime_ns):
        return record.sha256
    return sha256_of(path)


def compare_digest(path: Path, etag: str | None) -> tuple[str, bool | None]:
    """Return the SHA-256 of a file, and whether an ETag of the hub is its digest; None where the ETag is no digest.

    Large files have the SHA-256 of their content as ETag, others the name that git gives a blob: SHA-1 over `blob <size>`, a zero byte
    and the content.
    """
    sha256 = sha256_of(path)
    if etag is None:
        return sha256, None
    if _SHA256.fullmatch(etag):
        return sha256, sha256 == etag
    return sha256, _git_blob_name(path) == etag if _GIT_BLOB.fullmatch(etag) else None


def _git_blob_name(path: Path) -> str:
    blob = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            blob.update(part)
    return blob.hexdigest()
