"""What a motion reader must offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.faults import ClipFault


class ClipSource(Protocol):
    """An opened motion library: its stems are known, its clips are read one at a time.

    A source that also has `library_faults() -> Sequence[ClipFault]` says there what is wrong beside the motions, such as assets of no
    motion; `grail data check` shows it.
    """

    @property
    def keys(self) -> Sequence[str]:
        """Stems of all motions, sorted."""
        ...

    def read(self, key: str) -> tuple[MotionClip, Sequence[ClipFault]]:
        """Read one motion; the faults are those that do not prevent its use.

        Raises:
            BadClipError: the motion cannot be read; all that was found is in its `faults`.
        """
        ...


class MotionReader(Protocol):
    """Turns files of one layout into clips. Registered as a class without constructor arguments."""

    @property
    def name(self) -> str:
        """Name of the layout."""
        ...

    @property
    def layout(self) -> str:
        """One line on what the files look like, for the error when no reader recognises a folder."""
        ...

    def detect(self, cfg: MotionCfg) -> bool:
        """Say whether the files of this configuration are of this reader's layout; looks at names only."""
        ...

    def open(self, cfg: MotionCfg) -> ClipSource:
        """List the motions of the library.

        Raises:
            DataError: a folder is missing or two files have one stem.
        """
        ...
