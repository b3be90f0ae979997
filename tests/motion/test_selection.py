from __future__ import annotations

import logging
from typing import Any

import pytest

from grail_framework.config.scene import MotionCfg
from grail_framework.errors import ConfigError, DataError
from grail_framework.motion.selection import interleave_by_object, object_class, select_keys

KEYS = ["b_1", "a_2", "a_1", "c_1"]


def select(*, rank: int = 0, world_size: int = 1, keys: list[str] | None = None, **cfg: Any) -> list[str]:
    return select_keys(KEYS if keys is None else keys, MotionCfg(**cfg), rank=rank, world_size=world_size)


def test_stems_are_sorted() -> None:
    assert select() == ["a_1", "a_2", "b_1", "c_1"]


def test_exact_names_keep_their_order_and_drop_repeats() -> None:
    assert select(filter_motion_keys=("c_1", "a_1", "c_1")) == ["c_1", "a_1"]


def test_patterns_match_whole_and_are_sorted() -> None:
    assert select(filter_motion_keys=("b.*", "a_.")) == ["a_1", "a_2", "b_1"]
    assert select(filter_motion_keys=("c_1", "a_[12]")) == ["a_1", "a_2", "c_1"]


def test_a_filter_that_matches_nothing_names_close_matches() -> None:
    with pytest.raises(ConfigError, match=r"'a_11' matches no motion: did you mean 'a_1'"):
        select(filter_motion_keys=("a_11", "b_1"))
    with pytest.raises(ConfigError, match="no regular expression"):
        select(filter_motion_keys=("a_(",))


def test_removal_is_by_prefix(caplog: pytest.LogCaptureFixture) -> None:
    assert select(remove_motion_keys=("a", "c_1")) == ["b_1"]
    with caplog.at_level(logging.WARNING):
        assert len(select(remove_motion_keys=("zz",))) == 4
    assert "no motion starts with 'zz'" in caplog.text
    with pytest.raises(DataError, match="leaves no motion"):
        select(remove_motion_keys=("a", "b", "c"))


def test_each_rank_gets_its_part(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        parts = [select(shard_by_rank=True, rank=r, world_size=3) for r in range(3)]
    assert parts == [["a_1"], ["a_2"], ["b_1", "c_1"]]
    assert "[Motion Shard] Rank 2/3: motions [2:4] = 2/4" in caplog.text
    assert select(rank=1, world_size=3) == ["a_1", "a_2", "b_1", "c_1"]
    assert select(shard_rank=0, shard_world_size=1, shard_by_rank=True, rank=1, world_size=3) == ["a_1", "a_2", "b_1", "c_1"]
    assert select(shard_rank=1, shard_world_size=2) == ["b_1", "c_1"]


def test_a_rank_without_motions_is_told_what_to_do() -> None:
    with pytest.raises(DataError, match=r"motion\.shard_world_size=1"):
        select(shard_by_rank=True, rank=0, world_size=9)
    with pytest.raises(ConfigError, match="allowed: 0 to 1"):
        select(shard_rank=2, shard_world_size=2)


def test_cap(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert select(max_unique_motions=2) == ["a_1", "a_2"]
    assert "Limited to 2 motions (from 4)" in caplog.text
    assert select(max_unique_motions=9) == ["a_1", "a_2", "b_1", "c_1"]
    assert select(max_unique_motions=3, interleave_by_object=True) == ["a_1", "b_1", "c_1"]


def test_object_class_of_a_stem() -> None:
    assert object_class("apple_0_jason_12") == "apple"
    assert object_class("pickup_table__apple_0__000") == "pickup_table__apple_0_"
    assert object_class("walk") == "walk"


def test_round_robin_over_classes() -> None:
    keys = ["x_1", "x_2", "x_3", "y_1", "z_1", "z_2"]
    assert interleave_by_object(keys) == ["x_1", "y_1", "z_1", "x_2", "z_2", "x_3"]
    assert interleave_by_object([]) == []
