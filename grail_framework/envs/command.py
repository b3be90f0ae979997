"""The reference command: which motion and frame each environment follows, and the start frames of episodes.

The frame advances after the rewards and before the observations. So the current frame of an observation is the one the coming
reward and termination are computed on; after a reset inside a step the robot stands at frame s and the observation shows s + 1;
after a full reset it shows s.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch

from grail_framework.errors import CheckpointError, DataError
from grail_framework.motion.faults import LibraryFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.config import CommandCfg
    from grail_framework.motion.library import MotionLibrary, ReferenceFrame, ReferenceState, ReferenceWindow


_log: Final = logging.getLogger(__name__)
_LISTED: Final = 50
"""Motions whose first contact is logged one by one."""


def env_motion_ids(num_envs: int, num_motions: int) -> tuple[int, ...]:
    """Return which motion each environment follows where no plan says otherwise: the M motions in turn."""
    return tuple(env % num_motions for env in range(num_envs))


def start_faults(cfg: CommandCfg, motions: MotionLibrary) -> list[LibraryFault]:
    """Return what is wrong where episodes are to start before a contact that motions lack: fatal where all do."""
    missing = motions.missing(motions.has_contact_labels) if cfg.sample_before_contact else ()
    if not missing:
        return []
    if len(missing) == motions.num_motions:
        return [
            LibraryFault(
                keys=missing,
                problem=(
                    "sample_before_contact=True but no contact data available. The object motions pkl must contain "
                    "contact_points_left_hand or contact_points_right_hand"
                ),
                listing="",
                remedy=(
                    "Re-run the preparation with contact points (`grail data process`, the release's process step with "
                    "--include_contact_points), or set command.sample_before_contact=false."
                ),
            )
        ]
    return [
        LibraryFault(
            keys=missing,
            problem=(
                f"sample_before_contact=True and {len(missing)} of {motions.num_motions} motions are missing contact data in their object "
                "motions pkl, so their episodes start anywhere"
            ),
            remedy=(
                "Write contact_points_left_hand and contact_points_right_hand with `grail data process`, or leave these motions out with "
                "motion.remove_motion_keys"
            ),
            fatal=False,
        )
    ]


class ReferenceCommand:
    """Follows one motion in each environment, frame by frame: motion `k mod M` in environment k, or that of a plan."""

    def __init__(
        self,
        cfg: CommandCfg,
        motions: MotionLibrary,
        num_envs: int,
        step_dt: float,
        generator: torch.Generator,
        *,
        motion_ids: Sequence[int] | None = None,
        persistent: bool = False,
    ) -> None:
        """Assign motions and precompute the start frame range of each.

        Args:
            cfg: which frames, and where episodes start.
            motions: what is followed.
            num_envs: number of environments.
            step_dt: length of a control step. [s]
            generator: what start frames are drawn with.
            motion_ids: the motion of each environment; None: `k mod M` in environment k.
            persistent: keep `reference` and `window` in the same buffers for ever, which a captured step reads and writes.

        Raises:
            DataError: `sample_before_contact` without contact labels in any clip.
        """
        device = motions.num_frames.device
        self.cfg = cfg
        self.motions = motions
        self._generator = generator
        ids = env_motion_ids(num_envs, motions.num_motions) if motion_ids is None else motion_ids
        self.motion_ids = torch.tensor(ids, dtype=torch.long, device=device)
        self.num_frames = motions.num_frames[self.motion_ids]
        self.start = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.frame = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.from_first_frame = False
        """Start every episode at frame 0 whatever the configuration says; for evaluation."""
        spacing = round(cfg.dt_future_ref_frames / step_dt)
        self._offsets = torch.arange(cfg.num_future_frames, device=device) * max(spacing, 1)
        self._latest_start = self._start_range(cfg, motions)[self.motion_ids]
        self.reference: ReferenceFrame
        self.window: ReferenceWindow
        self._persistent = False
        self.gather()
        if persistent:
            self.reference, self.window = _own_buffers(self.reference), _own_buffers(self.window)
            self._persistent = True

    @staticmethod
    def _start_range(cfg: CommandCfg, motions: MotionLibrary) -> torch.Tensor:
        """Number of frames (M,) from which an episode's start is drawn; 1 means frame 0. The contact rule goes before the others."""
        if cfg.sample_before_contact:
            for fault in start_faults(cfg, motions):
                if fault.fatal:
                    raise DataError(str(fault))
            _log_first_contacts(motions)
            return (motions.first_contact - cfg.sample_before_contact_margin).clamp_min(1)
        if cfg.start_from_first_frame:
            return torch.ones_like(motions.num_frames)
        if cfg.sample_from_n_initial_frames is not None:
            return motions.num_frames.clamp_max(cfg.sample_from_n_initial_frames)
        # The last frame ends the episode at once, so no episode starts there.
        return (motions.num_frames - 1).clamp_min(1)

    def draw_start(self, mask: torch.Tensor) -> None:
        """Draw a start frame for the environments of the mask (N,) and go to it."""
        # One draw for all: how much randomness is used must not depend on which environments ended.
        share = torch.rand(self.start.shape, generator=self._generator, device=self.start.device)
        drawn = torch.minimum((share * self._latest_start).long(), self._latest_start - 1)
        if self.from_first_frame:
            drawn = torch.zeros_like(drawn)
        torch.where(mask, drawn, self.start, out=self.start)
        torch.where(mask, self.start, self.frame, out=self.frame)

    def start_frame(self) -> ReferenceState:
        """Return the state at every environment's start frame."""
        return self.motions.state(self.motion_ids, self.start)

    def advance(self) -> None:
        """Go to the next frame, everywhere, and gather the reference."""
        self.frame += 1
        self.gather()

    def gather(self) -> None:
        """Gather the current frame and the future window; frames beyond the end stay at the last one."""
        reference = self.motions.frame(self.motion_ids, self.frame)
        window = self.motions.window(self.motion_ids, self.frame.unsqueeze(1) + self._offsets)
        if self._persistent:
            _overwrite(self.reference, reference)
            _overwrite(self.window, window)
        else:
            self.reference, self.window = reference, window

    @property
    def at_end(self) -> torch.Tensor:
        """Whether the current frame (N,) is the motion's last."""
        return self.frame + 1 >= self.num_frames

    def state_dict(self) -> dict[str, Any]:
        """Return frames and start frames, with the keys of the motions they belong to, and which environment follows which."""
        return {
            "start": self.start.clone(),
            "frame": self.frame.clone(),
            "motion_keys": list(self.motions.keys),
            "motion_ids": self.motion_ids.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore frames and start frames.

        Raises:
            CheckpointError: the state is of other motions or another number of environments.
        """
        if list(state["motion_keys"]) != list(self.motions.keys):
            raise CheckpointError(
                f"the checkpoint was trained on the motions {list(state['motion_keys'])[:5]}..., this run has "
                f"{list(self.motions.keys)[:5]}...; resume with the same motions, or start a new experiment_dir (warm resume)"
            )
        if state["frame"].shape != self.frame.shape:
            raise CheckpointError(
                f"the checkpoint holds {len(state['frame'])} environments, this run has {len(self.frame)}; "
                f"resume with --num-envs {len(state['frame'])}, or into a new experiment_dir (warm resume)"
            )
        followed = state.get("motion_ids")
        if followed is not None and not torch.equal(followed.to(self.motion_ids.device), self.motion_ids):
            raise CheckpointError(
                "the environments of the checkpoint follow other motions than those of this run, though the motions are the same; resume "
                "with the same plan (ratio of flat to terrain, number of processes), or into a new experiment_dir (warm resume)"
            )
        self.start.copy_(state["start"])
        self.frame.copy_(state["frame"])
        self.gather()


def _own_buffers[T: attrs.AttrsInstance](frames: T) -> T:
    """Copy gathered frames into buffers of their own: what is gathered are columns of wider rows."""
    names = [field.name for field in attrs.fields(type(frames))]
    return type(frames)(**{name: getattr(frames, name).clone(memory_format=torch.contiguous_format) for name in names})


def _overwrite(buffers: attrs.AttrsInstance, frames: attrs.AttrsInstance) -> None:
    for field in attrs.fields(type(buffers)):
        getattr(buffers, field.name).copy_(getattr(frames, field.name))


def _log_first_contacts(motions: MotionLibrary) -> None:
    """Log when the hands first touch, by motion and in total."""
    first = motions.first_contact.tolist()
    _log.info("[TrackingCommand] Derived first contact frames from motion_lib (left_hand+right_hand, %d motions)", len(first))
    rows = zip(motions.keys, first, motions.num_frames.tolist(), motions.has_contact_labels.tolist(), strict=True)
    for key, frame, length, labelled in list(rows)[:_LISTED]:
        note = "no contact labels" if not labelled else "no contact" if frame == length else f"first contact at frame {frame}"
        _log.info("[TrackingCommand]   %s: %s, %d frames", key, note, length)
    if len(first) > _LISTED:
        _log.info("[TrackingCommand]   and %d more motions", len(first) - _LISTED)
    contact = motions.first_contact.float()
    _log.info(
        "[TrackingCommand] First contact frame: min %d, max %d, mean %.1f, median %.1f",
        min(first),
        max(first),
        float(contact.mean()),
        float(contact.quantile(0.5)),
    )
