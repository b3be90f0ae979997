"""The plugin's section of a run, `extra.terrain`: where motions on terrain and on flat ground are, and how they share the environments."""

from __future__ import annotations

import attrs

from grail_framework.config.validators import at_least


@attrs.frozen(kw_only=True)
class TerrainCfg:
    """Which motions are followed on which ground. A task with this section is planned: each environment has the terrain of its motion."""

    terrain_motion_dir: str | None = None
    """Library of motions with a terrain each, `robot/` and `object_usd/` paired by stem; None: `motion.data` (`--data`)."""
    flat_motion_dir: str | None = None
    """Folder of motions on flat ground, `robot/` or the pickles themselves; None: there are none."""
    flat_usd_path: str | None = None
    """Asset that stands in the flat environments; None: `flat_placeholder.usd` in the library or its `object_usd/`."""
    flat_to_terrain_ratio: int = attrs.field(default=0, validator=at_least(0))
    """Flat environments before each terrain one: every (R+1)-th stands on terrain; 0: all of them. [-]"""
    keys_mirror_dir: str | None = "/tmp"
    """Folder with a copy of the list of each process's motions, `rank_<R>_motion_keys.txt`; None: in the run directory alone."""
