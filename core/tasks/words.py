"""From words to instances: phrases in, detections of a model drawn as masks, unwanted ones removed.

Pure functions on `engines.base.Detections`, which every model that understands words returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor

from ..engines.base import Detections, Detector, MaskDetail
from ..engines.families import Family
from ..errors import InputError
from ..prompts.prompts import Box, ObjectPrompt, Point, split_phrases
from ..results.compact_mask import CompactMask, compact
from ..results.segments import Instance
from .segmenter import Finder, MaskChoice, Segmenter


@dataclass(frozen=True)
class TextQuery:
    """What a text prompt asks for. max_objects: per phrase and frame, 0 for all."""

    phrases: tuple[str, ...]
    unwanted: tuple[str, ...]
    threshold: float
    max_objects: int

    @property
    def all_phrases(self) -> tuple[str, ...]:
        """What a model is asked: the phrases, then the unwanted ones."""
        return self.phrases + self.unwanted


@dataclass(frozen=True)
class FrameObjects:
    """The instances of one frame, best first, and how many the unwanted phrases removed.

    best: for each wanted phrase, the highest score, kept or not. counts: detections of each.
    """

    instances: list[Instance]
    removed: int
    best: tuple[float, ...]
    counts: tuple[int, ...]


def read_query(prompt: str, negative_prompt: str, threshold: float, max_objects: int) -> TextQuery:
    """Split prompts into phrases at commas and line ends; repeated ones count once.

    Raises InputError for a prompt without phrases and for a phrase in both prompts.
    """
    phrases, unwanted = split_phrases(prompt), split_phrases(negative_prompt)
    if not phrases:
        raise InputError(
            "prompt: is empty. Name what to find, several things separated by commas or line ends, "
            "such as: dog, red car."
        )
    both = {phrase.casefold() for phrase in phrases} & {phrase.casefold() for phrase in unwanted}
    if both:
        raise InputError(
            f'negative_prompt: "{min(both)}" is in prompt too, so nothing could be found. Remove '
            "it from one of them."
        )
    return TextQuery(phrases, unwanted, threshold, max_objects)


class Refine(str, Enum):
    """Whether the model in use draws anew what a detector has masks for already."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


Draw = Callable[[Sequence[Detections], Sequence[str], Tensor, int], list[list[Instance]]]
"""Makes instances of what was found of each phrase in one frame ([H, W, 3] float32, 0..1), whose
place in the batch is the last argument; a detection whose mask is empty gives none."""


def is_redrawn(detector: Detector, family: Family, refine: Refine) -> bool:
    """Whether a detector's masks are drawn anew by a model of this family.

    auto: a SAM draws better outlines than a heat map has, which knows more of an object than the
    colours that GrabCut goes by; SAM 3's text head is exact by itself.
    """
    if detector.mask_detail is MaskDetail.NONE:
        return True
    if refine is not Refine.AUTO:
        return refine is Refine.ON
    return detector.mask_detail is MaskDetail.ROUGH and family.name != "grabcut"


def draw_frame(
    found: Sequence[Detections], query: TextQuery, frame: Tensor, index: int, draw: Draw
) -> FrameObjects:
    """Make instances of what was found in one frame.

    found: one for each of `query.all_phrases`. frame: [H, W, 3] float32, 0..1; index is its place
    in the batch.
    """
    # With unwanted objects, any number of the best may fall away: all have to be drawn.
    has_unwanted = any(len(each) for each in found[len(query.phrases) :])
    limit = None if has_unwanted else query.max_objects or None
    drawn = draw([each.first(limit) for each in found], query.all_phrases, frame, index)
    wanted = [instance for each in drawn[: len(query.phrases)] for instance in each]
    unwanted = [instance for each in drawn[len(query.phrases) :] for instance in each]
    kept = subtract(wanted, unwanted)
    best = tuple(each.best for each in found[: len(query.phrases)])
    counts = tuple(len(each) for each in found[: len(query.phrases)])
    removed = len(wanted) - len(kept)
    return FrameObjects(best_first(kept, query.max_objects), removed, best, counts)


