"""Blurs of single-channel and colour planes, the same on the CPU (OpenCV) and on a GPU (torch)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..opencv import cv2
from ..tensors import uses_opencv


def gaussian_blur(plane: Tensor, sigma: float) -> Tensor:
    """[H, W] float32 -> the same, blurred; the border is repeated outwards.

    The kernel holds the Gaussian's integral over each pixel, as far as three sigma.
    """
    radius = max(1, math.ceil(3.0 * sigma))
    ends = torch.arange(-radius, radius + 2, dtype=torch.float64) - 0.5
    kernel = torch.erf(ends / (math.sqrt(2.0) * sigma)).diff()
    kernel = (kernel / kernel.sum()).float()
    if uses_opencv(plane):
        weights = kernel.numpy()
        blurred = cv2.sepFilter2D(
            plane.contiguous().numpy(), -1, weights, weights, borderType=cv2.BORDER_REPLICATE
        )
        return torch.from_numpy(blurred)
    kernel = kernel.to(plane.device)
    rows = F.pad(plane[None, None], (0, 0, radius, radius), mode="replicate")
    rows = F.conv2d(rows, kernel[None, None, :, None])
    columns = F.pad(rows, (radius, radius, 0, 0), mode="replicate")
    return F.conv2d(columns, kernel[None, None, None, :])[0, 0]


def box_blur(plane: Tensor, radius: int) -> Tensor:
    """[H, W] float32 -> the same, averaged over (2 radius + 1)^2 pixels.

    The border is repeated outwards. The time does not depend on the radius on the CPU.
    """
    side = 2 * radius + 1
    if uses_opencv(plane):
        source = plane.contiguous().numpy()
        blurred = cv2.blur(source, (side, side), borderType=cv2.BORDER_REPLICATE)
        return torch.from_numpy(blurred)
    rows = F.pad(plane[None, None], (0, 0, radius, radius), mode="replicate")
    rows = F.avg_pool2d(rows, (side, 1), stride=1)
    columns = F.pad(rows, (radius, radius, 0, 0), mode="replicate")
    return F.avg_pool2d(columns, (1, side), stride=1)[0, 0]


def shrink(planes: Tensor, factor: int) -> Tensor:
    """[H, W, C] -> [ceil(H / factor), ceil(W / factor), C], the mean of each block.

    Where the last block of a row or column is not whole, the one before it is repeated.
    """
    height, width = planes.shape[0] // factor, planes.shape[1] // factor
    whole = planes[: height * factor, : width * factor]
    below, beside = int(planes.shape[0] % factor > 0), int(planes.shape[1] % factor > 0)
    if uses_opencv(planes):
        small = cv2.resize(whole.numpy(), (width, height), interpolation=cv2.INTER_AREA)
        small = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        return torch.from_numpy(small.reshape(height + below, width + beside, -1))
    small = F.avg_pool2d(whole.permute(2, 0, 1)[None], factor)
    return F.pad(small, (0, beside, 0, below), mode="replicate")[0].permute(1, 2, 0)


def stretch(planes: Tensor, factor: int, rows: slice, width: int) -> Tensor:
    """Enlarge what `shrink` made: some rows of the large size, so that not all need be held.

    planes: [C, h, w] float32. rows: of the large size, from a multiple of factor on. width: of the
    large size. Linear between the centres of the blocks; beyond the outermost their value is kept.
    Returns [C, rows, width] float32.
    """
    # A block more above and below, for what lies between the first and last centres and theirs.
    first, last = max(0, rows.start // factor - 1), -(-rows.stop // factor) + 1
    blocks = planes[:, first:last]
    if uses_opencv(planes):
        channels, height, across = blocks.shape
        large = torch.empty(channels, height * factor, across * factor)
        for plane, enlarged in zip(blocks.numpy(), large.numpy(), strict=True):
            cv2.resize(plane, enlarged.shape[::-1], dst=enlarged)
    else:
        large = F.interpolate(blocks[None], scale_factor=factor, mode="bilinear")[0]
    start = rows.start - first * factor
    return large[:, start : start + rows.stop - rows.start, :width]
