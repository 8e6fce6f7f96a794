"""Crops: objects with what surrounds them, at a size that suits the node that works on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor

from ..results.compact_mask import CompactMask
from ..results.segments import Instance, Segments, union_frame
from ..tensors import FrameArea, resize_mask, resize_planes

# Side of the crop that stands in where there is no object, in pixels of the image.
_SPARE_SIDE = 64


class Together(str, Enum):
    """What shares a crop; objects of different images never do."""

    OBJECT = "each object"
    LABEL = "each label"
    ALL = "all together"


class Aspect(str, Enum):
    """The shape of a crop."""

    OBJECT = "object"
    SQUARE = "square"


@dataclass(frozen=True)
class CropSettings:
    """How to crop.

    padding: what is kept around the box, in percent of its width and height, on each side. size:
    the longer side of every crop in pixels, to which it is scaled; 0 crops without scaling.
    multiple_of: of which both sides of a crop are; size is rounded up to it.
    """

    together: Together = Together.OBJECT
    padding: float = 30.0
    size: int = 0
    multiple_of: int = 8
    aspect: Aspect = Aspect.OBJECT


@dataclass(frozen=True)
class Place:
    """Where a crop comes from, and what is in it.

    frame: index into the batch. left, top, width, height: the rectangle in pixels of the image,
    beyond whose border it reaches only where the image is smaller. size: (H, W) of the crop.
    masks: of its objects, of the image's size; none in a crop that stands in where there is none.
    """

    frame: int
    left: int
    top: int
    width: int
    height: int
    size: tuple[int, int]
    masks: tuple[CompactMask, ...]
    label: str

    def within(self, image_size: tuple[int, int]) -> tuple[slice, slice]:
        """The rows and columns of the rectangle that are in an image of (H, W)."""
        return (
            slice(max(0, self.top), min(image_size[0], self.top + self.height)),
            slice(max(0, self.left), min(image_size[1], self.left + self.width)),
        )

    def mask(self) -> Tensor:
        """The union of the objects within the rectangle: [height, width] float32, 0..1, CPU."""
        size = (self.height, self.width)
        moved = [mask.placed(-self.left, -self.top, size) for mask in self.masks]
        return union_frame(moved, size)

    def area(self) -> int:
        """Pixels inside its objects."""
        return sum(mask.pixel_count() for mask in self.masks)


def plan_crops(segments: Segments, settings: CropSettings) -> list[Place]:
    """Where the crops lie, image by image, in the order of the objects; at least one.

    Objects with empty masks get none. Where there is no object at all, one empty place in the
    middle of the first image stands in: ComfyUI's nodes fail on an empty list.
    """
    places = [
        _place(members, segments.size, settings) for members in _groups(segments, settings.together)
    ]
    return places or [_spare(segments.size, settings)]


def crop(image: Tensor, place: Place) -> tuple[Tensor, Tensor]:
    """Cut a place out of its image.

    image: IMAGE [B, H, W, C]. Returns [h, w, 3] float32, 0..1, on the image's device, and the mask
    of the objects, [h, w] float32, 0..1, on the CPU. Beyond the image's border its outermost pixels
    are repeated, and nothing is selected. Raises InputError for NaN, as `rgb_frame`.
    """
    height, width = image.shape[1:3]
    rows, columns = place.within((height, width))
    pixels = FrameArea(image, place.frame, (rows, columns)).rgb(slice(None))
    beyond = (
        *(columns.start - place.left, place.left + place.width - columns.stop),
        *(rows.start - place.top, place.top + place.height - rows.stop),
    )
    if any(beyond):
        planes = F.pad(pixels.permute(2, 0, 1)[None], beyond, mode="replicate")
        pixels = planes[0].permute(1, 2, 0)
    mask = place.mask()
    if place.size != (place.height, place.width):
        mask = resize_mask(mask[None], place.size)[0].clamp_(0.0, 1.0)
    resized = resize(pixels, place.size)
    # Never a view: the image belongs to the host's cache, the crop to whoever works on it.
    return resized.clone(memory_format=torch.contiguous_format), mask


def resize(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """[h, w, 3] float32, 0..1 -> [H, W, 3], bicubic, antialiased where it shrinks."""
    if pixels.shape[:2] == size:
        return pixels
    planes = pixels.permute(2, 0, 1)[None]
    resized = resize_planes(planes, size, "bicubic")
    return resized[0].permute(1, 2, 0).clamp(0.0, 1.0)


def _groups(segments: Segments, together: Together) -> Iterator[list[Instance]]:
    """The objects that share a crop, image by image, each group where its first object is."""
    frames: list[list[Instance]] = [[] for _ in range(segments.batch)]
    for each in segments:
        if each.mask:
            frames[each.frame].append(each)
    for objects in frames:
        groups: dict[str | int, list[Instance]] = {}
        for place, each in enumerate(objects):
            groups.setdefault(_group_key(each, place, together), []).append(each)
        yield from groups.values()


def _group_key(each: Instance, place: int, together: Together) -> str | int:
    if together is Together.OBJECT:
        return place
    return each.label if together is Together.LABEL else ""


def _place(objects: list[Instance], size: tuple[int, int], settings: CropSettings) -> Place:
    masks = tuple(each.mask for each in objects)
    box = (
        *(min(mask.left for mask in masks), min(mask.top for mask in masks)),
        *(max(mask.right for mask in masks), max(mask.bottom for mask in masks)),
    )
    label = ", ".join(dict.fromkeys(each.label for each in objects))
    return _around(box, size, settings, objects[0].frame, masks, label)


def _spare(size: tuple[int, int], settings: CropSettings) -> Place:
    """A place without an object, in the middle of the first image."""
    top, left = ((side - _SPARE_SIDE) // 2 for side in size)
    box = (left, top, left + _SPARE_SIDE, top + _SPARE_SIDE)
    return _around(box, size, replace(settings, padding=0, aspect=Aspect.SQUARE), 0, (), "")


def _around(
    box: tuple[int, ...],
    image_size: tuple[int, int],
    settings: CropSettings,
    frame: int,
    masks: tuple[CompactMask, ...],
    label: str,
) -> Place:
    """The place that holds what of a box, xyxy in pixels, is in an image of (H, W)."""
    left, top, right, bottom = box
    padded = (
        _padded(bottom - top, image_size[0], settings.padding),
        _padded(right - left, image_size[1], settings.padding),
    )
    if settings.aspect is Aspect.SQUARE:
        padded = (max(padded), max(padded))
    size, (height, width) = _sizes(padded, settings)
    return Place(
        frame=frame,
        left=_start(left + right, width, image_size[1]),
        top=_start(top + bottom, height, image_size[0]),
        width=width,
        height=height,
        size=size,
        masks=masks,
        label=label,
    )


def _padded(side: int, most: int, padding: float) -> int:
    """A side of the box with its padding; no more than the image has."""
    return min(most, side + 2 * round(side * padding / 100))


def _sizes(
    padded: tuple[int, int], settings: CropSettings
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The (H, W) of a crop and of its rectangle, which holds the padded box.

    The rectangle is widened where the crop's sides are rounded up, so that nothing is distorted by
    more than the rounding to whole pixels.
    """
    longest = max(padded)
    target = _rounded_up(settings.size, settings.multiple_of) if settings.size else longest
    height, width = (
        _rounded_up(-(-side * target // longest), settings.multiple_of) for side in padded
    )
    return (height, width), (
        round(height * longest / target),
        round(width * longest / target),
    )


def _rounded_up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _start(middle: int, length: int, image_length: int) -> int:
    """Where a side begins: around the middle of the box (given doubled), moved into the image.

    One that is longer than the image reaches beyond it on both sides.
    """
    if length > image_length:
        return (image_length - length) // 2
    return min(max(0, (middle - length) // 2), image_length - length)
