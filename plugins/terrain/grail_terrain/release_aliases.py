"""What the release's terrain configuration is called there and here: the plugin's own section of the run."""

from __future__ import annotations

from typing import Final

from grail_framework.config.release import ReleaseAlias, ReleaseExperiment

_ENV: Final = "manager_env.config"
_SECTION: Final = "extra.terrain"
_KEYS: Final = ("terrain_motion_dir", "flat_motion_dir", "flat_usd_path", "flat_to_terrain_ratio")

ALIASES: Final = (
    ReleaseExperiment(experiment="manager/universal_token/scene/terrain_tracking", task="terrain:terrain_tracking"),
    *(ReleaseAlias(pattern=f"{_ENV}.{key}", path=f"{_SECTION}.{key}") for key in _KEYS),
    *(
        ReleaseAlias(pattern=f"{_ENV}.{key}", note="lists of terrain files are not read; the folders are searched instead")
        for key in ("terrain_usd_path", "terrain_motion_keys_path", "flat_motion_keys_path")
    ),
)
"""The plugin's table, registered as release alias `terrain`."""
