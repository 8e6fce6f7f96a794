"""IMAGE and MASK tensors: shapes, channels, sizes, batches.

IMAGE is [B, H, W, C], C of 1, 3 or 4, float, nominally 0..1. MASK is [B, H, W] (also [H, W] and
[B, 1, H, W]), float, 0..1, 1 = selected. Both may be half precision, on any device and require a
gradient, of which the results are free. They belong to the host's cache: nothing here writes into
its input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from . import opencv
from .errors import InputError

# LoadImage sends this for a picture without an alpha channel.
_NO_ALPHA_SIZE = (64, 64)
# Rows of this many numbers stay in the processor's cache while they are worked on, and are enough
# for the work to take longer than starting it.
_BAND_NUMBERS = 1 << 19
HOST_RESIZES = {"mps"}
"""The types of device whose antialiased resizing not every PyTorch has: there the CPU does it."""


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

    Gray becomes three equal channels, alpha is left out. What needs no change is a view of the
    input: do not write into it. Raises InputError where the frame holds NaN (infinities are clamped
    like any value out of range).
    """
    frame = image[index].detach()
    if frame.shape[-1] == 1:
        frame = frame.expand(-1, -1, 3)
    frame = frame[..., :3].float().contiguous()
    low, high = value_range(frame)
    if math.isnan(low):
        raise InputError(
            f"image: frame {index} holds NaN values; accepted are finite numbers, 0..1. The node "
            "that made the image failed silently (often a VAE in half precision): mend it there."
        )
    return frame if 0.0 <= low and high <= 1.0 else frame.clamp(0.0, 1.0)


def value_range(tensor: Tensor) -> tuple[float, float]:
    """The lowest and the highest number of a tensor, both NaN where it holds one; in one pass."""
    low, high = torch.stack(tensor.aminmax()).tolist()
    return low, high


def rgb_frames(image: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each frame of an IMAGE with its place, as `rgb_frame` reads it; raises as that does."""
    batch, _, _ = image_size(image)
    return ((index, rgb_frame(image, index)) for index in range(batch))


@dataclass(frozen=True)
class FrameArea:
    """A rectangle of one frame of an IMAGE, read in bands so that no copy of it is held.

    image: IMAGE [B, H, W, C]. area: rows and columns.
    """

    image: Tensor
    index: int
    area: tuple[slice, slice]

    @property
    def part(self) -> Tensor:
        """The whole batch's rectangle, [B, h, w, C], as a view."""
        return self.image[:, self.area[0], self.area[1]]

    def rgb(self, rows: slice) -> Tensor:
        """Some rows of the rectangle: [rows, w, 3] float32, 0..1; raises as `rgb_frame`."""
        return rgb_frame(self.part[:, rows], self.index)


def uses_opencv(tensor: Tensor) -> bool:
    """Whether OpenCV does the work on a tensor.

    On a GPU, and where there is no OpenCV, the same is done with PyTorch alone.
    """
    return tensor.is_cpu and opencv.is_there()


def row_bands(plane: Tensor, channels: int = 1, multiple: int = 1) -> Iterator[slice]:
    """Slices of rows that cover a tensor [H, W] and are small enough for the cache.

    On a GPU one slice of all rows. channels: numbers held per pixel while a slice is worked on.
    multiple: of which the number of rows is; the last slice takes what is left over, so that none
    has fewer rows than that unless the tensor has.
    """
    height, width = plane.shape
    step = max(1, _BAND_NUMBERS // (width * channels)) if plane.is_cpu else height
    step = -(-step // multiple) * multiple
    stops = [*range(step, height - multiple + 1, step), height]
    for start, stop in zip([0, *stops], stops, strict=False):
        yield slice(start, stop)


def mask_size(mask: Tensor, name: str = "mask") -> tuple[int, int, int]:
    """Check the shape of a MASK and return (batch, height, width).

    Raises InputError for anything but [H, W], [B, H, W] and [B, 1, H, W] with no side of zero.
    """
    if mask.dim() not in (2, 3, 4) or mask.numel() == 0 or (mask.dim() == 4 and mask.shape[1] != 1):
        raise InputError(
            f"{name}: found a tensor of shape {list(mask.shape)}; accepted is [batch, height, "
            "width] with no side of zero. Connect a MASK output."
        )
    height, width = mask.shape[-2:]
    return mask.numel() // (height * width), height, width


def is_no_mask(mask: Tensor) -> bool:
    """Whether this is the 64x64 zeros that Load Image sends for a picture without alpha."""
    return tuple(mask.shape[-2:]) == _NO_ALPHA_SIZE and not mask.any()


def mask_frame(mask: Tensor, index: int, size: tuple[int, int], name: str = "mask") -> Tensor:
    """The mask of one image of (H, W): [H, W] float32, 0..1, on the mask's device.

    A mask of another size is resized (bilinear, antialiased); a single mask serves all images. What
    needs no change is a view of the input: do not write into it. Raises InputError for a wrong
    rank, an empty mask or NaN.
    """
    count, height, width = mask_size(mask, name)
    frame = mask.detach().reshape(count, height, width)[index if count > 1 else 0].float()
    low, high = value_range(frame)
    if math.isnan(low):
        raise InputError(f"{name}: holds NaN values; accepted are numbers, 0..1. Mend its source.")
    if (height, width) != tuple(size):
        return resize_mask(frame[None], size)[0].clamp_(0.0, 1.0)
    return frame if 0.0 <= low and high <= 1.0 else frame.clamp(0.0, 1.0)


def mask_count(mask: Tensor, batch: int, name: str = "mask") -> int:
    """1 or batch: how many masks there are for a batch of images.

    Raises InputError for another number, and as `mask_size`.
    """
    count = mask_size(mask, name)[0]
    if count not in (1, batch):
        raise InputError(
            f"{name}: found {count} masks for {batch} images; accepted is one mask, or one "
            "for each image. Repeat or select the masks before this node."
        )
    return count


def mask_frames(mask: Tensor, batch: int, size: tuple[int, int], name: str = "mask") -> Tensor:
    """The masks of a batch of images, each as `mask_frame` makes it, in a new tensor.

    Returns [batch, H, W] float32, 0..1, on the mask's device; a single mask is repeated as a view.
    Raises InputError as `mask_frame`, and for another number of masks.
    """
    count = mask_count(mask, batch, name)
    frames = torch.empty((count, *size), device=mask.device)
    for index, frame in enumerate(frames):
        frame.copy_(mask_frame(mask, index, size, name))
    return frames.expand(batch, -1, -1)


def common_batch(counts: dict[str, int]) -> int:
    """The number of frames of a run from those of its inputs, by name: one serves all.

    Raises InputError where two differ and neither is one.
    """
    batch = max(counts.values())
    if any(count not in (1, batch) for count in counts.values()):
        found = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise InputError(
            f"{', '.join(counts)}: found {found}; accepted are as many of each, or one that serves "
            "all. Repeat or select frames before this node."
        )
    return batch


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, h, w] float -> [N, H, W] float, bilinear; antialiased where it shrinks."""
    return resize_planes(mask[:, None], size)[:, 0]


def resize_planes(planes: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """[N, C, h, w] float -> [N, C, H, W] float on the same device; antialiased where it shrinks.

    mode: bilinear or bicubic.
    """
    place = planes.device
    if place.type in HOST_RESIZES:
        planes = planes.cpu()
    return F.interpolate(planes, size=size, mode=mode, antialias=True).to(place)
