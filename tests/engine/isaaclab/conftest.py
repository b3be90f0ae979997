"""What the tests of the engine share. Isaac Lab simulates one scene per process, so each module opens its engines one after the other."""

from __future__ import annotations

import attrs
import pytest
import torch

from grail_framework.config.compose import RunOptions, compose
from grail_framework.engine.isaaclab.engine import build
from grail_framework.engine.mujoco.engine import build as build_mujoco
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.assembly import load_parts
from grail_framework.tasks.demo import make_demo_library
from grail_framework.testing.bases import without_base
from grail_hoi.demo.library import make_pnp_table


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    """By task, two motions."""
    root = tmp_path_factory.mktemp("libraries")
    return {
        "pnp_table": make_pnp_table(root / "table", motions=2, seed=0),
        "motion_tracking": make_demo_library(root / "walk", motions=2, seed=0),
    }


@pytest.fixture(scope="module")
def task_envs(libraries):
    """Make an environment of a task on either engine, in the same scene, and close the engines at the end of the module.

    `change` is given the scene before the engines are built, `events` are added to the task's.
    """
    engines = []

    def make(task, *, change=lambda spec: spec, events=None, num_envs=4, builders=(build_mujoco, build)):
        manager = GrailPluginManager().load()
        options = RunOptions(data=str(libraries[task]), engine="isaaclab", num_envs=num_envs)
        cfg = without_base(compose(manager.registry, task=task, options=options, overrides=["engine.device=cpu"]).cfg, manager)
        parts = load_parts(attrs.evolve(cfg, events={**cfg.events, **(events or {})}), manager)
        spec = change(scene_spec(parts.cfg, parts.robot, parts.motions, device="cpu"))
        made = []
        for builder in builders:
            engines.append(builder(attrs.evolve(spec, num_threads=1)))
            made.append(TrackingEnv(parts.cfg, engines[-1], parts.motions, manager.registry, seed=1))
        return made

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def com():
    """The robot's centre of mass (N, 3) in a state. [m]"""

    def of(engine):
        bodies = engine.spec.robot.bodies
        mass = torch.tensor([body.mass for body in bodies])
        local = torch.tensor([body.com for body in bodies])
        w, axis = engine.state.body_quat_w[..., :1], engine.state.body_quat_w[..., 1:]
        turned = local + 2.0 * torch.linalg.cross(axis, torch.linalg.cross(axis, local.expand_as(axis)) + w * local)
        return ((engine.state.body_pos_w + turned) * mass[:, None]).sum(dim=1) / mass.sum()

    return of
