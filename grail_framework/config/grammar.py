"""Hydra's override grammar, with answers a user can act on. Hydra's parser is imported when there is something to parse."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Literal, cast

import attrs

from grail_framework.errors import ConfigError

_TOKEN: Final = re.compile(r"(?:input|at:?) '(.+?)'")

type Action = Literal["set", "add", "force", "delete"]


@attrs.frozen(kw_only=True)
class Override:
    """One change of the configuration."""

    text: str
    """What the user typed."""
    action: Action
    """`a=1` sets, `+a=1` adds, `++a=1` adds or sets, `~a` deletes."""
    path: tuple[str, ...]
    """Keys from the root."""
    value: Any = None
    """Plain value; None where it deletes without naming one."""
    raw: str | None = None
    """The value as typed, where it is a bare word or number."""

    @property
    def key(self) -> str:
        """Dotted path."""
        return ".".join(self.path)


def parse_overrides(texts: Iterable[str]) -> list[Override]:
    """Parse overrides in Hydra's grammar.

    Raises:
        ConfigError: a text is not in the grammar, is a sweep, or uses an interpolation or a package.
    """
    texts = list(texts)
    if not texts:
        return []
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()
    return [_parse(parser, text) for text in texts]


def _parse(parser: Any, text: str) -> Override:
    from hydra.core.override_parser.types import OverrideType
    from hydra.errors import HydraException

    _refuse_common_slips(text)
    try:
        parsed: Any = parser.parse_override(text)
    except HydraException as error:
        raise ConfigError(_explain(parser, text, error)) from None
    if parsed.is_sweep_override():
        key, _, values = text.partition("=")
        raise ConfigError(f"{text!r} is a sweep over several values, and one run has one. For a list write {key}=[{values}]")
    if parsed.package is not None:
        raise ConfigError(f"{text!r}: packages (`group@package`) do not exist here. Write the path to the field, a.b.c=value")
    if not parsed.key_or_group:
        raise ConfigError(f"{text!r} has no key in front of '='. Write key=value, e.g. num_envs=64")
    actions: dict[Any, Action] = {
        OverrideType.CHANGE: "set",
        OverrideType.ADD: "add",
        OverrideType.FORCE_ADD: "force",
        OverrideType.DEL: "delete",
    }
    value = parsed.value()
    raw = text.partition("=")[2].strip()
    if _interpolates(value) and raw[:1] not in ("'", '"'):
        raise ConfigError(
            f"{text!r}: interpolations such as ${{...}} are not resolved. Let the shell put the value in (double quotes or none "
            f"around it), or write the value"
        )
    return Override(
        text=text,
        action=actions[parsed.type],
        path=tuple(parsed.key_or_group.split(".")),
        value=value,
        raw=raw if isinstance(value, bool | int | float) else None,
    )


def _refuse_common_slips(text: str) -> None:
    if text.strip() in ("=", "+", "++", "~") or text.startswith("="):
        raise ConfigError(f"{text!r} is no override: write key=value as one word, without spaces around '='")
    if "=" not in text and not text.startswith("~"):
        raise ConfigError(
            f"{text!r} is no override: there is no '='. Write {text}=VALUE to set, ~{text} to remove, or --option for an option"
        )


def _explain(parser: Any, text: str, error: Exception) -> str:
    """Show where the grammar gave up, and the quoted form when that form parses."""
    reason = str(error).splitlines()[0].partition(" expecting {")[0]
    lines = [f"the override {text!r} cannot be read: {reason}", f"  {text}", "  " + " " * _position(text, error) + "^"]
    key, _, value = text.partition("=")
    quoted = _quoted_form(parser, key, value)
    if quoted is not None:
        lines.append(f"  Put quotes around the value, and others around the whole for the shell: {_shell(quoted)}")
    elif value.count("[") > value.count("]") or value.count("{") > value.count("}"):
        lines.append('  A bracket is not closed. The shell splits at spaces: put the whole override in quotes, "key=[a, b]"')
    elif "[" in key:
        lines.append(f"  Single items of a list cannot be set; write the whole list: {key.partition('[')[0]}=[...]")
    else:
        lines.append("  Write key=value with a dotted key, e.g. rewards.grasp_right.weight=20")
    return "\n".join(lines)


def _position(text: str, error: Exception) -> int:
    cause: Any = error.__cause__
    if isinstance(start := getattr(cause, "startIndex", None), int):
        return start
    if isinstance(column := getattr(getattr(cause, "offendingToken", None), "column", None), int):
        return min(column, len(text))
    token = _TOKEN.search(str(error))
    # Without a position the parser still names the token; it is in the value, since keys fail in the lexer.
    return max(text.find(token.group(1), text.find("=") + 1), 0) if token else text.find("=") + 1


def _quoted_form(parser: Any, key: str, value: str) -> str | None:
    """The override with its value, or the items of its list, in quotes; None where that does not parse either."""
    from hydra.errors import HydraException

    if value.startswith("[") and value.endswith("]"):
        quoted = f"{key}=[{','.join(_in_quotes(item.strip()) for item in value[1:-1].split(','))}]"
    elif value[:1] in ("", "[", "{"):
        return None
    else:
        quoted = f"{key}={_in_quotes(value)}"
    try:
        parser.parse_override(quoted)
    except HydraException:
        return None
    return quoted


def _in_quotes(value: str) -> str:
    escaped = value.strip("'\"").replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _shell(text: str) -> str:
    return '"' + re.sub(r'([$"`\\])', r"\\\1", text) + '"'


def _interpolates(value: Any) -> bool:
    if isinstance(value, str):
        return value.startswith("${") or "${" in value
    if isinstance(value, list):
        return any(_interpolates(item) for item in cast("list[Any]", value))
    if isinstance(value, dict):
        return any(_interpolates(item) for item in cast("dict[Any, Any]", value).values())
    return False
