"""Prompts: points, boxes and masks, grouped by the object they belong to.

Coordinates are pixels of the input image, floats, origin at the top-left corner of the top-left
pixel. A point lies in [0, W) x [0, H); a box, in [0, W] x [0, H]. `core/prompts/formats.py` reads
the text and socket formats; this module holds the result and decides which prompts form one object.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .names import numbered_label


@dataclass(frozen=True)
class Point:
    """A click. positive: on the object, else on what does not belong to it.

    frame: the image of a batch that it is on, None for whoever reads it to say.
    """

    x: float
    y: float
    positive: bool = True
    object: int = 0
    frame: int | None = None


@dataclass(frozen=True)
class Box:
    """A rectangle, xyxy. positive: around the object, else around what does not belong to it.

    name: what the box's maker calls its content (a detector's label), "" if nothing. frame: as of a
    `Point`.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    positive: bool = True
    object: int = 0
    name: str = ""
    frame: int | None = None

    def distance(self, point: Point) -> float:
        """Squared distance in pixels from a point to the rectangle, 0 inside."""
        dx = max(self.x1 - point.x, 0.0, point.x - self.x2)
        dy = max(self.y1 - point.y, 0.0, point.y - self.y2)
        return dx * dx + dy * dy


@dataclass(frozen=True)
class Painted:
    """A rough mask of an object, painted on a coarse grid over the whole image.

    cells: rows and columns of the grid. counts: runs of cells off and on the object in turn, column
    by column, which cover the grid. size: (H, W) of the image. frame: as of a `Point`.
    """

    cells: tuple[int, int]
    counts: tuple[int, ...]
    size: tuple[int, int]
    object: int = 0
    frame: int | None = None

    @property
    def positive(self) -> bool:
        """It shows the object, as all masks do."""
        return True

    @cached_property
    def drawn(self) -> Tensor:
        """The mask on the image: [H, W] float32 of 0 and 1; a pixel is of the cell it lies in.

        All frames that it is on share it: do not write into it.
        """
        rows, columns = self.cells
        runs = np.arange(len(self.counts)) % 2
        grid = np.repeat(runs, self.counts).reshape(columns, rows).T
        height, width = self.size
        down = np.arange(height) * rows // height
        across = np.arange(width) * columns // width
        return torch.from_numpy(grid[np.ix_(down, across)].astype(np.float32))


@dataclass(frozen=True)
class Prompts:
    """All points, boxes and painted masks given for one image.

    names: of objects, by their numbers; others are called after their number.
    """

    points: tuple[Point, ...] = ()
    boxes: tuple[Box, ...] = ()
    names: tuple[tuple[int, str], ...] = ()
    masks: tuple[Painted, ...] = ()

    def __add__(self, other: Prompts) -> Prompts:
        return Prompts(
            self.points + other.points,
            self.boxes + other.boxes,
            self.names + other.names,
            self.masks + other.masks,
        )

    def __bool__(self) -> bool:
        return bool(self.points or self.boxes or self.masks)

    def on_frame(self, frame: int) -> Prompts:
        """Those for one image of a batch: those that name it, and those that name none."""
        return Prompts(
            tuple(point for point in self.points if point.frame in (None, frame)),
            tuple(box for box in self.boxes if box.frame in (None, frame)),
            self.names,
            tuple(mask for mask in self.masks if mask.frame in (None, frame)),
        )

    def with_default_frame(self, frame: int) -> Prompts:
        """The same, on this image of a batch where they name none."""
        return Prompts(
            tuple(replace(p, frame=frame) if p.frame is None else p for p in self.points),
            tuple(replace(b, frame=frame) if b.frame is None else b for b in self.boxes),
            self.names,
            tuple(replace(m, frame=frame) if m.frame is None else m for m in self.masks),
        )

    @property
    def everything(self) -> tuple[Point | Box | Painted, ...]:
        """All of them, one after the other."""
        return *self.points, *self.boxes, *self.masks

    @property
    def has_frames(self) -> bool:
        """Whether any of them names a frame."""
        return any(prompt.frame is not None for prompt in self.everything)

    @property
    def numbers(self) -> set[int]:
        """Of the objects that they are for."""
        return {prompt.object for prompt in self.everything}

    @property
    def shown(self) -> set[int]:
        """The numbers of the objects that are shown, and not only by what they are not."""
        return {prompt.object for prompt in self.everything if prompt.positive}


@dataclass(frozen=True)
class ObjectPrompt:
    """What describes one object: clicks, at most one box around it, areas outside it, a rough mask.

    mask: [H, W] float32, 0..1, of the image's size. number: the object's, as its prompts give it.
    name: what its maker calls it, "" for nothing.
    """

    label: str
    points: tuple[Point, ...] = ()
    box: Box | None = None
    negative_boxes: tuple[Box, ...] = ()
    mask: Tensor | None = None
    number: int = 0
    name: str = ""

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


def group_by_object(
    prompts: Prompts,
    mask: Tensor | None = None,
    mask_owner: int | None = None,
    shown: Collection[int] = (),
) -> list[ObjectPrompt]:
    """Split prompts into objects, ordered by object number, then as given.

    Several boxes of one object become one object each; a click then goes to the box around it (or
    the nearest), a negative click to all of them, and the mask is cut to each box. The mask belongs
    to the object mask_owner, where that is None to the lowest number; what is painted of an object
    adds to it. An object with negative
    prompts only shows nothing and is left out, but for those whose numbers are in `shown`: they are
    shown elsewhere.
    """
    numbers, names = prompts.numbers, dict(prompts.names)
    if mask is not None:
        mask_owner = min(numbers, default=0) if mask_owner is None else mask_owner
        numbers.add(mask_owner)
    objects: list[ObjectPrompt] = []
    for number in sorted(numbers):
        own = Prompts(
            tuple(point for point in prompts.points if point.object == number),
            tuple(box for box in prompts.boxes if box.object == number),
        )
        own_mask = mask if number == mask_owner else None
        for painted in (each for each in prompts.masks if each.object == number):
            own_mask = _joined(own_mask, painted.drawn)
        whole = ObjectPrompt(
            label=names.get(number) or numbered_label(number),
            number=number,
            name=names.get(number, ""),
            points=own.points,
            negative_boxes=tuple(box for box in own.boxes if not box.positive),
            mask=own_mask,
        )
        objects += _split_object(whole, own, number in shown)
    return objects


def _split_object(whole: ObjectPrompt, prompts: Prompts, is_shown: bool) -> list[ObjectPrompt]:
    around = [box for box in prompts.boxes if box.positive]
    mask = whole.mask
    if not around:
        return [whole] if is_shown or whole.is_wanted else []
    return [
        replace(
            whole,
            label=whole.name or box.name or whole.label,
            box=box,
            points=points,
            mask=mask if mask is None or len(around) == 1 else _inside(mask, box),
        )
        for box, points in zip(around, _points_by_box(around, prompts.points), strict=True)
    ]


def _joined(mask: Tensor | None, other: Tensor) -> Tensor:
    """What is in one of two masks [H, W], on the device of the first."""
    return other if mask is None else torch.maximum(mask, other.to(mask.device))


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
