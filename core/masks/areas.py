"""The rectangles of a mask in which there is anything to do."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import opencv
from ..opencv import cv2

Area = tuple[slice, slice]

# Side of the cells, in pixels, by which it is found out what lies apart.
_CELL = 64


def separate_areas(mask: Tensor, margin: float) -> list[Area]:
    """Rectangles that hold all that is selected, with a margin, and do not overlap.

    mask: [H, W] float32, 0..1. margin: pixels. Objects whose margins keep clear of each other get
    rectangles of their own, so that the empty space between them costs nothing.
    """
    rectangles = _rectangles(_cells_with_margin(mask, margin))
    return [_trimmed(mask, cells, margin) for cells in rectangles]


def surroundings(area: Area, margin: float, size: tuple[int, int]) -> Area:
    """What a rectangle needs around it in an image of (H, W): whole cells that hold the margin.

    Where nothing is selected outside of the rectangle, `separate_areas` finds in its surroundings
    just what it finds in the whole image.
    """
    cells = math.ceil(margin / _CELL)
    rows, columns = (
        slice(
            max(0, axis.start // _CELL - cells) * _CELL,
            min(length, (-(-axis.stop // _CELL) + cells) * _CELL),
        )
        for axis, length in zip(area, size, strict=True)
    )
    return rows, columns


def _trimmed(mask: Tensor, cells: Area, margin: float) -> Area:
    """The rows and columns of what is selected in a rectangle of cells, with the margin."""
    rows, columns = (slice(axis.start * _CELL, axis.stop * _CELL) for axis in cells)
    part = mask[rows, columns]
    down = _extent(part.amax(dim=1), rows.start, margin)
    return down, _extent(part.amax(dim=0), columns.start, margin)


def _extent(most: Tensor, offset: int, margin: float) -> slice:
    """From the first to the last line that holds anything; most: the highest value of each."""
    selected = most.nonzero()
    first, last = offset + int(selected[0]), offset + int(selected[-1])
    return slice(max(0, math.floor(first - margin)), math.ceil(last + margin) + 1)


def _cells_with_margin(mask: Tensor, margin: float) -> np.ndarray:
    """Which cells hold anything or are within the margin of such a cell: uint8, 0 or 1."""
    rows = torch.stack([band.amax(dim=0) for band in mask.split(_CELL)])
    cells = F.max_pool2d(rows[None], (1, _CELL), ceil_mode=True) > 0
    reach = math.ceil(margin / _CELL)
    grown = F.max_pool2d(cells.float(), 2 * reach + 1, stride=1, padding=reach)
    return grown[0].cpu().numpy().astype(np.uint8)


def _rectangles(cells: np.ndarray) -> list[Area]:
    """Rectangles that cover all cells that are 1 and do not touch each other.

    Without OpenCV one that covers them all.
    """
    if not opencv.is_there():
        rows, columns = cells.nonzero()
        if not len(rows):
            return []
        return [(slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))]
    while True:
        contours, _ = cv2.findContours(cells, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        covered = np.zeros_like(cells)
        areas = []
        for x, y, width, height in map(cv2.boundingRect, contours):
            areas.append((slice(y, y + height), slice(x, x + width)))
            covered[areas[-1]] = 1
        # What surrounds a part may touch another: they become one.
        if np.array_equal(covered, cells):
            return areas
        cells = covered
