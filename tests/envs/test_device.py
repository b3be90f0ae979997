"""The environment on a GPU: a step must not make the host wait."""

import attrs
import pytest
import torch

from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.library import MotionLibrary
from grail_framework.testing.fakes import KinematicEngine, standing_clip

pytestmark = pytest.mark.gpu


def build(pnp_cfg, robot, registry, tmp_path, device):
    clip = attrs.evolve(standing_clip(robot, with_object=True), object_usd=tmp_path / "object.usd")
    motions = MotionLibrary.build([clip], robot, device=device)
    spec = scene_spec(pnp_cfg, robot, motions, device=device)
    return TrackingEnv(pnp_cfg, KinematicEngine(spec), motions, registry, seed=1)


def test_a_step_waits_for_nothing(pnp_cfg, robot, registry, tmp_path):
    env = build(attrs.evolve(pnp_cfg, num_envs=64), robot, registry, tmp_path, "cuda:0")
    env.reset()
    actions = torch.zeros(70, 64, env.num_actions, device=env.device)
    env.step(actions[0])
    torch.cuda.set_sync_debug_mode("error")
    try:
        for action in actions:  # past the motion's end, so that environments are reset on the way
            env.step(action)
        metrics = env.drain_metrics()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sum(value for name, value in metrics.items() if name.startswith("termination/")) > 0


def test_gpu_and_cpu_agree(pnp_cfg, robot, registry, tmp_path):
    cfg = attrs.evolve(pnp_cfg, command=attrs.evolve(pnp_cfg.command, sample_before_contact=False, start_from_first_frame=True))
    sides = [build(cfg, robot, registry, tmp_path, device) for device in ("cpu", "cuda:0")]
    for env in sides:
        env.reset()
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        action = 0.1 * torch.randn(4, sides[0].num_actions, generator=generator)
        (obs, reward, *_), (gpu_obs, gpu_reward, *_) = [env.step(action.to(env.device)) for env in sides]
        torch.testing.assert_close(gpu_reward.cpu(), reward, atol=1e-5, rtol=1e-4)
        for name, value in obs.items():
            torch.testing.assert_close(gpu_obs[name].cpu(), value, atol=1e-4, rtol=1e-4)
