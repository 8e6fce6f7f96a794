"""Joins a node's prompt inputs into the objects to be found in each frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..tensors import mask_count, mask_frame, mask_frames
from .fitting import check_frames
from .formats import parse_box_lists, parse_boxes, parse_coords, parse_points
from .names import numbered_label
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

    frame: its place in the batch. negative: clicks off every object. mask: [H, W] float32, None
    without one. alone: no box or mask socket is in use, so that the clicks alone have to show what
    is wanted.
    """

    frame: int
    prompts: Prompts
    negative: tuple[Point, ...]
    mask: Tensor | None
    alone: bool


def read_prompts(
    inputs: PromptInputs, batch: int, size: tuple[int, int], has_words: bool = False
) -> list[list[ObjectPrompt]]:
    """Join all prompt inputs for a batch of images of size (H, W): a list of objects per frame.

    Points apply to the frame they name, and to every frame where they name none, as the two
    coordinate strings do; the negative coordinates apply to every object. Boxes and masks apply to
    every frame too, or there is one list or mask for each. Where a frame has nothing, nothing is
    asked for there. has_words: words show what is wanted, so that a frame's negative prompts may
    stand alone; they are then one object. Raises InputError for whatever the parsers and
    `mask_frames` refuse, for a frame that the batch does not have, and for any other object with
    negative prompts only.
    """
    points = parse_points(inputs.points, size)
    check_frames(points, batch)
    frames = []
    for sockets in read_sockets(inputs, batch, size):
        prompts = points.on_frame(sockets.frame) + sockets.prompts
        if has_words and not prompts.shown and sockets.mask is None:
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
        SocketPrompts(frame, Prompts(positive) + own, negative, _drawn(mask), alone)
        for frame, (own, mask) in enumerate(zip(boxes, masks, strict=True))
    ]


def join_frames(points: Prompts, sockets: Sequence[SocketPrompts]) -> list[list[ObjectPrompt]]:
    """The objects of each frame of a batch; raises InputError for a frame that is not in it, and
    like `join_prompts`."""
    check_frames(points, len(sockets))
    return [join_prompts(points, own) for own in sockets]


def same_everywhere(frames: Sequence[Sequence[ObjectPrompt]]) -> bool:
    """Whether there are several frames, and the same points and boxes, and no mask, ask for the
    objects of each: what moves is not followed by them."""
    shown = [[(each.points, each.box, each.negative_boxes) for each in frame] for frame in frames]
    is_drawn = any(each.mask is not None for frame in frames for each in frame)
    repeated = len(frames) > 1 and all(frame == shown[0] for frame in shown)
    return repeated and bool(shown[0]) and not is_drawn


def join_prompts(points: Prompts, sockets: SocketPrompts) -> list[ObjectPrompt]:
    """The objects of one frame, of points on any; raises InputError for an object with negative
    prompts only."""
    own = points.on_frame(sockets.frame) + sockets.prompts
    prompts = own + _copies(sockets.negative, own.numbers or {0})
    # Where all points are on other frames, nothing is asked for, and so nothing is missing.
    if sockets.alone and (own or not points):
        where = f" on frame {sockets.frame}" if points.has_frames else ""
        _refuse_negative_only(prompts, prompts.shown, where)
    return group_by_object(prompts, sockets.mask)


