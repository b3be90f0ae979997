"""Makes the USD schemas of Newton and MuJoCo known before USD's registry is first asked: it never looks again after that.

Import this where stages are opened. Without those packages there is nothing to register.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pxr.Plug

Plug: Any = pxr.Plug

_FOLDERS: Final = {"newton_usd_schemas": "", "mujoco_usd_converter": "plugins"}
"""Package, and the folder in it that holds its plugInfo.json."""


def _register() -> None:
    for package, folder in _FOLDERS.items():
        spec = find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec is not None else ():
            Plug.Registry().RegisterPlugins([str(Path(location).absolute() / folder)])


_register()
