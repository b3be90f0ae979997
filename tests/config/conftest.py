from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # import strings of the example plugin start at its module


@pytest.fixture
def registry():
    from config_example import make_registry

    return make_registry()


@pytest.fixture
def library(tmp_path):
    from config_example import make_library

    return make_library(tmp_path / "box_ha")


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
