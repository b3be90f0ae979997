"""Every mistake a user can make on the command line is answered with the name, what is allowed and the fix, before the engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mistakes import CORPUS, GOOD, Mistake, answer, fill, lay_out


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("mistakes"))


def test_corpus_is_large_and_has_no_doubles():
    assert len(CORPUS) >= 40
    assert len({mistake.what for mistake in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("mistake", CORPUS, ids=lambda mistake: mistake.what)
def test_mistake_is_answered(mistake, places):
    result = answer(mistake, places)
    assert result.exit_code == mistake.exit_code, result.output
    said = " ".join(result.stderr.split())
    for fragment in mistake.fragments:
        assert fill(fragment, places) in said
    assert "Traceback" not in said


def test_command_the_corpus_begins_from_is_right(places):
    result = answer(Mistake("none", GOOD, ()), places)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""


@pytest.mark.slow
def test_no_engine_is_imported_for_any_answer(tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import mistakes; print(mistakes.heavy_modules_after(sys.argv[2]))"
    argv = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
