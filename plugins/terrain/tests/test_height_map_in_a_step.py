"""The height map in an environment's step: computed once, from the present state, and captured in a graph."""

import attrs
import numpy as np
import pytest
import torch

from grail_framework.assets.usd_writer import write_box_usd, write_object_usd
from grail_framework.config import ObjectCfg, ObservationGroupCfg, ObservationTermCfg, SceneCfg
from grail_framework.envs.capture import EAGER_STEPS
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_29dof
from grail_framework.testing.fakes import KinematicEngine, standing_clip
from grail_framework.testing.tape import TapeGraph

N, FRAMES = 6, 30


@pytest.fixture(scope="module")
def robot():
    return g1_29dof()


@pytest.fixture(scope="module")
def registry():
    return GrailPluginManager().load().registry


@pytest.fixture(params=["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def device(request):
    return request.param


@pytest.fixture
def cfg(registry):
    """Follow a motion, with the height map in two groups."""
    term = ObservationTermCfg(func="terrain:height_map_z_flat")
    base = registry.find("task", "core:motion_tracking").load()()
    policy = attrs.evolve(base.observations["policy"], terms=base.observations["policy"].terms | {"height_map": term})
    critic = ObservationGroupCfg(terms={"height_map": term}, width=121)
    return attrs.evolve(
        base,
        num_envs=N,
        robot=attrs.evolve(base.robot, name="g1_29dof"),
        scene=SceneCfg(object=ObjectCfg(dynamic=False)),
        observations={"policy": policy, "critic": critic},
        rewards={},
        terminations={"tracking_time_out": base.terminations["tracking_time_out"]},
    )


@pytest.fixture
def build(cfg, robot, registry, tmp_path, device):
    """Two motions: over a plane 0.1 m up, and before a box, that both move with the robot; see `standing_clip`."""
    corners = np.array([[x, y, 0.1 - robot.spawn_height] for x in (-9.0, 9.0) for y in (-9.0, 9.0)])
    files = {"plane": write_object_usd(tmp_path / "plane.usd", [(corners, np.array([[0, 2, 3, 1]]))], dynamic=False)}
    files["box"] = write_box_usd(tmp_path / "box.usd", (0.5, 0.5, 0.5))
    clips = [
        attrs.evolve(standing_clip(robot, key=key, frames=FRAMES, with_object=True), object_usd=path)
        for key, path in files.items()
    ]
    motions = MotionLibrary.build(clips, robot, device=device)

    def make(capture):
        return TrackingEnv(
            cfg, KinematicEngine(scene_spec(cfg, robot, motions, device=device)), motions, registry, capture=capture
        )

    return make


@pytest.fixture
def launches(monkeypatch):
    """How often rays were cast."""
    from grail_terrain.mdp.ray_casting import FanCaster

    counted = []
    launch = FanCaster.launch
    monkeypatch.setattr(FanCaster, "launch", lambda self: (counted.append(self), launch(self)))
    return counted


def zeros(env):
    return torch.zeros(N, env.num_actions, device=env.device)


def test_a_full_reset_shows_the_terrain_at_once(build):
    """As every step does: in the release the first observation is of zeros."""
    env = build(False)
    observed = env.reset()["critic"]
    over_plane = 0.1 - env.state.root_pos_w[::2, 2:]
    torch.testing.assert_close(observed[::2], over_plane.expand(-1, 121), atol=1e-5, rtol=0.0)
    before_box = observed[1::2].unflatten(1, (11, 11))
    assert (before_box[:, 10, 5] > -0.4).all(), "the box is ahead"
    torch.testing.assert_close(before_box[:, 0], -env.state.root_pos_w[1::2, 2, None].expand(-1, 11), atol=1e-5, rtol=0.0)


def test_a_step_casts_once_however_many_groups_observe(build, launches):
    env = build(False)
    env.reset()
    launches.clear()
    for _ in range(3):
        observations, *_ = env.step(zeros(env))
        assert torch.equal(observations["policy"][:, -121:], observations["critic"])
    assert len(launches) == 3


def test_replayed_and_eager_steps_are_the_same(build, device):
    capture = TapeGraph if device == "cpu" else True
    captured, eager = build(capture), build(False)
    first = [env.reset()["critic"].clone() for env in (captured, eager)]
    assert torch.equal(*first)
    ended, seen = 0, []
    for step in range(3 * FRAMES):
        if step == EAGER_STEPS + 2 and device != "cpu":
            assert captured.graphs.captured == ("before", "after"), captured.graphs.off
            torch.cuda.set_sync_debug_mode("error")
        try:
            ours, theirs = (env.step(zeros(env)) for env in (captured, eager))
        finally:
            torch.cuda.set_sync_debug_mode("default") if device != "cpu" else None
        assert torch.equal(ours[0]["critic"], theirs[0]["critic"])
        ended += int((ours[2] | ours[3]).sum())
        seen.append(ours[0]["critic"].clone())
    assert captured.graphs.captured == ("before", "after"), captured.graphs.off
    assert ended > N, "episodes should begin anew on the way"
    assert len(torch.stack(seen).unique(dim=0)) > FRAMES // 2, "the box moves"


@pytest.mark.parametrize("device", [pytest.param("cuda:0", marks=pytest.mark.gpu)], indirect=True)
def test_the_launch_alone_is_captured_on_torchs_stream(build):
    """Poses that are written after the capture are those of the replay; no allocation, no wait."""
    env = build(False)
    env.reset()
    (term,) = [term.instance for name, term in env.stateful_terms() if "height_map" in name]
    term(env)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        term(env)
    expected = term(env).clone()
    env.state.root_pos_w[:, 2] += 0.25
    held = torch.cuda.memory_allocated()
    torch.cuda.set_sync_debug_mode("error")
    try:
        graph.replay()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.cuda.memory_allocated() == held
    torch.cuda.synchronize()
    torch.testing.assert_close(term._heights[::2], expected[::2] - 0.25, atol=1e-5, rtol=0.0)
