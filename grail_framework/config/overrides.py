"""Applying overrides to a plain configuration tree, guided by the types of the schema.

The tree stays plain until all overrides are in: a new term may take several of them, and is only whole after the last.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, Union, cast

import attrs

from grail_framework.config.grammar import Override
from grail_framework.config.structure import accepts, describe, field_types, join
from grail_framework.errors import ConfigError, suggest

type Tree = dict[str, Any]

_EXTRA: Final = "extra"
"""Field of the root with the sections of plugins: which exist is the task's choice."""


@attrs.define(kw_only=True)
class Edits:
    """A plain tree under change, and who changed what."""

    tree: Tree
    root: type
    """Class of the root of the tree."""
    sections: Mapping[str, type] = attrs.field(factory=dict[str, type])
    """Classes of the entries of the root's `extra`, by plugin name."""
    provenance: dict[str, str] = attrs.field(factory=dict[str, str])
    """Dotted path to the text of the override that set or removed it last."""

    def apply(self, overrides: Iterable[Override]) -> None:
        """Apply overrides in their order, those that begin a new term first, so that the order within a term does not matter.

        Raises:
            ConfigError: a path that leads nowhere, or a new term that lacks a field; the closest existing ones are named.
        """
        overrides = list(overrides)
        begun = [path for o in overrides if o.action in ("add", "force") for path in self._begin(o)]
        for override in overrides:
            self._assign(override, override.path, override.value)
        for path in begun:
            self._check_whole(path)

    def type_at(self, path: tuple[str, ...]) -> Any:
        """Type the schema gives to a path; Any below free-form mappings, None where the schema has no such path."""
        expected: Any = self.root
        for depth, name in enumerate(path):
            container = container_of(expected)
            if depth == 1 and path[0] == _EXTRA:
                expected = self.sections.get(name, Any)
            elif container is Any:
                return Any
            elif is_class(container):
                expected = field_types(container).get(name)
            else:
                expected = typing.get_args(container)[1] if container is not None else None
        return expected

    def _admits_new(self, path: tuple[str, ...]) -> bool:
        """Whether the mapping at a path may get keys without `+`: fields of a class, free-form parameters."""
        container = container_of(self.type_at(path))
        return is_class(container) or (container is Any and path != (_EXTRA,))

    def _begin(self, override: Override) -> list[tuple[str, ...]]:
        """Create the mappings on the way to a new value, as far as the schema knows them; say which."""
        begun: list[tuple[str, ...]] = []
        node = self.tree
        for depth in range(1, len(override.path)):
            path = override.path[:depth]
            unknown_section = depth == 2 and path[0] == _EXTRA and path[1] not in self.sections and path[1] not in node
            if container_of(self.type_at(path)) is None or unknown_section:
                break  # leads nowhere: `_assign` says so
            if node.get(path[-1]) is None:
                node[path[-1]] = {}
                begun.append(path)
            child = node[path[-1]]
            if not isinstance(child, dict):
                break
            node = cast("Tree", child)
        return begun

    def _assign(self, override: Override, path: tuple[str, ...], value: Any) -> None:
        node = self._descend(override, path)
        parent, name = container_of(self.type_at(path[:-1])), path[-1]
        if name not in node and (
            (is_class(parent) and name not in field_types(parent))
            or (override.action in ("set", "delete") and not self._admits_new(path[:-1]))
            or (value is None and not self._admits_new(path[:-1]))
        ):
            raise self._unknown(override, path, node)
        if override.action == "add" and path == override.path and name in node and not self._admits_new(path[:-1]):
            raise ConfigError(f"{override.text}: {override.key} exists already. Write ++{override.key}=... to change it")
        if override.action == "delete" or (value is None and not self._admits_new(path[:-1])):
            self._remove(override, path, node)
        elif isinstance(value, Mapping) and isinstance(node.get(name), dict):
            for key, item in cast("Mapping[str, Any]", value).items():  # Hydra merges mappings, too
                self._assign(override, (*path, key), item)
        else:
            node[name] = self._typed(override, path, value)
        self.provenance[".".join(path)] = override.text

    def _typed(self, override: Override, path: tuple[str, ...], value: Any) -> Any:
        # 2026 is a fine name for a project: where a text is wanted and no number would do, the word as typed is meant.
        expected = self.type_at(path)
        wants_text = accepts(expected, str) and not any(accepts(expected, plain) for plain in (bool, int, float))
        return override.raw if wants_text and override.raw is not None else value

    def _descend(self, override: Override, path: tuple[str, ...]) -> Tree:
        node = self.tree
        for depth, name in enumerate(path[:-1], start=1):
            at = path[:depth]
            expected = self.type_at(at)
            if expected is None or (name not in node and not self._admits_new(at[:-1])):
                raise self._unknown(override, at, node)
            child = node.setdefault(name, {})
            dotted = ".".join(at)
            if child is None and container_of(expected) is not None:
                needed = [join(dotted, field) for field in required(container_of(expected))]
                example = " ".join(f"+{field}=..." for field in dict.fromkeys((*needed, override.key)))
                raise ConfigError(
                    f"{override.text}: {dotted} is null, so it has no {path[depth]!r}. Write {example} to build it"
                )
            if not isinstance(child, dict):
                raise ConfigError(
                    f"{override.text}: {dotted} is {describe(expected)}, so it has no {path[depth]!r}. Set it whole: {dotted}=..."
                    + self._like_group(name, path[depth:])
                )
            node = cast("Tree", child)
        return node

    def _like_group(self, name: str, rest: tuple[str, ...]) -> str:
        """Name the group that was meant where a setting has nearly a group's name: `checkpoint` and `checkpoints`."""
        groups = [key for key, value in self.tree.items() if isinstance(value, dict) and rest[0] in value]
        close = get_close_matches(name, groups, n=1, cutoff=0.8)
        return f" Or did you mean {'.'.join((close[0], *rest))!r}?" if close else ""

    def _remove(self, override: Override, path: tuple[str, ...], node: Tree) -> None:
        name, dotted = path[-1], ".".join(path)
        if override.action == "delete" and override.value is not None and node.get(name) != override.value:
            raise ConfigError(
                f"{override.text}: {dotted} is {node.get(name)!r}, not {override.value!r}. Write ~{override.key} to remove it"
            )
        if not is_class(container_of(self.type_at(path[:-1]))):
            node.pop(name)
        elif accepts(self.type_at(path), type(None)):
            node[name] = None
        else:
            raise ConfigError(f"{override.text}: {dotted} is a setting and cannot be removed. Set it: {override.key}=...")

    def _check_whole(self, path: tuple[str, ...]) -> None:
        """Name what a term made by overrides still lacks."""
        cls, dotted = container_of(self.type_at(path)), ".".join(path)
        node: Any = self.tree
        for name in path:
            node = cast("Tree", node).get(name) if isinstance(node, dict) else None
        if not is_class(cls) or not isinstance(node, dict):
            return
        missing = [name for name in required(cls) if name not in node]
        if missing:
            siblings = list(self._node(path[:-1]))
            siblings.remove(path[-1])
            close = get_close_matches(path[-1], siblings, n=1, cutoff=0.6)
            meant = "".join(f", or did you mean {'.'.join((*path[:-1], match))!r}?" for match in close[:1])
            texts = ", ".join(repr(text) for key, text in self.provenance.items() if key.startswith(dotted))
            lacks = " ".join(f"+{dotted}.{name}=..." for name in missing)
            raise ConfigError(f"{dotted} is new ({texts}) and lacks {', '.join(missing)}. Add {lacks}{meant}")

    def _node(self, path: tuple[str, ...]) -> Tree:
        node = self.tree
        for name in path:
            node = cast("Tree", node[name])
        return node

    def _unknown(self, override: Override, path: tuple[str, ...], node: Tree) -> ConfigError:
        """Answer for a path that does not exist: what was removed, what is close, and how to add a new term."""
        dotted, parent = ".".join(path), container_of(self.type_at(path[:-1]))
        if dotted in self.provenance:
            return ConfigError(f"{override.text}: {dotted} was removed by {self.provenance[dotted]!r}")
        if path[:-1] == (_EXTRA,):
            carried = suggest(path[-1], node) or "it carries none"
            return ConfigError(f"{override.text}: this task carries no plugin section {path[-1]!r} in 'extra'; {carried}")
        message = f"{override.text}: there is no {dotted!r}{_closest(path, node, self.tree, parent)}"
        item = typing.get_args(parent)[1] if parent is not None and parent is not Any and not is_class(parent) else None
        if is_class(item) and override.action != "delete" and override.value is not None:
            example = " ".join(f"+{dotted}.{field}=..." for field in required(item))
            message += f" To add it write {example}"
        return ConfigError(message)


