"""Errors a user can meet, each with the exit code of the command line.

Every message says what was given, what is allowed and how to fix it. Nothing here imports more than the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EXIT_OK = 0
EXIT_RUN_FAILED = 1
EXIT_USAGE = 2
EXIT_PLUGIN = 3
EXIT_STOPPED = 4


class GrailError(Exception):
    """Base of all expected errors; `exit_code` is what the command line returns."""

    exit_code: int = EXIT_RUN_FAILED


class ConfigError(GrailError):
    """A wrong key, value, type or combination in the configuration."""

    exit_code = EXIT_USAGE


class NotFoundError(GrailError):
    """A name that nothing registered."""

    exit_code = EXIT_USAGE


class TaskNotFoundError(NotFoundError):
    """A task name that no loaded plugin provides."""


class DataError(GrailError):
    """A motion, asset or table file that cannot be used, or a missing one."""

    exit_code = EXIT_USAGE


class UnsafePickleError(DataError):
    """A pickle that asks for anything but plain values and numpy arrays."""


class AssetError(DataError):
    """An object or robot description that cannot be simulated."""


class CheckpointError(GrailError):
    """A checkpoint that is missing, damaged or does not fit the run."""

    exit_code = EXIT_USAGE


class DownloadError(GrailError):
    """Something that cannot be fetched: no network, a server's refusal, a wrong checksum, a full disk."""


class PluginError(GrailError):
    """Base of what can be wrong with a plugin."""

    exit_code = EXIT_PLUGIN


class PluginLoadError(PluginError):
    """A plugin that a command needs failed to load."""


class PluginIncompatibleError(PluginError):
    """A plugin that asks for another version of the plugin API."""


class PluginConflictError(PluginError):
    """One name, several owners."""


class UnknownHookError(PluginError):
    """A hook implementation whose name is no hook."""


class EnvContractError(GrailError):
    """A term, engine or network that broke its contract (shape, dtype, device)."""


class RunStoppedError(GrailError):
    """The run was stopped by a signal after it saved a checkpoint."""

    exit_code = EXIT_STOPPED


def suggest(given: str, allowed: Iterable[str], *, limit: int = 3) -> str:
    """Say which of `allowed` look like `given`, or list them when few; empty when there is nothing to say."""
    from difflib import get_close_matches  # only needed for a message, and this module is imported by every command

    names = sorted(set(allowed))
    close = get_close_matches(given, names, n=limit, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(name) for name in close) + "?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"allowed: {shown}"
