"""Readers that turn motion files into clips; each file layout is one reader, registered as `motion_reader`."""

from __future__ import annotations

from grail_framework.motion.readers.protocol import ClipSource, MotionReader

__all__ = ["ClipSource", "MotionReader"]
