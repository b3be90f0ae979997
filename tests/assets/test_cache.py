from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grail_framework.assets.cache import cache_folder, content_key, load_entry, store_entry

ARRAYS = {"corners": np.arange(30.0).reshape(10, 3), "counts": np.array([4, 6])}


def test_an_entry_comes_back_and_nothing_else_is_left(tmp_path):
    store_entry(tmp_path / "deep" / "entry.npz", ARRAYS)
    found = load_entry(tmp_path / "deep" / "entry.npz")
    assert found is not None
    assert {name: value.tolist() for name, value in found.items()} == {name: value.tolist() for name, value in ARRAYS.items()}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["entry.npz"]


def test_no_entry_is_no_news(tmp_path, caplog):
    assert load_entry(tmp_path / "none.npz") is None
    assert caplog.records == []


def pickled(path: Path) -> None:
    np.savez(path, allow_pickle=True, corners=np.array([{"a": 1}], dtype=object))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no archive"),
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: path.write_bytes(path.read_bytes()[:200] + b"?" + path.read_bytes()[201:]),
        pickled,
    ],
    ids=["empty", "text", "cut", "a flipped byte", "a pickle"],
)
def test_a_damaged_entry_is_none_and_said(tmp_path, caplog, damage):
    path = tmp_path / "entry.npz"
    store_entry(path, ARRAYS)
    damage(path)
    assert load_entry(path) is None
    assert "entry.npz is damaged" in caplog.text


def test_names_tell_contents_apart():
    base = np.arange(6.0)
    keys = [
        content_key(parts)
        for parts in (
            (base,), (base + 1e-12,), (base.reshape(2, 3),), (base.astype(np.float32),), (base, 1), (base, "1"), (base, base),
        )
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert content_key((base[::2],)) == content_key((base[::2].copy(),))


def test_the_folder_is_the_user_s_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "grail_framework"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "grail_framework"
