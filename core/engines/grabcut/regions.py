"""Guesses which region a click means, from colour and contrast alone.

Many regions around the clicks are proposed on a small copy of the image, each is rated by how much
it looks like an object (contrast along its whole outline, compact, not cut off by the edge), and
the best one wins. GrabCut then refines it: on its own it would need a box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...masks.parts import label_parts, number_parts
from ...opencv import cv2

BoolMap = NDArray[np.bool_]
FloatMap = NDArray[np.float32]
Pixel = tuple[int, int]
"""(x, y) of a pixel."""

# Shares of the image that the threshold proposals take, and radii (shares of the diagonal) of the
# discs that the histogram proposals start from: from an eye to a face that fills the picture.
_AREAS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.09, 0.12, 0.16, 0.2, 0.25, 0.3, 0.36, 0.42, 0.5, 0.6)
_RADII = (0.03, 0.05, 0.08, 0.12, 0.17, 0.24, 0.32)
# Radii in pixels of the openings that cut off what hangs on a region by a thin bridge.
_OPENINGS = (1, 3, 6)
# A hole below this share of the region's area is a highlight or a speck, not a real opening.
HOLE_SHARE = 0.06
# Lab units per pixel that a path costs even where the colour does not change.
_STEP = 0.4
# A colour difference (Lab) across the outline that counts as full contrast.
_FULL_CONTRAST = 40.0
# Mean colour difference (Lab) to the median colour at which a region looks like two objects.
_SPREAD = 25.0
# A region of this share of the image counts half for its size.
_SMALL = 0.015
_FAR = np.float32(1e6)
_BINS = 12
# Of the colour histogram: the Lab value of its first cell, and its cells per Lab unit.
_LAB_START = np.array([0, -60, -60], np.float32)
_CELLS_PER_LAB = np.array([0.12, 0.1, 0.1], np.float32)
# Lightness counts less where regions are of one hue.
_HUE_WEIGHTS = np.array([0.5, 1.3, 1.3], np.float32)
# Times that the best region may spread to what has its colours.
_REGROWTHS = 3


@dataclass(frozen=True)
class ColorField:
    """A small image, prepared for proposals. rgb: [h, w, 3] uint8."""

    rgb: NDArray[np.uint8]

    @cached_property
    def lab(self) -> FloatMap:
        """[h, w, 3] float32, CIE Lab: L 0..100, a and b about -127..127."""
        lab = cv2.cvtColor(self.rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
        return lab.astype(np.float32, copy=False)

    @cached_property
    def smooth(self) -> FloatMap:
        """Lab without fine texture, edges kept."""
        return cv2.bilateralFilter(self.lab, 5, 12.0, 2.0).astype(np.float32, copy=False)

    @cached_property
    def bins(self) -> NDArray[np.intp]:
        """[h, w] index of each pixel's cell in a colour histogram of _BINS cells a side."""
        scaled = (self.lab - _LAB_START) * _CELLS_PER_LAB
        cells = np.clip(scaled, 0, _BINS - 1).astype(np.intp)
        return (cells[..., 0] * _BINS + cells[..., 1]) * _BINS + cells[..., 2]


def geodesic(lab: FloatMap, seeds: BoolMap) -> FloatMap:
    """Length of the cheapest path from any seed to each pixel, a step costing its colour change.

    lab: [h, w, 3] float32. seeds: [h, w]. Returns [h, w] float32, 0 at the seeds, about 1e6
    everywhere if there are none. Raster sweeps until nothing changes (Toivanen 1996).
    """
    distance = np.where(seeds, np.float32(0), _FAR)
    steps = (
        np.linalg.norm(lab[1:] - lab[:-1], axis=2) + _STEP,
        np.linalg.norm(lab[:, 1:] - lab[:, :-1], axis=2) + _STEP,
        np.linalg.norm(lab[1:, 1:] - lab[:-1, :-1], axis=2) + 1.4 * _STEP,
        np.linalg.norm(lab[1:, :-1] - lab[:-1, 1:], axis=2) + 1.4 * _STEP,
    )
    # Winding paths need another round each; what is left after twelve does not matter.
    for _ in range(12):
        before = distance.copy()
        _sweep(distance, steps)
        if np.array_equal(before, distance):
            break
    return distance


