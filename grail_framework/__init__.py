"""GRAIL Framework: training of task-general, physics-based humanoid policies.

This module stays light: it is the first thing a plugin imports, so it loads neither torch, numpy nor pluggy by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

PLUGIN_API = (1, 0)
"""Version of the hook specs: (major, minor). The minor grows when a hook or an argument is added, the major when one goes."""

if TYPE_CHECKING:
    from grail_framework.plugins.markers import hookimpl as hookimpl

__all__ = ["PLUGIN_API", "__version__", "hookimpl"]


def __getattr__(name: str) -> Any:
    # pluggy costs a few milliseconds that `grail --help` does not need.
    if name == "hookimpl":
        from grail_framework.plugins.markers import hookimpl

        return hookimpl
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
