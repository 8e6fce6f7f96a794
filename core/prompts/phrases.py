"""Phrases: what is asked for in words, and what is not wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import InputError
from .examples import VISUAL
from .labels import all_labels, choose_labels
from .prompts import Box

# The full-width comma, and the comma of lists, are what Chinese and Japanese keyboards write.
_BETWEEN_PHRASES = re.compile(r"[,，、\n]")


@dataclass(frozen=True)
class TextQuery:
    """What a text prompt asks for.

    threshold: the lowest score that counts, 0..1; 0 for the one that is usual for the detector.
    max_objects: per phrase and frame, 0 for all. examples: of each frame, boxes around what is
    wanted or is not, which go with every phrase but the unwanted ones; () without any on any frame.
    is_visual: there are no words, so that a frame without a box around what is wanted asks for
    nothing. is_all: the phrases are all classes of the detector, none of them asked for by name.
    """

    phrases: tuple[str, ...]
    unwanted: tuple[str, ...]
    threshold: float
    max_objects: int
    examples: tuple[tuple[Box, ...], ...] = ()
    is_visual: bool = False
    is_all: bool = False

    @property
    def all_phrases(self) -> tuple[str, ...]:
        """What a model is asked: the unwanted phrases, whose number says how many of the others'
        objects have to be drawn, then the phrases."""
        return self.unwanted + self.phrases

    def examples_on(self, frame: int) -> list[tuple[Box, ...]]:
        """The boxes beside each of `all_phrases` on a frame; [] without any."""
        boxes = self.examples[frame] if self.examples else ()
        return [()] * len(self.unwanted) + [boxes] * len(self.phrases) if boxes else []

    def asks(self, frame: int) -> bool:
        """Whether anything is wanted on a frame."""
        return not self.is_visual or any(box.positive for box in self.examples[frame])


def split_phrases(text: str) -> tuple[str, ...]:
    """Phrases between commas and line ends, without surrounding space, each once."""
    first: dict[str, str] = {}
    for phrase in split_names(text):
        first.setdefault(phrase.casefold(), phrase)
    return tuple(first.values())


def split_names(text: str) -> tuple[str, ...]:
    """Names between commas and line ends, without surrounding space, in their order."""
    names = (" ".join(part.split()) for part in _BETWEEN_PHRASES.split(text))
    return tuple(name for name in names if name)


def read_query(
    prompt: str,
    negative_prompt: str,
    threshold: float,
    max_objects: int,
    examples: Sequence[tuple[Box, ...]] = (),
    labels: Sequence[str] = (),
) -> TextQuery:
    """Split prompts into phrases at commas and line ends; repeated ones count once.

    examples: as `examples.read_examples` gives them. labels: the classes of a detector that knows
    no others; the phrases are then those of them that the prompts name, all for a prompt without
    phrases. Raises InputError for a prompt without phrases where no box shows what is wanted and no
    class is known either, for a phrase in both prompts, and for one that names no class.
    """
    phrases, unwanted = split_phrases(prompt), split_phrases(negative_prompt)
    if labels:
        return _read_classes(phrases, unwanted, threshold, max_objects, labels)
    boxes = [box for frame in examples for box in frame]
    is_visual = not phrases and any(box.positive for box in boxes)
    if is_visual:
        phrases = (VISUAL,)
    if not phrases:
        shown = "prompt: is empty, and all boxes are around what is not wanted" if boxes else ""
        raise InputError(
            f"{shown or 'prompt: is empty'}. Name what to find, several things separated by commas "
            "or line ends, such as: dog, red car. With SAM 3 a box around an example does as well."
        )
    check_apart(phrases, unwanted)
    kept = tuple(examples) if boxes else ()
    return TextQuery(phrases, unwanted, threshold, max_objects, kept, is_visual)


def _read_classes(
    phrases: Sequence[str],
    unwanted: Sequence[str],
    threshold: float,
    max_objects: int,
    labels: Sequence[str],
) -> TextQuery:
    """The query for those of a detector's classes that phrases name, all where there are none."""
    without = choose_labels(unwanted, labels, "negative_prompt")
    chosen = choose_labels(phrases, labels) or all_labels(labels, without)
    check_apart(chosen, without)
    return TextQuery(chosen, without, threshold, max_objects, is_all=not phrases)


def check_apart(phrases: Iterable[str], unwanted: Iterable[str]) -> None:
    """Raise InputError for a phrase that is asked for and not wanted."""
    both = {phrase.casefold() for phrase in phrases} & {phrase.casefold() for phrase in unwanted}
    if both:
        raise InputError(
            f'negative_prompt: "{min(both)}" is in prompt too, so nothing could be found. Remove '
            "it from one of them."
        )
