"""Imported by the process that those of tests are forked from: makes a run, so that all that it imports late is loaded."""

import tempfile
from pathlib import Path

import point_run

with tempfile.TemporaryDirectory() as folder:
    point_run.run(Path(folder) / "run", 0, tensorboard=True)
