from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory):
    """A cache folder that the tests of this session share: a mesh is split once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def private_cache(cache_home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
