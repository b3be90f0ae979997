"""Terrain tracking; so far the launch paths of the release's terrain configuration.

Import strings only: this module is read by every `grail` command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grail_framework import hookimpl

if TYPE_CHECKING:
    from grail_framework.registry import Registrar

grail_api = ">=1,<2"


@hookimpl
def grail_register_release_aliases(registry: Registrar) -> None:
    """Register the plugin's release paths."""
    registry.add("terrain", "grail_terrain.release_aliases:ALIASES", summary="Folders and ratio of terrain and flat motions")
