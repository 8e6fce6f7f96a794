"""Connected parts of a mask: holes to fill, islands to remove. OpenCV, on the CPU.

There are two notions of a part. `fill_holes` and `remove_islands` are Mask Refine's, for soft
masks: a soft rim belongs to its part, so that an island is what is connected by more than a trace
of selection, and a hole what is enclosed by pixels that are selected but for a trace. `clean_masks`
and the functions of small regions are the official automatic mask generators', for hard masks: what
is not selected counts as a hole at the border too, and the largest part always stays (source:
`postprocess_small_regions` and `remove_small_regions` of sam2 1.1.0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..opencv import cv2
from ..results.boxes import nms
from ..results.compact_mask import CompactMask, compact

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


def _contours(shape: np.ndarray) -> tuple[Sequence[np.ndarray], list[int]]:
    """The contours of the parts and of their holes, and of each hole the part it is in, else -1."""
    contours, hierarchy = cv2.findContours(shape, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return contours, hierarchy[0, :, _PARENT].tolist() if contours else []


def _covered(contour: np.ndarray) -> int:
    """Pixels within an outer contour and on it, by Pick's theorem."""
    steps = len(contour) if len(contour) > 1 else 0
    return round(cv2.contourArea(contour) + steps / 2) + 1


def _enclosed(contour: np.ndarray) -> int:
    """Pixels within a hole's contour, which runs over the selected pixels around it."""
    return round(cv2.contourArea(contour) - len(contour) / 2) + 1


def clean_masks(
    masks: Sequence[CompactMask], min_area: int, overlap: float
) -> tuple[list[CompactMask], Tensor]:
    """Mend hard masks and drop what became, or always was, superfluous.

    min_area: holes and islands of fewer pixels are filled and removed, and masks of fewer pixels
    dropped. overlap: of masks whose boxes overlap by more than this IoU one stays, rather one that
    needed no mending. Returns the masks that are left, and the rows they had, [K] int64.
    """
    cleaned = list(masks)
    untouched = torch.ones(len(masks))
    for row, mask in enumerate(masks):
        inside = mask.pixels().numpy() > 0
        mended = remove_small_regions(fill_small_regions(inside, min_area), min_area)
        if not np.array_equal(mended, inside):
            cleaned[row] = compact(torch.from_numpy(mended))
            untouched[row] = 0.0
    large = [row for row, mask in enumerate(cleaned) if mask.pixel_count() >= min_area]
    boxes = torch.tensor([cleaned[row].box() for row in large], dtype=torch.float32).reshape(-1, 4)
    # The official generator compares boxes whose right and bottom are inclusive.
    boxes -= torch.tensor((0.0, 0.0, 1.0, 1.0))
    rows = torch.tensor(large, dtype=torch.int64)[nms(boxes, untouched[large], overlap)]
    return [cleaned[row] for row in rows.tolist()], rows


def fill_small_regions(mask: NDArray[np.bool_], min_area: int) -> NDArray[np.bool_]:
    """Select what is not selected in pieces of fewer than `min_area` pixels, at the border too."""
    labels, areas = label_parts(~mask)
    small = areas < min_area
    small[0] = False
    return mask | small[labels]


def remove_small_regions(mask: NDArray[np.bool_], min_area: int) -> NDArray[np.bool_]:
    """Deselect pieces of fewer than `min_area` pixels, but for the largest where all are."""
    labels, areas = label_parts(mask)
    if len(areas) == 1:
        return mask
    small = areas < min_area
    small[0] = False
    if small[1:].all():
        small[1 + areas[1:].argmax()] = False
    return mask & ~small[labels]


def label_parts(
    mask: NDArray[np.bool_], connectivity: int = 8
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The connected parts of a mask [H, W]: each pixel's part, 0 outside of all, [H, W]; and the
    pixels of each, [N + 1], those outside first. connectivity: 8 where corners connect, else 4."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity
    )
    return labels.astype(np.int32, copy=False), stats[:, cv2.CC_STAT_AREA].astype(np.int64)


def number_parts(mask: NDArray[np.bool_], connectivity: int = 8) -> tuple[int, NDArray[np.int32]]:
    """As `label_parts`, which costs more, without the areas: the number of parts, what is outside
    of all being one, and each pixel's part, 0 outside, [H, W]."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity)
    return count, labels.astype(np.int32, copy=False)
