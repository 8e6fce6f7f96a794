"""From words to instances: which detector `auto` takes, what it finds drawn, the unwanted removed.

Works on `engines.base.Detections`, which every model that understands words returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from ..engines.base import Detections, Detector, MaskDetail, RefiningDetector
from ..engines.families import Family
from ..engines.files.catalogue import DETECTORS, Entry
from ..prompts.phrases import TextQuery
from ..prompts.prompts import Box, ObjectPrompt, Point
from ..results.combine import remove_unwanted
from ..results.compact_mask import compact_all
from ..results.segments import Instance, Segments, numbered
from ..results.select import best_per_label
from ..tensors import image_size, rgb_frames
from .segmenter import Embedder, Finder, MaskChoice, Part, Segmenter


@dataclass(frozen=True)
class SeenFrame:
    """A frame of a batch, whose key the embedding caches know.

    pixels: [H, W, 3] float32, 0..1. index: its place in the batch.
    """

    pixels: Tensor
    index: int
    key: str

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True)
class FrameObjects:
    """The instances of one frame, best first, and how many the unwanted phrases removed.

    best: for each wanted phrase, the highest score, kept or not. counts: detections of each.
    """

    instances: list[Instance]
    removed: int
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

    removed: how many objects the unwanted phrases took away. missed: a line for each phrase that
    was found in no image.
    """

    segments: Segments
    removed: int
    missed: list[str]


class Frames(Protocol):
    """Walks over the frames of an IMAGE, for one of several passes over it."""

    def __call__(
        self, image: Tensor, step: int = 0, steps: int = 1
    ) -> Iterable[tuple[int, Tensor]]:
        """Each frame with its place, [H, W, 3] float32, 0..1. step, steps: which pass of how
        many, for whoever shows progress."""
        ...


def all_frames(image: Tensor, step: int = 0, steps: int = 1) -> Iterator[tuple[int, Tensor]]:
    """The `Frames` of a caller that shows no progress."""
    return rgb_frames(image)


def segment_words(
    image: Tensor,
    query: TextQuery,
    finder: Finder,
    family: Family,
    load_segmenter: Callable[[], Segmenter],
    refine: Refine = Refine.AUTO,
    frames: Frames = all_frames,
) -> FoundWords:
    """Every object that words name in a batch of images, IMAGE [B, H, W, C].

    finder: what understands the words. family, load_segmenter: the model that draws the masks. It
    is loaded when the detector is done, and only where it is needed. Raises InputError for phrases
    that the detector cannot take.
    """
    batch, height, width = image_size(image)
    walk = partial(frames, image)
    found = list(_draw_frames(walk, query, finder, load_segmenter, family, refine))
    instances = [instance for frame in found for instance in frame.instances]
    instances = numbered(instances, query.phrases)
    segments = Segments.from_instances(instances, (height, width), batch)
    return FoundWords(segments, sum(frame.removed for frame in found), misses(found, query))


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
    frames: Callable[..., Iterable[tuple[int, Tensor]]],
    query: TextQuery,
    finder: Finder,
    load_segmenter: Callable[[], Segmenter],
    family: Family,
    refine: Refine,
) -> Iterator[FrameObjects]:
    """The objects of each image, in their order."""
    detector = finder.detector
    finder.embedder.cache.begin_run()
    seen = (_look(finder, frame, index, query) for index, frame in frames())
    if not is_redrawn(detector, family, refine):
        draw = draw_own
    elif isinstance(detector, RefiningDetector):
        draw = partial(draw_refined, finder.embedder, detector)
    else:
        keys, found = [], []
        for index, pixels in frames(step=0, steps=2):
            frame, detections = _look(finder, pixels, index, query)
            keys.append(frame.key)
            found.append(detections)
        # The engine after the detector: a small GPU may have room for one of the two.
        segmenter = load_segmenter()
        segmenter.cache.begin_run()
        draw = partial(draw_from_boxes, segmenter)
        seen = (
            (SeenFrame(pixels, index, keys[index]), found[index])
            for index, pixels in frames(step=1, steps=2)
        )
    for frame, detections in seen:
        yield draw_frame(detections, query, frame, draw)


