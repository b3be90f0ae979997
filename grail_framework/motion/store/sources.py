"""The files a library consists of: what is recorded of them, and which of them have changed since."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from grail_framework.motion.store.format import hash_file, is_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grail_framework.config.scene import MotionCfg

_ASSETS: Final = frozenset({".usd", ".usda", ".usdc", ".usdz"})
"""Files that motions refer to and the engine reads: that they are there matters, what is in them does not."""
_IRRELEVANT: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".exr", ".hdr", ".tga", ".bmp", ".tif", ".tiff", ".mtl", ".md", ".tmp"}
)
_PATHS: Final = ("data", "robot_dir", "object_dir", "object_usd", "meta_dir", "bps_dir")
_PARTS: Final = ("objects", "object_usd", "meta", "bps")
_HOW_IT_IS_USED: Final = frozenset(
    {
        *_PATHS,
        *(
            "target_fps",
            "on_bad_clip",
            "use_packed",
            "derive",
            "filter_motion_keys",
            "remove_motion_keys",
            "max_unique_motions",
        ),
        *("interleave_by_object", "shard_by_rank", "shard_rank", "shard_world_size"),
    }
)
"""Fields of the configuration that do not change what a file says; the target rate is recorded by itself."""


@attrs.frozen(kw_only=True)
class FileState:
    """Size, time of the last change, and content of a file."""

    size: int
    mtime_ns: int
    digest: str = ""
    """blake2b of the content; empty where only size and time were looked at."""


@attrs.frozen(kw_only=True)
class Listing:
    """The files of a library by their paths relative to `base`, with `/`."""

    base: Path
    files: Mapping[str, FileState]
    assets: frozenset[str]

    def with_digests(self) -> Self:
        """Read every file and add the hash of its content.

        Raises:
            OSError: a file cannot be read.
        """
        files = {name: attrs.evolve(state, digest=hash_file(self.base / name)) for name, state in self.files.items()}
        return attrs.evolve(self, files=files)

    def changes(self, now: Listing) -> list[str]:
        """Say what differs, a clause each, from what is there `now`; content is read only where size or time differ."""
        found = [f"{name} is gone" for name in self.files if name not in now.files]
        found += [f"{name} is new" for name in now.files if name not in self.files]
        found += [f"{name} is gone" for name in sorted(self.assets - now.assets)]
        found += [f"{name} is new" for name in sorted(now.assets - self.assets)]
        for name, state in self.files.items():
            other = now.files.get(name)
            if other is None or (state.size, state.mtime_ns) == (other.size, other.mtime_ns):
                continue
            if state.size != other.size or state.digest != hash_file(now.base / name):
                found.append(f"{name} has changed")
        return found

    def to_plain(self) -> dict[str, Any]:
        """Return plain values, a list per property: half the size of a dictionary per file."""
        states = self.files.values()
        return {
            "paths": list(self.files),
            "sizes": [state.size for state in states],
            "mtimes_ns": [state.mtime_ns for state in states],
            "blake2b": [state.digest for state in states],
            "assets": sorted(self.assets),
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any], base: Path) -> Self:
        """Make a listing from what `to_plain` returned.

        Raises:
            KeyError: a property is missing.
            ValueError: the lists differ in length.
        """
        columns = zip(values["paths"], values["sizes"], values["mtimes_ns"], values["blake2b"], strict=True)
        files = {path: FileState(size=size, mtime_ns=mtime, digest=digest) for path, size, mtime, digest in columns}
        return cls(base=base, files=files, assets=frozenset(values["assets"]))


def library_base(cfg: MotionCfg) -> Path:
    """Return the folder that all parts of a library lie in or beside, whether it, its robot folder or one file is named."""
    named = Path(cfg.data or cfg.robot_dir or ".").expanduser()
    folder = named if named.is_dir() else named.parent
    return folder.parent if folder.name == "robot" else folder


def list_sources(cfg: MotionCfg) -> Listing:
    """List the files of a library: everything below its folder and below the folders that the configuration names besides.

    Raises:
        OSError: a folder cannot be read.
    """
    base = library_base(cfg)
    files: dict[str, FileState] = {}
    assets: set[str] = set()
    for root in _roots(cfg, base):
        # Names are put together as text: making a path of each of some hundred thousand files would take seconds.
        prefix = Path(os.path.relpath(root, base)).as_posix()
        for below, entry in _walk(root):
            suffix = os.path.splitext(entry.name)[1].lower()
            name = "/".join(part for part in (prefix, below) if part not in ("", "."))
            if suffix in _ASSETS:
                assets.add(name)
            elif suffix not in _IRRELEVANT:
                state = entry.stat()
                files[name] = FileState(size=state.st_size, mtime_ns=state.st_mtime_ns)
    return Listing(base=base, files=dict(sorted(files.items())), assets=frozenset(assets))


def reading_options(cfg: MotionCfg) -> dict[str, Any]:
    """Return what besides the files decides what is read from them: paths relative to the library, and all format options."""
    base = library_base(cfg)

    def relative(value: str | tuple[str, ...] | None) -> Any:
        if value is None or isinstance(value, tuple):
            return value if value is None else [relative(part) for part in value]
        return Path(os.path.relpath(Path(value).expanduser(), base)).as_posix()

    options: dict[str, Any] = {name: relative(getattr(cfg, name)) for name in _PATHS}
    return options | {
        field.name: getattr(cfg, field.name) for field in attrs.fields(type(cfg)) if field.name not in _HOW_IT_IS_USED
    }


def _roots(cfg: MotionCfg, base: Path) -> list[Path]:
    usd = (cfg.object_usd,) if isinstance(cfg.object_usd, str) else cfg.object_usd or ()
    named = [Path(name).expanduser() for name in (cfg.robot_dir, cfg.object_dir, cfg.meta_dir, cfg.bps_dir, *usd) if name]
    data, real = Path(cfg.data or base).expanduser(), base.resolve()
    # Around a single file may lie anything, such as a home directory: there only folders with the names of parts count.
    roots = [data, *(base / part for part in _PARTS)] if data.is_file() else [base]
    if real.name.endswith("_ha"):
        named.append(real.with_name(real.name.removesuffix("_ha")) / "bps")
    within = [root.resolve() for root in roots]
    beside = [path for path in named if not any(path.resolve().is_relative_to(root) for root in within)]
    return [root for root in (*roots, *beside) if root.exists()]


def _walk(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the files below a folder with their paths from there; hidden ones, texture folders and packed stores are left out."""
    if root.is_file():
        with os.scandir(root.parent) as entries:
            yield from (("", entry) for entry in entries if entry.name == root.name)
        return
    pending, seen = [("", str(root))], {os.path.realpath(root)}
    while pending:
        below, folder = pending.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{below}/{entry.name}" if below else entry.name
                if not entry.is_dir():
                    if entry.is_file():
                        yield name, entry
                    continue
                real = os.path.realpath(entry.path)
                if real not in seen and entry.name != "textures" and not is_store(Path(entry.path)):
                    seen.add(real)
                    pending.append((name, entry.path))
