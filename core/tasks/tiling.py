"""Parts of an image, on which a model sees small things larger: tiles, and crops around objects."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

from torch import Tensor

from ..prompts.prompts import Box, ObjectPrompt, Point
from ..results.compact_mask import CompactMask

# Shared by neighbouring parts, as a part of the image's short side where it is halved: 512 of 1500
# pixels, as in the official generator.
_OVERLAP = 512 / 1500
# A crop around an object is so many times its box, and has sides of at least so many pixels: an
# encoder finds no edges in a picture of a few.
_ZOOM = 1.5
_SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Crop:
    """A part of the image, xyxy in pixels, right and bottom exclusive.

    layer: which division of the image it is of; 0 for all of it.
    """

    left: int
    top: int
    right: int
    bottom: int
    layer: int

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.bottom - self.top, self.right - self.left

    @property
    def rows(self) -> slice:
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.right)


def make_crops(size: tuple[int, int], layers: int) -> list[Crop]:
    """The whole image of (H, W) and, layer by layer, 4 ** layer overlapping parts of it."""
    crops = [_whole(size)]
    for layer in range(1, layers + 1):
        crops += _divided(size, (2**layer, 2**layer), layer)
    return crops


def make_tiles(size: tuple[int, int], tiles: int) -> list[Crop]:
    """The whole image of (H, W) and overlapping parts of it; below 2 no parts.

    Tiles x tiles parts; of an elongated image as many, but fewer along the short side and more
    along the other, nearer to squares. What is no larger than `_OVERLAP` * 2 / tiles of the
    short side lies whole in one of them.
    """
    if tiles < 2:
        return [_whole(size)]
    return [_whole(size), *_divided(size, _tile_counts(size, tiles), 1)]


def box_around(mask: CompactMask) -> Box:
    """The tight box of a mask, as a prompt."""
    x1, y1, x2, y2 = mask.box()
    return Box(float(x1), float(y1), float(x2), float(y2))


def crop_around(box: Box, size: tuple[int, int]) -> Crop:
    """The surroundings of a box within an image of (H, W); the whole image has layer 0."""
    height, width = size
    left, right = _widened(box.x1, box.x2, width)
    top, bottom = _widened(box.y1, box.y2, height)
    is_whole = (bottom - top, right - left) == size
    return Crop(left, top, right, bottom, 0 if is_whole else 1)


def are_cut(boxes: Tensor, crop: Crop, size: tuple[int, int], margin: float | Tensor) -> Tensor:
    """Which boxes [K, 4], in pixels of the image of (H, W), come within the margin of an edge of
    the crop that is not one of the image: [K] bool. margin: in pixels, [4] one for each edge."""
    edges = boxes.new_tensor((crop.left, crop.top, crop.right, crop.bottom))
    image_edges = boxes.new_tensor((0, 0, size[1], size[0]))
    near_crop = (boxes - edges).abs() <= margin
    near_image = (boxes - image_edges).abs() <= margin
    return (near_crop & ~near_image).any(dim=1)


def in_crop(prompt: ObjectPrompt, crop: Crop) -> ObjectPrompt:
    """A prompt of an image in pixels of a crop; points outside are left out, boxes cut off."""
    moved = _shifted(prompt, -crop.left, -crop.top)
    height, width = crop.size
    return replace(
        moved,
        points=tuple(p for p in moved.points if 0 <= p.x < width and 0 <= p.y < height),
        box=None if moved.box is None else _cut_off(moved.box, crop.size),
        negative_boxes=tuple(
            _cut_off(box, crop.size)
            for box in moved.negative_boxes
            if box.x2 > 0 and box.y2 > 0 and box.x1 < width and box.y1 < height
        ),
        mask=None if prompt.mask is None else prompt.mask[crop.rows, crop.columns],
    )


def in_image(prompt: ObjectPrompt, crop: Crop) -> ObjectPrompt:
    """A prompt of points and boxes in a crop in pixels of the image."""
    return _shifted(prompt, crop.left, crop.top)


def _whole(size: tuple[int, int]) -> Crop:
    return Crop(0, 0, size[1], size[0], 0)


def _tile_counts(size: tuple[int, int], tiles: int) -> tuple[int, int]:
    """Into how many rows and columns of tiles an image of (H, W) is divided: tiles ** 2 in all.

    Those whose diagonal is the shortest, for in these a detector sees things largest; but none so
    narrow that they share less than tiles x tiles parts of a square of the short side do.
    """
    height, width = size
    number = tiles**2
    choices = [
        (rows, number // rows)
        for rows in range(1, number + 1)
        if number % rows == 0 and min(height / rows, width / (number // rows)) >= min(size) / tiles
    ]
    return min(choices, key=lambda counts: math.hypot(*_part_size(size, counts)))


def _overlap(size: tuple[int, int], counts: tuple[int, int]) -> int:
    """Pixels that neighbours share where an image of (H, W) is divided into rows and columns."""
    return int(_OVERLAP * min(size[0] / counts[0], size[1] / counts[1]) * 2)


def _part_size(size: tuple[int, int], counts: tuple[int, int]) -> tuple[int, int]:
    """(H, W) of the parts of an image of (H, W) that is divided into rows and columns."""
    overlap = _overlap(size, counts)
    height, width = (
        math.ceil((overlap * (count - 1) + side) / count)
        for side, count in zip(size, counts, strict=True)
    )
    return height, width


def _divided(size: tuple[int, int], counts: tuple[int, int], layer: int) -> list[Crop]:
    """Overlapping parts of an image of (H, W), in rows and columns: column by column."""
    height, width = size
    rows, columns = counts
    crop_h, crop_w = _part_size(size, counts)
    overlap = _overlap(size, counts)
    crops = []
    for column, row in product(range(columns), range(rows)):
        left, top = (crop_w - overlap) * column, (crop_h - overlap) * row
        right, bottom = min(left + crop_w, width), min(top + crop_h, height)
        # Images of a few pixels have nothing left for the last crops.
        if right > left and bottom > top:
            crops.append(Crop(left, top, right, bottom, layer))
    return crops


def _widened(first: float, last: float, side: int) -> tuple[int, int]:
    """An extent of a box with what is around it, in whole pixels of an image's side."""
    centre = (first + last) / 2
    half = max(_ZOOM * (last - first), _SMALLEST_SIDE) / 2
    return max(0, math.floor(centre - half)), min(side, math.ceil(centre + half))


def _shifted(prompt: ObjectPrompt, dx: float, dy: float) -> ObjectPrompt:
    return replace(
        prompt,
        points=tuple(_shifted_point(point, dx, dy) for point in prompt.points),
        box=None if prompt.box is None else _shifted_box(prompt.box, dx, dy),
        negative_boxes=tuple(_shifted_box(box, dx, dy) for box in prompt.negative_boxes),
    )


def _shifted_point(point: Point, dx: float, dy: float) -> Point:
    return replace(point, x=point.x + dx, y=point.y + dy)


def _shifted_box(box: Box, dx: float, dy: float) -> Box:
    return replace(box, x1=box.x1 + dx, y1=box.y1 + dy, x2=box.x2 + dx, y2=box.y2 + dy)


def _cut_off(box: Box, size: tuple[int, int]) -> Box:
    height, width = size
    return replace(
        box,
        x1=max(box.x1, 0.0),
        y1=max(box.y1, 0.0),
        x2=min(box.x2, width),
        y2=min(box.y2, height),
    )
