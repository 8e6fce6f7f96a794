"""Exact Euclidean distance to the contour of a mask, and moving and softening that contour by it.

The contour of a mask runs between pixel centres. A mask with hard edges is one shape; a soft mask
is a stack of shapes, one for each level of selection, and every operation acts on each of them, so
that a soft edge keeps its profile.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..opencv import cv2
from ..tensors import row_bands, uses_opencv
from .filters import box_blur, gaussian_blur

# An antialiased edge is one pixel wide; what is wider on the average counts as soft.
_HARD_WIDTH = 1.5
_SOFT_LEVELS = (1 / 32, 1 / 3, 2 / 3, 31 / 32)
_HARD_LEVEL = 0.5
_STEP_SIGMA = 1.0
# Distances that far beyond a ramp still have a share in it.
_STEP_RADIUS = 4
# Pixels between two levels of a ramp beyond which it is taken for an even area.
_LEVEL_REACH = 64
# Up to this reach, in pixels, a step for every pixel takes less time than OpenCV's transform.
_NEAR = 48


def move_contour(mask: Tensor, amount: float, width: float = 1.0) -> Tensor:
    """Move the contour of a mask outwards (negative: inwards) and make it a ramp.

    mask: [H, W] float32, 0..1, with hard or antialiased edges; `move_levels` is for soft ones.
    amount: pixels, fractions allowed. width: of the linear ramp across the contour, in pixels, 1
    (an antialiased edge) or more. Returns [H, W] float32, 0..1, on the mask's device. The image's
    border is no contour: a shape that reaches it is taken to go on outside.
    """
    field = signed_distance(mask, _HARD_LEVEL, _reach(amount, width))
    if width > 1.0:
        field = _without_steps(field, mask)
    for rows in row_bands(field):
        field[rows].mul_(1.0 / width).add_(amount / width + 0.5).clamp_(0.0, 1.0)
    return field


def _reach(amount: float, width: float) -> int:
    """How far from the contour distances matter, in pixels."""
    beyond = _STEP_RADIUS if width > 1.0 else 1
    return math.ceil(abs(amount) + width / 2.0) + beyond


def _without_steps(field: Tensor, mask: Tensor) -> Tensor:
    """Take the steps of the pixel grid out of a distance field, which a wide ramp would show.

    On the contour itself antialiased pixels know better where it runs; the rest is averaged over
    neighbours, which leaves straight edges alone.
    """
    for rows in row_bands(field):
        distance = mask[rows] - 0.5
        antialiased = distance.abs().lt_(0.5)
        field[rows].lerp_(distance, antialiased)
    return gaussian_blur(field, _STEP_SIGMA)


def move_levels(mask: Tensor, amount: float, width: float = 1.0) -> Tensor:
    """As `move_contour` for a soft mask: each level is moved, and what is softer stays so.

    Between two levels the mask is interpolated by distance. What few levels cannot describe (the
    difference between the mask and its description) stays where it is, except where the moved mask
    is quite inside or outside.
    """
    reach = _reach(amount, width) + _LEVEL_REACH
    moved, still = torch.zeros_like(mask), torch.zeros_like(mask)
    outer = signed_distance(mask, _SOFT_LEVELS[0], reach)
    share = 1.0 / (len(_SOFT_LEVELS) - 1)
    for level in _SOFT_LEVELS[1:]:
        inner = signed_distance(mask, level, reach)
        for rows in row_bands(mask, channels=4):
            middle = (outer[rows] + inner[rows]).mul_(0.5)
            gap = outer[rows] - inner[rows]
            still[rows] += _ramp(middle, gap.clamp(min=1.0)).mul_(share)
            moved[rows] += _ramp(middle.add_(amount), gap.clamp_(min=width)).mul_(share)
        outer = inner
    for rows in row_bands(mask):
        openness = (moved[rows] * (1.0 - moved[rows])).mul_(8.0).clamp_(max=1.0)
        moved[rows].addcmul_(mask[rows] - still[rows], openness).clamp_(0.0, 1.0)
    return moved


def _ramp(distance: Tensor, width: Tensor) -> Tensor:
    """1 inside, 0 outside, and a linear ramp of the given width across the contour."""
    return distance.div(width).add_(0.5).clamp_(0.0, 1.0)


def signed_distance(mask: Tensor, level: float, reach: int) -> Tensor:
    """Distance of every pixel centre to the contour of a shape, in pixels, positive inside.

    mask: [H, W] float32; the shape is where it is at least level. Exact (Euclidean, to the nearest
    pixel of the shape's rim, which lies half a pixel inside the contour) up to `reach`; farther
    away it is at least that. Returns [H, W] float32.
    """
    rim = _rim(mask, level)
    if uses_opencv(mask) and reach > _NEAR:
        distance = _distance_opencv(rim)
    else:
        distance = _distance_torch(rim, reach)
    for rows in row_bands(distance):
        distance[rows].clamp_(max=reach + 1.0).copysign_(mask[rows] - level).add_(0.5)
    return distance


def _rim(mask: Tensor, level: float) -> Tensor:
    """Pixels of a shape with a neighbour outside of it; the border is none: [H, W] bool."""
    if not uses_opencv(mask):
        inside = mask >= level
        return inside & ~_eroded(inside)
    inside = (mask.numpy() >= np.float32(level)).view(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    core = cv2.erode(inside, cross, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return torch.from_numpy(inside != core)


def _eroded(inside: Tensor) -> Tensor:
    """Pixels whose four neighbours are inside too; beyond the border counts as inside."""
    padded = F.pad(inside[None], (1, 1, 1, 1), value=True)[0]
    vertical = padded[:-2, 1:-1] & padded[2:, 1:-1]
    horizontal = padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & vertical & horizontal


def _distance_opencv(rim: Tensor) -> Tensor:
    """Distance to the nearest rim pixel, infinite without any; in a time that is always the same.

    rim: [H, W] bool. Returns [H, W] float32.
    """
    # Without a zero OpenCV's answer is undefined.
    if not rim.any():
        return torch.full(rim.shape, math.inf)
    elsewhere = (rim.numpy() == 0).view(np.uint8)
    distance = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return torch.from_numpy(distance)


def _distance_torch(rim: Tensor, reach: int) -> Tensor:
    """The same up to reach, with tensor operations alone, in a time that grows with reach.

    The transform is separable (Felzenszwalb and Huttenlocher, 2012): the squared distance is the
    least of (distance within column x')^2 + (x - x')^2, here over all x' within reach.
    """
    # Squares and their sums fit in 16 bits as long as they can: half the memory to go through.
    integers = torch.int16 if reach <= _NEAR else torch.int32
    column = (~rim).to(integers).mul_(reach + 1)
    step = 1
    while step <= reach:
        _lower(column, column + step, step, dim=0)
        step *= 2
    squared = column.mul_(column)
    nearest = squared.clone()
    for rows in row_bands(squared):
        for step in range(1, min(reach, rim.shape[1] - 1) + 1):
            _lower(nearest[rows], squared[rows] + step * step, step, dim=1)
    return nearest.float().sqrt_()


def _lower(values: Tensor, others: Tensor, step: int, dim: int) -> None:
    """Lower values to those of others that are step away on either side, in place."""
    length = values.shape[dim] - step
    if length <= 0:
        return
    for here, there in ((step, 0), (0, step)):
        part = values.narrow(dim, here, length)
        torch.minimum(part, others.narrow(dim, there, length), out=part)


def is_soft(mask: Tensor) -> bool:
    """Whether the edges of a mask are wider than antialiased ones: [H, W] float32, 0..1."""
    return edge_width(mask) > _HARD_WIDTH


def edge_width(mask: Tensor) -> float:
    """The mean width of a mask's edges in pixels: about 1 for antialiased ones, 0 for hard ones.

    mask: [H, W] float32, 0..1. A linear ramp of width w holds m(1 - m) of w / 6 per pixel of
    contour, and the length of the contours, averaged over the levels, is the integral of the
    gradient (coarea formula).
    """
    softness = sum((mask[rows] * (1.0 - mask[rows])).sum().item() for rows in row_bands(mask))
    if softness == 0.0:
        return 0.0
    # Each band with the first row of the next, for the gradient across.
    bands = [slice(rows.start, rows.stop + 1) for rows in row_bands(mask)]
    length = sum(_gradient(mask[rows])[: rows.stop - rows.start - 1].sum().item() for rows in bands)
    return 6.0 * softness / max(length, 1e-6)


def edge_width_map(mask: Tensor, radius: int) -> Tensor:
    """The width of a soft mask's edges around every pixel, at least 1: [H, W] float32.

    radius: of the windows it is measured in, in pixels.
    """
    length = box_blur(_gradient(mask), radius).add_(1e-6)
    softness = box_blur((1.0 - mask).mul_(mask), radius).mul_(6.0)
    return softness.div_(length).clamp_(min=1.0)


def _gradient(mask: Tensor) -> Tensor:
    """The length of the gradient, from forward differences: [H, W]."""
    squared = torch.zeros_like(mask)
    squared[:, :-1] = (mask[:, 1:] - mask[:, :-1]).square_()
    for rows in row_bands(mask[:-1]):
        below = mask[rows.start + 1 : rows.stop + 1]
        squared[rows] += (below - mask[rows]).square_()
    return squared.sqrt_()
