"""From words to instances: which detector `auto` takes, what it finds drawn, the unwanted removed.

Works on `engines.base.Detections`, which every model that understands words returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from ..engines.base import (
    Detections,
    Detector,
    DrawingDetector,
    MaskDetail,
    RefiningDetector,
)
from ..engines.families import Family, family_named
from ..engines.files.catalogue import DETECTORS, Entry
from ..prompts.phrases import TextQuery
from ..prompts.prompts import Box, ObjectPrompt, Point
from ..results.combine import remove_unwanted
from ..results.compact_mask import compact_all
from ..results.segments import Instance, Segments, numbered
from ..results.select import best_per_label
from ..tensors import image_size, rgb_frames
from .segmenter import EmbeddedFrame, Finder, MaskChoice, Segmenter
from .shown import Counted, uncounted


@dataclass(frozen=True)
class FrameObjects:
    """The instances of one frame, best first, and those that the unwanted phrases removed.

    best: for each wanted phrase, the highest score, kept or not. counts: objects of each that have
    a mask, before the unwanted ones are taken out.
    """

    instances: list[Instance]
    removed: list[Instance]
    best: tuple[float, ...]
    counts: tuple[int, ...]


class Refine(str, Enum):
    """Whether the model in use draws anew what a detector has masks for already."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True)
class FoundWords:
    """What a query found in a batch of images.

    removed: the objects that the unwanted phrases took away. missed: a line for each phrase that
    has a mask in no image.
    """

    segments: Segments
    removed: list[Instance]
    missed: list[str]


def segment_words(
    image: Tensor,
    query: TextQuery,
    finder: Finder,
    family: Family,
    load_segmenter: Callable[[], Segmenter],
    refine: Refine = Refine.AUTO,
    counted: Counted = uncounted,
) -> FoundWords:
    """Every object that words name in a batch of images, IMAGE [B, H, W, C].

    finder: what understands the words. family, load_segmenter: the model that draws the masks. It
    is loaded when the detector is done, and only where it is needed. Raises InputError for phrases
    that the detector cannot take.
    """
    finder.embedder.cache.begin_run()
    return find_words(image, query, finder, family, load_segmenter, refine, counted)


def find_words(
    image: Tensor,
    query: TextQuery,
    finder: Finder,
    family: Family,
    load_segmenter: Callable[[], Segmenter],
    refine: Refine = Refine.AUTO,
    counted: Counted = uncounted,
) -> FoundWords:
    """The same as one of several steps of a run: what the run has embedded before is kept."""
    query = with_threshold(query, finder)
    found = list(_draw_frames(image, query, finder, load_segmenter, family, refine, counted))
    return join_frames(found, query, image)


def join_frames(found: Sequence[FrameObjects], query: TextQuery, image: Tensor) -> FoundWords:
    """The objects of all images of a batch, IMAGE [B, H, W, C]; found: of its images, at least of
    those on which anything was asked for."""
    batch, height, width = image_size(image)
    instances = [instance for frame in found for instance in frame.instances]
    instances = numbered(instances, query.phrases)
    segments = Segments.from_instances(instances, (height, width), batch)
    removed = [instance for frame in found for instance in frame.removed]
    return FoundWords(segments, removed, misses(found, query))


def with_threshold(query: TextQuery, finder: Finder) -> TextQuery:
    """The query with the detector's usual threshold where it has none."""
    detector = family_named(finder.embedder.engine.family)
    return replace(query, threshold=query.threshold or detector.usual_threshold)


def segment_words_on(
    image: Tensor,
    query: TextQuery,
    finder: Finder,
    family: Family,
    load_segmenter: Callable[[], Segmenter],
    index: int,
) -> Segments:
    """The same on one image of a batch: its objects, those of a batch of one."""
    frame = image[index : index + 1]
    return segment_words(frame, query, finder, family, load_segmenter).segments


