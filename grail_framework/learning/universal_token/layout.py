"""The flat vector of the group `tokenizer`: where its terms lie, which have frames, and which of them an encoder reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import torch

from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NUM_FRAMES: Final = 10
"""Frames of a future window in the GRAIL release."""
ENCODER_INDEX: Final = "encoder_index"
"""The term that says which encoder's latent an environment uses; its columns are those of `ENCODERS`."""
ENCODERS: Final = ("g1", "teleop", "smpl")
"""The robot's own motion, head and hands of a teleoperator, and a person's body."""
HEIGHT_MAP: Final = "height_map_z_flat"
"""The term that goes through a projector (`projector.HeightMapProjector`) before an encoder reads it."""

INPUTS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "g1": (
        ("command_multi_future_nonflat", "motion_anchor_ori_heading_mf_nonflat"),
        ("command_multi_future_nonflat", "motion_anchor_ori_b_mf_nonflat", HEIGHT_MAP),
        ("command_multi_future_nonflat", "motion_anchor_ori_b_mf_nonflat"),
    ),
    "teleop": (
        (
            "command_multi_future_lower_body",
            "vr_3point_local_target",
            "vr_3point_local_orn_target",
            "motion_anchor_ori_heading",
        ),
        ("command_multi_future_lower_body", "vr_3point_local_target", "vr_3point_local_orn_target", "motion_anchor_ori_b"),
    ),
    "smpl": (
        (
            "smpl_joints_multi_future_local_nonflat",
            "smpl_root_ori_heading_multi_future",
            "joint_pos_multi_future_wrist_for_smpl",
        ),
        ("smpl_joints_multi_future_local_nonflat", "smpl_root_ori_b_multi_future", "joint_pos_multi_future_wrist_for_smpl"),
    ),
}
"""The terms that each encoder reads, in order, in the public SONIC and GRAIL configurations: by heading (SONIC v1.1, and what the base
of the manipulation tasks is fed with), with a height map (GRAIL's terrain) and by full orientation (SONIC). The first list whose terms
the observation group has, and whose width a state dict has, is meant. The heights `command_z...` are in the group, but none reads them.
"""


def has_frames(term: str) -> bool:
    """Whether a term is a window of frames, by its name; `command_multi_future_lower_body` is a flat one."""
    return term.endswith("_nonflat") or ("smpl" in term and "multi_future" in term)


def _find_slices(widths: Mapping[str, int], num_frames: int) -> dict[str, slice]:
    found: dict[str, slice] = {}
    start = 0
    for term, width in widths.items():
        if has_frames(term) and width % num_frames:
            raise ConfigError(
                f"observation term {term!r} of the group `tokenizer` is {width} wide, no multiple of num_frames={num_frames}; let "
                "command.num_future_frames and the network's num_frames agree"
            )
        found[term] = slice(start, start + width)
        start += width
    return found


@attrs.frozen
class TokenizerLayout:
    """The terms of the group `tokenizer`, in order, with their flat widths."""

    widths: dict[str, int] = attrs.field(converter=dict)
    num_frames: int = NUM_FRAMES
    """Of the terms that are windows."""
    slices: dict[str, slice] = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda self: _find_slices(self.widths, self.num_frames), takes_self=True)
    )
    """Where each term lies in the vector."""

    @property
    def width(self) -> int:
        """Width of the whole vector."""
        return sum(self.widths.values())

    def frames(self, tokenizer: torch.Tensor, term: str) -> torch.Tensor:
        """Return a term of the vector (B, width) as (B, frames, width of a frame); one frame where it is no window."""
        return tokenizer[..., self.slices[term]].unflatten(-1, (self.num_frames if has_frames(term) else 1, -1))

    def frame_width(self, term: str) -> int:
        """Return the width of one frame of a term."""
        return self.widths[term] // (self.num_frames if has_frames(term) else 1)

    def input_width(self, terms: Sequence[str], projected: Mapping[str, int]) -> int:
        """Return the width of an encoder's input, with the widths of the embeddings that stand for `projected` terms."""
        frame = sum(projected[term] if term in projected else self.frame_width(term) for term in terms)
        return frame * (self.num_frames if any(map(has_frames, terms)) else 1)

    def lists_for(self, encoder: str, inputs: Mapping[str, Sequence[str]] | None) -> list[tuple[str, ...]]:
        """Return the lists of terms that an encoder may mean: the one given, or those of `INPUTS` whose terms are there.

        Raises:
            ConfigError: terms of all of them are missing.
        """
        lists = INPUTS[encoder] if inputs is None or encoder not in inputs else (tuple(inputs[encoder]),)
        found = [terms for terms in lists if terms and all(term in self.widths for term in terms)]
        if not found:
            listed = " or ".join(f"[{', '.join(terms)}]" for terms in lists)
            raise ConfigError(
                f"the encoder {encoder!r} reads {listed}, and the observation group `tokenizer` has "
                f"{', '.join(self.widths) or 'no terms'}; add the terms, or name others with inputs.{encoder}=[...]"
            )
        return found

    def said(self, terms: Sequence[str], projected: Mapping[str, int]) -> str:
        """Return terms and widths as a message shows them."""
        parts = [
            f"{term} {self.widths[term]}" + (f" (as {projected[term]} numbers a frame)" if term in projected else "")
            for term in terms
        ]
        return f"{' + '.join(parts)} = {self.input_width(terms, projected)}"


def interleaved(terms: Sequence[str], frames_of: Callable[[str], torch.Tensor]) -> torch.Tensor:
    """Join terms frame by frame: all of frame 0, then all of frame 1; what has one frame is repeated in each.

    Args:
        terms: their names, in the order within a frame.
        frames_of: gives the (..., frames, width) of a term.

    Returns:
        (..., frames * sum of widths).
    """
    parts = [frames_of(term) for term in terms]
    count = max(part.shape[-2] for part in parts)
    return torch.cat([part.expand(*part.shape[:-2], count, -1) for part in parts], dim=-1).flatten(-2)
