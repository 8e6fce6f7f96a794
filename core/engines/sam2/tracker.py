"""Follows objects through a clip by what the model remembers of them.

Source: `SAM2VideoPredictor` of the official implementation (sam2 1.1.0), to which it is numerically
equal, see tests/parity, but for two things: every frame that somebody corrects is a key frame from
then on (there `add_all_frames_to_correct_as_cond`), and small holes stay as they are, which the
official code fills on NVIDIA GPUs alone. It keeps all frames and takes the objects one by one; here
what no later frame asks for is forgotten, and objects with equal memories go together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...cache import Tensors, key_of, pixels_key
from ...prompts.prompts import ObjectPrompt
from ..base import Candidates, ClipFrame, TrackCache
from ..lineage.prompted import MASK_LOGIT, ModelPrompts
from .bank import POINTERS, Bank, Recall, Trace
from .memory import TrackerMemory

if TYPE_CHECKING:
    from .engine import Sam2Engine

# The logits of a mask that is not there, and as far as the decoder is told those of an earlier one.
_ABSENT, _LIMIT = -1024.0, 32.0
# Objects that go through the model together: beyond that a CPU gains nothing and a GPU little.
TOGETHER = 4
# A point that is none; objects without a prompt have one.
_NO_POINT = -1


@dataclass(frozen=True)
class _Found:
    """What was found of an object in the frame at hand.

    logits: [1, h, w] and score: [1], float32. seen: [1] float32, above 0 where it is there.
    pointer: [C] float32. key: of all that it depends on.
    """

    logits: Tensor
    score: Tensor
    seen: Tensor
    pointer: Tensor
    key: str = ""

    @property
    def candidates(self) -> Candidates:
        return Candidates(self.logits, self.score)

    @property
    def tensors(self) -> Tensors:
        """As a cache keeps it."""
        return Tensors((self.logits, self.score, self.seen, self.pointer))


@dataclass(frozen=True)
class _View:
    """A frame's maps as the decoder reads them, float32 on its device."""

    levels: tuple[Tensor, Tensor]
    coarse: Tensor
    size: tuple[int, int]


