"""A shape as a field of distances, and what of it an engine is asked with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...opencv import cv2
from ...prompts.prompts import Box, Point

BoolMap = NDArray[np.bool_]
FloatMap = NDArray[np.float32]

REACH = 8.0
"""Distances in a field end here, in pixels: beyond, only the side matters."""
# Smoothing must not take a pixel to the other side: every one keeps its own by at least so much.
_LEAST = 0.1
# Points to ask an engine with, and how deep the others have to be, in parts of the deepest.
_POINTS, _DEPTH = 3, 0.5
# How far the box that an engine gets lies outside the shape: in parts of its sides, and in pixels.
_MARGIN, _LEAST_MARGIN = 0.1, 3.0


def field_of(mask: BoolMap) -> FloatMap:
    """Signed distances to the outline of a mask [h, w], in pixels, -8..8, positive inside.

    [h, w] float32, above 0 where the mask is and nowhere else. The image's border is no outline.
    """
    if mask.all() or not mask.any():
        return np.full(mask.shape, REACH if mask.any() else -REACH, np.float32)
    inner, outer = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (mask, ~mask)
    )
    # The outline runs between the pixels, half a pixel from the centres beside it.
    distance = np.where(mask, inner - 0.5, 0.5 - outer).clip(-REACH, REACH)
    # OpenCV's last digits depend on where in memory a picture lies.
    distance = (np.round(distance * 64) / 64).astype(np.float32)
    smooth = _smooth(_smooth(distance).T).T
    kept = np.where(mask, np.maximum(smooth, _LEAST), np.minimum(smooth, -_LEAST))
    return kept.astype(np.float32, copy=False)


def _smooth(distance: FloatMap) -> FloatMap:
    """Take the steps of a mask's pixels out of its distances, along the rows: a mean of three."""
    padded = np.pad(distance, ((0, 0), (1, 1)), "edge")
    return (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) * np.float32(0.25)


def iou(first: BoolMap, second: BoolMap) -> float:
    """What two masks share, in parts of what either covers; 0 for two empty ones."""
    union = int((first | second).sum())
    return float((first & second).sum()) / union if union else 0.0


def inner_points(mask: BoolMap) -> tuple[Point, ...]:
    """Up to three clicks deep inside a mask [h, w], the deepest first; none for an empty one.

    Each lies outside the largest discs around those before it: they spread over the shape.
    """
    padded = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1].copy()
    deepest = float(depth.max())
    points: list[Point] = []
    while len(points) < _POINTS:
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        radius = float(depth[y, x])
        if radius <= 0 or radius < _DEPTH * deepest:
            break
        points.append(Point(float(x) + 0.5, float(y) + 0.5))
        cv2.circle(depth, (int(x), int(y)), round(radius), 0.0, -1)
    return tuple(points)


def box_around(mask: BoolMap) -> Box:
    """The box of a mask [h, w] that is not empty, somewhat larger, within the image."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom = _grown(int(rows[0]), int(rows[-1]) + 1, mask.shape[0])
    left, right = _grown(int(columns[0]), int(columns[-1]) + 1, mask.shape[1])
    return Box(left, top, right, bottom)


def _grown(first: int, last: int, length: int) -> tuple[float, float]:
    margin = max(_LEAST_MARGIN, _MARGIN * (last - first))
    return max(0.0, first - margin), min(float(length), last + margin)