def read_key_frames(
    inputs: PromptInputs, batch: int, size: tuple[int, int], shown: Collection[int] = ()
) -> dict[int, list[ObjectPrompt]]:
    """Join all prompt inputs of a clip, a batch of images of size (H, W): frame -> its objects.

    Only frames with prompts are there, in ascending order. Points are on the frame they name, and
    on the first where they name none, as positive coordinates are. Boxes and masks are on the first
    too or, where there is one list or mask for each frame, on every frame that has any. A mask is
    of the lowest object number of the clip. Negative coordinates go to every object of every such
    frame. An object is known by `ObjectPrompt.number`, which is unique in a frame: the further
    boxes of one object get numbers that nothing else has, the second box the same in every frame.

    shown: numbers of objects that other inputs show. An object that is shown on any frame may have
    negative prompts only on others. Raises InputError like `read_prompts`, there for an object that
    is shown on no frame.
    """
    points = parse_points(inputs.points, size)
    check_frames(points, batch)
    points = points.with_default_frame(0)
    clip = read_clip_sockets(inputs, batch, size)
    own = [points.on_frame(sockets.frame) + sockets.prompts for sockets in clip]
    everything = sum(own, Prompts())
    has_mask = any(sockets.mask is not None for sockets in clip)
    mask_owner = min(everything.numbers, default=0)
    seen = everything.shown | set(shown) | ({mask_owner} if has_mask else set())
    if inputs.bboxes is None and inputs.mask is None:
        _refuse_negative_only(everything or Prompts(clip[0].negative), seen)
    frames = {}
    for sockets, prompts in zip(clip, own, strict=True):
        if prompts or sockets.mask is not None:
            numbers = prompts.numbers if sockets.mask is None else {*prompts.numbers, mask_owner}
            whole = prompts + _copies(sockets.negative, numbers)
            frames[sockets.frame] = group_by_object(whole, sockets.mask, mask_owner, seen)
    taken = seen | everything.numbers
    return _number_apart({frame: objects for frame, objects in frames.items() if objects}, taken)


def read_clip_sockets(
    inputs: PromptInputs, batch: int, size: tuple[int, int]
) -> list[SocketPrompts]:
    """What all inputs but `points` say of each frame of a clip, as `read_key_frames` takes them.

    Clicks are not alone there: another frame may show what they are on.
    """
    positive, negative = parse_coords(inputs.positive_coords, inputs.negative_coords, size)
    boxes = parse_box_lists(inputs.bboxes, batch, size)
    boxes += [Prompts()] * (batch - len(boxes))
    boxes[0] = Prompts(positive) + boxes[0]
    return [
        SocketPrompts(frame, own, negative, _clip_mask(inputs.mask, frame, batch, size), False)
        for frame, own in enumerate(boxes)
    ]


def _clip_mask(mask: Tensor | None, frame: int, batch: int, size: tuple[int, int]) -> Tensor | None:
    """What is drawn on a frame; a single mask is of the first."""
    if mask is None:
        return None
    is_given = frame < mask_count(mask, batch)
    return _drawn(mask_frame(mask, frame, size)) if is_given else None


def _number_apart(
    frames: dict[int, list[ObjectPrompt]], taken: Collection[int]
) -> dict[int, list[ObjectPrompt]]:
    """The same with a number of its own for each further box of an object."""
    numbers: dict[tuple[int, int], int] = {}
    following = max(taken, default=0) + 1
    apart = {}
    for frame, objects in frames.items():
        places: Counter[int] = Counter()
        apart[frame] = []
        for one in objects:
            place = places[one.number]
            places[one.number] += 1
            if place:
                number = numbers.setdefault((one.number, place), following + len(numbers))
                one = _renumbered(one, number)
            apart[frame].append(one)
    return apart


def _renumbered(prompt: ObjectPrompt, number: int) -> ObjectPrompt:
    name = prompt.name or (prompt.box.name if prompt.box else "")
    return replace(prompt, number=number, label=name or numbered_label(number))


def _not_wanted(negatives: Prompts) -> list[ObjectPrompt]:
    """What words alone must leave out, as the prompts of one object; [] where nothing is."""
    if not negatives.points and not negatives.boxes:
        return []
    points = tuple(replace(point, object=0) for point in negatives.points)
    boxes = tuple(replace(box, object=0) for box in negatives.boxes)
    return [ObjectPrompt(numbered_label(0), points, negative_boxes=boxes)]


def _drawn(mask: Tensor | None) -> Tensor | None:
    is_drawn = mask is not None and bool((mask >= _MASK_THRESHOLD).any())
    return mask if is_drawn else None


def _copies(negative: tuple[Point, ...], numbers: Collection[int]) -> Prompts:
    """Clicks off every object, for objects of these numbers."""
    return Prompts(tuple(replace(point, object=n) for n in sorted(numbers) for point in negative))


def _refuse_negative_only(prompts: Prompts, shown: Collection[int], where: str = "") -> None:
    for number in sorted(prompts.numbers - set(shown)):
        raise InputError(
            f"points: {numbered_label(number)} has only negative prompts{where}; an object needs "
            "at least one positive point, box or mask. Add a click on the object itself (label 1)."
        )
