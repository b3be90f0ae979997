"""Checks of the motion library's folders by names alone: what is there, what was probably meant, which motions remain."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grail_framework.config.hardware import plain_name
from grail_framework.errors import ConfigError, DataError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grail_framework.config import RunCfg
    from grail_framework.config.scene import MotionCfg
    from grail_framework.registry import Registry

_PARTS: Final = ("robot", "objects", "object_usd", "meta", "bps")
_USD: Final = (".usd", ".usda", ".usdc", ".usdz")
_STORE: Final = "store.json"
"""What a packed store is known by; written here too, since the store's own module loads numpy."""
_NO_TABLE: Final = "The task has a table, and table_pos/table_quat must live in meta/; no fallback is applied"
_SUFFIXES: Final = {"grail": ".pkl", "npz": ".npz", "csv": ".csv"}
"""Suffix of the motion files of the core's readers; what a plugin's reads is not known here."""


def check_data(cfg: RunCfg, registry: Registry) -> list[str]:
    """Check that the motion library has what the task needs; opens no file.

    Returns:
        What the user should know, a sentence each.

    Raises:
        DataError: a folder that is missing, empty, or not the one that was meant; the right one is named where it can be found.
        ConfigError: a motion filter that matches nothing.
    """
    motion = cfg.motion
    if motion.data is None and motion.robot_dir is None:
        if any(entry.name == plain_name(cfg.task) for entry in registry.entries("demo_library")):
            return []
        raise DataError(f"task {cfg.task!r} has no demo library, so it needs motions. Add --data DIR, a folder with robot/")
    if motion.data is not None and (Path(motion.data) / _STORE).is_file():
        return []  # a packed store was checked when it was made, and is again when it is opened
    robot = _robot_folder(motion, registry)
    reader = _reader(motion, robot, registry)
    if reader not in _SUFFIXES:
        return []
    suffix = _SUFFIXES[reader]
    stems = _stems(robot, (suffix,), f"motions (*{suffix})", "--data") if robot.is_dir() else []
    root = _library_folder(motion, robot)
    if cfg.scene.object is not None:
        _check_object_motions(motion, root, reader)
        _check_object_usd(motion, root)
    if cfg.scene.table is not None:
        beside = robot.parent / "meta"
        usual = beside if beside.is_dir() else root / "meta"
        _check_part(motion.meta_dir, usual, "motion.meta_dir", (".pkl",), _NO_TABLE)
    notes = _check_bps(cfg, root)
    return notes + (_check_selection(motion, stems) if stems else [])


def missing_path(path: Path, what: str) -> str:
    """Say that a path does not exist, how far it does, and which names there look alike."""
    text = str(path)
    if "$" in text:
        return f"{what}: {text!r} holds a variable that the shell did not replace; single quotes keep it from doing so"
    if path.is_symlink():
        return f"{what}: {path} is a link to {path.readlink()}, which does not exist"
    above = next((parent for parent in path.absolute().parents if parent.exists()), Path("/"))
    child = path.absolute().relative_to(above).parts[0]
    names = [entry.name for entry in above.iterdir()] if above.is_dir() else []
    close = get_close_matches(child, names, n=3, cutoff=0.6)
    if close:
        hint = "did you mean " + " or ".join(str(above / name) for name in close) + "?"
    elif above.is_file():
        hint = f"{above} is a file"
    else:
        hint = f"{above} exists and holds {_listing(above)}"
    return f"{what}: {path} does not exist; {hint}"


def _reader(motion: MotionCfg, robot: Path, registry: Registry) -> str:
    """Name the reader that knows the files; that of the GRAIL layout where none does, since its folders were found."""
    # Readers are imported where the names do not tell: importing them takes longer than all other checks.
    if robot.suffix == ".pkl" or (robot.is_dir() and any(robot.glob("*.pkl"))):
        return "grail"
    return next((entry.name for entry in registry.entries("motion_reader") if entry.load()().detect(motion)), "grail")


def _robot_folder(motion: MotionCfg, registry: Registry) -> Path:
    """Find the folder or file of robot motions."""
    if motion.robot_dir is not None:
        return _existing(motion.robot_dir, "motion.robot_dir")
    data = _existing(motion.data or "", "--data")
    if data.is_file():
        if data.suffix == ".pkl" or _is_known(motion, registry):
            return data
        raise DataError(f"--data: {data} is a file, allowed: a folder with robot/. Did you mean {_library_above(data)}?")
    if (data / "robot").is_dir():
        return data / "robot"
    if data.name in _PARTS and (data.parent / "robot").is_dir():
        raise DataError(
            f"--data: {data} is a part of a motion library, allowed: the library itself. Write --data {data.parent}"
        )
    if any(data.glob("*.pkl")):
        return data
    if not any(data.iterdir()):
        raise DataError(f"--data: {data} is empty, allowed: a folder with robot/*.pkl")
    if _is_known(motion, registry):
        return data
    raise DataError(f"--data: {data} has no folder robot/; it holds {_listing(data)}.{_elsewhere(data)}")


def _is_known(motion: MotionCfg, registry: Registry) -> bool:
    return any(entry.load()().detect(motion) for entry in registry.entries("motion_reader"))


def _library_folder(motion: MotionCfg, robot: Path) -> Path:
    """Return the folder that the other parts are beside."""
    named = robot if motion.data is None else Path(motion.data)
    folder = named if named.is_dir() else named.parent
    return folder.parent if folder.name == "robot" else folder


def _existing(text: str, what: str) -> Path:
    if not text:
        raise DataError(f"{what}: got an empty path; is the shell variable in it set? Allowed: a folder with robot/")
    path = Path(text)
    if not path.exists():
        raise DataError(missing_path(path, what))
    return path


