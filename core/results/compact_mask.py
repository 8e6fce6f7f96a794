"""One object's mask, kept small: cropped to what is selected, one bit a pixel where it is hard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError

# Values of a mask, 0..255, from here up are inside the object.
INSIDE = 128
_FULL = 255
# Bytes on a GPU: 128 masks of 4K.
_MOST_WAITING = 2**27


@dataclass(frozen=True)
class CompactMask:
    """A mask [H, W] of 0..255, of which only the rectangle that holds anything is stored.

    size: (H, W). left, top, right, bottom: the rectangle in pixels, right and bottom exclusive, all
    0 for an empty mask. data: its pixels row by row, uint8: packed bits (1 = 255) where is_hard,
    else one byte each. Made by `compact`.
    """

    size: tuple[int, int]
    left: int
    top: int
    right: int
    bottom: int
    is_hard: bool
    data: NDArray[np.uint8]

    def __bool__(self) -> bool:
        """Whether anything is selected."""
        return self.right > self.left

    @property
    def area(self) -> tuple[slice, slice]:
        """The rows and columns of the rectangle, to index a tensor [H, W] with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def crop(self) -> Tensor:
        """The pixels of the rectangle: [h, w] uint8 on the CPU, 255 = fully inside."""
        shape = (self.bottom - self.top, self.right - self.left)
        if not self.is_hard:
            return torch.from_numpy(self.data.reshape(shape).copy())
        bits = np.unpackbits(self.data, count=shape[0] * shape[1])
        return torch.from_numpy(np.multiply(bits, np.uint8(_FULL), out=bits).reshape(shape))

    def pixels(self) -> Tensor:
        """The whole mask: [H, W] uint8 on the CPU, 255 = fully inside."""
        whole = torch.zeros(self.size, dtype=torch.uint8)
        whole[self.area] = self.crop()
        return whole

    def placed(self, left: int, top: int, size: tuple[int, int]) -> CompactMask:
        """The mask in another image of (H, W), where its own top-left corner is at (left, top)."""
        moved = {"left": self.left + left, "right": self.right + left} if self else {}
        moved |= {"top": self.top + top, "bottom": self.bottom + top} if self else {}
        return replace(self, size=size, **moved)

    def shrunk(self, factor: int) -> CompactMask:
        """Every factor-th pixel of every factor-th row, from the middle of each block on.

        The size is rounded up, as that of `filters.shrink`.
        """
        if factor == 1:
            return self
        height, width = (-(-side // factor) for side in self.size)
        # The first row and column of the rectangle that are sampled.
        down, right = (-(start - factor // 2) % factor for start in (self.top, self.left))
        sampled = compact(self.crop()[down::factor, right::factor])
        left, top = (self.left + right) // factor, (self.top + down) // factor
        return sampled.placed(left, top, (height, width))

    def pixel_count(self) -> int:
        """How many pixels are inside, counted from 128 up."""
        if self.is_hard:
            return int.from_bytes(self.data.tobytes(), "big").bit_count()
        return int(np.count_nonzero(self.data >= INSIDE))

    def box(self) -> tuple[int, int, int, int]:
        """The tight box xyxy in pixels, right and bottom exclusive.

        A pixel counts from 128 up, so that soft edges do not widen the box; where no pixel does,
        from 1 up. An empty mask has the box (0, 0, 0, 0).
        """
        if self.is_hard:
            return self.left, self.top, self.right, self.bottom
        inside = _extent((self.crop().numpy() >= INSIDE).view(np.uint8))
        if inside[2] == 0:
            return self.left, self.top, self.right, self.bottom
        left, top, right, bottom = inside
        return self.left + left, self.top + top, self.left + right, self.top + bottom


def compact(mask: Tensor) -> CompactMask:
    """Store a mask [H, W], bool or uint8 with 255 = fully inside, on any device, compactly.

    Raises InputError for another shape or type.
    """
    if mask.dim() != 2 or mask.dtype not in (torch.bool, torch.uint8):
        raise InputError(
            f"mask: found {mask.dtype} of shape {list(mask.shape)}; accepted are torch.bool and "
            "torch.uint8 of shape [height, width]. Convert it, 255 for what is fully inside."
        )
    pixels = mask.cpu().contiguous().numpy()
    is_bool = pixels.dtype == np.bool_
    left, top, right, bottom = _extent(pixels.view(np.uint8))
    crop = pixels[top:bottom, left:right]
    is_hard = is_bool or _is_hard(crop)
    data = np.packbits(crop) if is_hard else crop.flatten()
    size = (mask.shape[0], mask.shape[1])
    return CompactMask(size, left, top, right, bottom, is_hard, data)


def compact_all(masks: Iterable[Tensor]) -> list[CompactMask]:
    """Store masks [H, W] bool of one size, as `compact` does.

    From a GPU many come in two copies: their boxes, and the bits inside these. Until then every
    mask waits there with one bit a pixel.
    """
    waiting: list[_Waiting] = []
    stored: list[CompactMask] = []
    for mask in masks:
        if mask.is_cpu:
            stored.append(compact(mask))
            continue
        waiting.append(_Waiting((mask.shape[0], mask.shape[1]), _packed(mask), tight_box(mask)))
        if sum(each.bits.nbytes for each in waiting) >= _MOST_WAITING:
            stored += _fetched(waiting)
            waiting = []
    return stored + _fetched(waiting) if waiting else stored


@dataclass(frozen=True)
class _Waiting:
    """A mask of (H, W) on a device. bits: [H, W / 8] uint8. box: [4] int64, xyxy."""

    size: tuple[int, int]
    bits: Tensor
    box: Tensor


def _packed(mask: Tensor) -> Tensor:
    """Eight pixels of a row to a byte, the first one highest: [H, W] bool -> [H, W / 8] uint8."""
    rows = F.pad(mask.to(torch.uint8), (0, -mask.shape[1] % 8)).view(mask.shape[0], -1, 8)
    # Made there: a list of weights would be copied each time.
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=mask.device)
    return (rows << shifts).sum(dim=2, dtype=torch.uint8)


def tight_box(mask: Tensor) -> Tensor:
    """The tight box of [H, W] bool, xyxy, all 0 where it is empty: [4] int64 on its device."""
    edges = []
    for inside in (mask.any(dim=0), mask.any(dim=1)):
        marks = inside.to(torch.uint8)
        first, after_last = marks.argmax(), len(marks) - marks.flip(0).argmax()
        edges.append((first * inside.any(), after_last * inside.any()))
    (left, right), (top, bottom) = edges
    return torch.stack((left, top, right, bottom))


def _fetched(waiting: Sequence[_Waiting]) -> list[CompactMask]:
    boxes = torch.stack([each.box for each in waiting]).tolist()
    # Whole bytes; what they hold beside the box is cut off here.
    areas = [
        (slice(top, bottom), slice(left // 8, -(-right // 8))) for left, top, right, bottom in boxes
    ]
    parts = [each.bits[area] for each, area in zip(waiting, areas, strict=True)]
    fetched = torch.cat([part.flatten() for part in parts]).cpu().split([p.numel() for p in parts])
    stored = []
    for each, part, data, (left, top, right, bottom) in zip(
        waiting, parts, fetched, boxes, strict=True
    ):
        pixels = np.unpackbits(data.reshape(part.shape).numpy(), axis=1)
        start = left % 8
        crop = pixels[:, start : start + right - left]
        stored.append(CompactMask(each.size, left, top, right, bottom, True, np.packbits(crop)))
    return stored


def _is_hard(crop: NDArray[np.uint8]) -> bool:
    # 255 + 1 is 0 again, so that both values of a hard mask end up below 2.
    return not crop.size or int((crop + np.uint8(1)).max()) < 2


def _extent(pixels: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """The tight box, xyxy, of what is not 0; all 0 where everything is."""
    rows = np.flatnonzero(pixels.max(axis=1, initial=0))
    if not rows.size:
        return (0, 0, 0, 0)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(pixels[top:bottom].max(axis=0))
    return int(columns[0]), top, int(columns[-1]) + 1, bottom
