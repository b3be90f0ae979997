"""The two pluggy markers of the project; `hookimpl` is what plugins import (as `from grail_framework import hookimpl`)."""

from __future__ import annotations

from typing import Final

import pluggy

PROJECT: Final = "grail"
ENTRY_POINT_GROUP: Final = "grail.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