def _sweep(distance: FloatMap, steps: tuple[FloatMap, ...]) -> None:
    """One pass of path costs down, up, right and left, in place."""
    down, right, falling, rising = steps
    height, width = distance.shape
    rows = [(y, y - 1, y - 1) for y in range(1, height)]
    rows += [(y, y + 1, y) for y in range(height - 2, -1, -1)]
    for y, source, edge in rows:
        row, other = distance[y], distance[source]
        from_left, from_right = (falling, rising) if source < y else (rising, falling)
        np.minimum(row, other + down[edge], out=row)
        np.minimum(row[1:], other[:-1] + from_left[edge], out=row[1:])
        np.minimum(row[:-1], other[1:] + from_right[edge], out=row[:-1])
    columns = [(x, x - 1, x - 1) for x in range(1, width)]
    columns += [(x, x + 1, x) for x in range(width - 2, -1, -1)]
    for x, source, edge in columns:
        column = distance[:, x]
        np.minimum(column, distance[:, source] + right[:, edge], out=column)


def seed_map(shape: tuple[int, int], clicks: Sequence[Pixel], radius: int = 0) -> BoolMap:
    """[h, w] bool, discs of a radius in pixels around the clicks (only the pixel for 0)."""
    seeds = np.zeros(shape, np.uint8)
    for click in clicks:
        cv2.circle(seeds, click, radius, 1, -1)
    return seeds > 0


def keep_components(mask: BoolMap, marks: BoolMap) -> BoolMap:
    """The 4-connected parts of a mask that hold at least one marked pixel. Both [h, w]."""
    count, labels = number_parts(mask, connectivity=4)
    kept = np.zeros(count, bool)
    kept[labels[marks]] = True
    kept[0] = False
    return kept[labels]


def fill_small_holes(mask: BoolMap, share: float, barred: BoolMap) -> BoolMap:
    """Fill enclosed holes smaller than a share of the mask's area that hold no barred pixel."""
    labels, areas = label_parts(~mask, connectivity=4)
    fill = areas < share * mask.sum()
    outline = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    fill[outline] = False
    fill[labels[barred]] = False
    fill[0] = False
    return mask | fill[labels]


def _bounds(mask: BoolMap, margin: int) -> tuple[slice, slice]:
    """The smallest window around a mask, and a margin in pixels; empty for an empty mask."""
    slices = []
    for axis in (1, 0):
        used = np.flatnonzero(mask.any(axis=axis))
        first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
        slices.append(slice(max(0, first - margin), last + margin))
    return slices[0], slices[1]


def outline_contrast(lab: FloatMap, mask: BoolMap) -> FloatMap:
    """Colour difference between the two sides of a mask's outline, 0..1, at each outline pixel.

    lab: [h, w, 3]. mask: [h, w]. Returns [n] float32; n is 0 where the mask has no outline inside
    the image.
    """
    window = _bounds(mask, 8)
    lab, mask = lab[window], mask[window]
    inside = mask.astype(np.float32)
    share = cv2.blur(inside, (7, 7))[..., None]
    near = cv2.blur(lab * inside[..., None], (7, 7)) / np.maximum(share, 1e-3)
    around = cv2.blur(lab * (1 - inside)[..., None], (7, 7)) / np.maximum(1 - share, 1e-3)
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    difference = (near - around)[grown & ~mask]
    return np.minimum(np.linalg.norm(difference, axis=1) / _FULL_CONTRAST, 1.0)


