"""Putting one environment back into a recorded state, and naming every invalid number there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch

from grail_framework.envs.guard import invalid_rows, split_state, state_row
from grail_framework.envs.view import TrackingView
from grail_framework.errors import CheckpointError
from grail_framework.robots.rotations import quat_apply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grail_framework.envs.guard import InvalidRecord
    from grail_framework.envs.tracking_env import TrackingEnv


@attrs.frozen(kw_only=True)
class Finding:
    """A quantity that was invalid at a step of a replay."""

    step: int
    """Index into the record's steps; their number for what came after the last one."""
    what: str
    """`action`, `state.<field>`, `reward.<term>` or `observation.<group>.<term>`."""
    entries: tuple[int, ...]
    """Which of its numbers were invalid."""


def invalid_quantities(values: Mapping[str, torch.Tensor], step: int) -> Iterator[Finding]:
    """Find the tensors (d,) that hold something not finite or above the guard's limit, and where."""
    for name, value in values.items():
        wrong = invalid_rows(value.reshape(-1, 1)).nonzero().flatten().tolist()
        if wrong:
            yield Finding(step=step, what=name, entries=tuple(wrong))


def replay(env: TrackingEnv, record: InvalidRecord) -> list[Finding]:
    """Take the recorded actions again and return what became invalid first: all findings of the first step that has any.

    Every step starts from its recorded state, so that rounding does not add up. Terms with a memory begin without one.

    Args:
        env: an environment of one copy, built with the recorded configuration and motion.
        record: what the guard kept.

    Raises:
        CheckpointError: the environment is of another scene or action than the record.
    """
    _check_fits(env, record)
    env.reset()
    env.set_joint_offset(record.joint_offset.to(env.device).unsqueeze(0))
    for step in range(len(record.frames)):
        _restore(env, record, step)
        findings = [*_observations(env, step), *invalid_quantities({"action": record.actions[step]}, step)]
        if findings:
            return findings
        env.observe(torch.full((1,), step == 0, device=env.device))  # there are actions that read observations
        env.engine.step(env.action_term.apply(record.actions[step : step + 1].to(env.device)))
        env.episode_length += 1
        env.view = TrackingView(env)
        findings = [*_state(env, step), *_rewards(env, step)]
        if findings:
            return findings
    env.command.advance()
    env.view = TrackingView(env)
    return list(_observations(env, len(record.frames)))


def recorded_outcome(record: InvalidRecord) -> list[Finding]:
    """Return what was invalid in the state that the guard saw after the last step."""
    quantities = {f"state.{name}": value for name, value in split_state(record.outcome, record.layout).items()}
    return list(invalid_quantities(quantities, len(record.frames) - 1))


def _check_fits(env: TrackingEnv, record: InvalidRecord) -> None:
    if env.num_envs != 1 or env.guard.layout != record.layout or env.num_actions != record.actions.shape[1]:
        raise CheckpointError(
            f"the record is of a state {record.layout} and {record.actions.shape[1]} actions, the scene built here of "
            f"{env.guard.layout} and {env.num_actions}; replay it with the plugins it was recorded with"
        )


def _restore(env: TrackingEnv, record: InvalidRecord, step: int) -> None:
    """Put the environment into the state before a step."""
    env.command.frame.fill_(record.frames[step])
    env.command.start.fill_(record.start)
    env.command.gather()
    env.episode_length.fill_(record.steps[step])
    row = record.states[step : step + 1].to(env.device)
    was = split_state(row, record.layout)
    com = torch.tensor(env.robot.bodies[0].com, device=env.device)
    arm = quat_apply(was["root_quat_w"], com)
    has_object = bool(env.engine.spec.objects)
    state = attrs.evolve(
        env.start_state(),
        root_pos_w=was["root_pos_w"],
        root_quat_w=was["root_quat_w"],
        # A reset takes the velocity of the link's origin, the state has that of its centre of mass.
        root_lin_vel_w=was["root_lin_vel_w"] - torch.linalg.cross(was["root_ang_vel_w"], arm),
        root_ang_vel_w=was["root_ang_vel_w"],
        joint_pos=was["joint_pos"],
        joint_vel=was["joint_vel"],
        **({name: was[name] for name in was if name.startswith("object_")} if has_object else {}),
    )
    env.engine.reset(torch.ones(1, dtype=torch.bool, device=env.device), state)
    for name, force in env.state.contact_forces.items():  # a reset clears them, and the observation of this state had them
        force.copy_(was[f"contact_forces.{name}"].view_as(force))
    env.view = TrackingView(env)


def _state(env: TrackingEnv, step: int) -> Iterator[Finding]:
    quantities = split_state(state_row(env.state)[0], env.guard.layout)
    return invalid_quantities({f"state.{name}": value for name, value in quantities.items()}, step)


def _rewards(env: TrackingEnv, step: int) -> Iterator[Finding]:
    env.terminations.compute()
    values = dict(zip(env.rewards.names, env.rewards.values(), strict=True))
    return invalid_quantities({f"reward.{name}": value for name, value in values.items()}, step)


def _observations(env: TrackingEnv, step: int) -> Iterator[Finding]:
    for group_name, group in env.groups.items():
        values = {f"observation.{group_name}.{name}": value[0] for name, value in group.values().items()}
        yield from invalid_quantities(values, step)
