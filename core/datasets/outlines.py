"""Masks as polygons that give the mask back when they are filled.

Three kinds of programs fill polygons, and none agrees with another about the border. pycocotools
asks for each pixel's centre whether it is inside. OpenCV and Pillow, and with them ultralytics,
LabelMe and supervision, make whole pixels of the corners, some by rounding and some by cutting off,
and fill the border too. `Raster` says for whom an outline is.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ..results.compact_mask import INSIDE, CompactMask

Polygon = NDArray[np.float64]
"""[N, 2] x, y in pixels of the image, N from 3 up; the last point leads back to the first."""


class Raster(Enum):
    """What fills the polygons.

    Pixel i reaches from i to i + 1. The two numbers of each are what the outline's place on its
    near and on its far side becomes, counted from i.
    """

    CENTRES = (0.0, 1.0)
    PIXELS = (0.1, 0.4)


def outlines(mask: CompactMask, raster: Raster, simplify: float = 0.0) -> list[Polygon]:
    """The outline of each connected part of a mask, its holes cut out through a seam of no width.

    Pixels count from 128 up; those that touch at a corner are connected. simplify: how far in
    pixels the outline may leave the true one (Douglas and Peucker, 1973); 0 keeps every corner, and
    filling the polygons gives exactly the mask. An empty mask has none.
    """
    import cv2

    inside = (mask.crop().numpy() >= INSIDE).view(np.uint8)
    # At twice the size the two sides of a pixel are two pixels, and a single one has an outline.
    doubled = inside.repeat(2, axis=0).repeat(2, axis=1)
    found, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [ring[:, 0] for ring in found]
    holes: dict[int, list[NDArray]] = {}
    for place, ring in enumerate(rings):
        holes.setdefault(int(tree[0][place][3]), []).append(ring)
    polygons = []
    for place, ring in enumerate(rings):
        if tree[0][place][3] < 0:
            arcs = _arcs(ring, holes.get(place, ()), doubled)
            polygons.append(_polygon(arcs, raster, simplify) + (mask.left, mask.top))
    return polygons


def joined(polygons: Sequence[Polygon]) -> Polygon:
    """Polygons as one, the largest first, joined by seams of no width; there is at least one."""
    first, *others = sorted(polygons, key=len, reverse=True)
    path = first
    for other in others:
        at = _nearest(path, other[0])
        turned = np.roll(other, -_nearest(other, path[at]), axis=0)
        path = np.concatenate((path[: at + 1], turned, turned[:1], path[at:]))
    return path


def _arcs(ring: NDArray, holes: Sequence[NDArray], doubled: NDArray[np.uint8]) -> list[NDArray]:
    """A ring of pixels with its holes, as pieces that end where a seam begins or ends.

    The seam goes from a hole's leftmost pixel to the left, inside the object, as far as the next
    ring. That one reaches further left, so that in this order it is in the path already.
    """
    path, ends = ring, np.zeros(len(ring), bool)
    for hole in sorted(holes, key=lambda hole: hole[:, 0].min()):
        turned = np.roll(hole, -int(hole[:, 0].argmin()), axis=0)
        x, y = turned[0]
        outside = np.flatnonzero(doubled[y, :x] == 0)
        left = outside[-1] + 1 if outside.size else 0
        at = int(np.flatnonzero((path == (left, y)).all(axis=1))[0])
        path = np.concatenate((path[: at + 1], turned, turned[:1], path[at:]))
        marks = np.zeros(len(turned) + 1, bool)
        marks[[0, -1]] = ends[at] = True
        ends = np.concatenate((ends[: at + 1], marks, ends[at:]))
    first = int(ends.argmax())
    path = np.concatenate((np.roll(path, -first, axis=0), path[first : first + 1]))
    cuts = [0, *np.flatnonzero(np.roll(ends, -first)[1:]) + 1, len(path) - 1]
    return [path[start : stop + 1] for start, stop in zip(cuts, cuts[1:], strict=False)]


def _polygon(arcs: Sequence[NDArray], raster: Raster, simplify: float) -> Polygon:
    near, far = raster.value
    corners = [_corners(arc) for arc in arcs]
    exact = [_distinct(arc // 2 + np.where(arc % 2, far, near)) for arc in corners]
    simple = [_simplified(arc, simplify) for arc in exact] if simplify else exact
    # What is smaller than that would be a line.
    kept = simple if sum(len(arc) - 1 for arc in simple) >= 3 else exact
    return np.concatenate([arc[:-1] for arc in kept])


def _corners(arc: NDArray) -> NDArray:
    """A chain of neighbouring pixels without those where it goes straight on."""
    steps = np.diff(arc, axis=0)
    turns = (steps[1:] != steps[:-1]).any(axis=1)
    return arc[np.concatenate(([True], turns, [True]))] if len(arc) > 2 else arc


def _distinct(points: NDArray) -> NDArray:
    """A chain without the points that are where the one before them is."""
    moved = (points[1:] != points[:-1]).any(axis=1)
    return points[np.concatenate(([True], moved))]


def _simplified(points: NDArray, tolerance: float) -> NDArray:
    """The fewest of a chain's points that Douglas and Peucker's way needs; both ends stay."""
    kept = np.zeros(len(points), bool)
    kept[[0, -1]] = True
    open_spans = [(0, len(points) - 1)]
    while open_spans:
        start, stop = open_spans.pop()
        if stop - start < 2:
            continue
        distances = _distances(points[start + 1 : stop], points[start], points[stop])
        if distances.max() > tolerance:
            farthest = start + 1 + int(distances.argmax())
            kept[farthest] = True
            open_spans += [(start, farthest), (farthest, stop)]
    return points[kept]


def _distances(points: NDArray, start: NDArray, stop: NDArray) -> NDArray:
    """Of points from the straight piece between two others."""
    chord, offsets = stop - start, points - start
    length = float(chord @ chord)
    along = (offsets @ chord / length).clip(0, 1) if length else np.zeros(len(points))
    return np.linalg.norm(offsets - along[:, None] * chord, axis=1)


def _nearest(points: Polygon, point: NDArray) -> int:
    return int(((points - point) ** 2).sum(axis=1).argmin())
