"""Follows objects through a clip by optical flow, and asks an engine for their outlines again.

In each frame an object's shape is carried on from the frame before (`motion.carry`), and the engine
is asked with that mask, its box and its inner points. Its answer is taken where it is nearly the
same shape: then it corrects the outline, so that errors of the flow do not add up. Where it is not,
the engine has slipped onto something else, and the carried shape stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ...prompts.prompts import ObjectPrompt
from ..base import Candidates, ClipFrame, Embedding
from ..grabcut.marks import resize_area
from .looks import foreign_to, likeliest_place, look_at, similarity
from .motion import Motion, carry, measure
from .shapes import BoolMap, FloatMap, box_around, field_of, inner_points, iou
from .sightings import KeyFrame, Picture, Sighting, shrink, unseen

if TYPE_CHECKING:
    from ..base import Engine

# The engine's answer is taken from this IoU with the carried shape on. It also bounds the change of
# the area, to between 0.8 and 1.25.
_AGREEMENT = 0.8
# Fewer pixels of the working size are no object.
_LEAST_AREA = 12
# An object is lost where its colours are less like those of its key frames than this, ...
_LOST_LOOK = 0.5
# ... and where next to no pixel's motion is known, already below this.
_LOST_SHARE, _UNSURE_LOOK = 0.1, 0.8
# What looks like this is a lost object found again, if its area has not changed beyond this factor.
_FOUND_LOOK, _FOUND_CHANGE = 0.85, 4.0


@dataclass(frozen=True)
class _Guess:
    """Where an object should be in a frame.

    field: [h, w] float32, negative everywhere for nowhere. share: of its pixels, that are known to
    have moved so, 0..1; None where it was not carried on but found by its look. area: in pixels,
    when last seen.
    """

    field: FloatMap
    share: float | None
    area: int

    @property
    def mask(self) -> BoolMap:
        return self.field > 0


@dataclass(frozen=True)
class _Answer:
    """What an engine drew, at the working size: logits [h, w] float32, above 0 inside; its score."""

    logits: FloatMap
    score: float

    @property
    def mask(self) -> BoolMap:
        return self.logits > 0


class FlowSession:
    """A `TrackSession` for any engine. It keeps one frame, and the key frames, at most 640 pixels a
    side: the same input gives the same result."""

    method = "optical flow"
    looks_ahead = False

    def __init__(self, engine: Engine):
        self._engine = engine
        self._keys: dict[int, dict[int, KeyFrame]] = {}
        self._last: dict[int, Sighting] = {}
        self._picture: Picture | None = None
        self._motions: dict[int, Motion] = {}

    def begin_pass(self) -> None:
        """Forget all frames but key frames: objects go on from the nearest one of theirs."""
        self._last.clear()

    def start(self, frame: ClipFrame, prompts: Mapping[int, ObjectPrompt]) -> dict[int, Candidates]:
        """Make this a key frame of objects: their masks by their prompts alone.

        The logits are [1, h, w] float32 on the CPU, the frame shrunk to at most 640 pixels a side.
        A mask's score is 1, another one the engine's, within 0..1.
        """
        picture = self._look_at(frame)
        for number, prompt in prompts.items():
            self._set_key(number, frame, self._draw(frame, picture, prompt))
        return {number: self._last[number].candidates for number in prompts}

    def correct(
        self, frame: ClipFrame, prompts: Mapping[int, ObjectPrompt]
    ) -> dict[int, Candidates]:
        """Make this a key frame of objects: the engine gets what they are followed to as a mask,
        together with their prompts. A mask or a box among these replaces it, if that is not mostly
        within the box."""
        self.step(frame, list(prompts))
        picture = self._look_at(frame)
        for number, prompt in prompts.items():
            mask = self._last[number].mask
            if prompt.mask is None and _is_within(mask, prompt, frame.embedding.size):
                whole = _enlarge(torch.from_numpy(mask)[None].float(), frame.embedding.size)
                prompt = replace(prompt, mask=(whole[0] > 0.5).float())
            self._set_key(number, frame, self._draw(frame, picture, prompt))
        return {number: self._last[number].candidates for number in prompts}

    def step(self, frame: ClipFrame, objects: Sequence[int]) -> dict[int, Candidates]:
        """Follow objects to this frame; one that has no key frame yet is not seen.

        The score is the engine's, times the IoU of its mask with the carried one; where the carried
        one stays, the share of it whose motion is known, times how alike its colours are to those
        in the key frames. 0 for what is not seen.
        """
        picture = self._look_at(frame)
        guesses: dict[int, _Guess] = {}
        for number in objects:
            before = self._before(number, picture)
            if before.picture.index == picture.index:
                self._last[number] = before
            else:
                guesses[number] = self._guess(number, before, picture)
        answers = self._ask_again(frame, guesses)
        for number, guess in guesses.items():
            self._last[number] = self._settle(number, picture, guess, answers.get(number))
        return {number: self._last[number].candidates for number in objects}

    def to_logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits [K, h, w] -> [K, H, W] float32, bilinear."""
        return _enlarge(logits, size)

    def _look_at(self, frame: ClipFrame) -> Picture:
        """The frame at the working size, made once for all calls on it."""
        if self._picture is None or self._picture.index != frame.index:
            self._picture = shrink(frame.index, frame.pixels)
            self._motions = {}
        return self._picture

    def _before(self, number: int, picture: Picture) -> Sighting:
        """Where an object was: here if that is known, in the last frame of this pass, or in the
        nearest key frame."""
        keys = self._keys.get(number, {})
        if picture.index in keys:
            return keys[picture.index].sighting
        if number in self._last:
            return self._last[number]
        return self._nearest(number, picture).sighting if keys else unseen(picture, 0)

    def _nearest(self, number: int, picture: Picture) -> KeyFrame:
        keys = self._keys[number]
        return keys[min(keys, key=lambda index: abs(index - picture.index))]

    def _motion(self, reference: Picture, picture: Picture) -> Motion:
        """Measured once for all objects that were seen in the reference."""
        if reference.index not in self._motions:
            self._motions[reference.index] = measure(reference.gray, picture.gray)
        return self._motions[reference.index]

    def _guess(self, number: int, before: Sighting, picture: Picture) -> _Guess:
        """Carry an object on, or look for it where it is lost."""
        if before.mask.any():
            foreign = self._foreign(number, picture)
            motion = self._motion(before.picture, picture)
            field, share = carry(before.field, motion)
            field[~motion.known & foreign & (field > 0)] = -0.5
            look = self._similarity(number, picture, field > 0)
            is_lost = look < _LOST_LOOK or (share < _LOST_SHARE and look < _UNSURE_LOOK)
            if not is_lost:
                return _Guess(field, share, int((field > 0).sum()))
        looks = [key.look for key in self._keys[number].values() if key.look is not None]
        place = likeliest_place(looks, picture.cells, before.area)
        field = unseen(picture, 0).field if place is None else field_of(place)
        return _Guess(field, None, before.area)

    def _foreign(self, number: int, picture: Picture) -> BoolMap:
        """The pixels whose colours speak against an object."""
        keys = self._keys[number].values()
        return foreign_to([key.look for key in keys if key.look is not None], picture.cells)

    def _similarity(self, number: int, picture: Picture, mask: BoolMap) -> float:
        """How alike an object's colours under a mask are to those of its most similar key frame."""
        if mask.sum() < _LEAST_AREA:
            return 0.0
        keys = self._keys[number].values()
        looks = [similarity(key.look, picture.cells, mask) for key in keys if key.look is not None]
        return max(looks, default=0.0)

    def _ask_again(self, frame: ClipFrame, guesses: Mapping[int, _Guess]) -> dict[int, _Answer]:
        """What the engine draws of the guesses, of objects that it is known to draw.

        One that it would not draw in the key frame is followed by its motion alone.
        """
        picture = self._look_at(frame)
        asked = [
            number
            for number, guess in guesses.items()
            if guess.mask.any() and (guess.share is None or self._nearest(number, picture).is_drawn)
        ]
        answers = self._redraw(frame, [guesses[number].mask for number in asked])
        return dict(zip(asked, answers, strict=True))

    def _redraw(self, frame: ClipFrame, masks: Sequence[BoolMap]) -> list[_Answer]:
        """What the engine draws when asked with masks [h, w], their boxes and inner points."""
        if not masks:
            return []
        # As an image of the working size: prompts, and answers, then are in its pixels.
        embedding = replace(frame.embedding, size=masks[0].shape)
        prompts = [
            ObjectPrompt(
                label="",
                points=inner_points(mask),
                box=box_around(mask),
                mask=torch.from_numpy(mask).float(),
            )
            for mask in masks
        ]
        return self._ask(embedding, prompts, embedding.size)

    def _ask(
        self, embedding: Embedding, prompts: Sequence[ObjectPrompt], size: tuple[int, int]
    ) -> list[_Answer]:
        """What the engine draws, at a size. One click is ambiguous, so that its masks compete."""
        answers = []
        multimask = any(prompt.is_single_click for prompt in prompts)
        for found in self._engine.decode(embedding, prompts, multimask):
            best = int(found.scores.argmax())
            logits = self._engine.to_logits(found.logits[best : best + 1], size)[0]
            score = float(found.scores[best].clamp(0, 1))
            answers.append(_Answer(logits.cpu().numpy(), score))
        return answers

    def _settle(
        self, number: int, picture: Picture, guess: _Guess, answer: _Answer | None
    ) -> Sighting:
        """Choose between a guess and the engine's answer to it."""
        if guess.share is None:
            return self._settle_search(number, picture, guess, answer)
        if answer is not None:
            answer.logits[answer.mask & ~guess.mask & self._foreign(number, picture)] *= -1
            agreement = iou(answer.mask, guess.mask)
            if agreement >= _AGREEMENT:
                return _sighting(picture, answer, answer.score * agreement)
        score = guess.share * self._similarity(number, picture, guess.mask)
        return Sighting(picture, guess.field, guess.field, score, guess.area)

    def _settle_search(
        self, number: int, picture: Picture, guess: _Guess, answer: _Answer | None
    ) -> Sighting:
        """A lost object is found again where the engine draws what looks like it."""
        if answer is None:
            return unseen(picture, guess.area)
        area = int(answer.mask.sum())
        look = self._similarity(number, picture, answer.mask)
        is_alike = guess.area / _FOUND_CHANGE <= area <= guess.area * _FOUND_CHANGE
        if look < _FOUND_LOOK or not is_alike:
            return unseen(picture, guess.area)
        return _sighting(picture, answer, answer.score * look)

    def _draw(self, frame: ClipFrame, picture: Picture, prompt: ObjectPrompt) -> Sighting:
        """What the prompts alone show."""
        if prompt.mask is not None and not prompt.points and prompt.box is None:
            mask = resize_area((prompt.mask > 0.5).cpu().numpy(), picture.size) > 0.5
            field = field_of(mask)
            return Sighting(picture, field, field, float(mask.any()), int(mask.sum()))
        if not prompt.is_wanted:
            return unseen(picture, 0)
        (answer,) = self._ask(frame.embedding, [prompt], picture.size)
        return _sighting(picture, answer, answer.score)

    def _set_key(self, number: int, frame: ClipFrame, sighting: Sighting) -> None:
        mask = sighting.mask
        look, is_drawn = None, False
        if mask.any():
            look = look_at(sighting.picture.cells, mask)
            (answer,) = self._redraw(frame, [mask])
            is_drawn = iou(answer.mask, mask) >= _AGREEMENT
        key = KeyFrame(sighting, look, is_drawn)
        self._keys.setdefault(number, {})[frame.index] = key
        self._last[number] = sighting


def _sighting(picture: Picture, answer: _Answer, score: float) -> Sighting:
    field = field_of(answer.mask)
    return Sighting(picture, answer.logits, field, score, int(answer.mask.sum()))


def _is_within(mask: BoolMap, prompt: ObjectPrompt, size: tuple[int, int]) -> bool:
    """Whether there is a mask [h, w], and most of it lies in the prompt's box, if it has one.

    size: (H, W) of the image that the box refers to.
    """
    if prompt.box is None:
        return bool(mask.any())
    down, across = mask.shape[0] / size[0], mask.shape[1] / size[1]
    rows = slice(int(prompt.box.y1 * down), math.ceil(prompt.box.y2 * down))
    columns = slice(int(prompt.box.x1 * across), math.ceil(prompt.box.x2 * across))
    return bool(mask.any()) and 2 * int(mask[rows, columns].sum()) > int(mask.sum())


def _enlarge(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits[:, None], size=size, mode="bilinear")[:, 0]
