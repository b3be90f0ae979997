"""Physical properties of the robot, set inside a CUDA graph."""

from __future__ import annotations

import attrs
import pytest
import torch

from grail_framework.engine.isaaclab.engine import build
from grail_framework.engine.protocol import BODY_COM, BODY_MASS, MATERIAL

from ..scenes import g1_scene, resting

pytestmark = [pytest.mark.slow, pytest.mark.gpu]

ENVS = 8


@pytest.fixture
def engine():
    engine = build(attrs.evolve(g1_scene(ENVS, ()), device="cuda:0"))
    yield engine
    engine.close()


def properties(engine):
    model = engine._physics.solver.mjw_model
    names = ("body_mass", "body_inertia", "body_ipos", "body_subtreemass", "geom_friction", "geom_priority")
    return {name: getattr(model, name).numpy() for name in names}


def test_a_replay_sets_what_an_eager_call_sets(engine):
    bodies, device = len(engine.spec.robot.bodies), engine.device
    mask = torch.zeros(ENVS, dtype=torch.bool, device=device)
    values = {
        MATERIAL: torch.zeros(ENVS, 3, device=device),
        BODY_MASS: torch.ones(ENVS, bodies, device=device),
        BODY_COM: torch.zeros(ENVS, bodies, 3, device=device),
    }
    rest = resting(engine.spec, 1.0)
    to = attrs.evolve(
        rest, **{name: value.to(device) for name, value in attrs.asdict(rest, recurse=False).items() if value is not None}
    )
    engine.reset(~mask, to)

    def work():
        for quantity, value in values.items():
            engine.randomize(quantity, mask, value)

    work()
    before = properties(engine)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.cuda.graph(graph):
            work()
        mask[::2] = True
        values[MATERIAL].uniform_(0.3, 1.2)
        values[BODY_MASS].uniform_(0.9, 1.1)
        values[BODY_COM].uniform_(-0.03, 0.03)
        graph.replay()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    replayed = properties(engine)
    work()
    eager = properties(engine)
    for name, value in eager.items():
        assert (replayed[name] == value).all(), name
        if value.ndim > 1:
            assert (value[1::2] == before[name][1::2]).all(), name
            assert (value[::2] != before[name][::2]).any(), name
