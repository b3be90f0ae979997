"""How motions are dealt: the release's own example with what was wrong there put right, and what holds for any folders and numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grail_framework.errors import ConfigError
from grail_terrain.discovery import Discovery
from grail_terrain.plan import Deal, deal_of, make_plan, warnings

SEVEN, SIX = "abcdefg", "uvwxyz"
ROOT = Path("library")
PLACEHOLDER = ROOT / "flat_placeholder.usd"


def found(terrain, flat=""):
    """What a library with these one-letter motions is."""
    return Discovery(
        root=ROOT,
        terrain=tuple((key, ROOT / "object_usd" / f"{key}.usd") for key in terrain),
        flat_dir=Path("flat") if flat else None,
        flat=tuple((key, key) for key in flat),
        placeholder=PLACEHOLDER if flat else None,
    )


def plan(terrain, flat, ratio, env_counts, rank):
    library = found(terrain, flat)
    return make_plan(library, deal_of(library, ratio, env_counts), rank)


def assets(made):
    """The assets by a letter each, P for the placeholder."""
    return "".join("P" if Path(usd) == PLACEHOLDER else Path(usd).stem for usd in made.env_usd)


@pytest.mark.parametrize(
    ("terrain", "ratio", "num_envs", "rank", "usd", "keys", "motion"),
    [
        # Rows of the release without flat environments: assets, key file and pairing are the release's.
        (SEVEN, 0, 3, 0, "abc", "abc", "abc"),
        (SEVEN, 0, 3, 1, "def", "def", "def"),
        (SEVEN, 0, 3, 2, "gab", "gab", "gab"),
        ("abc", 0, 8, 1, "cabcabca", "cabcabca", "cabcabca"),
        # Two flat ones before each terrain. Assets and key file are the release's; there environment k followed key k mod 7, which put
        # motion u on terrain a and so on. Here each is where its asset is.
        (SEVEN, 2, 7, 0, "PPaPPbP", "abuvwxy", "uvawxby"),
        (SEVEN, 2, 7, 1, "PPcPPdP", "cdzuvwx", "zucvwdx"),
        (SEVEN, 2, 7, 2, "PPePPfP", "efyzuvw", "yzeuvfw"),
    ],
)
def test_the_releases_example(terrain, ratio, num_envs, rank, usd, keys, motion):
    made = plan(terrain, SIX if ratio else "", ratio, (num_envs,) * 3, rank)
    assert assets(made) == usd
    assert "".join(made.motion_keys) == keys
    assert "".join(made.env_motion) == motion
    assert made.num_terrain_motions == num_envs // (ratio + 1)


def test_what_the_release_never_loads_is_told():
    """Three processes with two terrain environments each reach six of the seven motions."""
    library = found(SEVEN, SIX)
    deal = deal_of(library, 2, (7, 7, 7))
    assert (deal.untrained_terrain, deal.untrained_flat) == (("g",), ())
    (said,) = warnings(library, deal)
    assert said == (
        "1 of 7 terrain motions are never trained, since 6 environments in 3 processes are terrain: g. Use --num-envs 9 or more for all of "
        "them"
    )
    assert deal_of(library, 2, (9, 9, 9)).untrained_terrain == ()


def test_the_lines_of_the_release():
    library = found(SEVEN, SIX)
    deal = deal_of(library, 2, (7, 7, 7))
    assert make_plan(library, deal, 1).notes == (
        "[TerrainAutoDiscover] Found 7 terrain motions from library",
        "[TerrainAutoDiscover] Found 6 flat motions from flat",
        "[PerRankUSD] rank=1, num_envs=7, flat_envs=5, terrain_envs=2, ratio=2:1, unique_usd=3, terrain_motions=2, flat_motions=5",
        "[PerRankUSD] terrain_keys[0:3]=['c', 'd']",
        "[PerRankUSD] terrain_usd[0:3]=['library/object_usd/c.usd', 'library/object_usd/d.usd']",
        "[PerRankUSD] flat_keys[0:3]=['z', 'u', 'v']",
    )
    # The first process says it of all, and what the user should know; it alone has a log.
    first = make_plan(library, deal, 0)
    assert [line.split(",")[0] for line in first.notes if "num_envs" in line] == [
        f"[PerRankUSD] rank={rank}" for rank in range(3)
    ]
    assert first.warnings
    assert not make_plan(library, deal, 1).warnings


def test_processes_may_have_different_numbers_of_environments():
    """The third process goes on where the two before it stopped: after 1 + 2 terrains and 2 + 3 flat motions."""
    dealt = [plan(SEVEN, SIX, 1, (3, 5, 4), rank) for rank in range(3)]
    assert ["".join(made.env_motion) for made in dealt] == ["uav", "wbxcy", "zdue"]


def test_doubts_are_told():
    alone = deal_of(found("abc"), 0, (2,) * 5)
    assert warnings(found("abc"), alone) == ["5 processes share 3 terrain motions, so several train the same ones"]
    unused = found("ab", "uv")
    (said,) = warnings(unused, deal_of(unused, 0, (2,)))
    assert "2 flat motions are never trained, since flat_to_terrain_ratio is 0" in said
    few = found("ab", "uvw")
    said = warnings(few, deal_of(few, 1, (2,)))
    assert [line.partition(",")[0] for line in said] == [
        "1 of 2 terrain motions are never trained",
        "2 of 3 flat motions are never trained",
    ]


@pytest.mark.parametrize(
    ("deal", "message"),
    [
        ({"ratio": -1}, "flat_to_terrain_ratio: got -1, allowed: 0"),
        ({"env_counts": (4, 0)}, r"num_envs: got \[4, 0\]"),
        ({"terrain": ()}, "no motions with a terrain"),
        ({"ratio": 2, "flat": ()}, "2 of 3 environments are flat, and there are no flat motions. Name their folder"),
    ],
)
def test_what_cannot_be_dealt(deal, message):
    usual = {"terrain": ("a",), "flat": ("u",), "ratio": 1, "env_counts": (4,)}
    with pytest.raises(ConfigError, match=message):
        Deal(**{**usual, **deal})


def test_a_rank_outside_the_world():
    with pytest.raises(ConfigError, match="rank: got 2, allowed: 0 to 1"):
        plan("ab", "", 0, (1, 1), 2)


@st.composite
def deals(draw):
    names = st.lists(st.text("abcdexyz_0123", min_size=1, max_size=4), min_size=1, max_size=12, unique=True)
    ratio = draw(st.integers(0, 4))
    terrain = draw(names)
    flat = [f"flat_{name}" for name in draw(names)] if ratio or draw(st.booleans()) else []
    counts = draw(st.lists(st.integers(1, 24), min_size=1, max_size=6))
    return terrain, flat, ratio, tuple(counts)


@settings(deadline=None)
@given(deals())
def test_any_deal(drawn):
    """Every environment follows the motion of its own terrain, every motion is trained or told of, and processes share none in need."""
    terrain, flat, ratio, counts = drawn
    library = found(terrain, flat)
    deal = deal_of(library, ratio, counts)
    plans = [make_plan(library, deal, rank) for rank in range(len(counts))]
    for made, num_envs in zip(plans, counts, strict=True):
        assert len(made.env_motion) == len(made.env_usd) == num_envs
        for env, (key, usd) in enumerate(zip(made.env_motion, made.env_usd, strict=True)):
            on_terrain = env % (ratio + 1) == ratio
            assert Path(usd) == (ROOT / "object_usd" / f"{key}.usd" if on_terrain else PLACEHOLDER)
            assert (key in terrain) is on_terrain
        assert set(made.motion_keys) == set(made.env_motion)
        assert list(made.motion_keys[: made.num_terrain_motions]) == [key for key in made.env_motion if key in terrain]
    followed = [set(made.env_motion) for made in plans]
    told = set(deal.untrained_terrain) | set(deal.untrained_flat)
    trained = set().union(*followed)
    assert trained | told == set(terrain) | set(flat)
    assert not trained & told
    for kind, envs in ((set(terrain), deal.total_terrain_envs), (set(flat), deal.total_flat_envs)):
        shared = sum(len(keys & kind) for keys in followed) - len(trained & kind)
        if envs <= len(kind):
            assert shared == 0
        uses = [sum(made.env_motion.count(key) for made in plans) for key in kind]
        assert not uses or max(uses) - min(uses) <= 1
    if told and (ratio or told & set(terrain)):
        enough = deal_of(library, ratio, (deal.envs_needed(),) * len(counts))
        assert not enough.untrained_terrain
        assert not (ratio and enough.untrained_flat)
