from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from accelerate.state import AcceleratorState

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """Let a test choose its device: accelerate keeps the first one of a process for all accelerators to come."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
