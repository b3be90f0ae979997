"""Which terms can be captured: all that are registered; and what is said of those that cannot."""

import itertools
import logging
import re

import attrs
import pytest
import torch

from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.config import ContactGate, EventTermCfg, ObservationTermCfg, RewardTermCfg, TerminationTermCfg
from grail_framework.envs import memory
from grail_framework.envs.capture import EAGER_STEPS
from grail_framework.envs.terms import BoundTerm, TermCall
from grail_framework.testing.bases import with_base

WARM = EAGER_STEPS + 1
N = 8


def bad(env, compute, instance=None):
    """Put a reward in the place of the first one."""
    call = TermCall("reward", "bad", "third:bad", compute, (env,), {})
    name = next(iter(env.rewards.terms))
    env.rewards.terms[name] = BoundTerm(kind="reward", name="bad", func="third:bad", compute=call, instance=instance)
    return env


class _Remembers:
    """Keeps the last velocities, in one of several wrong ways."""

    def __init__(self, env, how):
        self._how = how
        self._before = torch.zeros(env.num_envs, device=env.device)
        self._count = 0

    def __call__(self, env):
        now = env.state.joint_vel[:, 0].clone()
        if self._how == "new":
            self._before = now
        else:
            self._count += 1
        return now.abs() + self._count


def _reads(env):
    height = env.state.root_pos_w[:, 2]
    return height * 2 if height.max() > 100.0 else height


def _masks(env):
    value = env.state.root_pos_w[:, 2].clone()
    value[env.episode_length > 2] = env.state.root_pos_w[env.episode_length > 2, 0]
    return value


def _makes(env):
    return env.state.root_pos_w @ torch.tensor([0.0, 0.0, 1.0], device=env.device)


_COUNT = itertools.count()


def _counts(env):
    return env.state.root_pos_w[:, 2] + next(_COUNT)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (_reads, r"reward 'bad' \(third:bad\): reads a number on the host .* at .*test_capturable_terms\.py:\d+"),
        (_masks, r"reward 'bad' \(third:bad\): indexes with a mask"),
        (_makes, r"reward 'bad' \(third:bad\): makes a tensor of Python numbers"),
        (_counts, r"reward '[a-z_]+' gives other numbers when it is replayed"),
        ("new", r"reward 'bad' \(third:bad\): self\._before is a new tensor each time"),
        ("count", r"reward 'bad' \(third:bad\): self\._count is a Python value that changes .*\(2 -> 3\)"),
    ],
    ids=["reads", "masks", "makes", "counts", "new_tensor", "python_value"],
)
def test_a_term_that_cannot_be_captured_is_named_and_the_step_goes_on_eagerly(
    pair, pnp_cfg, caplog, compute, message, actions, step_both
):
    envs = pair(attrs.evolve(pnp_cfg, num_envs=N))
    for env in envs:
        env.reset()
        instance = _Remembers(env, compute) if isinstance(compute, str) else None
        bad(env, instance or compute, instance)
    if compute is _counts:
        for action in actions(envs[0], WARM):  # the count is shared, so the twin would see other numbers
            envs[0].step(action)
    else:
        with caplog.at_level(logging.WARNING):
            step_both(envs, 10)
    assert not envs[0].graphs.captured
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert re.search(message, warning.getMessage())
    assert "engine.cuda_graphs=false" in warning.getMessage()


def test_a_generator_of_its_own_is_refused(build, pnp_cfg, device, actions):
    own = torch.Generator(device=device)
    env = build(attrs.evolve(pnp_cfg, num_envs=N))
    bad(env, lambda env: torch.rand(N, generator=own, device=env.device))
    env.reset()
    for action in actions(env, WARM):
        env.step(action)
    assert "reward 'bad' (third:bad): draws from a random generator of its own; use env.generator" in env.graphs.off


def test_torchs_own_generator_may_be_drawn_from(build, pnp_cfg, actions):
    env = build(attrs.evolve(pnp_cfg, num_envs=N, rewards={"ori": pnp_cfg.rewards["tracking_anchor_ori"]}, terminations={}))
    bad(env, lambda env: torch.rand(N, device=env.device))
    env.reset()
    torch.manual_seed(5)
    rewards = [env.step(action)[1].clone() for action in actions(env, 3 * WARM)]
    torch.manual_seed(5)
    weight = env.rewards.weights[0] * env.step_dt
    for reward in rewards:
        torch.testing.assert_close(reward, torch.rand(N, device=env.device) * weight)


def test_what_a_curriculum_changes_in_python_is_captured_anew(pair, rich_cfg, step_both):
    cfg = attrs.evolve(rich_cfg, events={}, algorithm=attrs.evolve(rich_cfg.algorithm, num_steps_per_env=5))
    envs = pair(cfg)

    class Scaled:
        scale = 1.0

        def __init__(self):
            self.scale = 1.0

        def __call__(self, env):
            return env.state.root_pos_w[:, 2] * self.scale

    terms = [Scaled() for _ in envs]
    for env, term in zip(envs, terms, strict=True):
        env.reset()
        bad(env, term, term)
        ramp = env.curriculums._terms["ramp"]

        def grow(env=env, term=term):
            term.scale = 1.0 + env.curriculums.iteration
            return term.scale

        env.curriculums._terms["ramp"] = attrs.evolve(ramp, compute=grow)
    step_both(envs, 14)
    assert [term.scale for term in terms] == [3.0, 3.0]
    assert envs[0].graphs.captured == ("before", "after")
    terms[0].scale = terms[1].scale = 0.5
    envs[0].invalidate_captures()
    assert not envs[0].graphs.captured
    step_both(envs, 4)
    assert envs[0].graphs.captured == ("before", "after")


