"""How far masks cover each other: areas counted in packed bits, contours by their distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import opencv
from ..opencv import cv2
from .compact_mask import INSIDE, CompactMask

# How far two contours may lie apart and still agree, as a share of the image's diagonal: DAVIS
# (Perazzi et al., 2016).
TOLERANCE = 0.008


@dataclass(frozen=True)
class Bits:
    """The inside of a mask, one bit a pixel, on a grid that all masks of an image share.

    top, left: where `packed` begins, in rows and in bytes of eight columns. packed: [h, w] uint8.
    pixels: how many are inside.
    """

    top: int
    left: int
    packed: NDArray[np.uint8]
    pixels: int

    @property
    def bottom(self) -> int:
        return self.top + self.packed.shape[0]

    @property
    def right(self) -> int:
        return self.left + self.packed.shape[1]

    def part(self, top: int, left: int, bottom: int, right: int) -> NDArray[np.uint8]:
        """The bits of a rectangle within its own, in rows and in bytes."""
        rows = slice(top - self.top, bottom - self.top)
        return self.packed[rows, left - self.left : right - self.left]


def pack(mask: CompactMask) -> Bits:
    """The pixels of a mask from 128 up, in bits."""
    before = mask.left % 8
    inside = np.pad(mask.crop().numpy() >= INSIDE, ((0, 0), (before, 0)))
    packed = np.packbits(inside, axis=1)
    return Bits(mask.top, mask.left // 8, packed, _ones(packed))


def unite(masks: Sequence[Bits], size: tuple[int, int]) -> Bits:
    """The union of masks of one image of (H, W), over the whole image."""
    packed = np.zeros((size[0], -(-size[1] // 8)), np.uint8)
    for mask in masks:
        packed[mask.top : mask.bottom, mask.left : mask.right] |= mask.packed
    return Bits(0, 0, packed, _ones(packed))


def shared_pixels(one: Bits, other: Bits) -> int:
    """How many pixels are inside both of two masks of one image."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom, right = min(one.bottom, other.bottom), min(one.right, other.right)
    if top >= bottom or left >= right:
        return 0
    return _ones(one.part(top, left, bottom, right) & other.part(top, left, bottom, right))


def overlap(one: Bits, other: Bits, at_least: float = 0.0) -> float:
    """Intersection over union (Jaccard), 0..1; 0 where it cannot reach `at_least`, uncounted.

    Two empty masks agree: 1.
    """
    total = one.pixels + other.pixels
    most = min(one.pixels, other.pixels)
    if total and most < at_least * (total - most):
        return 0.0
    shared = shared_pixels(one, other)
    return ratio(shared, total - shared)


def ratio(shared: int, covered: int) -> float:
    """Pixels in both of those in either, 0..1; 1 where there are none, for nothing is nothing."""
    return shared / covered if covered else 1.0


def boundary_f(one: CompactMask, other: CompactMask) -> float:
    """How well the contours of two masks of one image agree, 0..1, the F-measure of DAVIS.

    Precision and recall are the shares of either's contour that lies within the tolerance of the
    other's, in whole pixels, rounded up. The image's border is no contour. Two masks without any
    contour agree: 1.
    """
    area = _common_area(one, other)
    reach = math.ceil(TOLERANCE * math.hypot(*one.size))
    first, second = (_numbers(_contour(_inside(mask, area)), reach) for mask in (one, other))
    if not (len(first) and len(second)):
        return 0.0 if len(first) or len(second) else 1.0
    stride = area[1].stop - area[1].start + reach
    precision = _near(first, second, stride, reach)
    recall = _near(second, first, stride, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _common_area(one: CompactMask, other: CompactMask) -> tuple[slice, slice]:
    """The rectangle around both masks, with the one pixel around it that a contour may take."""
    top, left = min(one.top, other.top), min(one.left, other.left)
    bottom, right = max(one.bottom, other.bottom), max(one.right, other.right)
    height, width = one.size
    rows = slice(max(0, top - 1), min(height, bottom + 1))
    return rows, slice(max(0, left - 1), min(width, right + 1))


def _inside(mask: CompactMask, area: tuple[slice, slice]) -> NDArray[np.bool_]:
    """The part of a mask in a rectangle around it."""
    rows, columns = area
    inside = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    top, left = mask.top - rows.start, mask.left - columns.start
    crop = mask.crop().numpy() >= INSIDE
    inside[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return inside


def _contour(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that differ from the next one to the right, below or across: [H, W], one pixel wide.

    As DAVIS draws contours, so that scores can be compared with published ones.
    """
    contour = np.zeros_like(inside)
    contour[:, :-1] |= inside[:, :-1] != inside[:, 1:]
    contour[:-1] |= inside[:-1] != inside[1:]
    contour[:-1, :-1] |= inside[:-1, :-1] != inside[1:, 1:]
    return contour


def _numbers(contour: NDArray[np.bool_], reach: int) -> NDArray[np.int64]:
    """The pixels of a contour, numbered row by row, in rising order.

    Between the last number of a row and the first of the next, `reach` are left out, so that what
    is within reach of a pixel in its row is never in another row.
    """
    numbers = np.flatnonzero(contour)
    return numbers + numbers // contour.shape[1] * reach


def _near(contour: NDArray[np.int64], other: NDArray[np.int64], stride: int, reach: int) -> float:
    """The share of a contour that lies within so many pixels of another.

    contour, other: numbers of pixels, a row's being `stride` after those of the row above. Row by
    row of a disc around each pixel, the middle first, where most find a neighbour. A distance
    transform gives the same and takes longer, for it looks at every pixel between.
    """
    targets = np.append(other, np.iinfo(np.int64).max)
    lonely = contour
    for down in sorted(range(-reach, reach + 1), key=abs):
        half = math.isqrt(reach**2 - down**2)
        first = lonely + (down * stride - half)
        nearest = targets[np.searchsorted(targets, first)]
        lonely = lonely[nearest > first + 2 * half]
        if not len(lonely):
            break
    return 1 - len(lonely) / len(contour)


def _ones(packed: NDArray[np.uint8]) -> int:
    if not opencv.is_there():
        return int(np.count_nonzero(np.unpackbits(packed)))
    return int(cv2.norm(packed, cv2.NORM_HAMMING)) if packed.size else 0
