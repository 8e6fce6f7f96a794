"""Objects followed through a clip: key frames in, the object's mask on every frame out.

How an object is followed is the engine's matter (`engines.base.TrackSession`). Here is in which
order a session sees the frames, and what was found is packed at once, so that memory grows with the
masks alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from ..engines.base import Candidates, ClipFrame
from ..engines.families import has_own_scores
from ..prompts.prompts import ObjectPrompt
from ..results.compact_mask import CompactMask, compact_all
from ..results.overlap import overlap, pack
from ..results.segments import Instance, Segments
from ..tensors import image_size, rgb_frame
from .key_frames import KeyPrompt, Subject
from .segmenter import Part, Segmenter

# What words find is an object that is followed already where the two cover each other so far (IoU).
_SAME_OBJECT = 0.5


class Direction(str, Enum):
    """Where to follow an object: from its first key frame on, from its last one back, or both ways
    from its first one."""

    BOTH = "both"
    FORWARD = "forward"
    BACKWARD = "backward"


class Sharing(str, Enum):
    """What becomes of a pixel that belongs to several objects: all keep it, or the surest does."""

    KEEP = "keep"
    BEST = "best"


@dataclass(frozen=True)
class Words:
    """What looks for further objects on the way.

    find: the objects on one frame, by its place in the clip. every: frames between two looks; 0 for
    a single one, where the way begins.
    """

    find: Callable[[int], Segments]
    every: int = 0

    def looks_after(self, steps: int) -> bool:
        """Whether to look when so many frames of the way lie behind."""
        return steps == 0 or (self.every > 0 and steps % self.every == 0)


@dataclass(frozen=True)
class TrackSettings:
    """How a clip is followed. max_objects: 0 for all. words: what finds further objects."""

    direction: Direction = Direction.BOTH
    sharing: Sharing = Sharing.KEEP
    max_objects: int = 0
    words: Words | None = None


@dataclass(frozen=True)
class Record:
    """What became of an object.

    first, last: the frames on which it is seen first and last, None where it is seen on none. lost:
    how many frames in between it is not seen on. lowest_score: of the frames it is seen on, 0..1.
    """

    id: int
    label: str
    first: int | None
    last: int | None
    lost: int
    lowest_score: float | None


@dataclass(frozen=True)
class FoundTracks:
    """The objects on every frame, frame by frame; what became of each; how they were followed.

    keys: of the embedding of each frame that was looked at.
    """

    segments: Segments
    records: list[Record]
    method: str
    keys: Mapping[int, str]


Stepper = Callable[[int], Callable[[], None]]
"""Takes the number of steps of a run; what it returns is called after each."""


def nobody_looks(steps: int) -> Callable[[], None]:
    """The `Stepper` of a caller that shows no progress."""
    return lambda: None


def follow(
    segmenter: Segmenter,
    image: Tensor,
    subjects: Sequence[Subject],
    settings: TrackSettings = TrackSettings(),
    stepper: Stepper = nobody_looks,
) -> FoundTracks:
    """Follow objects through the frames of an IMAGE [B, H, W, C].

    Frames are read one at a time. An object with several key frames is corrected by the later ones;
    where a session looks ahead, all key frames are seen before anything is followed. Without
    objects the first frame is embedded all the same, so that the first prompt is fast. Raises
    InputError for a frame that holds NaN.
    """
    batch, height, width = image_size(image)
    subjects = subjects[: settings.max_objects or None]
    segmenter.cache.begin_run()
    segmenter.tracks.begin_run()
    way = _Way(segmenter, image, subjects, settings)
    if not subjects and settings.words is None:
        way.look(0)
    else:
        _lead(way, batch, settings, stepper)
    segments = Segments.from_instances(way.instances(), (height, width), batch)
    records = _records(segments, list(way.subjects.values()))
    return FoundTracks(segments, records, way.method, way.keys)


def _lead(way: _Way, batch: int, settings: TrackSettings, stepper: Stepper) -> None:
    """Lead a session through a clip: to all key frames, the one way, and back where wanted."""
    is_backward = settings.direction is Direction.BACKWARD
    ways_back = settings.direction is Direction.BOTH
    begins = list(way.begins.values())
    if settings.words is not None:
        begins.append(batch - 1 if is_backward else 0)
    onward = range(max(begins), -1, -1) if is_backward else range(min(begins), batch)
    visits = way.key_visits(is_backward)
    most_back = (batch - 1 if settings.words else max(begins)) if ways_back else 0
    step = stepper(len(visits) + len(onward) + most_back)
    for index, numbers in visits:
        way.visit(index, numbers)
        step()
    way.begin_pass()
    for steps, index in enumerate(onward):
        way.follow(index, way.active(index, is_backward), steps)
        step()
    if ways_back:
        way.begin_pass()
        for index in range(max(way.begins.values(), default=0) - 1, -1, -1):
            way.follow(index, [n for n, begin in way.begins.items() if index < begin])
            step()


class _Way:
    """A session that is led through a clip, and what it found there.

    begins: the frame from which an object is followed, by its number. keys: of the embeddings, by
    frame.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        image: Tensor,
        subjects: Sequence[Subject],
        settings: TrackSettings,
    ):
        self.subjects = {subject.number: subject for subject in subjects}
        is_backward = settings.direction is Direction.BACKWARD
        self.begins = {
            subject.number: _ordered_keys(subject, is_backward)[0] for subject in subjects
        }
        self._segmenter = segmenter
        self._session = segmenter.engine.track(len(image), segmenter.tracks)
        self._image = image
        self._settings = settings
        self._known: set[tuple[int, int]] = set()
        self._found: dict[tuple[int, int], Instance] = {}
        self.keys: dict[int, str] = {}

    @property
    def method(self) -> str:
        return self._session.method

    def begin_pass(self) -> None:
        self._session.begin_pass()

    def instances(self) -> list[Instance]:
        """What was found, frame by frame, on each by the objects' numbers."""
        return [self._found[place] for place in sorted(self._found)]

    def active(self, index: int, is_backward: bool) -> list[int]:
        """The objects that are on their way at a frame."""
        return [
            number
            for number, begin in self.begins.items()
            if (index <= begin if is_backward else index >= begin)
        ]

    def key_visits(self, is_backward: bool) -> list[tuple[int, list[int]]]:
        """Where a session that looks ahead has to go first: the frames, and the objects there.

        These are the key frames, and what lies before a correction, which is one of what is found
        by then.
        """
        if not self._session.looks_ahead:
            return []
        visits: dict[int, list[int]] = {}
        for number, subject in self.subjects.items():
            for index in _seen_first(subject, is_backward):
                visits.setdefault(index, []).append(number)
        return sorted(visits.items(), reverse=is_backward)

    def visit(self, index: int, numbers: Sequence[int]) -> dict[int, Candidates]:
        """What is found of objects on a frame."""
        return self._ask(self.look(index), numbers)

    def follow(self, index: int, numbers: Sequence[int], steps: int | None = None) -> None:
        """Find objects on a frame and keep their masks.

        steps: frames of the way that lie behind, where words may find further objects.
        """
        frame = self.look(index)
        found = self._ask(frame, numbers)
        words = self._settings.words
        if words is not None and steps is not None and words.looks_after(steps):
            found |= self._meet(frame, found, words.find(index))
        self._keep(frame, found)

    def look(self, index: int) -> ClipFrame:
        """A frame with its embedding."""
        pixels = rgb_frame(self._image, index)
        embedding = self._segmenter.embed(pixels)
        self.keys[index] = embedding.key
        return ClipFrame(index, pixels, embedding)

    def _ask(self, frame: ClipFrame, numbers: Sequence[int]) -> dict[int, Candidates]:
        """Start objects that begin on this frame, correct those with a key frame here, and follow
        the others."""
        if not numbers:
            return {}
        starts: dict[int, ObjectPrompt] = {}
        corrections: dict[int, ObjectPrompt] = {}
        for number in numbers:
            key = self.subjects[number].keys.get(frame.index)
            if key is None or (frame.index, number) in self._known:
                continue
            is_correction = key.is_correction and frame.index != self.begins[number]
            (corrections if is_correction else starts)[number] = key.prompt()
            self._known.add((frame.index, number))
        rest = [each for each in numbers if each not in starts and each not in corrections]
        self._segmenter.need(Part.ENCODER, 1)
        found: dict[int, Candidates] = {}
        if starts:
            found |= self._session.start(frame, starts)
        if corrections:
            found |= self._session.correct(frame, corrections)
        if rest:
            found |= self._session.step(frame, rest)
        return found

    def _meet(
        self, frame: ClipFrame, found: Mapping[int, Candidates], seen: Segments
    ) -> dict[int, Candidates]:
        """Start the objects that words see on a frame and that are not followed yet."""
        there = [pack(mask) for mask in self._masks(frame, found)]
        most = self._settings.max_objects or len(self.subjects) + len(seen)
        starts: dict[int, ObjectPrompt] = {}
        for instance in seen:
            mask = pack(instance.mask)
            is_new = all(overlap(mask, each) < _SAME_OBJECT for each in there)
            if is_new and len(self.subjects) < most:
                number = max(self.subjects, default=-1) + 1
                key = KeyPrompt(ObjectPrompt(instance.label, number=number), instance.mask)
                self.subjects[number] = Subject(number, instance.label, {frame.index: key})
                self.begins[number] = frame.index
                self._known.add((frame.index, number))
                starts[number] = key.prompt()
                there.append(mask)
        if not starts:
            return {}
        self._segmenter.need(Part.ENCODER, 1)
        return self._session.start(frame, starts)

    def _masks(self, frame: ClipFrame, found: Mapping[int, Candidates]) -> list[CompactMask]:
        """The objects' masks at the frame's size, in the order of their numbers."""
        size = (frame.pixels.shape[0], frame.pixels.shape[1])
        logits = (self._session.to_logits(found[n].logits, size)[0] for n in sorted(found))
        if self._settings.sharing is Sharing.BEST:
            return compact_all(_apart(logits))
        masks = compact_all(each > 0 for each in logits)
        for place, number in enumerate(sorted(found)):
            key = self.subjects[number].keys.get(frame.index)
            if key is not None and key.is_drawn and key.mask is not None:
                masks[place] = key.mask
        return masks

    def _keep(self, frame: ClipFrame, found: Mapping[int, Candidates]) -> None:
        if not found:
            return
        numbers = sorted(found)
        is_estimate = has_own_scores(self._segmenter.engine.family)
        scores = torch.cat([found[number].scores for number in numbers]).clamp(0.0, 1.0).tolist()
        for number, mask, score in zip(numbers, self._masks(frame, found), scores, strict=True):
            if mask:
                label = self.subjects[number].label
                place = (frame.index, number)
                self._found[place] = Instance(mask, score, label, frame.index, number, is_estimate)


