"""Files of how environments became invalid, and their replay."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch

from grail_framework.config import RunCfg
from grail_framework.config.compose import section_classes
from grail_framework.config.structure import from_plain, to_plain
from grail_framework.envs.guard import InvalidRecord
from grail_framework.envs.replay import recorded_outcome, replay
from grail_framework.errors import CheckpointError
from grail_framework.runs.assembly import build_env, load_parts
from grail_framework.runs.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grail_framework.envs.replay import Finding
    from grail_framework.plugins.manager import GrailPluginManager

_log: Final = logging.getLogger(__name__)
FOLDER: Final = "nan_dumps"
"""Below the run directory."""
MAX_FILES: Final = 64
"""Of a run; a policy that has gone bad would fill the disk."""
_FORMAT: Final = "grail_framework_nan_dump"
_VERSION: Final = 1


@attrs.frozen(kw_only=True, eq=False)
class NanDump:
    """One file: a record, and the run it is from."""

    cfg: RunCfg
    iteration: int
    rank: int
    record: InvalidRecord


@attrs.frozen(kw_only=True)
class ReplayReport:
    """What a replay found."""

    findings: list[Finding]
    """What became invalid first when the actions were taken again; empty: nothing did."""
    recorded: list[Finding]
    """What was invalid in the state that the run saw after the last step."""


def write_dumps(records: Sequence[InvalidRecord], cfg: RunCfg, folder: Path, *, iteration: int, rank: int) -> list[Path]:
    """Write records into `folder`, one file each, until there are `MAX_FILES`; a full disk is a warning, training goes on."""
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        room = MAX_FILES - sum(1 for _ in folder.glob("*.pt"))
        for record in records[: max(room, 0)]:
            path = folder / f"iteration_{iteration:06d}_rank_{rank}_env_{record.env:05d}.pt"
            write_atomically(path, _serialize(NanDump(cfg=cfg, iteration=iteration, rank=rank, record=record)))
            written.append(path)
    except OSError as error:
        _log.warning("the states of invalid environments could not be written to %s: %s", folder, error)
    if records:
        more = f"; see them with: grail replay-nan {written[0]}" if written else ""
        _log.warning("iteration %d: %d environments became invalid and were reset%s", iteration, len(records), more)
    return written


def _serialize(dump: NanDump) -> bytes:
    record = {field.name: getattr(dump.record, field.name) for field in attrs.fields(InvalidRecord)}
    buffer = io.BytesIO()
    content = {"cfg": to_plain(dump.cfg), "iteration": dump.iteration, "rank": dump.rank, "record": record}
    torch.save({"format": _FORMAT, "format_version": _VERSION, **content}, buffer)
    return buffer.getvalue()


def read_dump(path: Path) -> NanDump:
    """Read a file.

    Raises:
        CheckpointError: it is missing, damaged, none of these files, or of another version.
    """
    if not path.is_file():
        raise CheckpointError(f"no file {path}; a run keeps the states of invalid environments in {FOLDER}/ of its directory")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its zip reader, its unpickler or the disk came upon
        raise CheckpointError(f"{path} cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is no record of an invalid environment; a run keeps them in {FOLDER}/ of its directory")
    if content["format_version"] != _VERSION:
        raise CheckpointError(f"{path} has format {content['format_version']}, this framework reads {_VERSION}")
    return NanDump(
        cfg=from_plain(RunCfg, content["cfg"]),
        iteration=content["iteration"],
        rank=content["rank"],
        record=InvalidRecord(**content["record"]),
    )


def replay_dump(
    dump: NanDump, manager: GrailPluginManager, *, data: str | None = None, engine: str | None = None
) -> ReplayReport:
    """Rebuild the scene of one environment and take the recorded actions again.

    Args:
        dump: from `read_dump`.
        manager: the loaded plugins.
        data: folder of the motion library, where it has moved since.
        engine: another engine than the run's.

    Raises:
        DataError: the motion is not where the run found it.
        CheckpointError: the scene is another one than that of the run.
    """
    motion = attrs.evolve(
        dump.cfg.motion,
        data=data or dump.cfg.motion.data,
        filter_motion_keys=(dump.record.motion,),
        remove_motion_keys=(),
        max_unique_motions=None,
        shard_by_rank=False,
        shard_rank=None,
        shard_world_size=None,
    )
    settings = attrs.evolve(dump.cfg.engine, name=engine or dump.cfg.engine.name, device="cpu" if engine else "auto")
    # What events did to the scene is in the recorded states.
    cfg = attrs.evolve(dump.cfg, num_envs=1, motion=motion, engine=settings, events={}, curriculums={})
    cfg = from_plain(RunCfg, to_plain(cfg), sections=section_classes(manager.registry))
    plan = manager.discover_terrain(attrs.evolve(cfg, motion=attrs.evolve(motion, filter_motion_keys=None)), 0, 1)
    env = build_env(load_parts(cfg, manager, plan=None if plan is None else plan.only((dump.record.motion,))))
    try:
        return ReplayReport(findings=replay(env, dump.record), recorded=recorded_outcome(dump.record))
    finally:
        env.close()
