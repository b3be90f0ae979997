"""`grail replay-nan`: how an environment became invalid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.envs.replay import Finding
    from grail_framework.runs.nan_dump import NanDump, ReplayReport


@click.command("replay-nan", short_help="Say how an environment became invalid.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data", metavar="DIR", help="Motion library, where it has moved since.")
@click.option("--engine", metavar="NAME", help="Another engine than the run's.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_obj
def replay_nan(state: CliState, file: Path, data: str | None, engine: str | None, as_json: bool) -> None:
    """Take the last actions of an environment that became invalid again, from FILE, and say what became invalid first.

    A run keeps such files in nan_dumps/ of its directory.
    """
    from grail_framework.runs.nan_dump import read_dump, replay_dump

    dump = read_dump(file)
    report = replay_dump(dump, state.manager, data=data, engine=engine)
    if as_json:
        _write_json(dump, report)
        return
    record = dump.record
    click.echo(f"task {dump.cfg.task}, iteration {dump.iteration}, rank {dump.rank}, environment {record.env}")
    click.echo(f"motion {record.motion}, episode from frame {record.start}; found by the guard in its {record.reason}")
    click.echo(f"replayed {len(record.frames)} control steps, frames {record.frames[0]} to {record.frames[-1]}")
    for finding in report.findings:
        click.echo(f"first invalid: {_sentence(dump, finding)}")
    if not report.findings:
        click.echo("nothing became invalid in the replay")
    for finding in report.recorded:
        click.echo(f"the run saw:   {_sentence(dump, finding)}")


def _sentence(dump: NanDump, finding: Finding) -> str:
    frames = dump.record.frames
    when = f"step {finding.step} (frame {frames[finding.step]})" if finding.step < len(frames) else "after the last step"
    numbers = ", ".join(map(str, finding.entries[:8])) + (", ..." if len(finding.entries) > 8 else "")
    return f"{when}: {finding.what}[{numbers}]"


def _write_json(dump: NanDump, report: ReplayReport) -> None:
    import json

    import attrs

    record = dump.record
    document = {
        "task": dump.cfg.task,
        "iteration": dump.iteration,
        "rank": dump.rank,
        "env": record.env,
        "motion": record.motion,
        "reason": record.reason,
        "start": record.start,
        "frames": record.frames,
        "findings": [attrs.asdict(finding) for finding in report.findings],
        "recorded": [attrs.asdict(finding) for finding in report.recorded],
    }
    click.echo(json.dumps(document, indent=2))
