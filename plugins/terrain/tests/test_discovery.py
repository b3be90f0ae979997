"""What a folder holds, by names alone, and what is said of one that was not meant or does not pair."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grail_framework.config import MotionCfg
from grail_framework.errors import ConfigError, DataError
from grail_terrain.discovery import discover
from grail_terrain.plan import deal_of, make_plan, warnings


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.fixture
def library(tmp_path):
    names = [f"robot/{key}.pkl" for key in "abc"] + [f"object_usd/{key}.usd" for key in "abc"]
    return touch(tmp_path / "stairs", *names, "robot/metadata.pkl", "object_usd/textures/a/wood.png", "flat_placeholder.usd")


@pytest.fixture
def flat(tmp_path):
    return touch(tmp_path / "flat", "robot/walk.pkl", "robot/wave.pkl", "robot/metadata.pkl", "meta/walk.pkl")


def keys(found):
    return [key for key, _ in found.terrain]


def test_what_is_there(library, flat):
    found = discover(library, MotionCfg(), flat_dir=flat, flat_envs=True)
    assert found.terrain == tuple((key, library / "object_usd" / f"{key}.usd") for key in "abc")
    assert found.flat == (("walk", "walk"), ("wave", "wave"))
    assert (found.flat_dir, found.placeholder) == (flat / "robot", library / "flat_placeholder.usd")


def test_sub_folders_and_the_flat_folder_itself(tmp_path):
    library = touch(tmp_path / "lib", "robot/two/a.pkl", "robot/one/b.pkl", "object_usd/x/y/a.usd", "object_usd/b.usd")
    found = discover(library, MotionCfg(), flat_dir=touch(tmp_path / "flat", "deep/walk.pkl"))
    assert keys(found) == ["b", "a"]  # by path, as the release sorts them
    assert found.flat == (("walk", "walk"),)


def test_a_linked_folder_of_assets(library, tmp_path):
    (library / "object_usd").rename(tmp_path / "elsewhere")
    (library / "object_usd").symlink_to(Path("..") / "elsewhere")
    assert keys(discover(library, MotionCfg())) == ["a", "b", "c"]


def test_the_placeholder_is_asked_for_only_by_flat_environments(library, flat, tmp_path):
    (library / "flat_placeholder.usd").unlink()
    assert discover(library, MotionCfg(), flat_dir=flat).placeholder is None
    usual = library / "flat_placeholder.usd", library / "object_usd" / "flat_placeholder.usd"
    with pytest.raises(DataError) as caught:
        discover(library, MotionCfg(), flat_dir=flat, flat_envs=True)
    assert str(caught.value) == f"No flat_placeholder.usd found at {usual[0]} or {usual[1]}. Set flat_usd_path explicitly."
    usual[1].touch()
    assert discover(library, MotionCfg(), flat_dir=flat, flat_envs=True).placeholder == usual[1]
    own = touch(tmp_path, "own.usd") / "own.usd"
    assert discover(library, MotionCfg(), flat_dir=flat, flat_usd=own, flat_envs=True).placeholder == own
    with pytest.raises(DataError, match=r"flat_usd_path: .*other.usd does not exist"):
        discover(library, MotionCfg(), flat_dir=flat, flat_usd=tmp_path / "other.usd", flat_envs=True)


def test_a_motion_without_an_asset_stops_with_the_releases_words(library):
    for name in ("n1", "n2", "n3", "n4", "n5", "n6"):
        touch(library, f"robot/{name}.pkl")
    with pytest.raises(DataError) as caught:
        discover(library, MotionCfg())
    assert str(caught.value).startswith(
        f"[TerrainAutoDiscover] 6/9 robot motions have no matching USD in {library}. First missing: ['n1', 'n2', 'n3', 'n4', 'n5']. Every "
        "robot PKL must have a USD with the same stem (required for use_paired_motions rendering)."
    )
    skipping = discover(library, MotionCfg(on_bad_clip="skip"))
    assert keys(skipping) == ["a", "b", "c"]
    assert any("6 terrain motions have no asset and are left out: n1, n2" in line for line in said(skipping))
    assert keys(discover(library, MotionCfg(remove_motion_keys=("n",)))) == ["a", "b", "c"]


def said(found):
    return warnings(found, deal_of(found, 0, (8,)))


def test_an_asset_without_a_motion_is_told(library):
    found = discover(touch(library, "object_usd/d.usd", "object_usd/e.usda"), MotionCfg())
    assert said(found) == ["2 terrain assets have no motion and are not used: d, e"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("robot/more/a.pkl", r"two motions have the stem 'a': .*robot/a.pkl and .*robot/more/a.pkl"),
        ("object_usd/more/a.usd", r"two terrain assets have the stem 'a': .*object_usd/a.usd and .*object_usd/more/a.usd"),
    ],
)
def test_equal_stems_in_two_folders(library, extra, message):
    with pytest.raises(DataError, match=message):
        discover(touch(library, extra), MotionCfg())


def test_equal_flat_stems(library, flat):
    with pytest.raises(DataError, match="two flat motions have the stem 'walk'"):
        discover(library, MotionCfg(), flat_dir=touch(flat, "robot/more/walk.pkl"))


def test_one_stem_in_both_libraries_is_two_motions(library, flat):
    found = discover(library, MotionCfg(), flat_dir=touch(flat, "robot/a.pkl"), flat_envs=True)
    assert found.flat == (("flat:a", "a"), ("walk", "walk"), ("wave", "wave"))
    plan = make_plan(found, deal_of(found, 1, (2,)), 0)
    assert plan.env_motion == ("flat:a", "a")
    assert (plan.find("flat:a").stem, plan.find("flat:a").usd) == ("a", str(library / "flat_placeholder.usd"))


def test_roots_that_were_not_meant(library, tmp_path):
    def message(root):
        with pytest.raises(DataError) as caught:
            discover(root, MotionCfg())
        return str(caught.value)

    assert "does not exist" in message(tmp_path / "nothing")
    assert "is a file" in message(library / "robot" / "a.pkl")
    assert message(library / "robot").endswith(f"Write {library}")
    assert f"Did you mean {library}?" in message(tmp_path)
    assert "it holds nothing" in message(_empty(tmp_path / "void"))
    assert "holds no motions (*.pkl); it holds notes.txt" in message(touch(tmp_path / "text", "robot/notes.txt"))
    assert "has no folder object_usd/" in message(touch(tmp_path / "bare", "robot/a.pkl"))
    packed = touch(tmp_path / "packed", "store.json")
    assert "is a packed store" in message(packed)
    nested = shutil.copytree(library, tmp_path / "outer" / "inner" / "lib")
    assert f"Did you mean {nested}?" in message(tmp_path / "outer")
    link = tmp_path / "link"
    link.symlink_to("gone")
    assert "is a link to gone, which does not exist" in message(link)


def _empty(folder):
    folder.mkdir()
    return folder


def test_flat_folders_that_were_not_meant(library, tmp_path):
    with pytest.raises(DataError, match=r"flat_motion_dir: .* does not exist"):
        discover(library, MotionCfg(), flat_dir=tmp_path / "nothing")
    with pytest.raises(DataError, match=r"flat_motion_dir: .* holds no motions \(\*.pkl\)"):
        discover(library, MotionCfg(), flat_dir=_empty(tmp_path / "void"))


@pytest.mark.parametrize(
    ("cfg", "terrain", "flat_keys"),
    [
        ({"filter_motion_keys": ("c", "a")}, ["c", "a"], ["walk", "wave"]),  # exact: in that order; no flat motion is named
        ({"filter_motion_keys": ("[ab]",)}, ["a", "b"], ["walk", "wave"]),
        ({"filter_motion_keys": ("walk",)}, ["a", "b", "c"], ["walk"]),
        ({"filter_motion_keys": ("b", "w.*e")}, ["b"], ["wave"]),
        ({"remove_motion_keys": ("a", "wav")}, ["b", "c"], ["walk"]),
        ({"max_unique_motions": 1}, ["a"], ["walk"]),
    ],
)
def test_filters(library, flat, cfg, terrain, flat_keys):
    found = discover(library, MotionCfg(**cfg), flat_dir=flat)
    assert (keys(found), [key for key, _ in found.flat]) == (terrain, flat_keys)


def test_a_reordering_is_told(library):
    found = discover(library, MotionCfg(filter_motion_keys=("c", "a")))
    assert make_plan(found, deal_of(found, 0, (2,)), 0).notes[0] == (
        "[TerrainAutoDiscover] Reordered 2 terrain USDs/keys to match filter_motion_keys"
    )


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"filter_motion_keys": ("a", "wavee")}, "'wavee' names no motion; did you mean 'wave'"),
        ({"filter_motion_keys": ("(",)}, "no regular expression"),
        ({"remove_motion_keys": ("a", "b", "c")}, "removes all 3 terrain motions"),
    ],
)
def test_filters_that_leave_nothing(library, flat, cfg, message):
    with pytest.raises(ConfigError, match=message):
        discover(library, MotionCfg(**cfg), flat_dir=flat)


stems = st.lists(st.from_regex(r"[a-z]{1,3}_[0-9]{1,2}", fullmatch=True), min_size=1, max_size=8, unique=True)


@settings(deadline=None, max_examples=40)
@given(
    terrain=stems, flat=stems, lone=stems, ratio=st.integers(0, 3), counts=st.lists(st.integers(1, 12), min_size=1, max_size=4)
)
def test_any_folders_pair(tmp_path_factory, terrain, flat, lone, ratio, counts):
    """Folders of any names, stems shared by both libraries included: each environment has the files of one motion."""
    root = tmp_path_factory.mktemp("any")
    touch(root / "lib", *(f"robot/{stem[0]}/{stem}.pkl" for stem in terrain), "flat_placeholder.usd")
    touch(root / "lib", *(f"object_usd/{stem[-1]}/{stem}.usd" for stem in {*terrain, *lone}))
    touch(root / "flat", *(f"{stem}.pkl" for stem in flat))
    found = discover(root / "lib", MotionCfg(), flat_dir=root / "flat", flat_envs=ratio > 0)
    assert set(found.unpaired_usd) == set(lone) - set(terrain)
    deal = deal_of(found, ratio, counts)
    for rank in range(len(counts)):
        plan = make_plan(found, deal, rank)
        for env, key in enumerate(plan.env_motion):
            motion = plan.find(key)
            assert motion.flat is (env % (ratio + 1) != ratio)
            assert motion.stem in (flat if motion.flat else terrain)
            assert Path(plan.env_usd[env]).is_file()
            assert Path(plan.env_usd[env]).stem == ("flat_placeholder" if motion.flat else motion.stem)
    assert len({motion.key for motion in plan.motions}) == len(plan.motions)