def _library_above(path: Path) -> Path:
    """The library a path lies in, or else its folder."""
    return next((above for above in path.absolute().parents if (above / "robot").is_dir()), path.absolute().parent)


def _elsewhere(data: Path) -> str:
    """Name libraries below, beside (the `_ha` twin) or above a folder that is none."""
    data = Path(os.path.normpath(data.absolute()))
    below = sorted(entry for entry in data.iterdir() if (entry / "robot").is_dir())
    twin = data.with_name(f"{data.name}_ha")
    above = next((parent for parent in data.parents if (parent / "robot").is_dir()), None)
    found = [*below[:3], *([twin] if (twin / "robot").is_dir() else []), *([above] if above else [])]
    if found:
        return " Did you mean --data " + " or ".join(map(str, found)) + "?"
    if data == Path("/"):
        return " Is the shell variable in front of /robot set?"
    return " Allowed: a folder with robot/*.pkl, as the release's motion libraries have"


def _listing(folder: Path) -> str:
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    return (", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")) or "nothing"


def _stems(folder: Path, suffixes: tuple[str, ...], content: str, what: str) -> list[str]:
    stems = sorted(p.stem for p in folder.rglob("*") if p.suffix in suffixes and not p.stem.endswith("metadata"))
    if not stems:
        raise DataError(f"{what}: {folder} holds no {content}; it holds {_listing(folder)}")
    return stems


def _check_part(named: str | None, usual: Path, field: str, suffixes: tuple[str, ...], why: str = "The task needs it") -> None:
    """Check one folder of the library that the task needs."""
    path = usual if named is None else Path(named)
    if not path.exists():
        missing = missing_path(path, field)
        raise DataError(missing if named is not None else f"{missing}. {why}; write {field}=DIR if it is elsewhere")
    if path.is_dir():
        _stems(path, suffixes, f"files ({', '.join('*' + s for s in suffixes)})", field)
    elif path.suffix not in suffixes:
        raise DataError(f"{field}: {path} is a file, allowed: a folder with {', '.join('*' + s for s in suffixes)}")


def _check_object_motions(motion: MotionCfg, root: Path, reader: str) -> None:
    if reader == "csv":
        raise DataError(
            f"--data: {root} holds CSV tables, which have no object motion, and the task needs one. Make a library of them: "
            "grail data import"
        )
    if reader == "grail":  # npz archives hold the object's motion themselves
        _check_part(motion.object_dir, root / "objects", "motion.object_dir", (".pkl",))


def _check_object_usd(motion: MotionCfg, root: Path) -> None:
    if isinstance(motion.object_usd, tuple):
        if not motion.object_usd:
            raise DataError("motion.object_usd: got an empty list, allowed: a folder, a file, or a list with one asset or more")
        return  # entries may be regular expressions; the reader resolves them
    _check_part(motion.object_usd, root / "object_usd", "motion.object_usd", (*_USD, ".txt"))


def _check_bps(cfg: RunCfg, root: Path) -> list[str]:
    named = cfg.motion.bps_dir
    if named is not None:
        path = _existing(named, "--bps")
        if not path.is_dir():
            raise DataError(
                f"--bps: {path} is a file, allowed: a folder with one *.npy per motion. Did you mean {path.parent}?"
            )
        _stems(path, (".npy",), "basis point sets (*.npy)", "--bps")
        return []
    readers = [
        f"observations.{group}.terms.{name}"
        for group, settings in cfg.observations.items()
        for name, term in settings.terms.items()
        if "bps" in plain_name(term.func)
    ]
    own = root.resolve()
    usual = [own / "bps", own.with_name(own.name.removesuffix("_ha")) / "bps"]
    if not readers or any(path.is_dir() for path in usual):
        return []
    places = " or ".join(str(path) for path in dict.fromkeys(usual))
    return [f"no basis point sets in {places}, so {readers[0]} is zeros. Add --bps DIR, or remove it: ~{readers[0]}"]


def _check_selection(motion: MotionCfg, stems: list[str]) -> list[str]:
    """Check that the motion filters leave something; mirrors their meaning: exact keys, else expressions matched whole."""
    kept = stems
    if motion.filter_motion_keys is not None:
        kept = _filtered(motion.filter_motion_keys, stems)
    idle = [prefix for prefix in motion.remove_motion_keys if not any(stem.startswith(prefix) for stem in kept)]
    kept = [stem for stem in kept if not stem.startswith(tuple(motion.remove_motion_keys))]
    if not kept:
        raise ConfigError(f"motion.remove_motion_keys: {list(motion.remove_motion_keys)} removes all {len(stems)} motions")
    world = motion.shard_world_size or 1
    if world > len(kept):
        raise ConfigError(
            f"motion.shard_world_size: got {world}, and there are {len(kept)} motions, so some processes would have none. "
            f"Allowed: 1 to {len(kept)}"
        )
    return [f"motion.remove_motion_keys: no motion begins with {prefix!r}" for prefix in idle]


def _filtered(keys: Iterable[str], stems: list[str]) -> list[str]:
    kept: list[str] = []
    for key in keys:
        if key in stems:
            kept.append(key)
            continue
        try:
            matches = [stem for stem in stems if re.fullmatch(key, stem)]
        except re.error as error:
            raise ConfigError(f"motion.filter_motion_keys: {key!r} is no regular expression ({error})") from error
        if not matches:
            raise ConfigError(
                f"motion.filter_motion_keys: {key!r} is no motion and matches none of {len(stems)}; {suggest(key, stems)}"
            )
        kept.extend(matches)
    if not kept:
        raise ConfigError("motion.filter_motion_keys: got an empty list, which leaves no motion. Write null for all motions")
    return kept
