"""Exact Euclidean distance to the contour of a mask, and moving and softening that contour by it.

The contour of a mask runs between pixel centres. A mask with hard edges is one shape; a soft mask
is a stack of shapes, one for each level of selection, and every operation acts on each of them, so
that a soft edge keeps its profile.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .filters import box_blur, gaussian_blur
from .tensors import row_bands, uses_opencv

# An antialiased edge is one pixel wide; what is wider on the average counts as soft.
_HARD_WIDTH = 1.5
_SOFT_LEVELS = (1 / 32, 1 / 3, 2 / 3, 31 / 32)
_HARD_LEVEL = 0.5
_STEP_SIGMA = 1.0
# Pixels between two levels of a ramp beyond which it is taken for an even area.
_LEVEL_REACH = 64


def move_contour(mask: Tensor, amount: float, width: float = 1.0) -> Tensor:
    """Move the contour of a mask outwards (negative: inwards) and make it a ramp.

    mask: [H, W] float32, 0..1. amount: pixels, fractions allowed. width: of the linear ramp across
    the contour, in pixels, 1 (an antialiased edge) or more; what is softer already stays so.
    Returns [H, W] float32, 0..1, on the mask's device. The image's border is no contour: a shape
    that reaches it is taken to go on outside. The time does not depend on the amount on the CPU.
    """
    reach = math.ceil(abs(amount) + width) + 1
    if edge_width(mask) > _HARD_WIDTH:
        return _move_levels(mask, amount, width, reach)
    field = signed_distance(mask >= _HARD_LEVEL, reach)
    if width > 1.0:
        field = _without_steps(field, mask)
    for rows in row_bands(field):
        field[rows].sub_(amount).mul_(-1.0 / width).add_(0.5).clamp_(0.0, 1.0)
    return field


def _without_steps(field: Tensor, mask: Tensor) -> Tensor:
    """Take the steps of the pixel grid out of a distance field, which a wide ramp would show.

    On the contour itself antialiased pixels know better where it runs; the rest is averaged over
    neighbours, which leaves straight edges alone.
    """
    for rows in row_bands(field):
        level = mask[rows]
        torch.where((level > 0.0) & (level < 1.0), 0.5 - level, field[rows], out=field[rows])
    return gaussian_blur(field, _STEP_SIGMA)


def _move_levels(mask: Tensor, amount: float, width: float, reach: int) -> Tensor:
    """Move every level of a soft mask; between two levels the mask is interpolated by distance.

    What few levels cannot describe (the difference between the mask and its description) stays
    where it is, except where the moved mask is quite inside or outside.
    """
    reach += _LEVEL_REACH
    moved, still = torch.zeros_like(mask), torch.zeros_like(mask)
    outer = signed_distance(mask >= _SOFT_LEVELS[0], reach)
    share = 1.0 / (len(_SOFT_LEVELS) - 1)
    for level in _SOFT_LEVELS[1:]:
        inner = signed_distance(mask >= level, reach)
        for rows in row_bands(mask):
            middle = (outer[rows] + inner[rows]).mul_(0.5)
            gap = inner[rows] - outer[rows]
            still[rows] += _ramp(middle, gap.clamp(min=1.0)).mul_(share)
            moved[rows] += _ramp(middle.sub_(amount), gap.clamp_(min=width)).mul_(share)
        outer = inner
    for rows in row_bands(mask):
        openness = (moved[rows] * (1.0 - moved[rows])).mul_(8.0).clamp_(max=1.0)
        moved[rows].addcmul_(mask[rows] - still[rows], openness).clamp_(0.0, 1.0)
    return moved


def _ramp(distance: Tensor, width: Tensor) -> Tensor:
    """1 inside, 0 outside, and a linear ramp of the given width across the contour."""
    return distance.div(width).neg_().add_(0.5).clamp_(0.0, 1.0)


def signed_distance(inside: Tensor, reach: int) -> Tensor:
    """Distance of every pixel centre to the contour of a shape, in pixels, negative inside.

    inside: [H, W] bool. Exact (Euclidean, to the nearest pixel of the shape's rim, which lies half
    a pixel inside the contour) up to `reach`; farther away it is at least that. Returns [H, W]
    float32.
    """
    if uses_opencv(inside):
        distance = _rim_distance_opencv(inside)
    else:
        distance = _rim_distance_torch(inside, reach)
    for rows in row_bands(distance):
        sign = inside[rows].float().mul_(-2.0).add_(1.0)
        distance[rows].clamp_(max=reach + 1.0).mul_(sign).sub_(0.5)
    return distance


def _rim_distance_opencv(inside: Tensor) -> Tensor:
    import cv2

    shape = inside.contiguous().view(torch.uint8).numpy()
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    core = cv2.erode(shape, cross, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    elsewhere = cv2.compare(shape, core, cv2.CMP_EQ)
    # Its zeros are the rim. Without one OpenCV's answer is undefined.
    if elsewhere.all():
        return torch.full(inside.shape, math.inf)
    distance = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return torch.from_numpy(distance)


def _rim_distance_torch(inside: Tensor, reach: int) -> Tensor:
    """The same with tensor operations alone: down the columns by scans, then along the rows.

    The transform is separable (Felzenszwalb and Huttenlocher, 2012): the squared distance is the
    least of (squared distance within column x') + (x - x')^2, here over all x' within reach.
    """
    rim = inside & ~_eroded(inside)
    height, width = inside.shape
    far = float(reach + 1)
    row = torch.arange(height, device=inside.device, dtype=torch.float32)[:, None]
    above = torch.where(rim, row, -math.inf).cummax(dim=0).values
    below = torch.where(rim, row, math.inf).flip(0).cummin(dim=0).values.flip(0)
    column = torch.minimum(row - above, below - row).clamp_(max=far).square_()
    nearest = column.clone()
    for step in range(1, min(reach, width - 1) + 1):
        shifted = column + float(step * step)
        right, left = nearest[:, step:], nearest[:, :-step]
        torch.minimum(right, shifted[:, :-step], out=right)
        torch.minimum(left, shifted[:, step:], out=left)
    return nearest.sqrt_()


def _eroded(inside: Tensor) -> Tensor:
    """Pixels whose four neighbours are inside too; beyond the border counts as inside."""
    padded = F.pad(inside[None], (1, 1, 1, 1), value=True)[0]
    vertical = padded[:-2, 1:-1] & padded[2:, 1:-1]
    horizontal = padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & vertical & horizontal


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

    A single 1, [], where the mask is hard. radius: of the windows it is measured in, in pixels.
    """
    if edge_width(mask) <= _HARD_WIDTH:
        return mask.new_ones(())
    length = box_blur(_gradient(mask), radius).add_(1e-6)
    softness = box_blur((1.0 - mask).mul_(mask), radius).mul_(6.0)
    return softness.div_(length).clamp_(min=1.0)


def _gradient(mask: Tensor) -> Tensor:
    """The length of the gradient, from forward differences: [H, W]."""
    length = torch.zeros_like(mask)
    length[:, :-1] = (mask[:, 1:] - mask[:, :-1]).abs_()
    for rows in row_bands(mask[:-1]):
        below = mask[rows.start + 1 : rows.stop + 1]
        length[rows] = torch.hypot(length[rows], below - mask[rows])
    return length
