"""Packed stores that something happened to."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from grail_framework.motion.store import StoreError
from grail_framework.motion.store.format import seal

from .stores import from_store, load, pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grail_framework.robots.spec import RobotSpec


@pytest.fixture
def two(library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """Two motions with contacts and a moving object."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    caplog.set_level(logging.INFO)
    for key in ("cup_0_000", "jar_0_001"):
        library.add(key)
    return library.root


def truncate(name: str, by: int = 8) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        os.truncate(store / name, (store / name).stat().st_size - by)

    return damage


def flip(name: str, at: int) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        content = bytearray((store / name).read_bytes())
        content[at] ^= 0x10
        (store / name).write_bytes(content)

    return damage


def reshape(store: Path) -> None:
    """Give an array another shape and a header that agrees about its size."""
    rows = np.load(store / "robot.npy")
    np.save(store / "robot.npy", rows.reshape(-1, 18))


def header(**edit: Any) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        values = json.loads((store / "store.json").read_text()) | edit
        (store / "store.json").write_text(json.dumps(values))

    return damage


def newer(store: Path) -> None:
    values = json.loads((store / "store.json").read_text()) | {"version": 99}
    del values["blake2b"]
    (store / "store.json").write_text(seal(values))


DAMAGES = {
    "truncated robot rows": (truncate("robot.npy"), "robot.npy has"),
    "truncated runs": (truncate("hands.npy", 12), "hands.npy has"),
    "a bit of a frame": (flip("robot.npy", -100), "damaged at motion 'jar_0_001'"),
    "a bit of an object": (flip("objects.npy", -5), "damaged at motion 'jar_0_001'"),
    "a bit of a run": (flip("contacts.npy", 130), "damaged at motion 'cup_0_000'"),
    "a bit of a record": (flip("motions.npy", -3), "motions.npy was changed"),
    "the names": (flip("index.json", 12), "index.json was changed"),
    "a missing array": (lambda store: (store / "objects.npy").unlink(), "objects.npy is missing"),
    "another shape": (reshape, "robot.npy"),
    "another rate": (header(library="/elsewhere"), "store.json was changed"),
    "no JSON": (lambda store: (store / "store.json").write_text("{"), "store.json cannot be read"),
    "another format": (header(format="zip"), "no header of a packed store"),
    "a later version": (newer, "version 99, this release reads 1"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_store_is_reported_and_never_used(
    two: Path, g1: RobotSpec, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage, said = DAMAGES[name]
    store = pack(two, g1)
    damage(store)
    library = load(two, g1)
    assert said in caplog.text
    assert "the motion files are read instead" in caplog.text
    assert not from_store(caplog)
    assert library.num_motions == 2
    with pytest.raises(StoreError):
        load(store, g1)
