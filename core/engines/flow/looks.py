"""How an object looks in its key frame, by its colours: whether that is it, and where it may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...masks.parts import number_parts
from ...opencv import cv2
from ..grabcut.marks import fit, resize_area
from .shapes import BoolMap, FloatMap

# Cells of the colour histogram a side: lightness changes with the light, hues less.
_LIGHTS, _HUES = 8, 16
# The side in pixels of the windows that odds are averaged over.
_WINDOW = 5
# Longest side in pixels of the map on which a lost object is looked for, and the parts of it that
# are compared with the object: so many, of at least so many pixels, as alike as this.
_SEARCH_SIDE, _PARTS, _LEAST_PART, _ALIKE = 160, 12, 6, 0.5

Cells = NDArray[np.uint16]
"""[h, w], the number of each pixel's cell in a colour histogram."""


@dataclass(frozen=True)
class Look:
    """colours: [cells] float32, the share of each in the object. odds: [cells] float32, the log of
    how much commoner it is in the object than elsewhere in its key frame."""

    colours: FloatMap
    odds: FloatMap


def cells_of(rgb: NDArray[np.uint8]) -> Cells:
    """The colour cells of an image [h, w, 3] uint8."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.uint16)
    # a and b beyond 64 on either side of grey are rare.
    hues = np.clip(lab[..., 1:], 64, 191) - 64
    light = lab[..., 0] * _LIGHTS // 256
    return (light * _HUES + hues[..., 0] * _HUES // 128) * _HUES + hues[..., 1] * _HUES // 128


def _shares(cells: NDArray[np.uint16]) -> FloatMap:
    """How often each colour occurs, blurred over its neighbours: [cells] float32 that sum to 1."""
    counts = np.bincount(cells.ravel(), minlength=_LIGHTS * _HUES * _HUES).astype(np.float32)
    counts = counts.reshape(_LIGHTS, _HUES, _HUES)
    for axis in range(3):
        padded = np.pad(counts, [(1, 1) if each == axis else (0, 0) for each in range(3)], "edge")
        length = counts.shape[axis]
        below, same, above = (padded.take(range(i, i + length), axis) for i in range(3))
        counts = (below + 2 * same + above) / 4
    return counts.ravel() / max(float(counts.sum()), 1.0)


def look_at(cells: Cells, mask: BoolMap) -> Look:
    """The look of the object that a mask [h, w], not empty, selects."""
    colours = _shares(cells[mask])
    return Look(colours, np.log((colours + 1e-4) / (_shares(cells[~mask]) + 1e-4)))


def similarity(look: Look, cells: Cells, mask: BoolMap) -> float:
    """How alike the colours under a mask are to the look, 0..1: Bhattacharyya's coefficient."""
    return float(np.sqrt(look.colours * _shares(cells[mask])).sum())


def odds_of(looks: Sequence[Look], cells: Cells) -> FloatMap:
    """How much commoner the colours around each pixel are in the object than elsewhere, by the most
    favourable of its key frames: [h, w] float32, a natural logarithm, 0 for colours of neither."""
    maps = [cv2.blur(look.odds[cells], (_WINDOW, _WINDOW)) for look in looks]
    if not maps:
        return np.zeros(cells.shape, np.float32)
    return np.max(maps, axis=0).astype(np.float32, copy=False)


def likeliest_place(
    looks: Sequence[Look],
    cells: Cells,
    areas: tuple[int, int],
    near: tuple[float, float],
) -> BoolMap | None:
    """The connected region that is most like one of the looks: [h, w] bool, None where none is.

    areas: the least and the most pixels that the object had; a region beyond them counts less.
    near: (x, y) where it was last seen; a region farther away counts less, down to half.
    """
    size = fit(cells.shape, _SEARCH_SIDE)
    best, place = 0.0, None
    for look in looks:
        odds = cv2.GaussianBlur(resize_area(look.odds[cells], size), (0, 0), 1.0)
        for part in _largest_parts(odds > 0):
            region = resize_area(part, cells.shape) > 0.5
            alike = similarity(look, cells, region) if region.any() else 0.0
            rating = alike * _fitness(region, areas) * _nearness(region, near)
            if alike >= _ALIKE and rating > best:
                best, place = rating, region
    return place


def _largest_parts(likely: BoolMap) -> Iterator[BoolMap]:
    """The connected parts of [h, w] bool that are worth a look, the largest first."""
    count, labels = number_parts(likely, connectivity=4)
    areas = np.bincount(labels.ravel(), minlength=count)[1:]
    for number in np.argsort(-areas, kind="stable")[:_PARTS]:
        if areas[number] >= _LEAST_PART:
            yield labels == number + 1


def _fitness(region: BoolMap, areas: tuple[int, int]) -> float:
    area = int(region.sum())
    return float(np.sqrt(min(1.0, area / max(1, areas[0]), areas[1] / max(1, area))))


def _nearness(region: BoolMap, near: tuple[float, float]) -> float:
    if not region.any():
        return 0.0
    rows, columns = np.nonzero(region)
    away = np.hypot(columns.mean() - near[0], rows.mean() - near[1])
    return float(1.0 / (1.0 + away / np.hypot(*region.shape)))
