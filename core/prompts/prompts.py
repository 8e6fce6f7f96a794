"""Prompts: points, boxes and masks, grouped by the object they belong to.

Coordinates are pixels of the input image, floats, origin at the top-left corner of the top-left
pixel. A point lies in [0, W) x [0, H); a box, in [0, W] x [0, H]. `core/prompts/formats.py` reads
the text and socket formats; this module holds the result and decides which prompts form one object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Point:
    """A click. positive: on the object, else on what does not belong to it."""

    x: float
    y: float
    positive: bool = True
    object: int = 0


@dataclass(frozen=True)
class Box:
    """A rectangle, xyxy. positive: around the object, else around what does not belong to it.

    name: what the box's maker calls its content (a detector's label), "" if nothing.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    positive: bool = True
    object: int = 0
    name: str = ""

    def distance(self, point: Point) -> float:
        """Squared distance in pixels from a point to the rectangle, 0 inside."""
        dx = max(self.x1 - point.x, 0.0, point.x - self.x2)
        dy = max(self.y1 - point.y, 0.0, point.y - self.y2)
        return dx * dx + dy * dy


@dataclass(frozen=True)
class Prompts:
    """All points and boxes given for one image."""

    points: tuple[Point, ...] = ()
    boxes: tuple[Box, ...] = ()

    def __add__(self, other: Prompts) -> Prompts:
        return Prompts(self.points + other.points, self.boxes + other.boxes)

    def __bool__(self) -> bool:
        return bool(self.points or self.boxes)


@dataclass(frozen=True)
class ObjectPrompt:
    """What describes one object: clicks, at most one box around it, areas outside it, a rough mask.

    mask: [H, W] float32, 0..1, of the image's size. number: the object's, as its prompts give it.
    """

    label: str
    points: tuple[Point, ...] = ()
    box: Box | None = None
    negative_boxes: tuple[Box, ...] = ()
    mask: Tensor | None = None
    number: int = 0

    @property
    def is_wanted(self) -> bool:
        """Something shows the object, and not only what it is not."""
        is_clicked = any(point.positive for point in self.points)
        return is_clicked or self.box is not None or self.mask is not None

    @property
    def is_single_click(self) -> bool:
        """One positive click and nothing else: ambiguous between a part, an object and a group."""
        return (
            len(self.points) == 1
            and self.box is None
            and self.mask is None
            and not self.negative_boxes
        )


def group_by_object(prompts: Prompts, mask: Tensor | None = None) -> list[ObjectPrompt]:
    """Split prompts into objects, ordered by object number, then as given.

    Several boxes of one object become one object each; a click then goes to the box around it (or
    the nearest), a negative click to all of them, and the mask is cut to each box. The mask belongs
    to the lowest object number. An object with negative prompts only shows nothing and is left out.
    """
    numbers = sorted({prompt.object for prompt in (*prompts.points, *prompts.boxes)})
    if mask is not None and not numbers:
        return [ObjectPrompt(label="object 0", mask=mask)]
    objects: list[ObjectPrompt] = []
    for position, number in enumerate(numbers):
        own = Prompts(
            tuple(point for point in prompts.points if point.object == number),
            tuple(box for box in prompts.boxes if box.object == number),
        )
        objects += _split_object(number, own, mask if position == 0 else None)
    return objects


def _split_object(number: int, prompts: Prompts, mask: Tensor | None) -> list[ObjectPrompt]:
    around = [box for box in prompts.boxes if box.positive]
    whole = ObjectPrompt(
        label=f"object {number}",
        number=number,
        points=prompts.points,
        negative_boxes=tuple(box for box in prompts.boxes if not box.positive),
        mask=mask,
    )
    if not around:
        is_shown = mask is not None or any(point.positive for point in prompts.points)
        return [whole] if is_shown else []
    return [
        replace(
            whole,
            label=box.name or whole.label,
            box=box,
            points=points,
            mask=mask if mask is None or len(around) == 1 else _inside(mask, box),
        )
        for box, points in zip(around, _points_by_box(around, prompts.points), strict=True)
    ]


def _inside(mask: Tensor, box: Box) -> Tensor:
    """A copy of a mask [H, W] that is 0 outside a box."""
    cut = torch.zeros_like(mask)
    area = (slice(int(box.y1), math.ceil(box.y2)), slice(int(box.x1), math.ceil(box.x2)))
    cut[area] = mask[area]
    return cut


def _points_by_box(boxes: Sequence[Box], points: Sequence[Point]) -> list[tuple[Point, ...]]:
    """The clicks of each box: a positive one goes to the nearest box, a negative one to all."""
    owners = [_nearest(point, boxes) if point.positive else None for point in points]
    return [
        tuple(point for point, owner in zip(points, owners, strict=True) if owner in (None, place))
        for place in range(len(boxes))
    ]


def _nearest(point: Point, boxes: Sequence[Box]) -> int:
    distances = [box.distance(point) for box in boxes]
    return distances.index(min(distances))
