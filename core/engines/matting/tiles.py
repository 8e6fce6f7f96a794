"""Where a model looks at a picture that is too large for it: tiles, and how they are joined."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

OVERLAP = 64
"""Pixels that two tiles beside each other share, at least."""
# In the middle of an overlap one tile fades over to the other within so many pixels. Nearer to the
# border of a tile, beyond which the model sees nothing, its answer does not count.
_FADE = 32


@dataclass(frozen=True)
class Span:
    """A tile along one side of a picture.

    start, stop: in pixels. first, last: of it, what no other tile knows better: up to the middle of
    the overlaps, or to the picture's border.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def weights(self) -> Tensor:
        """How much the answer counts, [length] float32: a cosine in the overlaps, 1 in between.

        Those of all spans of a side sum up to 1 in every pixel.
        """
        places = torch.arange(self.start, self.stop) + 0.5
        weights = torch.ones_like(places)
        if self.first > self.start:
            weights *= _fade(places - self.first)
        if self.last < self.stop:
            weights *= _fade(self.last - places)
        return weights


def _fade(inside: Tensor) -> Tensor:
    """From 0 to 1 across the line up to which a tile knows best. inside: pixels beyond it."""
    share = (inside / _FADE + 0.5).clamp(0.0, 1.0)
    return 0.5 - 0.5 * torch.cos(math.pi * share)


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture that a model looks at."""

    rows: Span
    columns: Span

    @property
    def area(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.rows.start, self.rows.stop), slice(self.columns.start, self.columns.stop)

    @property
    def core(self) -> tuple[slice, slice]:
        """What no other tile knows better."""
        return slice(self.rows.first, self.rows.last), slice(self.columns.first, self.columns.last)

    @property
    def weights(self) -> Tensor:
        """[h, w] float32, 0..1."""
        return self.rows.weights[:, None] * self.columns.weights


def all_tiles(size: tuple[int, int], side: int) -> list[Tile]:
    """Tiles that cover a picture of (H, W), `side` pixels each way where it is that large."""
    rows, columns = (_spans(length, side) for length in size)
    return [Tile(row, column) for row in rows for column in columns]


def _spans(length: int, side: int) -> list[Span]:
    """As few spans as overlap enough, at even distances."""
    if length <= side:
        return [Span(0, length, 0, length)]
    steps = math.ceil((length - side) / (side - OVERLAP))
    starts = [round(place * (length - side) / steps) for place in range(steps + 1)]
    middles = [
        (before + side + after) // 2 for before, after in zip(starts[:-1], starts[1:], strict=True)
    ]
    bounds = zip([0, *middles], [*middles, length], strict=True)
    return [Span(start, start + side, *bound) for start, bound in zip(starts, bounds, strict=True)]


def needed_tiles(unknown: Tensor, side: int) -> list[Tile]:
    """The tiles that know best about something unknown ([H, W] bool); the others are left out."""
    tiles = all_tiles((unknown.shape[0], unknown.shape[1]), side)
    return [tile for tile in tiles if bool(unknown[tile.core].any())]


class Blend:
    """Puts a picture of (H, W) together from what was found in some of its tiles."""

    def __init__(self, size: tuple[int, int], device: torch.device):
        self._sum = torch.zeros(size, device=device)
        self._weights = torch.zeros(size, device=device)

    def add(self, tile: Tile, values: Tensor) -> None:
        """What was found in a tile: [h, w] float32, on any device."""
        weights = tile.weights.to(self._sum.device)
        self._sum[tile.area].addcmul_(values.to(self._sum.device), weights)
        self._weights[tile.area].add_(weights)

    def result(self) -> Tensor:
        """[H, W] float32; NaN where no tile was asked."""
        return self._sum.div_(self._weights)
