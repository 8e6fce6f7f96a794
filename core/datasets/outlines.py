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

from ..opencv import cv2
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
    """Polygons as one, the others joined to the largest by seams of no width; at least one."""
    first, *others = sorted(polygons, key=len, reverse=True)
    seams = []
    for other in others:
        at = _nearest(first, other[0])
        turned = np.roll(other, -_nearest(other, first[at]), axis=0)
        seams.append((at, np.concatenate((turned, turned[:1], first[at : at + 1]))))
    pieces, start = [], 0
    for at, seam in sorted(seams, key=lambda seam: seam[0]):
        pieces += [first[start : at + 1], seam]
        start = at + 1
    return np.concatenate([*pieces, first[start:]])


def _arcs(ring: NDArray, holes: Sequence[NDArray], doubled: NDArray[np.uint8]) -> list[NDArray]:
    """A ring of pixels with its holes as one closed way, in pieces that end at the seams."""
    rings = [ring, *(np.roll(hole, -int(hole[:, 0].argmin()), axis=0) for hole in holes)]
    seams = _seams(rings, doubled)
    arcs: list[NDArray] = []
    # What is still to be walked, the next last: pieces, and numbers of rings.
    ahead: list[NDArray | int] = [0]
    while ahead:
        item = ahead.pop()
        if isinstance(item, int):
            ahead += reversed(_way_round(item, rings, seams[item]))
        else:
            arcs.append(item)
    return arcs


def _way_round(
    number: int, rings: Sequence[NDArray], seams: Sequence[tuple[int, int]]
) -> list[NDArray | int]:
    """Once around a ring, and where a seam begins along it to that hole and back."""
    closed = np.concatenate((rings[number], rings[number][:1]))
    way: list[NDArray | int] = []
    start = 0
    for at, hole in sorted(seams):
        seam = np.stack((closed[at], rings[hole][0]))
        way += [closed[start : at + 1], seam, hole, seam[::-1]]
        start = at
    return [*way, closed[start:]]


def _seams(rings: Sequence[NDArray], doubled: NDArray[np.uint8]) -> list[list[tuple[int, int]]]:
    """Of each ring, the places where seams begin, with the numbers of the holes they lead to.

    A hole's ring begins with its leftmost pixel. From there the seam goes to the left, inside the
    object, as far as the next ring, which reaches further left: no way leads in a circle.
    """
    lengths = [len(ring) for ring in rings]
    points, owners = np.concatenate(rings), np.repeat(np.arange(len(rings)), lengths)
    firsts = np.cumsum([0, *lengths])
    width = doubled.shape[1]
    keys = points[:, 1].astype(np.int64) * width + points[:, 0]
    leftmost = np.array([ring[:, 0].min() for ring in rings])
    # Where rings share a pixel, the one that reaches furthest left comes first.
    order = np.lexsort((leftmost[owners], keys))
    ranked = keys[order]
    seams: list[list[tuple[int, int]]] = [[] for _ in rings]
    for number in range(1, len(rings)):
        x, y = rings[number][0].tolist()
        outside = np.flatnonzero(doubled[y, :x] == 0)
        left = int(outside[-1]) + 1 if outside.size else 0
        point = int(order[np.searchsorted(ranked, y * width + left)])
        owner = int(owners[point])
        seams[owner].append((point - int(firsts[owner]), number))
    return seams


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