REQUIRED = {
    "core:tracking_anchor_pos": {"std": 0.3},
    "core:tracking_anchor_ori": {"std": 0.4},
    "core:tracking_relative_body_pos": {"std": 0.3},
    "core:tracking_relative_body_ori": {"std": 0.4},
    "core:tracking_relative_body_ori_weighted": {"std": 0.4, "body_weights": {"pelvis": 2.0}},
    "core:tracking_body_linvel": {"std": 1.0},
    "core:tracking_body_angvel": {"std": 3.0},
    "core:undesired_contacts": {"sensor": "body", "threshold": 1.0},
    "rewards:approach_velocity_penalty": {"disable_after_contact": True, "sensor": "object_right_hand"},
    "rewards:contact_center": {"hand": "right"},
    "rewards:finger_direction": {"hand": "left"},
    "rewards:grasp": {"sensor": "object_right_hand"},
    "rewards:hand_table_contact_penalty": {"sensor": "table_right_hand"},
    "rewards:joint_acc_l2": {"joints": ("left_knee_joint", "right_knee_joint")},
    "rewards:object_tracking": {"sensor": "object_right_hand", "w_or": 0.1, "w_ov": 0.1, "w_oav": 0.1},
    "hoi:finger_tips_force": {"sensor": "object_right_hand"},
    "core:anchor_ori": {"threshold": 1.0},
    "core:anchor_pos": {"threshold": 0.25},
    "core:anchor_pos_adaptive": {"threshold": 0.25},
    "core:ee_body_pos": {"threshold": 0.25},
    "core:ee_body_pos_adaptive": {"threshold": 0.25},
    "core:foot_pos_xyz": {"threshold": 0.3},
    "core:object_pos_deviation": {"threshold": 0.1},
    "core:object_z_pos_deviation": {"threshold": 0.1},
    "hoi:grasp_failure_after_contact": {"sensor": "object_right_hand", "grace_steps": 5},
    "hoi:hand_table_contact_termination": {"sensor": "table_right_hand", "threshold": 1.0},
}
"""Parameters of the terms that need some; a new term that needs one makes the tests below fail until it is here."""
INTERVAL = (0.04, 0.08)
MODES = (("startup", None), ("reset", None), ("interval", INTERVAL))


def terms_of(registry, kind, make):
    """Configure every term of a kind that is registered."""
    return {
        entry.qualified.replace(":", "_"): make(entry.qualified, REQUIRED.get(entry.qualified, {}))
        for entry in registry.entries(kind)
    }


@pytest.fixture
def everything(registry, tmp_path):
    """pnp_table with every term there is, of every plugin that is installed."""
    write_box_usd(tmp_path / "object.usd", (0.2, 0.2, 0.2))  # some look at its shape
    cfg = registry.find("task", "hoi:pnp_table").load()()
    rewards = terms_of(registry, "reward", lambda func, params: RewardTermCfg(func=func, weight=1.0, params=params))
    gates = {
        "error": ContactGate(hand="right", missing="ones"),
        "anti": ContactGate(hand="left", missing="zero", anti_contact_factor=0.5),
    }
    for name, switch in gates.items():
        rewards[name] = RewardTermCfg(func="rewards:grasp", weight=1.0, params=REQUIRED["rewards:grasp"], gate=switch)
    observed = terms_of(
        registry, "observation", lambda func, params: ObservationTermCfg(func=func, params=params, history_length=2)
    )
    group = attrs.evolve(cfg.observations["policy"], terms=observed, width=None, enable_corruption=True)
    ends = terms_of(
        registry,
        "termination",
        lambda func, params: TerminationTermCfg(func=func, params=params, time_out=func == "core:tracking_time_out"),
    )
    events = {
        f"{mode}_{entry.name}": EventTermCfg(func=entry.qualified, mode=mode, interval_range_s=interval)
        for entry in registry.entries("event")
        for mode, interval in MODES
    }
    return attrs.evolve(
        cfg,
        num_envs=N,
        rewards=rewards,
        observations=cfg.observations | {"policy": group, "critic": group},
        terminations=ends,
        events=events,
    )


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("core:joint_residual", {"finger_primitive": "linear"}),
        ("core:joint_residual", {}),
        ("core:joint_position", {}),
        ("hoi:latent_residual", {"mode": "pre_quantization"}),
        ("hoi:latent_residual", {"mode": "post_quantization", "finger_primitive": "linear"}),
        ("hoi:latent_residual", {"mode": "pre_quantization_replace"}),
    ],
)
def test_every_registered_term_can_be_captured(pair, everything, base, action, params, step_both, material_engine):
    cfg = attrs.evolve(everything, action=attrs.evolve(everything.action, func=action, params=params))
    if action != "hoi:latent_residual":  # the term is about its tokens
        cfg = attrs.evolve(cfg, rewards={name: term for name, term in cfg.rewards.items() if "latent" not in name})
    envs = pair(with_base(cfg, base), engine=material_engine)
    for env in envs:
        env.reset()
    for env in envs:
        for force in env.state.contact_forces.values():
            force.fill_(0.3)
    places = memory.fingerprint(envs[0])
    # On a CPU these leave no trace among the operations.
    with pytest.MonkeyPatch.context() as patch:
        for name in ("tolist", "numpy", "cpu", "__array__"):
            patch.setattr(torch.Tensor, name, None)
        step_both(envs, 14)
    assert envs[0].graphs.captured == ("before", "after"), envs[0].graphs.off
    assert memory.fingerprint(envs[0]) == places


def test_every_kind_of_action_is_in_the_test_above(registry):
    actions = ["core:joint_position", "core:joint_residual", "hoi:latent_residual"]
    assert sorted(entry.qualified for entry in registry.entries("action")) == actions