def is_class(expected: Any) -> bool:
    """Whether a type is an attrs class."""
    return isinstance(expected, type) and attrs.has(cast("Any", expected))


def required(cls: Any) -> list[str]:
    """Fields of an attrs class that have no default."""
    return [f.name for f in attrs.fields(cls) if f.default is attrs.NOTHING]


def container_of(expected: Any) -> Any:
    """The mapping-like arm of a type: an attrs class, `dict[str, T]` or Any; None for everything that has no keys."""
    if typing.get_origin(expected) in (Union, types.UnionType):
        arms = [container_of(arm) for arm in typing.get_args(expected)]
        return next((arm for arm in arms if arm is not None), None)
    if expected is Any or typing.get_origin(expected) is dict:
        return Any if expected is Any or typing.get_args(expected)[1] is Any else expected
    return expected if is_class(expected) else None


def leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """List all values of a tree that are no mappings, with their dotted paths."""
    for key, value in tree.items():
        here = join(path, key)
        if isinstance(value, Mapping) and value:
            yield from leaves(cast("Mapping[str, Any]", value), here)
        else:
            yield here, value


def _closest(path: tuple[str, ...], node: Tree, tree: Tree, parent: Any) -> str:
    """Name siblings that look alike with their full paths, else fields anywhere with such a name, else what is there."""
    prefix, name = ".".join(path[:-1]), path[-1]
    siblings = list(field_types(parent)) if is_class(parent) else list(node)
    close = [join(prefix, match) for match in get_close_matches(name, siblings, n=3, cutoff=0.6)]
    if not close:
        by_name: dict[str, list[str]] = {}
        for leaf, _ in leaves(tree):
            by_name.setdefault(leaf.rpartition(".")[2], []).append(leaf)
        close = [leaf for match in get_close_matches(name, by_name, n=2, cutoff=0.75) for leaf in by_name[match]][:3]
    if close:
        return ": did you mean " + " or ".join(repr(match) for match in close) + "?"
    said = suggest(name, siblings)
    return f"; {said}." if said else f": {prefix or 'the configuration'} is empty."
