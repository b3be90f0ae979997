"""`run.log`: what the framework logs, in the run directory; warnings, errors and what is marked for it go to stderr as well."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from grail_framework.errors import ConfigError
from grail_framework.logging.append import AppendedFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG_FILE = "run.log"
ON_CONSOLE: Final = {"on_console": True}
"""`logger.info(text, extra=ON_CONSOLE)`: shown on stderr too, as it is."""
_FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"


@contextmanager
def run_log(directory: Path, *, level: int = logging.INFO, logger: str = "grail_framework") -> Iterator[logging.Handler]:
    """Append records of `logger` to `<directory>/run.log` while entered; show warnings and errors where nobody else does.

    Raises:
        ConfigError: the file cannot be opened. Later the disk may refuse records: they wait, and training goes on.
    """
    handler = RunLogHandler(directory / LOG_FILE)
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter(_FORMAT))
    target = logging.getLogger(logger)
    before = target.level
    # A logger without any handler shows warnings on stderr by itself; with the file it would stop doing so.
    handlers = [handler] if target.hasHandlers() else [handler, _StderrHandler()]
    for each in handlers:
        target.addHandler(each)
    if target.getEffectiveLevel() > level:
        target.setLevel(level)
    try:
        yield handler
    finally:
        target.setLevel(before)
        for each in handlers:
            target.removeHandler(each)
            each.close()


class RunLogHandler(logging.Handler):
    """Appends records to a file; trouble with the disk is one sentence on stderr, and what it did not take follows later.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = AppendedFile(path)
        self._failing = False
        try:
            self._file.open()
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be written ({error.strerror}); make it writable or choose another experiment_dir"
            ) from error

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:
            self.handleError(record)
            return
        try:
            self._file.append(line)
        except OSError as error:
            if not self._failing:
                self._failing = True
                _tell(f"error: run.log cannot be written ({error}); training goes on, its lines wait for the disk")
            return
        if self._failing:
            self._failing = False
            lost = f"; {self._file.lost} lines are lost" if self._file.lost else ""
            self._file.lost = 0
            _tell(f"warning: run.log is written again{lost}")

    def close(self) -> None:
        """Write what waits and close the file."""
        try:
            self._file.close()
        except OSError as error:
            _tell(f"error: run.log is not complete ({error})")
        super().close()


class _StderrHandler(logging.Handler):
    """Shows warnings, errors and marked records on what is stderr at the time, which a live panel may have replaced."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.addFilter(lambda record: record.levelno >= logging.WARNING or hasattr(record, "on_console"))

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        try:
            text = self.format(record)
            if record.levelno >= logging.WARNING:
                text = f"{record.levelname.lower()}: {text}"
        except Exception:
            self.handleError(record)
            return
        _tell(text)


def _tell(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # stderr is a file on the same disk, or closed: there is nobody left to tell
        return
