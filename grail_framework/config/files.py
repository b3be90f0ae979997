"""The configuration as a YAML file that loads back equal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from grail_framework.config.run import RunCfg
from grail_framework.config.structure import FieldError, from_plain, to_plain
from grail_framework.errors import ConfigError


class _Dumper(yaml.SafeDumper):
    """Writes lists of plain values on one line and leaves strings that look like numbers in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_tuple(self, data: tuple[Any, ...]) -> yaml.Node:
        flow = not any(isinstance(item, dict | tuple) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)

    def represent_mapping_(self, data: dict[str, Any]) -> yaml.Node:
        return self.represent_mapping("tag:yaml.org,2002:map", data, flow_style=False if data else None)


class _Loader(yaml.SafeLoader):
    """Reads 1e-5 as a number, which YAML 1.1 takes for a string."""


_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")
for _class in cast("tuple[Any, ...]", (_Dumper, _Loader)):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Dumper.add_representer(tuple, _Dumper.represent_tuple)
_Dumper.add_representer(dict, _Dumper.represent_mapping_)


def to_yaml(cfg: RunCfg) -> str:
    """Write a configuration, fields in the order of the schema."""
    return yaml.dump(to_plain(cfg), Dumper=_Dumper, sort_keys=False, width=120)


def from_yaml(text: str, *, sections: Mapping[str, type] | None = None, source: str = "config.yaml") -> RunCfg:
    """Read a configuration.

    Args:
        text: what `to_yaml` wrote, possibly edited.
        sections: classes of plugin sections in `extra`, by plugin name; others stay plain mappings.
        source: name of the file, for errors.

    Raises:
        ConfigError: no YAML, an unknown field, or a value that does not fit.
    """
    try:
        tree: Any = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not readable as YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: got {type(tree).__name__}, allowed: a mapping as `grail run --dry-run` prints it")
    try:
        return from_plain(RunCfg, cast("dict[str, Any]", tree), sections=sections)
    except FieldError as error:
        raise ConfigError(f"{source}: {error}") from error


def load_config(path: Path, *, sections: Mapping[str, type] | None = None) -> RunCfg:
    """Read a saved configuration.

    Raises:
        ConfigError: there is no such file, or it does not hold a configuration.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); a run directory holds its config.yaml") from error
    return from_yaml(text, sections=sections, source=str(path))


def is_release_config(path: Path) -> bool:
    """Tell whether a `config.yaml` is the GRAIL release's, which beside a checkpoint does not say what to train here."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return re.search(r"^manager_env:", text, re.MULTILINE) is not None
