"""The list of a process's motions: whole or not at all, through nobody's link, and never in the way of another run."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

import pytest

from grail_terrain import keys_file
from grail_terrain.keys_file import release, write_keys


@pytest.fixture
def mirrors(tmp_path):
    folder = tmp_path / "tmp"
    folder.mkdir()
    yield folder
    for run_dir in list(keys_file._held):
        release(run_dir)


def name(rank=0):
    return f"rank_{rank}_motion_keys.txt"


def test_both_files_have_the_keys_with_repeats(tmp_path, mirrors):
    write_keys(tmp_path / "run", 3, ["a", "b", "a", "walk"], mirrors)
    for folder in (tmp_path / "run", mirrors):
        assert (folder / name(3)).read_bytes() == b"a\nb\na\nwalk\n"
        assert [path.name for path in folder.iterdir()] == [name(3)]
        assert (folder / name(3)).stat().st_mode & 0o777 == 0o644


def test_no_mirror(tmp_path, mirrors):
    write_keys(tmp_path / "run", 0, ["a"], None)
    assert not list(mirrors.iterdir())


@pytest.mark.parametrize("target", ["victim.txt", "gone.txt"])
def test_a_link_is_replaced_and_what_it_points_to_left(tmp_path, mirrors, target):
    victim = tmp_path / target
    if target == "victim.txt":
        victim.write_text("mine")
    (mirrors / name()).symlink_to(victim)
    write_keys(tmp_path / "run", 0, ["a"], mirrors)
    assert not (mirrors / name()).is_symlink()
    assert (mirrors / name()).read_text() == "a\n"
    assert victim.read_text() == "mine" if target == "victim.txt" else not victim.exists()


def test_a_hard_link_keeps_its_content(tmp_path, mirrors):
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    os.link(victim, mirrors / name())
    write_keys(tmp_path / "run", 0, ["a"], mirrors)
    assert (victim.read_text(), (mirrors / name()).read_text()) == ("mine", "a\n")


def test_a_folder_or_a_pipe_in_the_way(tmp_path, mirrors, caplog):
    (mirrors / name(0)).mkdir()
    os.mkfifo(mirrors / name(1))
    with caplog.at_level(logging.WARNING):
        for rank in (0, 1):
            write_keys(tmp_path / "run", rank, ["a"], mirrors)
            assert (tmp_path / "run" / name(rank)).read_text() == "a\n"
    assert "cannot be written (Is a directory)" in caplog.text
    assert (mirrors / name(1)).read_text() == "a\n"
    assert sorted(path.name for path in mirrors.iterdir()) == [name(0), name(1)]


def test_a_folder_that_is_not_there(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        write_keys(tmp_path / "run", 0, ["a"], tmp_path / "nowhere")
    assert "cannot be written (No such file or directory)" in caplog.text
    assert (tmp_path / "run" / name()).read_text() == "a\n"


OTHER_RUN = """
import sys
from pathlib import Path
from grail_terrain.keys_file import write_keys
write_keys(Path(sys.argv[1]), 0, ["theirs"], Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.read()
"""


def test_the_mirror_of_a_run_that_goes_on_is_its_own(tmp_path, mirrors, caplog):
    command = [sys.executable, "-c", OTHER_RUN, str(tmp_path / "theirs"), str(mirrors)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        with caplog.at_level(logging.INFO, logger="grail_framework"):
            write_keys(tmp_path / "ours", 0, ["ours"], mirrors)
        assert (mirrors / name()).read_text() == "theirs\n"
        assert (tmp_path / "ours" / name()).read_text() == "ours\n"
        assert "belongs to another run that goes on" in caplog.text
        other.stdin.close()
    # It ended, however it did: now the name is free.
    write_keys(tmp_path / "ours", 0, ["ours"], mirrors)
    assert (mirrors / name()).read_text() == "ours\n"


def test_a_run_may_write_again_and_frees_the_name_when_it_is_done(tmp_path, mirrors):
    write_keys(tmp_path / "one", 0, ["a"], mirrors)
    write_keys(tmp_path / "one", 0, ["b"], mirrors)
    write_keys(tmp_path / "two", 0, ["c"], mirrors)
    assert (mirrors / name()).read_text() == "b\n"
    release(tmp_path / "one")
    write_keys(tmp_path / "two", 0, ["c"], mirrors)
    assert (mirrors / name()).read_text() == "c\n"


def test_a_reader_sees_one_list_or_the_other(tmp_path, mirrors):
    lists = [["a"] * 2000, ["b"] * 3000]
    whole = {"".join(f"{key}\n" for key in keys) for keys in lists}
    over, torn = threading.Event(), []

    def read():
        while not over.is_set():
            if (mirrors / name()).exists() and (text := (mirrors / name()).read_text()) not in whole:
                torn.append(text)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(40):
        write_keys(tmp_path / "run", 0, lists[turn % 2], mirrors)
    over.set()
    reader.join()
    assert not torn
