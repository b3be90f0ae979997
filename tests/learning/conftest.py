from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from accelerate.state import AcceleratorState

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parent))  # where the module of layouts lies that several tests share


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """Let a test choose its device: accelerate keeps the first one of a process for all accelerators to come."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
