from __future__ import annotations

import io
from pathlib import Path

import attrs
import pytest
from rich.console import Console

from grail_framework.config import LoggingCfg
from grail_framework.logging.console import LiveConsole, PlainConsole, format_duration, make_console
from grail_framework.logging.writer import WriterContext

METRICS = {
    "perf/samples_per_second": 12345.6,
    "train/mean_reward": -0.12345,
    "policy/learning_rate": 2e-5,
    "env/[bold]odd": 1.0,
    "plain": 2.0,
}

TERMINAL = {"TERM": "xterm-256color"}
TIMES = {"iteration": 2.0, "engine": 1.0, "environment": 0.2, "inference": 0.1, "learning": 0.6}


def make_context(console: str = "auto", **known: float) -> WriterContext:
    return WriterContext(
        directory=Path("nowhere"),
        run_name="walk[1]",
        project="GRAIL",
        logging=LoggingCfg(console=console),
        total_iterations=100,
        known={name.replace("__", "/"): value for name, value in known.items()},
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "00:00:00"), (3725.4, "01:02:05"), (90061.0, "1-01:01:01"), (-5.0, "00:00:00")]
)
def test_durations(seconds: float, text: str):
    assert format_duration(seconds) == text


def test_plain_is_one_line_per_iteration():
    stream = io.StringIO()
    console = PlainConsole(make_context(), stream)
    console.write(1, METRICS)
    console.write(2, {})
    console.close()
    first, second = stream.getvalue().splitlines()
    assert first.startswith("iteration 1/100  samples/s 12,346  reward/step -0.1235  lr 2.00e-05  eta ")
    assert second.startswith("iteration 2/100  eta ")


def test_a_time_budget_bounds_the_time_left():
    stream = io.StringIO()
    PlainConsole(attrs.evolve(make_context(), total_iterations=10**9, time_budget_s=60.0), stream).write(1, {})
    assert stream.getvalue().rstrip().endswith(("eta 00:01:00", "eta 00:00:59"))


def test_live_panel_shows_every_metric_as_it_is_written():
    stream = io.StringIO()
    console = LiveConsole(
        make_context(), Console(file=stream, force_terminal=True, width=100, color_system=None, _environ=TERMINAL)
    )
    console.write(3, METRICS)
    console.close()
    text = stream.getvalue()
    for expected in ("walk[1]", "iteration 3/100", "12,346", "mean_reward", "[bold]odd", "plain"):
        assert expected in text


def test_speed_is_shown_with_its_parts():
    stream = io.StringIO()
    metrics = METRICS | {f"perf/{part}_time": seconds for part, seconds in TIMES.items()}
    PlainConsole(make_context(), stream).write(1, metrics | {"eval/tracked_fraction": 0.25})
    parts = "samples/s 12,346  (engine 50%, environment 10%, inference 5%, learning 30%)  tracked fraction 0.250  "
    assert parts in stream.getvalue()


def test_live_panel_keeps_the_last_evaluation_and_sorts_terms_into_columns():
    stream = io.StringIO()
    console = LiveConsole(
        make_context(eval__tracked_fraction=0.125),
        Console(file=stream, force_terminal=True, width=100, height=50, color_system=None, _environ=TERMINAL),
    )

    def shown(iteration: int, metrics: dict[str, float]) -> str:
        stream.truncate(0)
        stream.seek(0)
        console.write(iteration, metrics)
        return stream.getvalue()

    terms = {"reward/grasp": 0.5, "termination/fall": 0.01, "policy/kl": 0.02}
    first = shown(1, terms)
    assert "tracked fraction 0.125" in first
    (line,) = [line for line in first.splitlines() if "grasp" in line]
    assert line.index("grasp") < line.index("0.5") < line.index("0.125")  # the evaluation is in the column beside the rewards
    (line,) = [line for line in first.splitlines() if line.lstrip(" │").startswith("reward")]
    assert line.split()[1:4] == ["reward", "eval", "policy"]
    assert "tracked fraction 0.500" in shown(2, terms | {"eval/tracked_fraction": 0.5})
    assert "tracked fraction 0.500" in shown(3, terms)
    console.close()


def test_without_a_terminal_auto_is_plain(capsys: pytest.CaptureFixture[str]):
    console = make_console(make_context("auto"))
    assert isinstance(console, PlainConsole)
    console.write(1, {})
    assert capsys.readouterr().out.startswith("iteration 1/100")


@pytest.mark.parametrize(("term", "kind"), [("dumb", PlainConsole), ("xterm-256color", LiveConsole)])
def test_a_terminal_that_cannot_be_redrawn_gets_lines(term: str, kind: type, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert isinstance(make_console(make_context("auto")), kind)
