"""How the motions are dealt to the environments of all processes, each with the asset it is followed on. Pure: no files, no torch.

As in the GRAIL release every (R+1)-th environment is terrain, and a process goes on in the list where the one before it stopped. Unlike
there, flat environments get flat motions, one each, and processes may have different numbers of environments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from grail_framework.errors import ConfigError
from grail_framework.plugins.results import TerrainMotion, TerrainPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_terrain.discovery import Discovery

_SHOWN = 5


@attrs.frozen(kw_only=True)
class Deal:
    """How motions are dealt to the environments of all processes."""

    terrain: tuple[str, ...]
    """Keys of the motions with a terrain."""
    flat: tuple[str, ...]
    """Keys of the motions on flat ground."""
    ratio: int
    """Flat environments before each terrain one, R. [-]"""
    env_counts: tuple[int, ...]
    """Environments of each process."""

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be dealt."""
        if self.ratio < 0:
            raise ConfigError(
                f"flat_to_terrain_ratio: got {self.ratio}, allowed: 0 (terrain alone) or the number of flat per terrain one"
            )
        if not self.env_counts or min(self.env_counts) < 1:
            raise ConfigError(f"num_envs: got {list(self.env_counts)}, allowed: at least 1 environment in each process")
        if not self.terrain:
            raise ConfigError("there are no motions with a terrain to deal")
        if self.has_flat_envs and not self.flat:
            raise ConfigError(
                f"flat_to_terrain_ratio: got {self.ratio}, so {self.ratio} of {self.ratio + 1} environments are flat, and there are no "
                "flat motions. Name their folder with extra.terrain.flat_motion_dir=DIR, or write extra.terrain.flat_to_terrain_ratio=0"
            )

    @property
    def has_flat_envs(self) -> bool:
        """Whether any environment of any process is flat."""
        return self.ratio > 0

    def is_terrain(self, env: int) -> bool:
        """Say whether an environment of a process stands on terrain: the last of every R + 1."""
        return env % (self.ratio + 1) == self.ratio

    def terrain_envs(self, rank: int) -> int:
        """Count the terrain environments of a process."""
        return self.env_counts[rank] // (self.ratio + 1)

    def flat_envs(self, rank: int) -> int:
        """Count the flat environments of a process."""
        return self.env_counts[rank] - self.terrain_envs(rank)

    @property
    def total_terrain_envs(self) -> int:
        """Terrain environments of all processes."""
        return sum(self.terrain_envs(rank) for rank in range(len(self.env_counts)))

    @property
    def total_flat_envs(self) -> int:
        """Flat environments of all processes."""
        return sum(self.env_counts) - self.total_terrain_envs

    def env_motion(self, rank: int) -> tuple[str, ...]:
        """Return the motion of each environment of a process."""
        if not 0 <= rank < len(self.env_counts):
            raise ConfigError(f"rank: got {rank}, allowed: 0 to {len(self.env_counts) - 1}")
        next_terrain = sum(self.terrain_envs(before) for before in range(rank))
        next_flat = sum(self.flat_envs(before) for before in range(rank))
        dealt: list[str] = []
        for env in range(self.env_counts[rank]):
            if self.is_terrain(env):
                dealt.append(self.terrain[next_terrain % len(self.terrain)])
                next_terrain += 1
            else:
                dealt.append(self.flat[next_flat % len(self.flat)])
                next_flat += 1
        return tuple(dealt)

    @property
    def untrained_terrain(self) -> tuple[str, ...]:
        """Motions with a terrain that no environment of any process follows."""
        return self.terrain[self.total_terrain_envs :]

    @property
    def untrained_flat(self) -> tuple[str, ...]:
        """Flat motions that no environment of any process follows."""
        return self.flat[self.total_flat_envs :]

    def envs_needed(self) -> int:
        """Count the environments per process with which every motion is followed."""
        world = len(self.env_counts)
        enough = -(-len(self.terrain) // world) * (self.ratio + 1)
        while self.ratio and (enough - enough // (self.ratio + 1)) * world < len(self.flat):
            enough += self.ratio + 1
        return enough


def deal_of(found: Discovery, ratio: int, env_counts: Sequence[int]) -> Deal:
    """Return how the motions of a library are dealt.

    Raises:
        ConfigError: a negative ratio, a process without environments, or flat environments without flat motions.
    """
    terrain, flat = tuple(key for key, _ in found.terrain), tuple(key for key, _ in found.flat)
    return Deal(terrain=terrain, flat=flat, ratio=ratio, env_counts=tuple(env_counts))


def make_plan(found: Discovery, deal: Deal, rank: int) -> TerrainPlan:
    """Return the plan of a process; what concerns all of them is said by the first."""
    motions = [TerrainMotion(key=key, stem=key, usd=str(usd)) for key, usd in found.terrain]
    if deal.has_flat_envs:
        motions += [TerrainMotion(key=key, stem=stem, usd=str(found.placeholder), flat=True) for key, stem in found.flat]
    plan = TerrainPlan(
        motions=tuple(motions),
        env_motion=deal.env_motion(rank),
        terrain_dir=str(found.root),
        flat_dir=None if found.flat_dir is None else str(found.flat_dir),
        warnings=tuple(warnings(found, deal)) if rank == 0 else (),
    )
    lines = [*_discovery_lines(found), *_rank_lines(deal, plan, rank)]
    if rank == 0:
        others = range(1, len(deal.env_counts))
        lines += [_rank_line(deal, attrs.evolve(plan, env_motion=deal.env_motion(other)), other) for other in others]
    return attrs.evolve(plan, notes=tuple(lines))


def _discovery_lines(found: Discovery) -> list[str]:
    tag, lines = "[TerrainAutoDiscover]", []
    if found.reordered:
        lines.append(f"{tag} Reordered {len(found.terrain)} terrain USDs/keys to match filter_motion_keys")
    lines.append(f"{tag} Found {len(found.terrain)} terrain motions from {found.root}")
    if found.flat_dir is not None:
        lines.append(f"{tag} Found {len(found.flat)} flat motions from {found.flat_dir}")
    return lines


def _rank_lines(deal: Deal, plan: TerrainPlan, rank: int) -> list[str]:
    followed = plan.followed()
    terrain, flat = [m for m in followed if not m.flat], [m.key for m in followed if m.flat]
    lines = [
        _rank_line(deal, plan, rank),
        f"[PerRankUSD] terrain_keys[0:3]={[motion.key for motion in terrain[:3]]}",
        f"[PerRankUSD] terrain_usd[0:3]={[motion.usd for motion in terrain[:3]]}",
    ]
    return lines + ([f"[PerRankUSD] flat_keys[0:3]={flat[:3]}"] if flat else [])


def _rank_line(deal: Deal, plan: TerrainPlan, rank: int) -> str:
    followed = plan.followed()
    num_flat = sum(motion.flat for motion in followed)
    return (
        f"[PerRankUSD] rank={rank}, num_envs={deal.env_counts[rank]}, flat_envs={deal.flat_envs(rank)}, "
        f"terrain_envs={deal.terrain_envs(rank)}, ratio={deal.ratio}:1, unique_usd={len(set(plan.env_usd))}, "
        f"terrain_motions={len(followed) - num_flat}, flat_motions={num_flat}"
    )


def warnings(found: Discovery, deal: Deal) -> list[str]:
    """Say what the user should know of a deal, a sentence each."""
    said: list[str] = []
    if found.unpaired_usd:
        n = len(found.unpaired_usd)
        said.append(f"{n} terrain assets have no motion and are not used: {_listed(found.unpaired_usd)}")
    if found.unpaired_motions:
        n = len(found.unpaired_motions)
        said.append(f"{n} terrain motions have no asset and are left out: {_listed(found.unpaired_motions)}")
    world = len(deal.env_counts)
    if world > len(deal.terrain):
        said.append(f"{world} processes share {len(deal.terrain)} terrain motions, so several train the same ones")
    if deal.flat and not deal.has_flat_envs:
        said.append(
            f"{len(deal.flat)} flat motions are never trained, since flat_to_terrain_ratio is 0: no environment is flat. Write "
            "extra.terrain.flat_to_terrain_ratio=1 for every second one"
        )
    said += _untrained(deal)
    return said


def _untrained(deal: Deal) -> list[str]:
    kinds = {"terrain": (deal.untrained_terrain, len(deal.terrain), deal.total_terrain_envs)}
    if deal.has_flat_envs:
        kinds["flat"] = (deal.untrained_flat, len(deal.flat), deal.total_flat_envs)
    world = f" in {len(deal.env_counts)} processes" if len(deal.env_counts) > 1 else ""
    return [
        f"{len(left)} of {total} {kind} motions are never trained, since {envs} environments{world} are {kind}: {_listed(left)}. Use "
        f"--num-envs {deal.envs_needed()} or more for all of them"
        for kind, (left, total, envs) in kinds.items()
        if left
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