def _draw_frames(
    image: Tensor,
    query: TextQuery,
    finder: Finder,
    load_segmenter: Callable[[], Segmenter],
    family: Family,
    refine: Refine,
    counted: Counted,
) -> Iterator[FrameObjects]:
    """The objects of each image, in their order."""
    finder = asked_to_draw(finder, family, refine)
    detector, total = finder.detector, sum(map(query.asks, range(len(image))))
    seen = finder.find_all(
        _asked(image, query), query.all_phrases, query.threshold, query.examples_on
    )
    draw: Draw = draw_own
    if not is_redrawn(detector, family, refine):
        seen = counted(seen, total)
    elif isinstance(detector, RefiningDetector):
        draw, seen = partial(draw_refined, detector), counted(seen, total)
    else:
        known = {
            frame.index: _to_redraw(frame, found) for frame, found in counted(seen, total, 0, 2)
        }
        # The engine after the detector: a small GPU may have room for one of the two.
        segmenter = load_segmenter()
        segmenter.cache.begin_run()
        draw = partial(draw_from_boxes, segmenter)
        keys = {index: key for index, (key, _) in known.items()}
        frames = segmenter.embed_all(_asked(image, query), keys)
        seen = counted(((frame, known[frame.index][1]) for frame in frames), total, 1, 2)
    for frame, found in seen:
        yield draw_frame(found, query, frame, draw)


def _asked(image: Tensor, query: TextQuery) -> Iterator[tuple[int, Tensor]]:
    """The images of a batch, with their places, on which anything is asked for."""
    return (each for each in rgb_frames(image) if query.asks(each[0]))


def _to_redraw(frame: EmbeddedFrame, found: Iterable[Detections]) -> tuple[str, list[Detections]]:
    """A frame's key, and of what was found in it what another model draws the masks from."""
    size = frame.embedding.size
    return frame.embedding.key, [each.without_masks(size) for each in found]


def usual_detector(family: Family, local: Mapping[str, Path]) -> Path | Entry | None:
    """What understands words for a family's models; None for one that does so by itself.

    local: the detectors on this machine, by "folder/name". The usual one where it is there, else
    the first of its kind, else its catalogue entry, to be downloaded.
    """
    if family.capabilities.words:
        return None
    entry = next(entry for entry in DETECTORS if entry.family == family.usual_detector)
    of_its_kind = [path for name, path in local.items() if name.startswith(f"{entry.folder}/")]
    return local.get(f"{entry.folder}/{entry.file}") or next(iter(of_its_kind), entry)


Draw = Callable[[Iterable[Detections], Sequence[str], EmbeddedFrame], list[list[Instance]]]
"""Makes instances of what was found of each phrase in one frame; a detection whose mask is empty
gives none."""


def is_redrawn(detector: Detector, family: Family, refine: Refine) -> bool:
    """Whether a detector's masks are drawn anew by a model of this family.

    auto: a heat map's, where the family says so; SAM 3's text head is exact by itself.
    """
    if detector.mask_detail is MaskDetail.NONE:
        return True
    if refine is not Refine.AUTO:
        return refine is Refine.ON
    return detector.mask_detail is MaskDetail.ROUGH and family.redraws_rough_masks


def asked_to_draw(finder: Finder, family: Family, refine: Refine) -> Finder:
    """A finder whose detections have masks, where no model of this family draws them anew."""
    detector = finder.detector
    if isinstance(detector, DrawingDetector) and not is_redrawn(detector, family, refine):
        return replace(finder, detector=detector.drawing())
    return finder


@dataclass
class _Tally:
    """What was found of each phrase of a query, by now: how many, and the best score."""

    query: TextQuery
    counts: list[int] = field(default_factory=list)
    best: list[float] = field(default_factory=list)

    def take(self, found: Detections) -> Detections:
        """Count the next phrase's detections, and return those that are to be drawn."""
        self.counts.append(len(found))
        self.best.append(found.best)
        return found.first(most_drawn(self.query, self.counts))


def most_drawn(query: TextQuery, counts: Sequence[int]) -> int | None:
    """How many objects of a phrase are to be drawn at the most, None for all; counts: how many
    there are of each phrase by now."""
    # With unwanted objects, any number of the best may fall away: all have to be drawn.
    has_unwanted = any(counts[: len(query.unwanted)])
    return None if has_unwanted else query.max_objects or None


def draw_frame(
    found: Iterable[Detections], query: TextQuery, frame: EmbeddedFrame, draw: Draw
) -> FrameObjects:
    """Make instances of what was found in one frame.

    found: one for each of `query.all_phrases`, walked once; no two are held at a time.
    """
    tally = _Tally(query)
    drawn = draw(map(tally.take, found), query.all_phrases, frame)
    return join_frame(drawn, query, tally.best)


def join_frame(
    drawn: Sequence[Sequence[Instance]], query: TextQuery, best: Sequence[float]
) -> FrameObjects:
    """The objects of one frame; drawn and best: of each of `query.all_phrases`."""
    first = len(query.unwanted)
    unwanted = [instance for each in drawn[:first] for instance in each]
    wanted = [instance for each in drawn[first:] for instance in each]
    kept, removed = remove_unwanted(wanted, unwanted)
    instances = best_per_label(kept, query.max_objects)
    counts = tuple(len(each) for each in drawn[first:])
    return FrameObjects(instances, removed, tuple(best[first:]), counts)


