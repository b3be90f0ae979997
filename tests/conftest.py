"""Data for tests of whole runs: the real clips where they are found, clips made on the spot elsewhere."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from grail_framework.config.hardware import has_nvidia_gpu
from grail_framework.testing.fakes import write_box_library

REPO = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(config, items):
    """Deselect tests of the device where there is none."""
    if has_nvidia_gpu():
        return
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("gpu")])
    items[:] = [item for item in items if not item.get_closest_marker("gpu")]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep what the framework caches (stores, convex pieces, demo libraries) out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def data_folder() -> Path:
    return Path(os.environ.get("GRAIL_TEST_DATA", REPO.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def box_library(tmp_path_factory):
    """A library for pnp_ground: three real clips, or a made one."""
    real = data_folder() / "grail" / "largebox_ha"
    return real if real.is_dir() else write_box_library(tmp_path_factory.mktemp("library"))


@pytest.fixture
def files_up_to():
    """A block in which files grow to so many bytes and no further, which is how a full disk looks. Python has the signal for it ignored.

    It must end within the test: a report of pytest may go to a file as well.
    """
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(size: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
