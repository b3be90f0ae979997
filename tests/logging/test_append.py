from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from grail_framework.logging.append import AppendedFile


def test_records_are_appended_to_what_is_there(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old ")
    file = AppendedFile(path)
    file.append(b"one ")
    file.append(b"two")
    assert path.read_bytes() == b"old one two"  # without a flush
    file.close()
    file.close()


def test_what_was_not_taken_back_goes_before_the_next_record(tmp_path: Path, files_up_to: Any, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    file = AppendedFile(path)
    file.append(b"one ")

    def refuse(*_arguments: Any) -> None:
        raise OSError(30, "Read-only file system")

    with files_up_to(6), monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(OSError, match="File too large"):
            file.append(b"two ")
    assert path.read_bytes() == b"one tw"
    file.append(b"three")
    assert path.read_bytes() == b"one two three"
    file.close()


def test_a_file_that_was_removed_to_make_room_is_made_again(tmp_path: Path, files_up_to: Any):
    path = tmp_path / "file"
    file = AppendedFile(path)
    file.append(b"one ")
    with files_up_to(4), pytest.raises(OSError, match="File too large"):
        file.append(b"two ")
    path.unlink()
    file.append(b"three")
    assert path.read_bytes() == b"two three"
    file.close()


def test_what_still_waits_when_it_is_closed_is_counted(tmp_path: Path, files_up_to: Any):
    file = AppendedFile(tmp_path / "file")
    with files_up_to(0):
        for _ in range(2):
            with pytest.raises(OSError, match="File too large"):
                file.append(b"x")
        with pytest.raises(OSError, match="File too large; 2 records are lost"):
            file.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_device_is_written_without_being_cut(tmp_path: Path):
    file = AppendedFile(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        file.append(b"x")
    with pytest.raises(OSError, match="1 records are lost"):
        file.close()
