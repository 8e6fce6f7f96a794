"""IMAGE and MASK tensors: shapes, channels, sizes, batches.

IMAGE is [B, H, W, C], C of 1, 3 or 4, float, nominally 0..1. MASK is [B, H, W] (also [H, W] and
[B, 1, H, W]), float, 0..1, 1 = selected. Both may be half precision and on any device, and belong
to the host's cache: nothing here writes into its input.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import InputError

# LoadImage sends this for a picture without an alpha channel.
_NO_ALPHA_SIZE = (64, 64)


def image_size(image: Tensor) -> tuple[int, int, int]:
    """Check the shape of an IMAGE and return (batch, height, width).

    Raises InputError for anything but [B, H, W, 1|3|4] with no side of zero.
    """
    shape = tuple(image.shape)
    if len(shape) != 4 or shape[-1] not in (1, 3, 4):
        raise InputError(
            f"image: found a tensor of shape {list(shape)}; accepted is [batch, height, width, "
            "channels] with 1, 3 or 4 channels. Connect an IMAGE output, such as Load Image's."
        )
    if 0 in shape:
        raise InputError(
            f"image: found an empty image of shape {list(shape)}; batch, height and width must be "
            "at least 1. Check the crop or resize before this node."
        )
    return shape[0], shape[1], shape[2]


def rgb_frame(image: Tensor, index: int) -> Tensor:
    """One frame of an IMAGE as RGB: [H, W, 3] float32, clamped to 0..1, on the image's device.

    Gray becomes three equal channels, alpha is left out. Raises InputError where the frame holds
    NaN (infinities are clamped like any value out of range).
    """
    frame = image[index]
    if frame.shape[-1] == 1:
        frame = frame.expand(-1, -1, 3)
    frame = frame[..., :3].float()
    if torch.isnan(frame).any():
        raise InputError(
            f"image: frame {index} holds NaN values; accepted are finite numbers, 0..1. The node "
            "that made the image failed silently (often a VAE in half precision): mend it there."
        )
    return frame.clamp(0.0, 1.0)


def mask_frames(mask: Tensor, batch: int, size: tuple[int, int], name: str = "mask") -> Tensor:
    """A MASK matched to an image: [batch, H, W] float32, 0..1, on the mask's device.

    A mask of another size is resized (bilinear, antialiased); a single mask serves all frames.
    The 64x64 zeros that Load Image sends for "no alpha" become zeros of the image's size.
    Raises InputError for a wrong rank, another batch size, an empty mask or NaN.
    """
    if mask.dim() not in (2, 3, 4) or mask.numel() == 0 or (mask.dim() == 4 and mask.shape[1] != 1):
        raise InputError(
            f"{name}: found a tensor of shape {list(mask.shape)}; accepted is [batch, height, "
            "width] with no side of zero. Connect a MASK output."
        )
    mask = mask.reshape(-1, mask.shape[-2], mask.shape[-1]).float()
    if mask.shape[0] not in (1, batch):
        raise InputError(
            f"{name}: found {mask.shape[0]} masks for {batch} images; accepted is one mask, or one "
            "for each image. Repeat or select the masks before this node."
        )
    if torch.isnan(mask).any():
        raise InputError(f"{name}: holds NaN values; accepted are numbers, 0..1. Mend its source.")
    if tuple(mask.shape[-2:]) == _NO_ALPHA_SIZE and not mask.any():
        mask = mask.new_zeros((mask.shape[0], *size))
    elif tuple(mask.shape[-2:]) != tuple(size):
        mask = resize_mask(mask, size)
    return mask.clamp(0.0, 1.0).expand(batch, -1, -1)


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, h, w] float -> [N, H, W] float, bilinear; antialiased where it shrinks."""
    resized = F.interpolate(mask[:, None], size=size, mode="bilinear", antialias=True)
    return resized[:, 0]
