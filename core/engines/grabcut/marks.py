"""Turns the prompts of one object into a rough region and certain parts, for GrabCut to refine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...opencv import cv2
from ...prompts.prompts import Box, ObjectPrompt, Point
from .regions import BoolMap, ColorField, FloatMap, Pixel, geodesic, propose, seed_map

# Longest side in pixels of the image on which clicks look for their regions.
SEARCH_SIDE = 128
# How far the outline may be wrong, in parts of the square root of the rough region's area. All of a
# box is open.
_REACH_CLICKS, _REACH_MASK, _REACH_BOX = 0.2, 0.15, 2.0

RgbImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Marks:
    """What the prompts say about each pixel, [h, w] bool each.

    rough: probably inside. inside, outside: certain. reach: how many pixels the outline of the
    rough region may be wrong. loose: parts without a click may stay.
    """

    rough: BoolMap
    inside: BoolMap
    outside: BoolMap
    reach: float
    loose: bool

    def crop(self, window: tuple[slice, slice]) -> Marks:
        return replace(
            self,
            rough=self.rough[window],
            inside=self.inside[window],
            outside=self.outside[window],
        )

    def shrink(self, size: tuple[int, int]) -> Marks:
        """The same at a smaller size; a click stays certain however small it gets."""
        inside = resize_area(self.inside, size) > 0
        return replace(
            self,
            rough=(resize_area(self.rough, size) >= 0.5) | inside,
            inside=inside,
            outside=(resize_area(self.outside, size) > 0.5) & ~inside,
            reach=self.reach * max(size) / max(self.rough.shape),
        )


def fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(height, width) scaled down so that the longest side fits; no side below 1."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resize_area(array: NDArray, size: tuple[int, int]) -> FloatMap:
    """[h, w] of any number type -> size, float32, averaged over areas where it shrinks."""
    shrinks = size[0] < array.shape[0] or size[1] < array.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(array.astype(np.float32), (size[1], size[0]), interpolation=method)
    return resized.astype(np.float32, copy=False)


def pixels_of(points: Sequence[Point], old: tuple[int, int], new: tuple[int, int]) -> list[Pixel]:
    """The pixels of a (height, width) image `new` that points of an image `old` fall into."""
    return [
        (
            min(int(int(point.x) * new[1] / old[1]), new[1] - 1),
            min(int(int(point.y) * new[0] / old[0]), new[0] - 1),
        )
        for point in points
    ]


def _box_map(box: Box, old: tuple[int, int], new: tuple[int, int]) -> BoolMap:
    """[h, w] bool, the pixels of `new` inside a box of `old`; at least one."""
    scale_y, scale_x = new[0] / old[0], new[1] / old[1]
    left = min(round(box.x1 * scale_x), new[1] - 1)
    top = min(round(box.y1 * scale_y), new[0] - 1)
    inside = np.zeros(new, bool)
    bottom = max(round(box.y2 * scale_y), top + 1)
    right = max(round(box.x2 * scale_x), left + 1)
    inside[top:bottom, left:right] = True
    return inside


def _union_of_boxes(boxes: Sequence[Box], old: tuple[int, int], new: tuple[int, int]) -> BoolMap:
    union = np.zeros(new, bool)
    for box in boxes:
        union |= _box_map(box, old, new)
    return union


def _mask_map(mask: Tensor, size: tuple[int, int]) -> BoolMap:
    """A mask [H, W], 0..1, at another size: [h, w] bool; if it is all thin lines, they stay."""
    shares = resize_area((mask > 0.5).cpu().numpy(), size)
    return shares > 0.5 * min(1.0, float(shares.max()))


def read_prompt(
    rgb: RgbImage,
    prompt: ObjectPrompt,
    size: tuple[int, int],
    positive: Sequence[Pixel],
    negative: Sequence[Pixel],
) -> Marks:
    """Marks [h, w] for a prompt: a box bounds the object, a mask or the clicks' regions suggest it.

    rgb: [h, w, 3] uint8, the kept image. size: (H, W) of the original, to which the prompt refers.
    positive, negative: the clicks as pixels of the kept image.
    """
    work = rgb.shape[:2]
    limit = np.ones(work, bool) if prompt.box is None else _box_map(prompt.box, size, work)
    barred = _union_of_boxes(prompt.negative_boxes, size, work)
    denied = seed_map(work, negative, max(work) // 160)
    inside = seed_map(work, positive, max(work) // 160) & ~denied & ~barred
    mask = None if prompt.mask is None else _mask_map(prompt.mask, work)
    field = ColorField(shrink_rgb(rgb, fit(work, SEARCH_SIDE)))
    doubtful, denied = _spread_denial(field, inside, denied, limit if mask is None else mask)
    # A click stands for more than its pixel, a box says itself how far it goes.
    doubtful, denied = doubtful | barred, denied | barred
    if mask is None and prompt.box is None:
        rough, reach = _find_regions(field, positive, doubtful, work), _REACH_CLICKS
    elif mask is None:
        rough, reach = limit, _REACH_BOX
    else:
        rough, reach = mask & limit, _REACH_MASK
        missed = [click for click in positive if not mask[click[1], click[0]]]
        if missed and prompt.box is None:
            rough = rough | _find_regions(field, missed, doubtful, work)
    rough = (rough & ~doubtful) | inside
    return Marks(
        rough=rough,
        inside=inside,
        outside=(denied | ~limit) & ~inside,
        loose=prompt.box is not None or mask is not None,
        reach=reach * float(np.sqrt(rough.sum())),
    )


def shrink_rgb(rgb: RgbImage, size: tuple[int, int]) -> RgbImage:
    """[H, W, 3] uint8 -> [h, w, 3] uint8, averaged over areas."""
    resized = cv2.resize(rgb, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return resized.astype(np.uint8, copy=False)


def _spread_denial(
    field: ColorField, inside: BoolMap, denied: BoolMap, likely: BoolMap
) -> tuple[BoolMap, BoolMap]:
    """Grow negative clicks over what is alike: (doubtful, certainly outside), at the marks' size.

    A pixel is doubtful if the cheapest path to a negative click costs less than that to a positive
    one, certainly outside if it costs less than half. Without a positive click the innermost part
    of the likely region stands in.
    """
    work = denied.shape
    if not denied.any():
        return denied, denied
    small = field.lab.shape[:2]
    if not inside.any():
        depth = cv2.distanceTransform(np.pad(likely & ~denied, 1).astype(np.uint8), cv2.DIST_L2, 3)
        inside = (depth >= 0.8 * max(float(depth.max()), 1.0))[1:-1, 1:-1]
    from_denied = geodesic(field.smooth, resize_area(denied, small) > 0)
    from_inside = geodesic(field.smooth, resize_area(inside, small) > 0)
    doubtful = resize_area(from_denied < from_inside, work) > 0.5
    certain = resize_area(from_denied < 0.5 * from_inside, work) > 0.5
    return (doubtful & ~inside) | denied, (certain & ~inside) | denied


def _find_regions(
    field: ColorField, clicks: Sequence[Pixel], barred: BoolMap, work: tuple[int, int]
) -> BoolMap:
    """The union of the regions around each click, [h, w] of the size `work`.

    One click after the other, so that parts of different colours add up; a click on what has been
    found already adds nothing.
    """
    small = field.lab.shape[:2]
    barred = resize_area(barred, small) > 0.5
    found = np.zeros(small, bool)
    for x, y in clicks:
        pixel = (x * small[1] // work[1], y * small[0] // work[0])
        if not found[pixel[1], pixel[0]]:
            found |= propose(field, [pixel], barred)
    return resize_area(found, work) > 0.5


def window_of(marks: Marks) -> tuple[slice, slice]:
    """The part of the image to work on: the rough region and as much again around it."""
    slices = []
    for axis in (0, 1):
        used = np.flatnonzero(marks.rough.any(axis=1 - axis))
        first, last = int(used[0]), int(used[-1]) + 1
        margin = max(12, (last - first) // 2)
        slices.append(slice(max(0, first - margin), last + margin))
    return slices[0], slices[1]
