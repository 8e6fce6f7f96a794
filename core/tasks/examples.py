"""Example boxes on their way to a detector that reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..engines.base import Detections, Detector, Embedding, ExampleDetector
from ..errors import InputError
from ..prompts.prompts import Box

ExamplesOn = Callable[[int], Sequence[tuple[Box, ...]]]
"""The example boxes beside each phrase on a frame, by the frame's place; [] for none."""


def no_examples(frame: int) -> Sequence[tuple[Box, ...]]:
    """The `ExamplesOn` of words alone."""
    return []


def detect(
    detector: Detector,
    embedding: Embedding,
    phrases: Sequence[str],
    threshold: float,
    examples: Sequence[tuple[Box, ...]],
) -> Iterable[Detections]:
    """What each phrase names, with its boxes where there are any.

    Raises InputError for boxes before a detector that cannot read them.
    """
    if not examples:
        return detector.detect(embedding, phrases, threshold)
    if not isinstance(detector, ExampleDetector):
        raise InputError(
            "bboxes: this detector finds by words alone. Remove the boxes, or choose SAM 3, which "
            "takes them."
        )
    return detector.detect_like(embedding, phrases, examples, threshold)
