"""Follows objects through a clip by optical flow, and asks an engine for their outlines again.

In each frame an object's shape is carried on from the frame before (`motion.carry`), and the engine
is asked with that mask, its box and its inner points. Its answer is taken where it is nearly the
same shape: then it corrects the outline, so that errors of the flow do not add up. Where it is not,
the engine has slipped onto something else, and the carried shape stays. An object that has left, or
no longer looks like itself, is lost: it is looked for by its colours until it is found again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...opencv import cv2
from ...prompts.prompts import ObjectPrompt
from ..base import Candidates, ClipFrame, Embedding
from ..grabcut.marks import resize_area
from ..grabcut.regions import keep_components
from .looks import likeliest_place, look_at, odds_of
from .motion import Motion, carry, measure
from .shapes import BoolMap, FloatMap, box_around, field_of, inner_points, iou
from .sightings import (
    KeyFrame,
    KeyFrames,
    Picture,
    Sighting,
    Trace,
    shrink,
    trace_of,
    unseen,
)

if TYPE_CHECKING:
    from ..base import Engine

# The engine's answer is taken from this IoU with the carried shape on. It also bounds the change of
# the area, to between 0.8 and 1.25.
_AGREEMENT = 0.8
# An object is lost where its colours are less like those of its key frames than this, ...
_LOST_LOOK = 0.5
# ... and where next to no pixel's motion is known, already below this.
_LOST_SHARE, _UNSURE_LOOK = 0.1, 0.8
# What looks like this is a lost object found again, if its area is within this factor of those that
# the object had.
_FOUND_LOOK, _FOUND_CHANGE = 0.8, 4.0
# Odds (a natural logarithm) from which on a colour speaks for an object; the negative, against it.
_TELLING = 1.0
# An object of less than this share of its area in the key frames may grow, by so much of the root
# of that area in a frame.
_PARTIAL, _REGROWTH = 0.8, 0.3
# Distance from the outline in pixels of what is added to a field, or taken out of it.
_BESIDE = 0.5


@dataclass(frozen=True)
class _Guess:
    """Where an object should be in a frame.

    field: [h, w] float32, positive inside. share: of its pixels, that are known to have moved so,
    0..1; None where it was not carried on but found by its look. foreign: [h, w] bool, pixels whose
    colours speak against the object. trace: of the object when last seen.
    """

    field: FloatMap
    share: float | None
    foreign: BoolMap
    trace: Trace

    @property
    def mask(self) -> BoolMap:
        return self.field > 0


@dataclass(frozen=True)
class _Answer:
    """What an engine drew, at the working size: logits [h, w] float32, positive inside; a score."""

    logits: FloatMap
    score: float

    @property
    def mask(self) -> BoolMap:
        return self.logits > 0

    def without(self, pixels: BoolMap) -> _Answer:
        return replace(self, logits=np.where(pixels, -np.abs(self.logits), self.logits))


class FlowSession:
    """A `TrackSession` for any engine. It keeps one frame, and the key frames, at most 640 pixels a
    side: the same input gives the same result."""

    method = "optical flow"
    looks_ahead = False

    def __init__(self, engine: Engine):
        self._engine = engine
        self._keys: dict[int, KeyFrames] = {}
        self._last: dict[int, Sighting] = {}
        self._picture: Picture | None = None
        self._motions: dict[int, Motion] = {}

    def begin_pass(self) -> None:
        """Forget all frames but key frames: objects go on from the nearest one of theirs."""
        self._last.clear()
        self._picture = None

    def start(self, frame: ClipFrame, prompts: Mapping[int, ObjectPrompt]) -> dict[int, Candidates]:
        """Make this a key frame of objects: their masks by their prompts alone.

        The logits are [1, h, w] float32 on the CPU, the frame shrunk to at most 640 pixels a side.
        The score is the engine's, within 0..1, and 1 for a mask as it was given.
        """
        picture = self._see(frame)
        for number, prompt in prompts.items():
            self._set_key(number, frame, self._draw(frame, picture, prompt))
        return self._candidates(prompts)

    def correct(
        self, frame: ClipFrame, prompts: Mapping[int, ObjectPrompt]
    ) -> dict[int, Candidates]:
        """Make this a key frame of objects: the engine gets what they are followed to as a mask,
        together with their prompts. A mask among these replaces it, and so does a box that most of
        it lies outside of."""
        self.step(frame, list(prompts))
        picture = self._see(frame)
        for number, prompt in prompts.items():
            followed = self._last[number]
            size = frame.embedding.size
            if prompt.mask is None and _is_within(followed.mask, prompt, size):
                logits = self.to_logits(followed.candidates.logits, size)
                prompt = replace(prompt, mask=(logits[0] > 0).float())
            self._set_key(number, frame, self._draw(frame, picture, prompt))
        return self._candidates(prompts)

    def step(self, frame: ClipFrame, objects: Sequence[int]) -> dict[int, Candidates]:
        """Follow objects to this frame; one that has no key frame yet is not seen.

        The score is the engine's, times the IoU of its mask with the carried one; where the carried
        one stays, the share of it whose motion is known, times how alike its colours are to those
        in the key frames; for what was lost and is found, the engine's times that. 0 for what is
        not seen.
        """
        picture = self._see(frame)
        guesses: dict[int, _Guess] = {}
        for number in objects:
            before = self._before(number, picture)
            if before.picture.index == picture.index:
                self._last[number] = before
            else:
                guesses[number] = self._guess(number, before, picture)
        answers = self._ask_again(frame, guesses)
        for number, guess in guesses.items():
            settle = _settle_search if guess.share is None else _settle
            keys = self._keys[number]
            self._last[number] = settle(keys, picture, guess, answers.get(number))
        return self._candidates(objects)

    def to_logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits [K, h, w] -> [K, H, W] float32, bilinear."""
        return F.interpolate(logits[:, None], size=size, mode="bilinear")[:, 0]

    def _candidates(self, objects: Iterable[int]) -> dict[int, Candidates]:
        return {number: self._last[number].candidates for number in objects}

    def _see(self, frame: ClipFrame) -> Picture:
        """The frame at the working size, made once for all calls on it."""
        if self._picture is None or self._picture.index != frame.index:
            self._picture = shrink(frame.index, frame.pixels)
            self._motions = {}
        return self._picture

    def _before(self, number: int, picture: Picture) -> Sighting:
        """Where an object was in the frame nearest in time of which that is known: a key frame, or
        the last one of this pass, which goes before a key frame as near."""
        keys = self._keys.get(number)
        if keys is None:
            return unseen(picture, Trace())
        nearest = keys.nearest(picture.index).sighting
        last = self._last.get(number, nearest)
        to_key, to_last = (abs(one.picture.index - picture.index) for one in (nearest, last))
        return last if 0 < to_last <= to_key else nearest

    def _motion(self, reference: Picture, picture: Picture) -> Motion:
        """Measured once for all objects that were seen in the reference."""
        if reference.index not in self._motions:
            self._motions[reference.index] = measure(reference.gray, picture.gray)
        return self._motions[reference.index]

    def _guess(self, number: int, before: Sighting, picture: Picture) -> _Guess:
        """Carry an object on, or look for it where it is lost."""
        keys = self._keys[number]
        odds = odds_of(keys.looks, picture.cells)
        foreign = odds < -_TELLING
        if before.mask.any():
            motion = self._motion(before.picture, picture)
            field, share = carry(before.field, motion)
            # What an object uncovers has no motion and may seem to go along with it.
            field[~motion.known & foreign & (field > 0)] = -_BESIDE
            field = _regrown(field, odds > _TELLING, keys.areas(Trace())[0])
            look = keys.similarity(picture, field > 0)
            is_lost = look < _LOST_LOOK or (share < _LOST_SHARE and look < _UNSURE_LOOK)
            if not is_lost:
                return _Guess(field, share, foreign, trace_of(field > 0))
        trace = before.trace
        place = likeliest_place(keys.looks, picture.cells, keys.areas(trace), trace.middle)
        field = unseen(picture, trace).field if place is None else field_of(place)
        return _Guess(field, None, foreign, trace)

    def _ask_again(self, frame: ClipFrame, guesses: Mapping[int, _Guess]) -> dict[int, _Answer]:
        """What the engine draws of the guesses.

        An object that it would not draw in the key frame is followed by its motion alone.
        """
        asked = []
        for number, guess in guesses.items():
            is_drawn = guess.share is None or self._keys[number].is_drawn(frame.index)
            if is_drawn and guess.mask.any():
                asked.append(number)
        answers = self._redraw(frame, [guesses[number].mask for number in asked])
        return dict(zip(asked, answers, strict=True))

    def _redraw(self, frame: ClipFrame, masks: Sequence[BoolMap]) -> list[_Answer]:
        """What the engine draws when asked with masks [h, w], their boxes and inner points."""
        if not masks:
            return []
        # As an image of the working size: prompts and answers then are in its pixels.
        size = (masks[0].shape[0], masks[0].shape[1])
        prompts = [
            ObjectPrompt(
                label="",
                points=inner_points(mask),
                box=box_around(mask),
                mask=torch.from_numpy(mask).float(),
            )
            for mask in masks
        ]
        return self._ask(replace(frame.embedding, size=size), prompts, size)

    def _ask(
        self, embedding: Embedding, prompts: Sequence[ObjectPrompt], size: tuple[int, int]
    ) -> list[_Answer]:
        """What the engine draws, at a size. One click is ambiguous: its masks compete by score."""
        answers = []
        multimask = any(prompt.is_single_click for prompt in prompts)
        for found in self._engine.decode(embedding, prompts, multimask):
            best = int(found.scores.argmax())
            logits = self._engine.to_logits(found.logits[best : best + 1], size)[0]
            score = float(found.scores[best].clamp(0, 1))
            answers.append(_Answer(logits.float().cpu().numpy(), score))
        return answers

    def _draw(self, frame: ClipFrame, picture: Picture, prompt: ObjectPrompt) -> Sighting:
        """What the prompts alone show."""
        is_told = prompt.points or prompt.box is not None or prompt.negative_boxes
        if prompt.mask is not None and not is_told:
            mask = resize_area((prompt.mask > 0.5).cpu().numpy(), picture.size) > 0.5
            field = field_of(mask)
            return Sighting(picture, field, field, float(mask.any()), trace_of(mask))
        if not prompt.is_wanted:
            return unseen(picture, Trace())
        (answer,) = self._ask(frame.embedding, [prompt], picture.size)
        return _sighting(picture, answer, answer.score, Trace())

    def _set_key(self, number: int, frame: ClipFrame, sighting: Sighting) -> None:
        mask = sighting.mask
        look, is_drawn = None, False
        if mask.any():
            look = look_at(sighting.picture.cells, mask)
            (answer,) = self._redraw(frame, [mask])
            is_drawn = iou(answer.mask, mask) >= _AGREEMENT
        keys = self._keys.setdefault(number, KeyFrames())
        keys.frames[frame.index] = KeyFrame(sighting, look, is_drawn)
        self._last[number] = sighting


