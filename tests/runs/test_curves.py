import json

import pytest

from grail_framework.errors import DataError
from grail_framework.runs.curves import draw_curves


def test_a_picture_of_the_metrics(tmp_path):
    rows = [
        {
            "iteration": i,
            "train/mean_reward": 0.1 * i,
            "reward/a": 0.2,
            "reward/b": -0.1,
            "policy/kl": 0.01,
            "episode/length": None,
        }
        for i in range(1, 6)
    ]
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    picture = draw_curves(metrics, tmp_path / "curves.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000


def test_no_iteration_is_said(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no iteration"):
        draw_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")


def test_zero_action_is_a_line_in_the_panel_of_evaluations(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps({"iteration": i, "eval/tracked_fraction": 0.1 * i}) + "\n" for i in range(1, 6)))
    without = draw_curves(metrics, tmp_path / "without.png").read_bytes()
    assert draw_curves(metrics, tmp_path / "with.png", zero_action=0.2).read_bytes() != without
