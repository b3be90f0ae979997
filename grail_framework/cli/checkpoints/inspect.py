"""`grail checkpoints inspect`: what a checkpoint holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

if TYPE_CHECKING:
    from grail_framework.cli.render import Row
    from grail_framework.cli.state import CliState

_FACTS: Final = ("iteration", "learning_rate", "task", "robot", "num_envs", "config_digest", "converted_from")
_SHOWN: Final = (*_FACTS, "format", "format_version", "plugins", "observation_layout")
"""Keys of a file that are shown with their values."""


@click.command(short_help="Show what a checkpoint holds, without executing it.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_obj
def inspect(state: CliState, file: Path, as_json: bool) -> None:
    """Show what FILE holds: a checkpoint of the framework, the release or another trainer, a bundle's folder, or a run directory.

    Nothing in it is executed: objects of classes that its pickle names are listed by these names.
    """
    from grail_framework.runs.inspect import inspect_checkpoint

    found = inspect_checkpoint(file, state.manager.checkpoint_formats())
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    from grail_framework.cli.render import Row, show_table
    from grail_framework.runs.download import describe_size

    rows = [
        Row(("file", found["path"])),
        Row(("size", describe_size(found["size"]))),
        Row(("format", found["format"] or "unknown"), problem=found["format"] is None),
        *(Row((name.replace("_", " "), _line(found[name]))) for name in _FACTS if found[name] is not None),
        *(Row(("plugin", _values(plugin, " "))) for plugin in found["plugins"]),
        *(Row((f"observations {group}", _line(terms))) for group, terms in found["observation_layout"].items()),
        *_contents(found),
        *(Row(("problem", problem), problem=True) for problem in found["problems"]),
    ]
    show_table(("What", "Value"), rows)
    if found["parameters"]:
        click.echo()
        show_table(
            ("Parameter", "Shape", "Type"),
            [Row((item["name"], "x".join(map(str, item["shape"])) or "scalar", item["dtype"])) for item in found["parameters"]],
        )
    if found["foreign"]:
        click.echo()
        show_table(
            ("Named by the pickle, not imported", "Objects"),
            [Row((item["name"], str(item["objects"]))) for item in found["foreign"]],
        )


def _contents(found: dict[str, Any]) -> list[Row]:
    from grail_framework.cli.render import Row

    rows = [Row((f"parameters of the {part}", f"{count:,}")) for part, count in found["num_parameters"].items()]
    optimizer = found["optimizer"]
    if optimizer is not None:
        rows.append(Row(("optimiser", optimizer["problem"] or f"moments of {optimizer['moments']} parameters")))
    rows += [Row((f"holds {item['key']}", item["what"])) for item in found["holds"] if item["key"] not in _SHOWN]
    if found["model_config"] is not None:
        rows.append(Row(("beside it", f"{found['model_config']['path']}: {', '.join(found['model_config']['keys'])}")))
    return rows


def _values(value: Any, between: str) -> str:
    return between.join(map(str, cast("dict[str, Any]", value).values())) if isinstance(value, dict) else str(value)


def _line(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{key} {item}" for key, item in cast("dict[str, Any]", value).items())