def _ordered_keys(subject: Subject, is_backward: bool) -> list[int]:
    return sorted(subject.keys, reverse=is_backward)


def _seen_first(subject: Subject, is_backward: bool) -> set[int]:
    """The key frames of an object, and the frames from its first one to its last correction."""
    ordered = _ordered_keys(subject, is_backward)
    corrections = [index for index in ordered[1:] if subject.keys[index].is_correction]
    if not corrections:
        return set(ordered)
    low, high = sorted((ordered[0], corrections[-1]))
    return {*ordered, *range(low, high + 1)}


def _apart(logits: Iterator[Tensor]) -> Iterator[Tensor]:
    """Masks that share no pixel: logits [H, W] of one frame -> [H, W] bool, in their order."""
    count, best, owner = 0, None, None
    for each in logits:
        if best is None or owner is None:
            best = torch.zeros_like(each)
            owner = torch.full(each.shape, -1, dtype=torch.int32, device=each.device)
        surer = each > best
        best = torch.where(surer, each, best)
        owner.masked_fill_(surer, count)
        count += 1
    if owner is not None:
        yield from (owner == place for place in range(count))


def _records(segments: Segments, subjects: Sequence[Subject]) -> list[Record]:
    seen: dict[int, list[Instance]] = {subject.number: [] for subject in subjects}
    for instance in segments:
        seen[instance.id].append(instance)
    records = []
    for subject in subjects:
        own = seen[subject.number]
        if not own:
            records.append(Record(subject.number, subject.label, None, None, 0, None))
            continue
        first, last = own[0].frame, own[-1].frame
        lost = last - first + 1 - len(own)
        lowest = min(instance.score for instance in own)
        records.append(Record(subject.number, subject.label, first, last, lost, lowest))
    return records
