"""The hook reference of the documentation, written from the hook specs: `python -m grail_framework.plugins.reference`."""

from __future__ import annotations

import inspect
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Final

from grail_framework import PLUGIN_API
from grail_framework.plugins import hookspecs
from grail_framework.plugins.compat import format_version

if TYPE_CHECKING:
    from collections.abc import Callable

_INTRODUCTION: Final = """\
# Hook reference

Plugin API {version}. Written by `python -m grail_framework.plugins.reference` from `grail_framework/plugins/hookspecs.py`;
edit the docstrings there.

A hook implementation is a function of the same name, marked with `hookimpl`, in the module that the entry point names. It may
leave out arguments it does not need. Hooks that are *first result* stop at the first plugin that returns something else than
`None`; plugins are asked in the reverse of loading order (distributions by name), the framework itself last.
"""


def hook_functions() -> dict[str, Callable[..., object]]:
    """Map hook names to their specifications, in the order they are written."""
    return {name: spec for name, spec in vars(hookspecs).items() if name.startswith("grail_") and callable(spec)}


def render() -> str:
    """Write the reference as Markdown."""
    parts = [_INTRODUCTION.format(version=format_version(PLUGIN_API))]
    parts += [_section(name, spec) for name, spec in hook_functions().items()]
    return "\n".join(parts)


def _section(name: str, spec: Callable[..., object]) -> str:
    text, _, example = (inspect.getdoc(spec) or "").partition("Example:\n")
    signature = str(inspect.signature(spec)).replace("'", "")
    kind = "\n*First result.*\n" if getattr(spec, "grail_spec", {}).get("firstresult") else ""
    return f"## {name}\n\n```python\ndef {name}{signature}\n```\n{kind}\n{text.strip()}\n\n```python\n{dedent(example).strip()}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(render())
