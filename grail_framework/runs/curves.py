"""A picture of a run's metrics: reward, episode length, terms, terminations, optimisation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from grail_framework.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

_LOGARITHMIC = "noise std and learning rate"
_PANELS = (
    ("reward per control step", ("train/mean_reward",)),
    ("episode length [control steps]", ("episode/length",)),
    ("reward terms per control step", ("reward/",)),
    ("terminations per environment and control step", ("termination/",)),
    ("KL divergence [nat]", ("policy/kl",)),
    (_LOGARITHMIC, ("policy/std", "policy/learning_rate")),
    ("evaluation: tracked fraction and success rate", ("eval/tracked_fraction", "eval/success/success_rate")),
    (
        "time of an iteration [s]",
        ("perf/engine_time", "perf/environment_time", "perf/inference_time", "perf/learning_time"),
    ),
)


def draw_curves(metrics: Path, picture: Path, *, zero_action: float | None = None) -> Path:
    """Draw the curves of a `metrics.jsonl` into a PNG file and return its path.

    Args:
        metrics: the file.
        picture: where the PNG goes.
        zero_action: tracked fraction without any policy, drawn as a dashed line; None: not known.

    Raises:
        DataError: the file holds no iteration.
    """
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not rows:
        raise DataError(f"{metrics} holds no iteration, so there are no curves to draw")
    # The picture goes to a file: no display is needed, and none is opened.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 13), layout="constrained")
    FigureCanvasAgg(figure)
    for index, (title, wanted) in enumerate(_PANELS):
        axes = figure.add_subplot(4, 2, index + 1)
        _panel(axes, rows, title, wanted)
        if zero_action is not None and "eval/tracked_fraction" in wanted:
            axes.axhline(zero_action, color="grey", linestyle="--", linewidth=1.0, label="zero action: tracked fraction")
            axes.legend(fontsize=7)
    figure.savefig(picture, dpi=90)
    return picture


def _panel(axes: Axes, rows: list[dict[str, float]], title: str, wanted: tuple[str, ...]) -> None:
    names = sorted({name for row in rows for name in row if any(_matches(name, want) for want in wanted)})
    for name in names:
        points = [(row["iteration"], row[name]) for row in rows if row.get(name) is not None]
        label = name.partition("/")[2]
        marker = "o" if len(points) == 1 else None  # a line through one point would not be seen
        axes.plot([x for x, _ in points], [y for _, y in points], label=label, linewidth=1.3, marker=marker)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("iteration", fontsize=9)
    axes.grid(visible=True, alpha=0.3)
    if title == _LOGARITHMIC:
        axes.set_yscale("log")  # three orders of magnitude apart
    if len(names) > 1:
        axes.legend(fontsize=7, ncol=2)


def _matches(name: str, want: str) -> bool:
    return name.startswith(want) if want.endswith("/") else name == want
