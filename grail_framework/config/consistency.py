"""What must hold between fields: checks that no single field can make."""

from __future__ import annotations

import re
from collections.abc import Iterator

from grail_framework.config.run import RunCfg
from grail_framework.config.terms import EventTermCfg
from grail_framework.errors import ConfigError, suggest


def check_consistency(cfg: RunCfg) -> list[str]:
    """Check that the fields of a configuration fit each other.

    Returns:
        What the user should know, a sentence each.

    Raises:
        ConfigError: two fields contradict each other; both are named, with what to set.
    """
    _check_ppo(cfg)
    _check_observations(cfg)
    _check_rewards(cfg)
    _check_scene(cfg)
    _check_shards(cfg)
    for name, event in cfg.events.items():
        _check_event(name, event)
    return list(_doubts(cfg))


def _check_ppo(cfg: RunCfg) -> None:
    ppo = cfg.algorithm
    if cfg.num_envs % ppo.num_mini_batches:
        near = max(cfg.num_envs // ppo.num_mini_batches, 1) * ppo.num_mini_batches
        raise ConfigError(
            f"num_envs: got {cfg.num_envs}, allowed: a multiple of algorithm.num_mini_batches={ppo.num_mini_batches}, since "
            f"mini-batches are split over environments. Write num_envs={near}, or another algorithm.num_mini_batches"
        )
    if not ppo.min_noise_std <= ppo.init_noise_std <= ppo.max_noise_std:
        raise ConfigError(
            f"algorithm.init_noise_std: got {ppo.init_noise_std}, allowed: between algorithm.min_noise_std={ppo.min_noise_std} "
            f"and algorithm.max_noise_std={ppo.max_noise_std}"
        )
    if ppo.schedule == "adaptive" and not ppo.min_learning_rate <= ppo.learning_rate <= ppo.max_learning_rate:
        raise ConfigError(
            f"algorithm.learning_rate: got {ppo.learning_rate}, allowed: between algorithm.min_learning_rate="
            f"{ppo.min_learning_rate} and algorithm.max_learning_rate={ppo.max_learning_rate}. Move the bounds too, or set "
            f"algorithm.schedule=fixed"
        )


def _check_observations(cfg: RunCfg) -> None:
    for name in ("policy", "critic"):
        if name not in cfg.observations:
            given = ", ".join(cfg.observations) or "none"
            raise ConfigError(f"observations: got the groups {given}, allowed: at least policy and critic; {name!r} is missing")
    for group, settings in cfg.observations.items():
        if not settings.terms:
            raise ConfigError(f"observations.{group}: has no terms. Leave one, or remove the group with ~observations.{group}")
        for name, term in settings.terms.items():
            if term.noise is not None and term.noise.low > term.noise.high:
                path = f"observations.{group}.terms.{name}.noise"
                raise ConfigError(f"{path}: got low={term.noise.low} above high={term.noise.high}. Swap them")


def _check_rewards(cfg: RunCfg) -> None:
    if not cfg.rewards:
        raise ConfigError("rewards: there is none left, so there is nothing to learn. Keep at least one term")
    for name, reward in cfg.rewards.items():
        if reward.gate is not None and reward.gate.missing == "error" and cfg.scene.object is None:
            raise ConfigError(
                f"rewards.{name}.gate: waits for contact labels, which come with object motions, and scene.object is null. Set "
                f"rewards.{name}.gate=null, or rewards.{name}.gate.missing=ones"
            )


def _check_scene(cfg: RunCfg) -> None:
    absent = {"object": cfg.scene.object is None, "table": cfg.scene.table is None}
    for name, sensor in cfg.scene.contact_sensors.items():
        path = f"scene.contact_sensors.{name}"
        if absent.get(sensor.partner, False):
            raise ConfigError(
                f"{path}.partner: got {sensor.partner!r}, and scene.{sensor.partner} is null. Remove the sensor with ~{path}, or "
                f"put a {sensor.partner} into the scene"
            )
        for link in sensor.links:
            try:
                re.compile(link)
            except re.error as error:
                raise ConfigError(f"{path}.links: {link!r} is no regular expression ({error})") from error
    for field in ("sample_before_contact", "use_motion_hand_actions"):
        if getattr(cfg.command, field) and cfg.scene.object is None:
            raise ConfigError(
                f"command.{field}: got true, and scene.object is null, so the motions have no hand data. Set command.{field}=false"
            )


def _check_shards(cfg: RunCfg) -> None:
    rank, world = cfg.motion.shard_rank, cfg.motion.shard_world_size
    if rank is not None and world is None:
        raise ConfigError(f"motion.shard_rank: got {rank} without motion.shard_world_size. Give both, or neither")
    if rank is not None and world is not None and rank >= world:
        raise ConfigError(f"motion.shard_rank: got {rank}, allowed: 0 to {world - 1}, since motion.shard_world_size={world}")


def _check_event(name: str, event: EventTermCfg) -> None:
    bounds = event.interval_range_s
    if event.mode == "interval" and bounds is None:
        raise ConfigError(f"events.{name}: mode interval needs interval_range_s. Add events.{name}.interval_range_s=[4.0,6.0]")
    if bounds is not None and bounds[0] > bounds[1]:
        raise ConfigError(f"events.{name}.interval_range_s: got {list(bounds)}, allowed: [shortest, longest]. Swap them")


def check_sensor(cfg: RunCfg, path: str, sensor: str) -> None:
    """Check that a contact sensor a term reads is in the scene.

    Raises:
        ConfigError: it is not; close matches are named.
    """
    known = cfg.scene.contact_sensors
    if sensor not in known:
        hint = suggest(sensor, known) or "the scene has none"
        raise ConfigError(f"{path}: got {sensor!r}, allowed: a sensor of scene.contact_sensors; {hint}")


def _doubts(cfg: RunCfg) -> Iterator[str]:
    if all(reward.weight == 0.0 for reward in cfg.rewards.values()):
        yield "all reward weights are 0, so nothing is learnt"
    if not any(term.time_out for term in cfg.terminations.values()):
        yield "no termination has time_out=true: episodes end only by failure, and the reference stands still at its last frame"
    if cfg.command.start_from_first_frame and cfg.command.sample_before_contact:
        yield "command.start_from_first_frame has no effect while command.sample_before_contact is on"
    last, save = cfg.checkpoints.last_frequency, cfg.checkpoints.save_frequency
    if save % last:
        yield f"checkpoints are written every {last} iterations, so only common multiples with save_frequency={save} are kept"