def draw_own(
    found: Iterable[Detections], phrases: Sequence[str], frame: EmbeddedFrame
) -> list[list[Instance]]:
    """The detector's own masks, brought to the image's size one after the other, phrase by phrase.

    So memory grows with what is kept, and not with what the model proposes.
    """
    return list(map(partial(_draw_phrase, frame), found, phrases))


def _draw_phrase(frame: EmbeddedFrame, found: Detections, phrase: str) -> list[Instance]:
    masks = compact_all(_upsample(logits, frame.embedding.size) for logits in _own_logits(found))
    return [
        Instance(mask, score, phrase, frame.index)
        for score, mask in zip(found.scores.tolist(), masks, strict=True)
        if mask
    ]


def _own_logits(found: Detections) -> Tensor:
    if found.logits is None:
        raise ValueError("a model that finds boxes only has no masks of its own")
    return found.logits


def _upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits [h, w], above 0 inside, to a mask of the size (H, W): [H, W] bool."""
    large = F.interpolate(logits[None, None], size=size, mode="bilinear", align_corners=False)
    return large[0, 0] > 0


def draw_refined(
    detector: RefiningDetector,
    found: Iterable[Detections],
    phrases: Sequence[str],
    frame: EmbeddedFrame,
) -> list[list[Instance]]:
    """The masks of SAM 3's text head, drawn anew by its other head from the same embedding.

    Both are at work in turn, so the whole model has to stay on its device meanwhile.
    """
    embedding = detector.for_decoder(frame.embedding)
    return draw_own(map(partial(detector.refine, embedding), found), phrases, frame)


def draw_from_boxes(
    segmenter: Segmenter,
    found: Iterable[Detections],
    phrases: Sequence[str],
    frame: EmbeddedFrame,
) -> list[list[Instance]]:
    """An engine's masks from the detections' boxes, all boxes of the frame at once."""
    found = list(found)
    prompts = [
        prompt
        for each, phrase in zip(found, phrases, strict=True)
        for prompt in box_prompts(each, phrase, frame.embedding.size)
    ]
    drawn = iter(segmenter.find(frame.embedding, prompts, MaskChoice.BEST, frame.index))
    # What counts is how well the words fit, not how sure the engine is of the outline.
    return [
        [
            replace(instance, score=score, is_estimate=True)
            for score in each.scores.tolist()
            for instance in next(drawn)
        ]
        for each in found
    ]


def box_prompts(found: Detections, phrase: str, size: tuple[int, int]) -> list[ObjectPrompt]:
    """Detections in an image of (H, W) as prompts: the object's box, and a click where its own
    logits are highest."""
    found = found.without_masks(size)
    surest = [] if found.surest is None else found.surest.tolist()
    clicks = [(Point(x, y),) for x, y in surest] or [()] * len(found)
    boxes = (Box(*corners) for corners in found.boxes.tolist())
    return [
        ObjectPrompt(phrase, points=points, box=box)
        for points, box in zip(clicks, boxes, strict=True)
    ]


def misses(frames: Sequence[FrameObjects], query: TextQuery) -> list[str]:
    """A line for each phrase of which no frame has a mask: the threshold and the best score seen.

    Of all classes, which nobody asked for by name, one line where there is none.
    """
    found = [any(frame.counts[place] for frame in frames) for place in range(len(query.phrases))]
    best = [max(frame.best[place] for frame in frames) for place in range(len(query.phrases))]
    if query.is_all:
        nearest = max(range(len(best)), key=best.__getitem__, default=0)
        is_missed = best and not any(found)
        asked = [(f"any of {len(best)} classes", nearest)] if is_missed else []
    else:
        phrases = enumerate(query.phrases)
        asked = [(f'"{phrase}"', place) for place, phrase in phrases if not found[place]]
    lines = []
    for name, place in asked:
        # Rounded down, so that what missed the threshold never looks as if it had reached it.
        score = math.floor(100 * best[place]) / 100
        if best[place] >= query.threshold:
            lines.append(f"{name} is there with {score:.2f}, but its mask is empty")
        else:
            lines.append(f"nothing >= {query.threshold:.2f} for {name}; best {score:.2f}")
    return lines
