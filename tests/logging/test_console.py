from __future__ import annotations

import io
from pathlib import Path

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


def make_context(console: str = "auto") -> WriterContext:
    return WriterContext(
        directory=Path("nowhere"),
        run_name="walk[1]",
        project="GRAIL",
        logging=LoggingCfg(console=console),
        total_iterations=100,
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


def test_live_panel_shows_every_metric_as_it_is_written():
    stream = io.StringIO()
    console = LiveConsole(make_context(), Console(file=stream, force_terminal=True, width=100, color_system=None))
    console.write(3, METRICS)
    console.close()
    text = stream.getvalue()
    for expected in ("walk[1]", "iteration 3/100", "12,346", "mean_reward", "[bold]odd", "plain"):
        assert expected in text


def test_without_a_terminal_auto_is_plain(capsys: pytest.CaptureFixture[str]):
    console = make_console(make_context("auto"))
    assert isinstance(console, PlainConsole)
    console.write(1, {})
    assert capsys.readouterr().out.startswith("iteration 1/100")
