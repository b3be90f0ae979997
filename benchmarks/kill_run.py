"""Kills `grail run` with SIGKILL at random moments, resumes it each time, and compares the end with a run that was never killed.

Usage: python benchmarks/kill_run.py --kills 20 -- --task motion_tracking --engine mujoco --num-envs 8 --iterations 200
All after `--` goes to `grail run`; it needs `--iterations`. Checkpoints are written every `--last-frequency` iterations.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from grail_framework.runs.directory import step_of

GRAIL = (sys.executable, "-m", "grail_framework", "run")


def grail(directory: Path, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start or resume the run of a directory."""
    resume = ["--resume"] if (directory / "last.pt").exists() else []
    with log.open("ab") as output:
        command = [*GRAIL, *arguments, "--experiment-dir", str(directory), *resume]
        return subprocess.Popen(command, stdout=output, stderr=output)


def finish(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the end of a run that nobody kills."""
    if process.wait() != 0:
        raise SystemExit(f"grail run ended with {process.returncode}; the end of {log}:\n{log.read_text()[-2000:]}")


def iterations_of(directory: Path) -> int:
    """Count the iterations that are reported now."""
    path = directory / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_at(process: subprocess.Popen[bytes], directory: Path, iteration: int, delay: float) -> int | None:
    """Kill a run `delay` seconds after it has reported an iteration; return the last one it reported, None if it was done before."""
    metrics, started = directory / "metrics.jsonl", time.time()
    # What an earlier process has reported is there from the start, until the resume cuts it.
    while not (metrics.exists() and metrics.stat().st_mtime > started and iterations_of(directory) >= iteration):
        if process.poll() is not None:
            return None
        time.sleep(0.005)
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return iterations_of(directory)
    return None


def leaves(tree: Any, place: str = "") -> dict[str, Any]:
    """Flatten a checkpoint."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, (list, tuple)) else None
    if items is None:
        return {place: tree}
    return {name: leaf for key, value in items for name, leaf in leaves(value, f"{place}.{key}").items()}


def differences(one: Path, two: Path) -> list[str]:
    """Name what differs bitwise between the last checkpoints and the metrics of two runs, timings apart."""
    first, second = (leaves(torch.load(path / "last.pt", weights_only=True)) for path in (one, two))
    same = {
        name: torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        for name, value in first.items()
        if name in second
    }
    found = [name for name in (*first, *second) if not same.get(name, False)]
    rows = [[json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (one, two)]
    kept = [[{k: v for k, v in row.items() if k != "time" and not k.startswith("perf/")} for row in each] for each in rows]
    if len(kept[0]) != len(kept[1]):
        found.append(f"metrics.jsonl: {len(kept[0])} and {len(kept[1])} lines")
    found += [f"metrics.jsonl: iteration {a['iteration']}" for a, b in zip(*kept, strict=False) if a != b]
    return found


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--delay", type=float, default=0.5, help="kill at most this long after a drawn iteration [s]")
    parser.add_argument("--last-frequency", type=int, default=5, help="iterations between checkpoints")
    parser.add_argument("run", nargs="+", metavar="ARGUMENT", help="of `grail run`, after --")
    return parser.parse_args()


def main() -> None:
    """Run, kill, resume, compare, print; exit with 1 where something differs."""
    options = parse()
    total = int(options.run[options.run.index("--iterations") + 1])
    arguments = [*options.run, f"checkpoints.last_frequency={options.last_frequency}", "logging.console=plain"]
    draw = random.Random(options.seed)
    os.environ["PYTHONUNBUFFERED"] = "1"
    with tempfile.TemporaryDirectory(prefix="grail_kills_") as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        log = Path(folder) / "output"
        finish(grail(whole, arguments, log), log)
        print(f"{'kill':>4} {'at iteration':>13} {'resumed from':>13}")
        made, moments = 0, sorted(draw.uniform(0.0, total) for _ in range(options.kills))
        for moment in moments:
            before = step_of(killed / "last.pt") or 0
            reached = kill_at(grail(killed, arguments, log), killed, int(moment), draw.uniform(0.0, options.delay))
            if reached is None:
                break  # done before the moment came
            made += 1
            print(f"{made:4d} {reached:13d} {before:13d}", flush=True)
        if (step_of(killed / "last.pt") or 0) < total:
            finish(grail(killed, arguments, log), log)
        litter = [path.name for path in killed.rglob(".partial-*")]
        found = differences(whole, killed)
    print(f"{made} kills, {total} iterations, litter: {', '.join(litter) or 'none'}, equal: {'no' if found else 'yes'}")
    for line in found[:20]:
        print(f"  {line}")
    raise SystemExit(1 if found or litter else 0)


if __name__ == "__main__":
    main()
