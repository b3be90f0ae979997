from __future__ import annotations

import json
import logging
import subprocess
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from grail_framework.config import LoggingCfg
from grail_framework.logging.append import AppendedFile
from grail_framework.logging.jsonl import JsonlWriter
from grail_framework.logging.run_log import ON_CONSOLE, run_log
from grail_framework.logging.tensorboard import TensorboardWriter
from grail_framework.logging.wandb import WandbWriter
from grail_framework.logging.writer import MultiWriter, WriterContext, build_writers

if TYPE_CHECKING:
    from pathlib import Path


def make_context(path: Path, *, start_iteration: int = 0, **logging_cfg: Any) -> WriterContext:
    return WriterContext(
        directory=path,
        run_name="walk 1-20260101_000000",
        project="GRAIL",
        logging=LoggingCfg(**logging_cfg),
        config={"seed": 3},
        total_iterations=10,
        start_iteration=start_iteration,
    )


class Collecting:
    """Keeps what it is given; fails on request."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.closed = False
        self.error: Exception | None = None

    def write(self, iteration: int, metrics: Any) -> None:
        if self.error is not None:
            raise self.error
        self.seen.append(iteration)

    def close(self) -> None:
        self.closed = True


def test_jsonl_lines(tmp_path: Path):
    writer = JsonlWriter(make_context(tmp_path))
    writer.write(1, {"a/b": 0.5, "bad": float("nan"), "worse": float("inf")})
    writer.close()
    resumed = JsonlWriter(make_context(tmp_path))  # appends
    resumed.write(2, {"a/b": 1.0})
    resumed.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2]
    assert lines[0]["a/b"] == 0.5
    assert lines[0]["bad"] is None
    assert lines[0]["worse"] is None
    assert lines[0]["time"] > 1.7e9


def test_a_line_that_does_not_fit_is_taken_back_and_follows_later(tmp_path: Path, files_up_to: Any):
    writer = JsonlWriter(make_context(tmp_path))
    path = tmp_path / "metrics.jsonl"
    writer.write(1, {"a": 1.0})
    before = path.read_bytes()
    for iteration in (2, 3):
        with files_up_to(len(before) + 10), pytest.raises(OSError, match="File too large"):
            writer.write(iteration, {"a": 2.0})
        assert path.read_bytes() == before
    writer.write(4, {"a": 4.0})
    writer.close()
    assert [json.loads(line)["iteration"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]


def test_too_many_lines_that_wait_are_told(tmp_path: Path, files_up_to: Any, caplog: pytest.LogCaptureFixture):
    writer = JsonlWriter(make_context(tmp_path))
    writer._file = AppendedFile(tmp_path / "metrics.jsonl", max_waiting=2)
    for iteration in (1, 2, 3):
        with files_up_to(0), pytest.raises(OSError, match="File too large"):
            writer.write(iteration, {})
    writer.write(4, {})
    writer.close()
    assert [json.loads(line)["iteration"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [3, 4]
    assert "2 lines are lost" in caplog.text


def test_a_failing_writer_reaches_neither_run_nor_other_writers(caplog: pytest.LogCaptureFixture):
    broken, healthy = Collecting(), Collecting()
    writer = MultiWriter({"broken": broken, "healthy": healthy})
    broken.error = ValueError("no connection")
    for iteration in (1, 2, 3):
        writer.write(iteration, {})
    broken.error = None
    writer.write(4, {})
    writer.close()
    assert healthy.seen == [1, 2, 3, 4]
    assert broken.seen == [4]
    assert healthy.closed
    assert broken.closed
    assert caplog.text.count("writer 'broken' failed (ValueError: no connection)") == 1
    assert caplog.text.count("writer 'broken' works again") == 1


def test_a_writer_that_cannot_be_built_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    def refuse(_context: WriterContext) -> Any:
        raise RuntimeError("no licence")

    extra = [("refusing", refuse), ("mine", lambda _context: Collecting())]
    writer = build_writers(make_context(tmp_path, tensorboard=False, console="off"), extra)
    assert writer.names == ("jsonl", "mine")
    assert "writer 'refusing' is left out: RuntimeError: no licence" in caplog.text
    writer.close()


def test_which_writers_are_built(tmp_path: Path):
    writer = build_writers(make_context(tmp_path, console="plain"))
    assert writer.names == ("jsonl", "tensorboard", "console")
    writer.close()


def test_tensorboard_events_are_those_written_and_void_after_a_resume(tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = TensorboardWriter(make_context(tmp_path))
    for iteration in (1, 2, 3, 4):
        first.write(iteration, {"train/mean_reward": float(iteration)})
    first.close()
    resumed = TensorboardWriter(make_context(tmp_path, start_iteration=2))
    resumed.write(3, {"train/mean_reward": 30.0})
    resumed.close()
    assert all(path.name.startswith("events.out.tfevents.") for path in tmp_path.iterdir())
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("train/mean_reward")
    assert [(event.step, event.value) for event in events] == [(1, 1.0), (2, 2.0), (3, 30.0)]


class FakeWandb(types.ModuleType):
    """Stands for the service, which no test may reach."""

    def __init__(self, *, fail: str = "") -> None:
        super().__init__("wandb")
        self.fail = fail
        self.calls: list[str] = []
        self.settings: dict[str, Any] = {}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.fail == name:
            raise ConnectionError("offline")

    def init(self, **settings: Any) -> FakeWandb:
        self._call("init")
        self.settings = settings
        return self

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._call("log")

    def finish(self) -> None:
        self._call("finish")


def test_wandb_gets_the_runs_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    writer = WandbWriter(make_context(tmp_path, wandb=True, wandb_entity="us"))
    writer.write(1, {"a": 1.0})
    writer.close()
    assert wandb.calls == ["init", "log", "finish"]
    assert wandb.settings["project"] == "GRAIL"
    assert wandb.settings["entity"] == "us"
    assert wandb.settings["id"] == "walk-1-20260101_000000"
    assert wandb.settings["config"] == {"seed": 3}


@pytest.mark.parametrize(("mode", "passed"), [("auto", None), ("online", "online"), ("offline", "offline")])
def test_wandb_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, passed: str | None):
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    WandbWriter(make_context(tmp_path, wandb=True, wandb_mode=mode)).close()
    assert wandb.settings["mode"] == passed  # None: W&B reads WANDB_MODE


@pytest.mark.parametrize(
    ("fail", "calls"), [("init", ["init"]), ("log", ["init", "log"]), ("finish", ["init", "log", "log", "finish"])]
)
def test_wandb_trouble_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fail: str, calls: list[str]
):
    wandb = FakeWandb(fail=fail)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    writer = WandbWriter(make_context(tmp_path, wandb=True))
    writer.write(1, {"a": 1.0})
    writer.write(2, {"a": 1.0})
    writer.close()
    assert wandb.calls == calls
    assert caplog.text.count("training goes on without it") == 1


def test_wandb_not_installed_is_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setitem(sys.modules, "wandb", None)
    WandbWriter(make_context(tmp_path, wandb=True)).write(1, {})
    assert "Weights & Biases could not start (ModuleNotFoundError" in caplog.text


def test_run_log_has_what_the_framework_logs_while_it_is_open(tmp_path: Path):
    logger = logging.getLogger("grail_framework.test")
    with run_log(tmp_path):
        logger.info("inside %d", 1)
    logger.error("outside")
    text = (tmp_path / "run.log").read_text()
    assert "INFO     grail_framework.test: inside 1" in text
    assert "outside" not in text


def test_the_console_shows_warnings_and_what_is_marked_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    logger = logging.getLogger("lonely")
    logger.propagate = False  # nobody else shows its records
    with run_log(tmp_path, logger="lonely"):
        logger.info("for the file")
        logger.info("for both", extra=ON_CONSOLE)
        logger.warning("beware")
    assert capsys.readouterr().err == "for both\nwarning: beware\n"
    assert [line.partition("lonely: ")[2] for line in (tmp_path / "run.log").read_text().splitlines()] == [
        "for the file",
        "for both",
        "beware",
    ]


def test_writers_need_no_torch():
    code = (
        "import sys, grail_framework.logging.writer, grail_framework.logging.jsonl, grail_framework.logging.console, "
        "grail_framework.logging.tensorboard, grail_framework.logging.wandb, grail_framework.logging.run_log; "
        "assert not {'torch', 'rich', 'tensorboard', 'wandb', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wandb_offline_keeps_the_run_in_the_run_directory(tmp_path: Path):
    """The real package, in a process of its own: it starts a service that outlives the run."""
    code = f"""
from pathlib import Path
from grail_framework.config import LoggingCfg
from grail_framework.logging.wandb import WandbWriter
from grail_framework.logging.writer import WriterContext
cfg = LoggingCfg(wandb=True, wandb_mode="offline")
folder = Path({str(tmp_path)!r})
writer = WandbWriter(WriterContext(directory=folder, run_name="walk", project="GRAIL", logging=cfg, total_iterations=2))
writer.write(1, {{"train/mean_reward": 0.5}})
writer.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "goes on without it" not in done.stderr
    (record,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert record.stat().st_size > 0
