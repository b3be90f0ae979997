"""Weights & Biases, on request; whatever goes wrong there never reaches the run."""

from __future__ import annotations

import importlib
import logging
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.logging.writer import WriterContext

_log = logging.getLogger(__name__)


class WandbWriter:
    """Logs to one W&B run per run directory, continued on a resume; the first failure turns it off with one warning."""

    def __init__(self, context: WriterContext) -> None:
        self._run: Any = None
        cfg = context.logging
        try:
            wandb: Any = importlib.import_module("wandb")
            self._run = wandb.init(
                project=cfg.wandb_project or context.project,
                entity=cfg.wandb_entity,
                name=context.run_name,
                id=re.sub(r"[^\w-]", "-", context.run_name),
                dir=str(context.directory),
                config=context.config,
                mode=None if cfg.wandb_mode == "auto" else cfg.wandb_mode,
                resume="allow",
            )
        except Exception as error:
            self._turn_off("could not start", error)

    def write(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Log an iteration's metrics."""
        if self._run is None:
            return
        try:
            self._run.log(dict(metrics), step=iteration)
        except Exception as error:
            self._turn_off("failed", error)

    def close(self) -> None:
        """Finish the W&B run."""
        if self._run is None:
            return
        try:
            self._run.finish()
        except Exception as error:
            self._turn_off("could not finish", error)

    def _turn_off(self, what: str, error: Exception) -> None:
        self._run = None
        _log.warning("Weights & Biases %s (%s: %s); training goes on without it", what, type(error).__name__, error)
