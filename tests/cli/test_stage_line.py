"""What a run says on stderr while it starts."""

from __future__ import annotations

import io
import time

import pytest

from grail_framework.cli import run_report
from grail_framework.cli.run_report import StageLine


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run_report.time, "perf_counter", lambda: now[0])
    return now


def test_lines_where_there_is_no_terminal(clock, capsys):
    line = StageLine()
    line("scene")
    clock[0] += 0.5
    line("kernels")
    for _ in range(40):
        clock[0] += 1.0
        line("kernels", int(clock[0]) - 100, 70)
    clock[0] += 0.5
    line("training")
    line("")
    assert capsys.readouterr().err.splitlines() == [
        "[  0.0 s] scene",
        "[  0.5 s] kernels",
        "            15 of 70, 15 s",
        "            30 of 70, 30 s",
        "            took 40.5 s",
        "[ 41.0 s] training",
    ]


def test_a_terminal_shows_the_seconds_go_by(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(run_report.sys, "stderr", screen)
    monkeypatch.setattr(run_report, "_TICK", 0.01)
    monkeypatch.setattr(run_report, "WORTH_TELLING", 0.1)
    with StageLine() as line:
        line("kernels")
        line("kernels", 12, 70)
        time.sleep(0.3)
        line("training")
        line("")
        shown = screen.getvalue()
        time.sleep(0.2)
        assert screen.getvalue() == shown  # the live panel has the terminal now
    drawn, rest = shown.split("\n", 1)
    assert drawn == "[  0.0 s] kernels"
    assert "\r\x1b[K            12 of 70, 0 s\r" in rest
    assert rest.endswith("\r\x1b[K            took 0.3 s\n[  0.3 s] training\n")


def test_a_silent_one_says_nothing(capsys):
    with StageLine(silent=True) as line:
        line("scene")
    assert capsys.readouterr().err == ""


def test_the_last_stage_ends_with_the_program(clock, capsys):
    def program():
        with StageLine() as line:
            line("scene")
            clock[0] += 3.0
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        program()
    assert capsys.readouterr().err.splitlines() == ["[  0.0 s] scene", "            took 3.0 s"]
