"""What this machine can run of the plugin's tests, and caches that stay, also where only these tests are run."""

import os
from pathlib import Path

from grail_framework.config.hardware import has_nvidia_gpu


def pytest_configure(config):
    # Compiled once for all runs of the tests; Warp would look below XDG_CACHE_HOME, which tests may move.
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("WARP_CACHE_PATH", str(caches / "warp"))


def pytest_collection_modifyitems(config, items):
    """Deselect tests of the GPU where there is none."""
    left_out = [] if has_nvidia_gpu() else [item for item in items if item.get_closest_marker("gpu")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