class MemorySession:
    """One clip. What it holds is constant in the number of frames, key frames not counted.

    What is found of an object depends on the frame, on what is remembered of this object, and on
    its own prompt. So a run after one more click, or one more object, takes from the cache all that
    neither changes.
    """

    method = "memory"
    looks_ahead = True

    def __init__(
        self, engine: Sam2Engine, memory: TrackerMemory, frames: int, cache: TrackCache | None
    ):
        """frames: the clip's. cache: what earlier sessions found; its frames have keys."""
        self._engine = engine
        self._memory = memory
        self._cache = cache
        self._pointers = max(2, min(frames, POINTERS))
        self._banks: dict[int, Bank] = {}
        self._keys: dict[tuple[int, int], _Found] = {}
        # The frame at hand, which becomes a memory when the next one comes.
        self._index: int | None = None
        self._frame_key = ""
        self._coarse: Tensor | None = None
        self._found: dict[int, _Found] = {}
        self._step = 1
        self._range = (sys.maxsize, -1)

    @torch.inference_mode()
    def begin_pass(self) -> None:
        """Forget all frames but key frames."""
        self._remember(keys_only=True)
        for bank in self._banks.values():
            bank.forget()
        self._index = None

    @torch.inference_mode()
    def start(self, frame: ClipFrame, prompts: Mapping[int, ObjectPrompt]) -> dict[int, Candidates]:
        """Make this a key frame of objects: their masks by their prompts alone."""
        view = self._arrive(frame, prompts)
        return {
            number: self._add_key(
                frame,
                number,
                self._prompted(view, view.coarse, prompt, None),
                key_of("start", frame.embedding.key, _prompt_key(prompt)),
            )
            for number, prompt in prompts.items()
        }

    @torch.inference_mode()
    def correct(
        self, frame: ClipFrame, prompts: Mapping[int, ObjectPrompt]
    ) -> dict[int, Candidates]:
        """Make this a key frame of objects that have one already: follow them to it, and change
        what is found by their prompts."""
        self.step(frame, list(prompts))
        view = self._arrive(frame, prompts)
        results: dict[int, Candidates] = {}
        for number, prompt in prompts.items():
            before = self._at(number, frame.index)
            recall = self._banks[number].recall(frame.index, self._step, self._pointers)
            asked = _prompt_key(prompt)
            key = key_of("correct", frame.embedding.key, recall.key, before.key, asked)
            found = self._found_before(key)
            if found is None:
                conditioned = self._memory.condition(view.coarse, [recall], self._pointers - 1)
                found = self._prompted(view, conditioned, prompt, before.logits)
                self._keep(key, found.tensors)
            results[number] = self._add_key(frame, number, found, key)
        return results

    @torch.inference_mode()
    def step(self, frame: ClipFrame, objects: Sequence[int]) -> dict[int, Candidates]:
        """Follow objects, each of which has a key frame, to this frame."""
        view = self._arrive(frame, objects)
        recalls: dict[int, Recall] = {}
        keys: dict[int, str] = {}
        for number in objects:
            if number in self._found or (number, frame.index) in self._keys:
                continue
            recall = self._banks[number].recall(frame.index, self._step, self._pointers)
            key = key_of("step", frame.embedding.key, recall.key, self._pointers)
            found = self._found_before(key)
            if found is None:
                recalls[number], keys[number] = recall, key
            else:
                self._found[number] = found
        groups: dict[tuple[int, int], list[int]] = {}
        for number, recall in recalls.items():
            groups.setdefault(recall.layout, []).append(number)
        for group in groups.values():
            for members in _portions(group):
                told = [recalls[number] for number in members]
                conditioned = self._memory.condition(view.coarse, told, self._pointers - 1)
                read = self._read(view, conditioned, self._unprompted(len(members)))
                for number, found in zip(members, read, strict=True):
                    self._found[number] = replace(found, key=keys[number])
                    self._keep(keys[number], found.tensors)
        return {number: self._at(number, frame.index).candidates for number in objects}

    def to_logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Upsample logits [K, h, w] to the frame's size, bilinear: [K, H, W] float32."""
        return self._engine.to_logits(logits, size)

    def _arrive(self, frame: ClipFrame, objects: Iterable[int]) -> _View:
        """Remember the frame before, if there was another, and look at this one."""
        features = self._engine.for_decoder(frame.embedding).features
        if frame.index != self._index:
            self._remember(keys_only=False)
            self._step = self._direction(frame.index, objects)
            low, high = self._range
            self._range = (min(low, frame.index), max(high, frame.index))
            self._index, self._coarse = frame.index, features[-1]
            self._frame_key = frame.embedding.key
        fine, middle, coarse = (level.float() for level in features)
        return _View((fine, middle), coarse, frame.embedding.size)

    def _direction(self, index: int, objects: Iterable[int]) -> int:
        """The way of the pass, up (1) or down (-1).

        Of its first frame it is not known. One that begins where frames or key frames end goes
        away from there.
        """
        if self._index is not None:
            return 1 if index > self._index else -1
        low, high = self._range
        if index <= low:
            return 1
        keys = [key for key in self._keys if key[0] in objects]
        return -1 if index >= high or all(at > index for _, at in keys) else 1

    def _remember(self, keys_only: bool) -> None:
        """Make memories of the frame at hand; keys_only: of objects whose key frame it is."""
        index, coarse = self._index, self._coarse
        if index is None or coarse is None:
            return
        is_key = {number: (number, index) in self._keys for number in self._found}
        numbers = [number for number in self._found if is_key[number] or not keys_only]
        keys = {
            number: key_of("map", self._frame_key, self._found[number].key, is_key[number])
            for number in numbers
        }
        before = {number: self._kept(keys[number]) for number in numbers}
        maps = {number: kept.values[0] for number, kept in before.items() if kept is not None}
        for members in _portions([number for number in numbers if number not in maps]):
            found = [self._found[number] for number in members]
            encoded = self._memory.encode(
                coarse.float(),
                torch.stack([one.logits for one in found]),
                torch.tensor([is_key[number] for number in members], device=coarse.device),
                torch.stack([one.seen for one in found]),
            )
            for number, own in zip(members, encoded, strict=True):
                maps[number] = own.clone()
                self._keep(keys[number], Tensors((maps[number],)))
        for number in numbers:
            trace = Trace(maps[number], self._found[number].pointer, keys[number])
            if is_key[number]:
                self._banks[number].add_key(index, trace)
            else:
                self._banks[number].add(index, trace)
        self._found.clear()
        self._coarse = None

    def _add_key(self, frame: ClipFrame, number: int, found: _Found, key: str) -> Candidates:
        self._banks.setdefault(number, Bank(self._engine.key_frames))
        self._found[number] = self._keys[number, frame.index] = replace(found, key=key)
        return found.candidates

    def _at(self, number: int, index: int) -> _Found:
        """What is known of an object on the frame at hand."""
        return self._keys[number, index] if (number, index) in self._keys else self._found[number]

    def _kept(self, key: str) -> Tensors | None:
        kept = None if self._cache is None else self._cache.get(key)
        return None if kept is None else kept.to(self._memory.device)

    def _keep(self, key: str, tensors: Tensors) -> None:
        if self._cache is not None:
            self._cache.put(key, tensors)

    def _found_before(self, key: str) -> _Found | None:
        kept = self._kept(key)
        if kept is None:
            return None
        logits, score, seen, pointer = kept.values
        return _Found(logits, score, seen, pointer, key)

    def _prompted(
        self, view: _View, conditioned: Tensor, prompt: ObjectPrompt, before: Tensor | None
    ) -> _Found:
        """What a prompt finds; before: logits [1, h, w] of what was found there without it."""
        if prompt.mask is not None and not prompt.points and prompt.box is None:
            return self._given(view, prompt.mask)
        if before is None:
            conditioned = conditioned + self._engine.no_memory
        asked = self._engine.model_prompts([prompt], view.size)
        if before is not None and asked.mask_logits is None:
            logits = before[None].clamp(-_LIMIT, _LIMIT)
            asked = ModelPrompts(asked.points, asked.labels, logits, asked.has_boxes)
        (found,) = self._read(view, conditioned, asked)
        return found

    def _given(self, view: _View, mask: Tensor) -> _Found:
        """A mask [H, W] that says how the object lies: nothing is decoded but its pointer."""
        inside, logits = self._engine.given(mask)
        asked = self._unprompted(1, self._memory.mask_logits(inside))
        decoded = self._engine.read(view.levels, view.coarse, asked, multimask=False)
        seen = torch.where(inside.flatten(1).amax(dim=1, keepdim=True) > 0, MASK_LOGIT, -MASK_LOGIT)
        # A pointer also needs a decoder that sees what the mask says.
        pointer = self._memory.pointers(decoded.tokens[:, 0], torch.minimum(seen, decoded.presence))
        return _Found(logits, torch.ones_like(seen[0]), seen[0], pointer[0])

    def _unprompted(self, count: int, mask_logits: Tensor | None = None) -> ModelPrompts:
        device = self._memory.device
        points = torch.zeros(count, 1, 2, device=device)
        labels = torch.full((count, 1), _NO_POINT, dtype=torch.int32, device=device)
        return ModelPrompts(points, labels, mask_logits, has_boxes=False)

    def _read(self, view: _View, conditioned: Tensor, prompts: ModelPrompts) -> list[_Found]:
        """The best mask of each object; of several where at most one point says what is meant."""
        multimask = prompts.points.shape[1] <= 1
        decoded = self._engine.read(view.levels, conditioned, prompts, multimask)
        best = decoded.scores.argmax(dim=1)
        rows = torch.arange(len(best), device=best.device)
        seen = decoded.presence
        logits = decoded.logits[rows, best]
        logits = torch.where(seen[..., None] > 0, logits, _ABSENT)
        pointers = self._memory.pointers(decoded.tokens[rows, best], seen)
        scores = decoded.scores[rows, best]
        return [
            _Found(logits[row, None].clone(), scores[row, None], seen[row], pointers[row].clone())
            for row in range(len(best))
        ]


def _prompt_key(prompt: ObjectPrompt) -> str:
    """Of what a prompt says of the object, whatever the object is called."""
    mask = "" if prompt.mask is None else pixels_key(prompt.mask)
    return key_of(replace(prompt, label="", number=0, mask=None), mask)


def _portions(objects: Sequence[int]) -> list[Sequence[int]]:
    return [objects[start : start + TOGETHER] for start in range(0, len(objects), TOGETHER)]