def objectness(lab: FloatMap, mask: BoolMap) -> float:
    """How much a region looks like an object: 0 (not at all) to 1. lab: [h, w, 3]; mask: [h, w].

    A strong outline that is closed (the weakest fifth counts too), little of it cut off by the
    image's edge, a compact shape, no mixture of colours, neither a speck nor most of the picture.
    """
    area = float(mask.mean())
    contrast = outline_contrast(lab, mask)
    if len(contrast) == 0:
        return 0.0
    strength = 0.6 * float(contrast.mean()) + 0.4 * float(np.quantile(contrast, 0.2))
    cut_off = sum(int(edge.sum()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    whole = len(contrast) / (len(contrast) + cut_off)
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    hull = sum(cv2.contourArea(cv2.convexHull(outline)) for outline in outlines)
    compact = min(1.0, float(mask.sum()) / max(hull, 1.0))
    size = area / (area + _SMALL) * (1.0 - max(0.0, area - 0.4))
    colors = lab[mask]
    spread = float(np.linalg.norm(colors - np.median(colors, axis=0), axis=1).mean())
    return strength * whole * compact**0.7 * size / (1.0 + (spread / _SPREAD) ** 2)


def _threshold_regions(field: ColorField, clicks: Sequence[Pixel]) -> Iterator[BoolMap]:
    """Regions of growing area: near by path cost, similar in colour, similar in hue."""
    shape = field.lab.shape[:2]
    around = seed_map(shape, clicks, 2)
    offset = field.smooth - np.median(field.smooth[around], axis=0)
    distances = (
        geodesic(field.smooth, seed_map(shape, clicks)),
        np.linalg.norm(offset, axis=2),
        np.linalg.norm(offset * _HUE_WEIGHTS, axis=2),
    )
    for distance in distances:
        for limit in np.quantile(distance, _AREAS):
            yield (distance <= limit) | around


def _histogram_regions(field: ColorField, clicks: Sequence[Pixel]) -> Iterator[BoolMap]:
    """Regions whose colours are commoner inside than outside, started from discs of many radii."""
    shape = field.lab.shape[:2]
    around = seed_map(shape, clicks, 2)
    away = _distance_to(seed_map(shape, clicks))
    for share in _RADII:
        radius = share * float(np.hypot(*shape))
        nearness = np.clip((1.6 * radius - away) / (0.5 * radius), -3.0, 1.5)
        yield _recolor(field, away < radius, nearness, around)


def _regrown(field: ColorField, region: BoolMap, around: BoolMap) -> BoolMap:
    """A region, spread to what has its colours and lies no farther off than half its own size."""
    reach = 0.25 * float(np.sqrt(max(1, region.sum())))
    nearness = np.clip(1.0 - _distance_to(region) / reach, -3.0, 0.5)
    return _recolor(field, region, nearness, around)


def _recolor(field: ColorField, region: BoolMap, nearness: FloatMap, around: BoolMap) -> BoolMap:
    """Let the colours inside and outside a region compete for each pixel, three times over.

    nearness: [h, w], what is added to the log ratio of the two. around: pixels that stay inside.
    """
    for _ in range(3):
        ratio = np.clip(_log_ratio(field.bins, region), -4.0, 4.0) + nearness
        likely = cv2.GaussianBlur(ratio.astype(np.float32), (0, 0), 1.2) > 0
        region = keep_components(likely | around, around)
    return region


def _distance_to(region: BoolMap) -> FloatMap:
    """Pixels from each pixel to the nearest one of a region: [h, w] float32."""
    outside = (~region).astype(np.uint8)
    away = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return away.astype(np.float32, copy=False)


def _log_ratio(bins: NDArray[np.intp], region: BoolMap) -> FloatMap:
    """Log of how much commoner each pixel's colour is inside a region than outside: [h, w]."""
    shares = []
    for pixels in (bins[region], bins[~region]):
        histogram = np.bincount(pixels, minlength=_BINS**3).astype(np.float32)
        histogram = histogram.reshape(_BINS, _BINS, _BINS)
        for axis in range(3):
            sides = np.roll(histogram, 1, axis) + np.roll(histogram, -1, axis)
            histogram = (sides + 2 * histogram) / 4
        shares.append(histogram.ravel() / max(float(histogram.sum()), 1.0) + 1e-5)
    return np.log(shares[0] / shares[1])[bins]


def _variants(region: BoolMap, marks: BoolMap, barred: BoolMap) -> Iterator[BoolMap]:
    """The clicked part of a region, with thin bridges cut at several widths, specks filled."""
    clicked = keep_components((region | marks) & ~barred, marks)
    for radius in _OPENINGS:
        side = 2 * radius + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        opened = cv2.morphologyEx(clicked.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
        part = keep_components((opened | marks) & ~barred, marks)
        yield fill_small_holes(part, HOLE_SHARE, barred)


def propose(field: ColorField, clicks: Sequence[Pixel], barred: BoolMap) -> BoolMap:
    """The region around the clicks that looks most like an object.

    clicks: pixels of the field, at least one. barred: [h, w], never part of the answer. Returns
    [h, w] bool; every connected part holds a click that is not barred.
    """
    marks = seed_map(barred.shape, clicks, 1) & ~barred
    rated: dict[bytes, tuple[float, BoolMap]] = {b"": (-1.0, marks)}
    for region in _threshold_regions(field, clicks):
        _rate(field, region, marks, barred, rated)
    for region in _histogram_regions(field, clicks):
        _rate(field, region, marks, barred, rated)
    for _ in range(_REGROWTHS):
        _, best = max(rated.values(), key=_rating)
        _rate(field, _regrown(field, best, marks), marks, barred, rated)
    return max(rated.values(), key=_rating)[1]


def _rating(entry: tuple[float, BoolMap]) -> float:
    return entry[0]


def _rate(
    field: ColorField,
    region: BoolMap,
    marks: BoolMap,
    barred: BoolMap,
    rated: dict[bytes, tuple[float, BoolMap]],
) -> None:
    """Add the variants of a region and their ratings to those known, each only once."""
    for variant in _variants(region, marks, barred):
        key = np.packbits(variant).tobytes()
        if key not in rated:
            rated[key] = (objectness(field.lab, variant), variant)
