"""Start-up of the command line: `grail --help` and `grail plugins list` against scripts that import the same libraries.

Runs alternate, so that a drift of the machine's speed hits both sides. Usage: python benchmarks/bench_cli_start.py [RUNS]
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

SCRIPTS = {
    "grail --help": (["--help"], "import click"),
    "grail plugins list": (
        ["plugins", "list"],
        "import click, pluggy, attrs, rich.table\n"
        "from importlib.metadata import entry_points\n"
        "list(entry_points(group='grail.plugins'))",
    ),
}
GOAL = 1.3


def wall(command: list[str]) -> float:
    """Time one run of a command. [s]"""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print a line per command."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    grail = shutil.which("grail", path=str(Path(sys.executable).parent)) or "grail"
    for name, (arguments, script) in SCRIPTS.items():
        ours, reference = [grail, *arguments], [sys.executable, "-c", script]
        wall(ours), wall(reference)  # bytecode and page cache
        times = [(wall(ours), wall(reference)) for _ in range(runs)]
        mine, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{name:20s} {mine * 1e3:6.0f} ms, reference {theirs * 1e3:6.0f} ms, ratio {mine / theirs:.2f} "
            f"(goal {GOAL}; medians of {runs} alternating runs)"
        )


if __name__ == "__main__":
    main()
