"""What all tests share: which of them this machine can run, caches, and the real clips where they are found, made ones elsewhere."""

import os
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from grail_framework.config.hardware import has_nvidia_gpu
from grail_framework.testing.fakes import write_box_library

REPO = Path(__file__).resolve().parents[1]
HAS_ISAACLAB = find_spec("isaaclab") is not None
ISAACLAB_FOLDER = REPO / "tests" / "engine" / "isaaclab"
NO_ISAACLAB = (
    "isaaclab is not installed: what needs it is deselected, tests/engine/isaaclab is not collected (EXTRAS=isaaclab make test)"
)


def pytest_configure(config):
    config.addinivalue_line("markers", "ovphysx: needs the package of that name; deselected where it is not installed")
    config.addinivalue_line("markers", "isaaclab: needs the extra isaaclab; deselected where it is not installed")
    # Compiled once for all runs of the tests: the kernels of one scene take minutes. Warp would look below XDG_CACHE_HOME, which the
    # tests move.
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("WARP_CACHE_PATH", str(caches / "warp"))


def pytest_report_header():
    return None if HAS_ISAACLAB else NO_ISAACLAB


def pytest_ignore_collect(collection_path):
    """Leave out modules that import Isaac Lab, Newton or Warp where they are not."""
    return True if not HAS_ISAACLAB and collection_path.is_relative_to(ISAACLAB_FOLDER) else None


def pytest_collection_modifyitems(config, items):
    """Deselect tests of the device where there is none, and of packages that are not installed."""
    present = {"gpu": has_nvidia_gpu(), "isaaclab": HAS_ISAACLAB, "ovphysx": find_spec("ovphysx") is not None}
    missing = {name for name, there in present.items() if not there}
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in missing)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


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
