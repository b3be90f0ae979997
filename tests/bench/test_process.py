"""Timing of processes by what they write, with small Python programs in place of `grail run`."""

import os
import sys

import pytest

from grail_framework.bench.process import FIRST_PHASE, follow, wall
from grail_framework.errors import GrailError


def python(code):
    return [sys.executable, "-c", f"import sys, time\n{code}"]


def test_phases_are_the_lines_until_the_first_iteration():
    phases = follow(
        python(
            "say = lambda text, to=sys.stderr: print(text, file=to, flush=True)\n"
            "say('[  0.0 s] loading PyTorch'); say('a warning'); time.sleep(0.2)\n"
            "say('[  0.2 s] building 4 environments'); time.sleep(0.1)\n"
            "say('[  0.3 s] loading PyTorch'); time.sleep(0.1)\n"
            "say('iteration 1/1  samples/s 5', sys.stdout); time.sleep(0.5)\n"
            "say('[  0.9 s] evaluating')"
        ),
        os.environ,
    )
    assert list(phases.seconds) == [FIRST_PHASE, "loading PyTorch", "building 4 environments"]
    assert phases.seconds["loading PyTorch"] >= 0.29  # both times it was told
    assert phases.seconds["building 4 environments"] >= 0.09
    assert phases.total == pytest.approx(sum(phases.seconds.values()))


@pytest.mark.parametrize("run", [follow, wall])
def test_a_process_that_fails_says_so_with_its_last_lines(run):
    with pytest.raises(GrailError, match="exit code 7") as error:
        run(python("print('why it failed', file=sys.stderr); sys.exit(7)"), os.environ)
    assert "why it failed" in str(error.value)


def test_a_run_without_an_iteration_is_no_measurement():
    with pytest.raises(GrailError, match="no iteration was finished"):
        follow(python("print('[  0.0 s] loading PyTorch')"), os.environ)


def test_wall_is_from_start_to_end():
    assert wall(python("time.sleep(0.2)"), os.environ) >= 0.2
