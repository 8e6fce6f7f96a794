"""Words in large images: searched in tiles, and every object drawn on a crop of its own.

What a tile or a crop shows is encoded by itself, at the model's own resolution, and kept in the
cache of embeddings like any image. One part is worked on at a time: of what it shows, boxes and
compact masks stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

from torch import Tensor

from ..engines.base import Detections, RefiningDetector
from ..engines.families import Family
from ..errors import InputError
from ..prompts.phrases import TextQuery
from ..prompts.prompts import Box, ObjectPrompt
from ..results.compact_mask import CompactMask
from ..results.segments import Instance
from ..tensors import image_size, rgb_frame
from .merging import Sighting, merge_sightings
from .segmenter import EmbeddedFrame, Finder, MaskChoice, Segmenter
from .shown import Counted, Tell, drawing, encodings, uncounted, untold
from .tiling import Crop, are_cut, box_around, crop_around, in_crop, in_image, make_tiles
from .words import (
    Draw,
    FoundWords,
    Refine,
    asked_to_draw,
    box_prompts,
    draw_own,
    draw_refined,
    is_redrawn,
    join_frame,
    join_frames,
    most_drawn,
    with_threshold,
)

# Of a part's width and height: what comes this near to its edge may have been cut by it.
_EDGE = 0.02


@dataclass(frozen=True)
class Closeness:
    """How closely to look at an image; false where it is seen as a whole alone.

    tiles: beside the whole image, tiles x tiles overlapping parts of it are searched; below 2,
    none. zoom: whether every object is drawn anew on a crop around its box.
    """

    tiles: int = 0
    zoom: bool = False

    def __bool__(self) -> bool:
        return self.tiles > 1 or self.zoom


def check_wholly_seen(closeness: Closeness, examples: Sequence[Sequence[Box]]) -> None:
    """Raise InputError for example boxes, of each frame, where more than whole images are searched:
    a tile that holds none of them would be searched for anything."""
    if closeness.tiles > 1 and any(examples):
        raise InputError(
            f"tiles: found {closeness.tiles} beside example boxes, which are shown on whole "
            "images. Set tiles to 0, or remove the boxes."
        )


def segment_closely(
    image: Tensor,
    query: TextQuery,
    finder: Finder,
    family: Family,
    load_segmenter: Callable[[], Segmenter],
    closeness: Closeness,
    refine: Refine = Refine.AUTO,
    counted: Counted = uncounted,
    tell: Tell = untold,
) -> FoundWords:
    """Every object that words name in a batch of images, IMAGE [B, H, W, C], as `segment_words`.

    The detector encodes each image and its tiles; the model that draws, those of them that show an
    object, or with zoom a crop around each object. A mask that is drawn on a part is empty outside
    of it. tell: how many images there are to encode, before the one and before the other.
    """
    batch, height, width = image_size(image)
    query = with_threshold(query, finder)
    crops = make_tiles((height, width), closeness.tiles)
    searched = [crops if query.asks(frame) else [] for frame in range(batch)]
    places = [(frame, crop) for frame, own in enumerate(searched) for crop in own]
    total = len(places)
    finder = asked_to_draw(finder, family, refine)
    read = _reader(finder, family, refine)
    is_drawn = closeness.zoom or read is _as_prompts
    tell(encodings(total))
    frames = [_Found.nothing(query) for _ in range(batch)]
    finder.embedder.cache.begin_run()
    examples = [query.examples_on(frame) for frame, _ in places]
    parts = _parts(image, searched)
    seen = finder.find_all(parts, query.all_phrases, query.threshold, examples.__getitem__)
    for part, found in counted(seen, total, 0, 1 + is_drawn):
        frame, crop = places[part.index]
        frames[frame].add(read, found, part, crop, (height, width))
    kept = [frame.merged(crops[0]) for frame in frames]
    if is_drawn:
        kept = _drawn(image, kept, closeness.zoom, load_segmenter, counted, tell)
    objects = [
        join_frame(_instances(sightings, frame), query, found.best)
        for frame, (sightings, found) in enumerate(zip(kept, frames, strict=True))
    ]
    return join_frames(objects, query, image)


@dataclass(frozen=True)
class _Seen:
    """A detection in a part of an image, in pixels of it; mask: as of a `Sighting`."""

    prompt: ObjectPrompt
    score: float
    mask: CompactMask | None


_Read = Callable[[Iterable[Detections], Sequence[str], EmbeddedFrame], list[list[_Seen]]]
"""Reads what was found of each phrase in a part."""


def _reader(finder: Finder, family: Family, refine: Refine) -> _Read:
    """How a detector's findings are read: with its own masks, unless another model draws them."""
    detector = finder.detector
    if not is_redrawn(detector, family, refine):
        return partial(_as_drawn, draw_own)
    if isinstance(detector, RefiningDetector):
        return partial(_as_drawn, partial(draw_refined, detector))
    return _as_prompts


def _as_prompts(
    found: Iterable[Detections], phrases: Sequence[str], part: EmbeddedFrame
) -> list[list[_Seen]]:
    return [
        [
            _Seen(prompt, score, None)
            for prompt, score in zip(
                box_prompts(each, phrase, part.embedding.size), each.scores.tolist(), strict=True
            )
        ]
        for each, phrase in zip(found, phrases, strict=True)
    ]