def draw_own(
    found: Sequence[Detections], phrases: Sequence[str], frame: Tensor, index: int
) -> list[list[Instance]]:
    """The detector's own masks, brought to the image's size one after the other.

    So memory grows with what is kept, and not with what the model proposes.
    """
    size = (frame.shape[0], frame.shape[1])
    return [
        [
            Instance(mask, score, phrase, index)
            for score, logits in zip(each.scores.tolist(), each.logits, strict=True)
            if (mask := _upsample(logits, size))
        ]
        for each, phrase in zip(found, phrases, strict=True)
    ]


def _upsample(logits: Tensor, size: tuple[int, int]) -> CompactMask:
    """Logits [h, w], above 0 inside, to a mask of the size (H, W)."""
    large = F.interpolate(logits[None, None], size=size, mode="bilinear", align_corners=False)
    return compact(large[0, 0] > 0)


def draw_refined(
    finder: Finder,
    found: Sequence[Detections],
    phrases: Sequence[str],
    frame: Tensor,
    index: int,
) -> list[list[Instance]]:
    """The masks of SAM 3's text head, drawn anew by its other head from the same embedding."""
    embedding = finder.embedder.embed(frame)
    refined = [finder.detector.refine(embedding, each) for each in found]
    return draw_own(refined, phrases, frame, index)


def draw_from_boxes(
    segmenter: Segmenter,
    found: Sequence[Detections],
    phrases: Sequence[str],
    frame: Tensor,
    index: int,
) -> list[list[Instance]]:
    """An engine's masks from the detections' boxes, all boxes of the frame at once."""
    size = (frame.shape[0], frame.shape[1])
    prompts = [
        _prompt(each, row, phrase, size)
        for each, phrase in zip(found, phrases, strict=True)
        for row in range(len(each))
    ]
    drawn = iter(segmenter.find(segmenter.embed(frame), prompts, MaskChoice.BEST, index))
    # What counts is how well the words fit, not how sure the engine is of the outline.
    return [
        [
            replace(instance, score=score)
            for score in each.scores.tolist()
            for instance in next(drawn)
        ]
        for each in found
    ]


def _prompt(found: Detections, row: int, phrase: str, size: tuple[int, int]) -> ObjectPrompt:
    """A detection as a prompt: its box, and a click where its own logits are highest."""
    box = Box(*found.boxes[row].tolist())
    if found.logits is None:
        return ObjectPrompt(phrase, box=box)
    height, width = found.logits.shape[-2:]
    y, x = divmod(int(found.logits[row].argmax()), width)
    point = Point((x + 0.5) * size[1] / width, (y + 0.5) * size[0] / height)
    return ObjectPrompt(phrase, points=(point,), box=box)


def subtract(instances: Sequence[Instance], unwanted: Sequence[Instance]) -> list[Instance]:
    """Remove the unwanted masks' pixels; an instance that loses most of its area is left out."""
    if not unwanted:
        return list(instances)
    outside = torch.full(unwanted[0].mask.size, 255, dtype=torch.uint8)
    for other in unwanted:
        area = outside[other.mask.area]
        torch.minimum(area, 255 - other.mask.crop(), out=area)
    kept = []
    for instance in instances:
        mask = compact(torch.minimum(instance.mask.pixels(), outside))
        if 2 * mask.pixel_count() >= max(1, instance.mask.pixel_count()):
            kept.append(replace(instance, mask=mask))
    return kept


def best_first(instances: Sequence[Instance], max_objects: int) -> list[Instance]:
    """By score, the best first, at most so many of each label; 0 for all."""
    kept: list[Instance] = []
    counts: dict[str, int] = {}
    for instance in sorted(instances, key=lambda each: each.score, reverse=True):
        counts[instance.label] = counts.get(instance.label, 0) + 1
        if not max_objects or counts[instance.label] <= max_objects:
            kept.append(instance)
    return kept


def misses(frames: Sequence[FrameObjects], query: TextQuery) -> list[str]:
    """A line for each phrase that was found in no frame: the threshold and the best score seen."""
    lines = []
    for place, phrase in enumerate(query.phrases):
        if not any(frame.counts[place] for frame in frames):
            # Rounded down, so that what missed the threshold never looks as if it had reached it.
            best = math.floor(100 * max(frame.best[place] for frame in frames)) / 100
            lines.append(f'nothing >= {query.threshold:.2f} for "{phrase}"; best {best:.2f}')
    return lines
