"""The bare physics is that of the same states, the same controls and as many steps."""

import mujoco
import pytest
import torch

from grail_framework.bench.bare_mujoco import BareMujoco
from grail_framework.bench.bare_newton import write_scene
from grail_framework.bench.engine import restart
from grail_framework.bench.physics import BareEngine, PhysicsBesides
from grail_framework.bench.timing import alternating
from grail_framework.config.compose import RunOptions, compose
from grail_framework.engine.protocol import SceneSpec
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.runs.assembly import build_env, load_parts
from grail_framework.testing.bases import without_base
from grail_framework.testing.fakes import KinematicEngine, write_box_library


class SteppingEngine(KinematicEngine):
    """An engine whose solver alone moves the root, so that a state that is not put back is seen."""

    alone = 0

    def bare_step(self):
        def step():
            self.alone += 1
            self.state.root_pos_w += 1.0

        return step


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    """A hand-object environment on the CPU engine: object, table, contact sensors."""
    manager = GrailPluginManager().load()
    data = write_box_library(tmp_path_factory.mktemp("library"), table=True)
    options = RunOptions(data=str(data), engine="mujoco", num_envs=3)
    cfg = without_base(compose(manager.registry, task="pnp_table", options=options).cfg, manager)
    env = build_env(load_parts(cfg, manager))
    env.reset()
    yield env
    env.close()


def test_rollout_takes_the_steps_that_the_engine_takes(env):
    engine = env.engine
    restart(engine, env.start_state())
    bare = BareMujoco(engine)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        targets = env.default_joint_pos + 0.3 * torch.randn(env.default_joint_pos.shape, generator=generator)
        bare.take(targets)
        bare.step()
        engine.step(targets)
        torch.testing.assert_close(torch.from_numpy(bare.result.copy()), engine.state_dict()["physics"], rtol=0.0, atol=1e-9)
    assert bare.result[:, 0] == pytest.approx(5 * engine.spec.step_dt)
    bare.close()


def test_an_engine_without_a_bare_step_is_timed_inside_the_work(env):
    physics = PhysicsBesides(env.engine)
    action = torch.zeros(env.num_envs, env.num_actions)
    took, inside = physics.measure(lambda: [env.step(action) for _ in range(3)], 3)
    assert 0.0 < inside < took
    assert "step" not in vars(env.engine)
    assert physics.name == "engine.step within it"


def test_a_bare_solver_steps_as_often_and_leaves_the_environment_where_it_was():
    engine = SteppingEngine(SceneSpec(num_envs=2, robot=g1_43dof()))
    assert isinstance(engine, BareEngine)
    physics = PhysicsBesides(engine)
    heights = []
    for turn in (1, 2):
        took, alone = physics.measure(lambda: heights.append(engine.state.root_pos_w.clone()), 7)
        assert took > 0.0
        assert alone > 0.0
        assert engine.alone == 7 * turn
    assert all((height == 0.0).all() for height in heights)
    assert (engine.state.root_pos_w == 0.0).all()


def test_two_blocks_take_turns_in_changing_order():
    calls = []
    first, second = alternating(lambda: calls.append(1), lambda: calls.append(2), torch.device("cpu"), 3)
    assert calls == [1, 2, 2, 1, 1, 2, 2, 1]
    assert len(first) == len(second) == 3


def test_the_scene_for_the_bare_solver_is_the_engine_s_without_what_that_solver_refuses(env, tmp_path):
    path = write_scene(env.engine.spec, tmp_path / "scene.mjb")
    model = mujoco.MjModel.from_binary_path(str(path))
    joints = {mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, index) for index in range(model.njnt)}
    assert set(env.robot.joint_names) <= joints
    assert model.nu == env.robot.num_joints
    assert model.nmocap == 1  # the table
    assert model.opt.timestep == env.engine.spec.physics_dt
    assert not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_AUTORESET
    contacts = mujoco.mjtSensor.mjSENS_CONTACT
    assert contacts not in model.sensor_type
