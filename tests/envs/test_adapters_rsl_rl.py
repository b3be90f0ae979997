"""rsl_rl's own runner on our environment."""

import attrs
import pytest
import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner

from grail_framework.envs.adapters.rsl_rl import RslRlVecEnv
from grail_framework.testing.fakes import standing_clip


def train_cfg():
    model = {"class_name": "MLPModel", "hidden_dims": [16], "activation": "elu"}
    gaussian = {"class_name": "GaussianDistribution", "init_std": 0.05, "std_type": "scalar"}
    return {
        "num_steps_per_env": 12,
        "save_interval": 100,
        "obs_groups": {"actor": ["policy"], "critic": ["critic"]},
        "actor": model | {"distribution_cfg": gaussian},
        "critic": dict(model),
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": 2,
            "num_mini_batches": 2,
            "rnd_cfg": None,
            "symmetry_cfg": None,
        },
    }


@pytest.fixture
def vec_env(make_env, pnp_cfg, robot):
    """Motions of 20 frames from their start: each ends, by time-out, within the 24 steps of two iterations."""
    command = attrs.evolve(pnp_cfg.command, start_from_first_frame=True, sample_before_contact=False)
    time_outs = {name: term for name, term in pnp_cfg.terminations.items() if term.time_out}
    cfg = attrs.evolve(pnp_cfg, command=command, terminations=time_outs, rewards={})
    return RslRlVecEnv(make_env(cfg, [standing_clip(robot, with_object=True, frames=20)]))


def test_its_runner_trains_our_environment(vec_env, tmp_path):
    assert isinstance(vec_env, VecEnv)
    runner = OnPolicyRunner(vec_env, train_cfg(), log_dir=None, device="cpu")
    before = {name: value.clone() for name, value in runner.alg.actor.state_dict().items()}
    runner.learn(2)
    after = runner.alg.actor.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert all(not torch.equal(before[name], value) for name, value in after.items())
    # What was made in its inference mode can be written to outside of it.
    vec_env.reset()
    vec_env.env.load_state_dict(vec_env.env.state_dict())
    vec_env.env.step(torch.zeros(4, vec_env.num_actions))


def test_time_outs_episode_lengths_and_log(vec_env):
    zero = torch.zeros(4, vec_env.num_actions)
    assert vec_env.max_episode_length == 20
    for step in range(1, 22):
        observations, reward, done, extras = vec_env.step(zero)
        assert observations["policy"].shape == (4, 984)
        assert reward.shape == done.shape == extras["time_outs"].shape == (4,)
        assert done.tolist() == [int(step == 20)] * 4
        assert extras["time_outs"].tolist() == [step == 20] * 4
        assert vec_env.episode_length_buf.tolist() == [step % 20] * 4
        assert extras["log"]["/termination/tracking_time_out"].item() == float(step == 20)
    assert torch.equal(vec_env.get_observations()["critic"], observations["critic"])
