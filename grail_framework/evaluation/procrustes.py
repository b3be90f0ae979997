"""Procrustes alignment: what is left of a difference between point sets when position, orientation and size do not count."""

from __future__ import annotations

import torch


def similarity_align(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Move point sets `source` (..., K, 3) onto `target` (..., K, 3) by the best translation, rotation and scale of each.

    Best is the least sum of squared distances; reflections are not allowed (Umeyama 1991). Returns the moved points (..., K, 3).
    """
    source_mean, target_mean = source.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
    centred, wanted = source - source_mean, target - target_mean
    u, singular, vh = torch.linalg.svd(centred.transpose(-1, -2) @ wanted)
    # A determinant of -1 is a mirror image: the axis that matters least is turned instead.
    sign = torch.where(torch.linalg.det(u) * torch.linalg.det(vh) < 0.0, -1.0, 1.0).to(source.dtype)
    signs = torch.stack((torch.ones_like(sign), torch.ones_like(sign), sign), dim=-1)
    rotation = (u * signs.unsqueeze(-2)) @ vh
    spread = centred.square().sum((-1, -2)).clamp_min(torch.finfo(source.dtype).tiny)
    scale = (singular * signs).sum(-1) / spread
    return scale[..., None, None] * (centred @ rotation) + target_mean
