from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from grail_framework.runs.atomic import check_writable, link_atomically, remove_partial_files, write_atomically

if TYPE_CHECKING:
    from pathlib import Path


class Killed(BaseException):
    """Stands for a process that is gone: nothing after it runs, clean-up included."""


def kill_at(monkeypatch: pytest.MonkeyPatch, name: str, occurrence: int = 1) -> None:
    """Make the n-th call of an os function the process's last; from then on all of them fail."""
    count = 0

    def patched(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count < occurrence:
            return original(*args, **kwargs)
        monkeypatch.setattr(os, "unlink", dead)
        raise Killed

    def dead(*args: Any, **kwargs: Any) -> Any:
        raise Killed

    original = getattr(os, name)
    monkeypatch.setattr(os, name, patched)


@pytest.mark.parametrize(
    ("step", "occurrence", "expected"),
    [("fsync", 1, "old"), ("replace", 1, "old"), ("open", 1, "new"), ("fsync", 2, "new")],
)
def test_a_kill_at_any_step_leaves_old_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, occurrence: int, expected: str
):
    path = tmp_path / "file"
    write_atomically(path, "old")
    with monkeypatch.context() as context:
        kill_at(context, step, occurrence)
        with pytest.raises(Killed):
            write_atomically(path, "new")
    assert path.read_text() == expected
    remove_partial_files(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("step", "expected"), [("symlink", "old"), ("replace", "old"), ("open", "new"), ("fsync", "new")])
def test_a_link_is_moved_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, expected: str):
    link = tmp_path / "last"
    link_atomically(link, "old")
    with monkeypatch.context() as context:
        kill_at(context, step)
        with pytest.raises(Killed):
            link_atomically(link, "new")
    assert os.readlink(link) == expected
    link_atomically(link, "newer")
    assert os.readlink(link) == "newer"


def test_an_error_of_the_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "file", "new")
    assert list(tmp_path.iterdir()) == []


def test_data_reaches_the_disk_before_the_name_and_the_name_before_the_return(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, original=original: (calls.append(name), original(*args))[1])
    write_atomically(tmp_path / "file", b"content")
    assert calls == ["fsync", "replace", "fsync"]


def test_trying_a_directory_out_leaves_nothing(tmp_path: Path):
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_are_removed_from_the_folders_too(tmp_path: Path):
    (tmp_path / "nan_dumps").mkdir()
    for name in (".partial-7-last.pt", "nan_dumps/.partial-7-x.pt", "nan_dumps/x.pt"):
        (tmp_path / name).touch()
    remove_partial_files(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["nan_dumps", "x.pt"]
