from __future__ import annotations

import pytest

from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.engine.mujoco.engine import build
from grail_framework.engine.protocol import ObjectSpec


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    return (
        ObjectSpec(name="small", path=str(write_box_usd(folder / "small.usd", (0.1, 0.1, 0.1), mass=0.3))),
        ObjectSpec(name="large", path=str(write_box_usd(folder / "large.usd", (0.3, 0.2, 0.4))), mass=0.7),
    )


@pytest.fixture
def made():
    """Build engines and close them after the test."""
    engines = []

    def make(spec):
        engines.append(build(spec))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
