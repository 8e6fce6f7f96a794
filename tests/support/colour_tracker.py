"""An engine that follows objects by their colour: exact on clips of plain shapes, so that tests of
the way through a clip need no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from segment_anywhere.core.engines.base import (
    Candidates,
    ClipFrame,
    Embedding,
    Prepared,
    TrackCache,
)
from segment_anywhere.core.prompts.prompts import ObjectPrompt
from torch import Tensor

_SURE = 5.0


@dataclass
class ColourSession:
    """Keeps an object's colour. calls: what it was asked, as (what, frame, objects)."""

    looks_ahead: bool
    method: str = "colour"
    calls: list[tuple] = field(default_factory=list)
    colours: dict[int, Tensor] = field(default_factory=dict)

    def begin_pass(self) -> None:
        self.calls.append(("pass",))

    def start(self, frame: ClipFrame, prompts: Mapping[int, ObjectPrompt]) -> dict[int, Candidates]:
        self.calls.append(("start", frame.index, sorted(prompts)))
        for number, prompt in prompts.items():
            self.colours[number] = _colour(frame.pixels, prompt)
        return self._found(frame, list(prompts))

    def correct(
        self, frame: ClipFrame, prompts: Mapping[int, ObjectPrompt]
    ) -> dict[int, Candidates]:
        self.calls.append(("correct", frame.index, sorted(prompts)))
        for number, prompt in prompts.items():
            self.colours[number] = _colour(frame.pixels, prompt)
        return self._found(frame, list(prompts))

    def step(self, frame: ClipFrame, objects: Sequence[int]) -> dict[int, Candidates]:
        self.calls.append(("step", frame.index, sorted(objects)))
        return self._found(frame, objects)

    def to_logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        return logits

    def _found(self, frame: ClipFrame, objects: Sequence[int]) -> dict[int, Candidates]:
        return {number: self._mask(frame.pixels, number) for number in objects}

    def _mask(self, pixels: Tensor, number: int) -> Candidates:
        away = (pixels - self.colours[number]).abs().amax(dim=2)
        # The nearer a pixel's colour, the surer; a score that falls with the number.
        logits = _SURE * (0.2 - away)
        return Candidates(logits[None], torch.tensor([1.0 - number / 10]))


class ColourEngine:
    """Follows by colour; embeds nothing. sessions: those it has begun."""

    family = "colour"
    module = None

    def __init__(self, looks_ahead: bool):
        self._looks_ahead = looks_ahead
        self.sessions: list[ColourSession] = []

    def prepare(self, frame: Tensor) -> Prepared:
        return Prepared(frame, (frame.shape[0], frame.shape[1]))

    def encode_batch(self, frames: Sequence[Prepared]) -> list[Embedding]:
        return [Embedding((frame.pixels.mean()[None],), frame.size) for frame in frames]

    def activation_bytes(self) -> int:
        return 0

    def track(self, frames: int, known: TrackCache | None = None) -> ColourSession:
        self.sessions.append(ColourSession(self._looks_ahead))
        return self.sessions[-1]


def _colour(pixels: Tensor, prompt: ObjectPrompt) -> Tensor:
    """The colour at the first click, or in the middle of the mask."""
    if prompt.points:
        return pixels[int(prompt.points[0].y), int(prompt.points[0].x)]
    assert prompt.mask is not None
    rows, columns = torch.where(prompt.mask > 0.5)
    middle = len(rows) // 2
    return pixels[rows[middle], columns[middle]]
