"""Connected parts of a mask: holes to fill, islands to remove. OpenCV, on the CPU.

A soft rim belongs to its part: an island is what is connected by more than a trace of selection,
a hole what is enclosed by pixels that are selected but for a trace.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_TRACE = 1 / 32
_NO_CONTOUR = -1
_PARENT = 3
# What marks an island in a part of a picture of zeros and ones.
_ISLAND = 2


def fill_holes(mask: Tensor, largest: int) -> Tensor:
    """Select the holes of up to `largest` pixels, all of them where it is -1.

    mask: [H, W] float32, 0..1. A hole is enclosed (pixels that touch at a corner close it) and does
    not reach the image's border. Returns a new mask that is nowhere less than the old one.
    """
    import cv2

    contours, parents = _contours(_selected(mask, 1.0 - _TRACE))
    holes = [
        contour
        for contour, parent in zip(contours, parents, strict=True)
        if parent != _NO_CONTOUR and (largest < 0 or _enclosed(contour) <= largest)
    ]
    filled = _copy(mask)
    # One by one: together, a hole inside another would be left open.
    for hole in holes:
        cv2.drawContours(filled.numpy(), [hole], 0, 1.0, cv2.FILLED)
    return filled.to(mask.device)


def remove_islands(mask: Tensor, smallest: int) -> Tensor:
    """Deselect the parts of fewer than `smallest` pixels; pixels that touch at a corner connect.

    mask: [H, W] float32, 0..1. Returns a new mask that is nowhere more than the old one.
    """
    selected = _selected(mask, _TRACE)
    contours, parents = _contours(selected)
    areas = [
        _covered(contour) if parent == _NO_CONTOUR else -_enclosed(contour)
        for contour, parent in zip(contours, parents, strict=True)
    ]
    sizes = list(areas)
    for area, parent in zip(areas, parents, strict=True):
        if parent != _NO_CONTOUR:
            sizes[parent] += area
    left = _copy(mask)
    for contour, parent, size in zip(contours, parents, sizes, strict=True):
        if parent == _NO_CONTOUR and size < smallest:
            area, island = _island(selected, contour)
            left.numpy()[area][island] = 0.0
    return left.to(mask.device)


def _island(selected: np.ndarray, contour: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray]:
    """The rectangle of a part with that outer contour, and its pixels within: [h, w] bool."""
    import cv2

    x, y, width, height = cv2.boundingRect(contour)
    area = slice(y, y + height), slice(x, x + width)
    island = selected[area].copy()
    start = contour[0, 0] - (x, y)
    cv2.floodFill(island, None, tuple(map(int, start)), _ISLAND, flags=8)
    return area, island == _ISLAND


def _copy(mask: Tensor) -> Tensor:
    """For OpenCV to write into: on the CPU, row by row."""
    return mask.cpu().clone(memory_format=torch.contiguous_format)


def _selected(mask: Tensor, level: float) -> np.ndarray:
    """Where a mask is more than level: [H, W] uint8, 0 or 1."""
    return (mask.cpu().numpy() > np.float32(level)).view(np.uint8)


def _contours(shape: np.ndarray) -> tuple[tuple[np.ndarray, ...], list[int]]:
    """The contours of the parts and of their holes, and of each hole the part it is in, else -1."""
    import cv2

    contours, hierarchy = cv2.findContours(shape, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return contours, hierarchy[0, :, _PARENT].tolist() if contours else []


def _covered(contour: np.ndarray) -> int:
    """Pixels within an outer contour and on it, by Pick's theorem."""
    import cv2

    steps = len(contour) if len(contour) > 1 else 0
    return round(cv2.contourArea(contour) + steps / 2) + 1


def _enclosed(contour: np.ndarray) -> int:
    """Pixels within a hole's contour, which runs over the selected pixels around it."""
    import cv2

    return round(cv2.contourArea(contour) - len(contour) / 2) + 1
