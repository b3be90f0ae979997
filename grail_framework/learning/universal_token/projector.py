"""What stands between a height map and an encoder: two convolutions with max-pooling, then two linear layers."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs
from torch import nn

from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    import torch


@attrs.frozen(kw_only=True)
class ProjectorShape:
    """Sizes of a projector; the defaults are those of the GRAIL release's terrain configuration."""

    grid: int = 11
    """Points along each side of the square map. [-]"""
    channels: tuple[int, ...] = (16, 32)
    """Of each convolution; each halves the sides afterwards. [-]"""
    kernel: int = 3
    """Side of the convolutions' kernels, odd. [-]"""
    hidden_dims: tuple[int, ...] = (128,)
    """Of the linear layers between the flattened map and the embedding. [-]"""
    width: int = 128
    """Of the embedding. [-]"""

    @property
    def flat(self) -> int:
        """Numbers that the convolutions leave."""
        return self.channels[-1] * (self.grid // 2 ** len(self.channels)) ** 2

    @classmethod
    def for_map(cls, points: int) -> ProjectorShape:
        """Return the release's sizes for a flat map of so many points.

        Raises:
            ConfigError: it is not square.
        """
        grid = math.isqrt(points)
        if grid * grid != points:
            raise ConfigError(f"a height map of {points} points is not square; the GRAIL release's has 11 x 11 = 121")
        return cls(grid=grid)


class HeightMapProjector(nn.Module):
    """Turn flat height maps (B, grid * grid) into embeddings (B, width).

    Every convolution keeps the sides and is followed by a ReLU and 2 x 2 max-pooling; between the linear layers there are ReLUs.
    """

    def __init__(self, shape: ProjectorShape) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = []
        for before, after in pairwise((1, *shape.channels)):
            layers += [nn.Conv2d(before, after, shape.kernel, padding=shape.kernel // 2), nn.ReLU(), nn.MaxPool2d(2)]
        self.conv_layers = nn.Sequential(*layers)
        widths = (shape.flat, *shape.hidden_dims, shape.width)
        head = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.mlp_head = nn.Sequential(*head[:-1])

    def forward(self, heights: torch.Tensor) -> torch.Tensor:
        """Map (B, grid * grid), flat index = grid * ix + iy, to (B, width)."""
        square = heights.unflatten(-1, (1, self.shape.grid, self.shape.grid))
        return self.mlp_head(self.conv_layers(square).flatten(1))