def _look(
    finder: Finder, pixels: Tensor, index: int, query: TextQuery
) -> tuple[SeenFrame, list[Detections]]:
    key, detections = finder.find(pixels, query.all_phrases, query.threshold)
    return SeenFrame(pixels, index, key), detections


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


Draw = Callable[[Sequence[Detections], Sequence[str], SeenFrame], list[list[Instance]]]
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


def draw_frame(
    found: Sequence[Detections], query: TextQuery, frame: SeenFrame, draw: Draw
) -> FrameObjects:
    """Make instances of what was found in one frame.

    found: one for each of `query.all_phrases`.
    """
    # With unwanted objects, any number of the best may fall away: all have to be drawn.
    has_unwanted = any(len(each) for each in found[len(query.phrases) :])
    limit = None if has_unwanted else query.max_objects or None
    drawn = draw([each.first(limit) for each in found], query.all_phrases, frame)
    wanted = [instance for each in drawn[: len(query.phrases)] for instance in each]
    unwanted = [instance for each in drawn[len(query.phrases) :] for instance in each]
    kept = remove_unwanted(wanted, unwanted)
    best = tuple(each.best for each in found[: len(query.phrases)])
    counts = tuple(len(each) for each in found[: len(query.phrases)])
    removed = len(wanted) - len(kept)
    return FrameObjects(best_per_label(kept, query.max_objects), removed, best, counts)


def draw_own(
    found: Sequence[Detections], phrases: Sequence[str], frame: SeenFrame
) -> list[list[Instance]]:
    """The detector's own masks, brought to the image's size one after the other.

    So memory grows with what is kept, and not with what the model proposes.
    """
    every = (logits for each in found for logits in _own_logits(each))
    masks = iter(compact_all(_upsample(logits, frame.size) for logits in every))
    return [
        [
            Instance(mask, score, phrase, frame.index)
            for score in each.scores.tolist()
            if (mask := next(masks))
        ]
        for each, phrase in zip(found, phrases, strict=True)
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
    embedder: Embedder,
    detector: RefiningDetector,
    found: Sequence[Detections],
    phrases: Sequence[str],
    frame: SeenFrame,
) -> list[list[Instance]]:
    """The masks of SAM 3's text head, drawn anew by its other head from the same embedding."""
    embedding = embedder.embed(frame.pixels, frame.key)
    embedder.need(Part.DECODER, max(map(len, found), default=1))
    refined = [detector.refine(embedding, each) for each in found]
    return draw_own(refined, phrases, frame)


def draw_from_boxes(
    segmenter: Segmenter,
    found: Sequence[Detections],
    phrases: Sequence[str],
    frame: SeenFrame,
) -> list[list[Instance]]:
    """An engine's masks from the detections' boxes, all boxes of the frame at once."""
    prompts = [
        _prompt(each, row, phrase, frame.size)
        for each, phrase in zip(found, phrases, strict=True)
        for row in range(len(each))
    ]
    embedding = segmenter.embed(frame.pixels, frame.key)
    drawn = iter(segmenter.find(embedding, prompts, MaskChoice.BEST, frame.index))
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


def misses(frames: Sequence[FrameObjects], query: TextQuery) -> list[str]:
    """A line for each phrase that was found in no frame: the threshold and the best score seen."""
    lines = []
    for place, phrase in enumerate(query.phrases):
        if not any(frame.counts[place] for frame in frames):
            # Rounded down, so that what missed the threshold never looks as if it had reached it.
            best = math.floor(100 * max(frame.best[place] for frame in frames)) / 100
            lines.append(f'nothing >= {query.threshold:.2f} for "{phrase}"; best {best:.2f}')
    return lines