def _regrown(field: FloatMap, familiar: BoolMap, whole: int) -> FloatMap:
    """Let an object grow that is smaller than in all its key frames: it is hidden in part, or on
    its way in or out, and what of it appears has not been there to be carried on.

    familiar: [h, w] bool, colours that speak for the object: of these, what hangs together with it
    and lies near is added. whole: its area in the key frame where it is smallest, in pixels, which
    must not be exceeded by much.
    """
    seen = field > 0
    if not seen.any() or seen.sum() > _PARTIAL * whole:
        return field
    near = cv2.distanceTransform((~seen).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    within = near <= _REGROWTH * np.sqrt(whole)
    grown = keep_components(seen | (familiar & within), seen)
    if grown.sum() > whole / _AGREEMENT:
        return field
    return np.where(grown & ~seen, np.float32(_BESIDE), field)


def _settle(keys: KeyFrames, picture: Picture, guess: _Guess, answer: _Answer | None) -> Sighting:
    """Choose between a carried shape and the engine's answer to it, None where it was not asked.

    What the engine adds in colours that speak against the object is no part of it: such steps are
    small, but they add up.
    """
    if answer is not None:
        answer = answer.without(guess.foreign & ~guess.mask)
        agreement = iou(answer.mask, guess.mask)
        if agreement >= _AGREEMENT:
            return _sighting(picture, answer, answer.score * agreement, guess.trace)
    score = (guess.share or 0.0) * keys.similarity(picture, guess.mask)
    return Sighting(picture, guess.field, guess.field, score, guess.trace)


def _settle_search(
    keys: KeyFrames, picture: Picture, guess: _Guess, answer: _Answer | None
) -> Sighting:
    """A lost object is found again where the engine draws something that looks like it."""
    if answer is None:
        return unseen(picture, guess.trace)
    area, (least, most) = int(answer.mask.sum()), keys.areas(guess.trace)
    look = keys.similarity(picture, answer.mask)
    if look < _FOUND_LOOK or not least / _FOUND_CHANGE <= area <= most * _FOUND_CHANGE:
        return unseen(picture, guess.trace)
    return _sighting(picture, answer, answer.score * look, guess.trace)


def _sighting(picture: Picture, answer: _Answer, score: float, trace: Trace) -> Sighting:
    """What an engine drew; trace: of the object when last seen, should that be nothing."""
    if not answer.mask.any():
        return unseen(picture, trace)
    return Sighting(picture, answer.logits, field_of(answer.mask), score, trace_of(answer.mask))


def _is_within(mask: BoolMap, prompt: ObjectPrompt, size: tuple[int, int]) -> bool:
    """Whether there is a mask [h, w], and most of it lies in the prompt's box, if it has one.

    size: (H, W) of the image that the box refers to.
    """
    if prompt.box is None:
        return bool(mask.any())
    down, across = mask.shape[0] / size[0], mask.shape[1] / size[1]
    rows = slice(int(prompt.box.y1 * down), math.ceil(prompt.box.y2 * down))
    columns = slice(int(prompt.box.x1 * across), math.ceil(prompt.box.x2 * across))
    return 2 * int(mask[rows, columns].sum()) > int(mask.sum())
