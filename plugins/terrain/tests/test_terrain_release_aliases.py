"""The release's terrain lines, through this plugin's table."""

from __future__ import annotations

import pytest

from grail_framework.config.grammar import parse_overrides
from grail_framework.config.release import ReleaseTable
from grail_terrain.release_aliases import ALIASES


def test_experiment():
    text = "+exp=manager/universal_token/scene/terrain_tracking"
    assert ReleaseTable(ALIASES).task_of(parse_overrides([text])) == ("terrain:terrain_tracking", [])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("terrain_motion_dir", "/data/stairs"),
        ("flat_motion_dir", "/data/flat"),
        ("flat_usd_path", "x.usd"),
        ("flat_to_terrain_ratio", 3),
    ],
)
def test_paths_go_to_the_plugins_section(key, value):
    overrides = parse_overrides([f"++manager_env.config.{key}={value}"])
    (moved,) = ReleaseTable(ALIASES).translate(overrides, {}).overrides
    assert (moved.key, moved.value) == (f"extra.terrain.{key}", value)


def test_lists_of_files_are_told():
    translation = ReleaseTable(ALIASES).translate(parse_overrides(["++manager_env.config.terrain_usd_path=x.txt"]), {})
    assert translation.overrides == ()
    assert "folders are searched" in translation.notes[0]
