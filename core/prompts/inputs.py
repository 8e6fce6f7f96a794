"""Joins a node's prompt inputs into the objects to be found in each frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..tensors import mask_frames
from .formats import parse_boxes, parse_coords, parse_points
from .prompts import ObjectPrompt, Point, Prompts, group_by_object

# A rough mask counts where it reaches this; below it nothing is drawn.
_MASK_THRESHOLD = 0.5


@dataclass(frozen=True)
class PromptInputs:
    """The prompt inputs of a node as they arrive; "" and None mean not given."""

    points: str = ""
    positive_coords: str | None = ""
    negative_coords: str | None = ""
    bboxes: Any = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class SocketPrompts:
    """What a node's sockets say of one frame, beside its `points`.

    negative: clicks off every object. mask: [H, W] float32, None without one. alone: no box or mask
    socket is in use, so that the clicks alone have to show what is wanted.
    """

    prompts: Prompts
    negative: tuple[Point, ...]
    mask: Tensor | None
    alone: bool


def read_prompts(
    inputs: PromptInputs, batch: int, size: tuple[int, int], has_words: bool = False
) -> list[list[ObjectPrompt]]:
    """Join all prompt inputs for a batch of images of size (H, W): a list of objects per frame.

    Points and the two coordinate strings apply to every frame, the negative coordinates to every
    object. Boxes and masks apply to every frame too, or there is one list or mask for each; where a
    frame's is empty, nothing is asked for there. has_words: words show what is wanted, so that a
    frame's negative prompts may stand alone; they are then one object. Raises InputError for
    whatever the parsers and `mask_frames` refuse, and for any other object with negative prompts
    only.
    """
    points = parse_points(inputs.points, size)
    frames = []
    for sockets in read_sockets(inputs, batch, size):
        prompts = points + sockets.prompts
        shown = any(prompt.positive for prompt in (*prompts.points, *prompts.boxes))
        if has_words and not shown and sockets.mask is None:
            frames.append(_not_wanted(prompts + Prompts(sockets.negative)))
        else:
            frames.append(join_prompts(points, sockets))
    return frames


def read_sockets(inputs: PromptInputs, batch: int, size: tuple[int, int]) -> list[SocketPrompts]:
    """What all inputs but `points` say of each frame; raises InputError like `read_prompts`."""
    positive, negative = parse_coords(inputs.positive_coords, inputs.negative_coords, size)
    boxes = parse_boxes(inputs.bboxes, batch, size)
    masks = [None] * batch if inputs.mask is None else mask_frames(inputs.mask, batch, size)
    alone = inputs.bboxes is None and inputs.mask is None
    return [
        SocketPrompts(Prompts(positive) + own, negative, _drawn(mask), alone)
        for own, mask in zip(boxes, masks, strict=True)
    ]


def join_prompts(points: Prompts, sockets: SocketPrompts) -> list[ObjectPrompt]:
    """The objects of one frame; raises InputError for an object with negative prompts only."""
    prompts = _with_negatives(points + sockets.prompts, sockets.negative)
    if sockets.alone:
        _refuse_negative_only(prompts)
    return group_by_object(prompts, sockets.mask)


def _not_wanted(negatives: Prompts) -> list[ObjectPrompt]:
    """What words alone must leave out, as the prompts of one object; [] where nothing is."""
    if not negatives.points and not negatives.boxes:
        return []
    points = tuple(replace(point, object=0) for point in negatives.points)
    boxes = tuple(replace(box, object=0) for box in negatives.boxes)
    return [ObjectPrompt("object 0", points, negative_boxes=boxes)]


def _drawn(mask: Tensor | None) -> Tensor | None:
    is_drawn = mask is not None and bool((mask >= _MASK_THRESHOLD).any())
    return mask if is_drawn else None


def _with_negatives(prompts: Prompts, negative: tuple[Point, ...]) -> Prompts:
    numbers = {prompt.object for prompt in (*prompts.points, *prompts.boxes)} or {0}
    copies = tuple(replace(point, object=n) for n in sorted(numbers) for point in negative)
    return prompts + Prompts(copies)


def _refuse_negative_only(prompts: Prompts) -> None:
    everything = (*prompts.points, *prompts.boxes)
    shown = {prompt.object for prompt in everything if prompt.positive}
    for number in sorted({prompt.object for prompt in everything} - shown):
        raise InputError(
            f"points: object {number} has only negative prompts; an object needs at least one "
            "positive point, box or mask. Add a click on the object itself (label 1)."
        )
