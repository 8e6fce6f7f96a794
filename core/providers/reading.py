"""From an answer to instances: its masks read for the image, named, chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..prompts.prompts import ObjectPrompt
from ..results.combine import remove_unwanted
from ..results.compact_mask import INSIDE, compact
from ..results.segments import Instance
from ..results.select import best_per_label
from .batch import BatchRequest
from .contract import SegmentRequest
from .masks import read_all, read_picture
from .wire import FoundMask, ParsedAnswer, Reading


@dataclass(frozen=True)
class ReadAnswer:
    """What one answer says of its image.

    picture: the provider's own picture at the image's size, [H, W, 3] uint8, None where it sent
    masks alone.
    """

    instances: list[Instance]
    picture: NDArray[np.uint8] | None = None


def read_answer(
    parsed: ParsedAnswer, request: SegmentRequest, frame: Tensor, index: int, asked: BatchRequest
) -> ReadAnswer:
    """Read an answer for the frame [H, W, C] of the IMAGE with its place in the batch.

    Raises CallFailed for pictures that cannot be read.
    """
    instances: list[Instance] = []
    first_free = 1 + max((each.number for each in request.objects), default=-1)
    masks = [_as_asked(found, asked.read_as) for found in parsed.masks]
    for found, mask in read_all(masks, frame):
        shown = _shown_object(mask, request)
        label = _label(found, shown, request, asked)
        number = shown.number if shown else first_free + len(instances)
        instances.append(Instance(compact(mask), found.score, label, index, number))
    picture = read_picture(parsed.masks, frame)
    return ReadAnswer(instances, picture)


def _label(
    found: FoundMask, shown: ObjectPrompt | None, request: SegmentRequest, asked: BatchRequest
) -> str:
    """What to call an object: by its phrase, unless the provider tells phrases apart itself."""
    if shown is None and request.prompt and not asked.features.names_phrases:
        return request.prompt
    return found.label or (shown.label if shown else request.label)


def _as_asked(found: FoundMask, read_as: Reading) -> FoundMask:
    """The same mask, read as the user says where it is a picture."""
    is_picture = isinstance(found.content, bytes)
    return replace(found, reading=read_as) if is_picture and read_as is not Reading.AUTO else found


def choose(wanted: list[Instance], unwanted: list[Instance], asked: BatchRequest) -> list[Instance]:
    """The instances of one frame that count: sure enough, not unwanted, the best of each label."""
    kept = [instance for instance in wanted if instance.score >= asked.threshold]
    unwanted = [instance for instance in unwanted if instance.score >= asked.threshold]
    kept, _ = remove_unwanted(kept, unwanted)
    by_score = asked.is_of_words or asked.max_objects
    return best_per_label(kept, asked.max_objects) if by_score else kept


def _shown_object(mask: Tensor, request: SegmentRequest) -> ObjectPrompt | None:
    """The object that a mask is of: the only one, or the one whose click lies in it."""
    wanted = [each for each in request.objects if each.is_wanted]
    if len(wanted) == 1:
        return wanted[0]
    sy, sx = mask.shape[0] / request.picture.size[0], mask.shape[1] / request.picture.size[1]

    def is_clicked(each: ObjectPrompt) -> bool:
        return any(
            mask[int(point.y * sy), int(point.x * sx)] >= INSIDE
            for point in each.points
            if point.positive
        )

    return next((each for each in wanted if is_clicked(each)), None)