def _as_drawn(
    draw: Draw, found: Iterable[Detections], phrases: Sequence[str], part: EmbeddedFrame
) -> list[list[_Seen]]:
    return [
        [
            _Seen(ObjectPrompt(phrase, box=box_around(each.mask)), each.score, each.mask)
            for each in instances
        ]
        for instances, phrase in zip(draw(found, phrases, part), phrases, strict=True)
    ]


@dataclass
class _Found:
    """What was found in an image by now: of each phrase of a query, the unwanted ones first.

    best: the highest score, kept or not.
    """

    query: TextQuery
    sightings: list[list[Sighting]]
    best: list[float]

    @classmethod
    def nothing(cls, query: TextQuery) -> _Found:
        phrases = len(query.all_phrases)
        return cls(query, [[] for _ in range(phrases)], [0.0] * phrases)

    def add(
        self,
        read: _Read,
        found: Iterable[Detections],
        part: EmbeddedFrame,
        crop: Crop,
        size: tuple[int, int],
    ) -> None:
        """Read what was found in a part of an image of (H, W); crop: where the part is."""
        seen = read(map(self._note, found, count()), self.query.all_phrases, part)
        for sightings, own in zip(self.sightings, seen, strict=True):
            sightings += [_sighting(each, crop, size) for each in own]

    def _note(self, found: Detections, phrase: int) -> Detections:
        self.best[phrase] = max(self.best[phrase], found.best)
        return found

    def merged(self, whole: Crop) -> list[list[Sighting]]:
        """Each object once, of each phrase as many as are to be drawn."""
        merged = [merge_sightings(each, whole) for each in self.sightings]
        self.sightings = []
        most = most_drawn(self.query, [len(each) for each in merged])
        return [each[:most] for each in merged]


def _sighting(seen: _Seen, crop: Crop, size: tuple[int, int]) -> Sighting:
    prompt = in_image(seen.prompt, crop)
    mask = None if seen.mask is None else seen.mask.placed(crop.left, crop.top, size)
    sighting = Sighting(prompt, seen.score, crop, False, mask)
    height, width = crop.size
    margin = _EDGE * sighting.corners.new_tensor((width, height, width, height))
    is_cut = bool(are_cut(sighting.corners[None], crop, size, margin))
    return replace(sighting, is_cut=is_cut)


def _drawn(
    image: Tensor,
    frames: Sequence[list[list[Sighting]]],
    zoom: bool,
    load_segmenter: Callable[[], Segmenter],
    counted: Counted,
    tell: Tell,
) -> list[list[list[Sighting]]]:
    """The objects of each image with the masks that a segmenter draws of them, in their order.

    What it finds nothing of keeps the mask that it had, if any.
    """
    _, height, width = image_size(image)
    jobs = [_jobs(phrases, zoom, (height, width)) for phrases in frames]
    places = [(frame, crop) for frame, crops in enumerate(jobs) for crop in crops]
    results = [[list(phrase) for phrase in phrases] for phrases in frames]
    if not places:
        return results
    objects = sum(len(each) for crops in jobs for each in crops.values())
    tell(drawing(len(places), objects))
    # The engine after the detector: a small GPU may have room for one of the two.
    segmenter = load_segmenter()
    segmenter.cache.begin_run()
    parts = segmenter.embed_all(_parts(image, [list(crops) for crops in jobs]))
    for part in counted(parts, len(places), 1, 2):
        frame, crop = places[part.index]
        members = jobs[frame][crop]
        own = [results[frame][phrase] for phrase, _ in members]
        sightings = [each[row] for each, (_, row) in zip(own, members, strict=True)]
        prompts = [in_crop(each.prompt, crop) for each in sightings]
        found = segmenter.find(part.embedding, prompts, MaskChoice.BEST, frame)
        for (phrase, row), instances in zip(members, found, strict=True):
            for instance in instances:
                mask = instance.mask.placed(crop.left, crop.top, (height, width))
                results[frame][phrase][row] = replace(results[frame][phrase][row], mask=mask)
    return results


def _jobs(
    phrases: Sequence[Sequence[Sighting]], zoom: bool, size: tuple[int, int]
) -> dict[Crop, list[tuple[int, int]]]:
    """The objects of an image of (H, W) that are to be drawn on each part of it: phrase and row."""
    jobs: dict[Crop, list[tuple[int, int]]] = {}
    for phrase, sightings in enumerate(phrases):
        for row, sighting in enumerate(sightings):
            crop = _drawn_on(sighting, zoom, size)
            if crop is not None:
                jobs.setdefault(crop, []).append((phrase, row))
    return jobs


def _drawn_on(sighting: Sighting, zoom: bool, size: tuple[int, int]) -> Crop | None:
    """The part that an object is to be drawn on; None where its mask stays."""
    around = crop_around(sighting.box, size)
    if zoom and around.layer:
        return around
    return sighting.crop if sighting.mask is None else None


def _instances(phrases: Sequence[Sequence[Sighting]], frame: int) -> list[list[Instance]]:
    """The objects of an image that have a mask."""
    return [
        [
            Instance(each.mask, each.score, each.prompt.label, frame)
            for each in sightings
            if each.mask is not None
        ]
        for sightings in phrases
    ]


def _parts(image: Tensor, crops: Sequence[Sequence[Crop]]) -> Iterator[tuple[int, Tensor]]:
    """Parts of each image of a batch, [h, w, 3] float32, 0..1, numbered through."""
    numbers = count()
    for frame, own in enumerate(crops):
        if own:
            pixels = rgb_frame(image, frame)
            for crop in own:
                yield next(numbers), pixels[crop.rows, crop.columns]
