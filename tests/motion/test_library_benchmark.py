"""The benchmark of the motion library runs, in small."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_motion_library.py"


def test_it_prints_what_it_is_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", [str(SCRIPT), "--clips", "30", "--envs", "4"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    text = capsys.readouterr().out
    assert "30 clips" in text
    assert "clips/s" in text
    in_memory = re.search(r"in memory = ([\d.]+) times 36 floats, .* on disk = ([\d.]+) times", text)
    assert in_memory is not None
    assert all(float(times) < 1.3 for times in in_memory.groups())
    assert "copy/gather" in text
    assert "on demand/ahead" in text
