"""Phrases: what is asked for in words, and what is not wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import InputError

# The full-width comma is what Chinese and Japanese keyboards write.
_BETWEEN_PHRASES = re.compile(r"[,，\n]")


@dataclass(frozen=True)
class TextQuery:
    """What a text prompt asks for.

    threshold: the lowest score that counts, 0..1; 0 for the one that is usual for the detector.
    max_objects: per phrase and frame, 0 for all.
    """

    phrases: tuple[str, ...]
    unwanted: tuple[str, ...]
    threshold: float
    max_objects: int

    @property
    def all_phrases(self) -> tuple[str, ...]:
        """What a model is asked: the unwanted phrases, whose number says how many of the others'
        objects have to be drawn, then the phrases."""
        return self.unwanted + self.phrases


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
    check_apart(phrases, unwanted)
    return TextQuery(phrases, unwanted, threshold, max_objects)


def check_apart(phrases: Iterable[str], unwanted: Iterable[str]) -> None:
    """Raise InputError for a phrase that is asked for and not wanted."""
    both = {phrase.casefold() for phrase in phrases} & {phrase.casefold() for phrase in unwanted}
    if both:
        raise InputError(
            f'negative_prompt: "{min(both)}" is in prompt too, so nothing could be found. Remove '
            "it from one of them."
        )
