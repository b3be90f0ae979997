"""Helpers for the authors of plugins: contract checks here, fixtures in `pytest_plugin`, which pytest loads by itself.

Fixtures: `grail_manager`, `register_plugin`, `grail_cli`, `make_dist`.
"""

from grail_framework.testing.contracts import HEAVY_MODULES, assert_cfg_roundtrip, assert_import_light, assert_term_contract
from grail_framework.testing.dists import write_dist

__all__ = ["HEAVY_MODULES", "assert_cfg_roundtrip", "assert_import_light", "assert_term_contract", "write_dist"]
