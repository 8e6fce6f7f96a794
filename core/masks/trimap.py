"""Trimaps: what of a mask is certain, and the band around its contour that is not."""

from __future__ import annotations

import math

from torch import Tensor

from ..tensors import row_bands
from .distance import signed_distance

UNKNOWN = 0.5
# The band of a mask that names none, as a share of the image's long side: 40 pixels at 1920.
_BAND_SHARE = 1 / 48
_SMALLEST_BAND = 8.0
# What differs less from 0 and 1 is rounding of 8 bits, not softness.
_ROUNDING = 1.5 / 255


def band_width(band: float, size: tuple[int, int]) -> float:
    """The full width of the band in pixels, half of it on either side of the contour, in an image
    of (H, W); 0 stands for a share of the image's long side."""
    return band or max(_SMALLEST_BAND, max(size) * _BAND_SHARE)


def trimap(mask: Tensor, band: float, size: tuple[int, int]) -> Tensor:
    """What of a mask is certain: 0 outside, 1 inside, 0.5 where it is not known.

    mask: [H, W] float32, 0..1, a part of an image of `size`, (H, W). band: the full width of what
    is not known, in pixels, centred on the contour (where the mask crosses 0.5); 0 takes it from
    the mask: a share of the image's long side, and all soft pixels too. Distances are exact, and
    the image's border is no contour. Returns [H, W] float32 on the mask's device.
    """
    half = band_width(band, size) / 2.0
    certain = signed_distance(mask, UNKNOWN, math.ceil(half) + 1)
    for rows in row_bands(certain):
        part, distance = mask[rows], certain[rows]
        unknown = distance.abs() <= half
        if not band:
            unknown |= (part - UNKNOWN).abs() < UNKNOWN - _ROUNDING
        distance.copy_(part >= UNKNOWN).masked_fill_(unknown, UNKNOWN)
    return certain
