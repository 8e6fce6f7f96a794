"""Finds the masks in the answers of servers that nobody has written a contract for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...prompts.phrases import split_names
from ..answers import (
    listed_mask,
    picture_content,
    read_score,
    read_text,
    run_length_mask,
    unusable,
)
from ..contract import SegmentRequest
from ..wire import FoundMask, shorten

_LISTS = ("data", "segments", "predictions", "masks", "results", "output", "images")
_MASKS = (
    "mask",
    "masks",
    "b64_json",
    "mask_base64",
    "segmentation",
    "image",
    "url",
    "rle",
)
_SCORES = ("score", "confidence", "stability_score")
_LABELS = ("label", "class", "class_name", "text")


def find_masks(body: Any, request: SegmentRequest) -> Iterator[FoundMask]:
    """All masks of an answer, whatever its keys; raises CallFailed where there is no list of any.

    Accepted for a mask: Base64 or an address of a picture, COCO run lengths, polygons, rows of 0
    and 1, and pictures cut to their box ({"data", "origin", "width", "height"}).
    """
    for entry, label in _entries(body, request):
        if isinstance(entry, dict) and not _is_mask(entry):
            value = next((entry[key] for key in _MASKS if entry.get(key) is not None), None)
            label = next(
                (read_text(entry[key]) for key in _LABELS if read_text(entry.get(key))), label
            )
            score = next(
                (read_score(entry[key]) for key in _SCORES if entry.get(key) is not None), 1.0
            )
        else:
            value, score = entry, 1.0
        if value is None:
            found = ", ".join(entry) if isinstance(entry, dict) else repr(entry)
            raise unusable(f"a mask is expected under {', '.join(_MASKS)}, found {shorten(found)}")
        yield _mask(value, request, label, score)


def _entries(body: Any, request: SegmentRequest) -> list[tuple[Any, str]]:
    if isinstance(body, dict) and isinstance(body.get("prompt_results"), list):
        return _by_phrase(body["prompt_results"], request)
    if isinstance(body, dict):
        body = next((body[key] for key in _LISTS if body.get(key) is not None), None)
    if isinstance(body, str | dict):
        body = [body]
    if not isinstance(body, list):
        raise unusable(f"a list of masks is expected, or one under {', '.join(_LISTS)}")
    return [(entry, request.label) for entry in body]


def _by_phrase(results: list[Any], request: SegmentRequest) -> list[tuple[Any, str]]:
    """Roboflow's SAM 3: a list of predictions for each phrase of the prompt."""
    asked = split_names(request.prompt)
    found = []
    for place, result in enumerate(results):
        if not isinstance(result, dict) or not isinstance(result.get("predictions"), list):
            raise unusable("prompt_results holds something without predictions")
        index = result.get("prompt_index", place)
        is_known = type(index) is int and 0 <= index < len(asked)
        label = asked[index] if is_known else request.label
        found += [(entry, label) for entry in result["predictions"]]
    return found


def _is_mask(entry: dict[str, Any]) -> bool:
    """The entry is the mask itself: run lengths, or a picture in an envelope."""
    return "counts" in entry or "origin" in entry


def _mask(value: Any, request: SegmentRequest, label: str, score: float) -> FoundMask:
    size = request.picture.size
    if isinstance(value, dict) and "counts" in value:
        return FoundMask(run_length_mask(value, size), label=label, score=score)
    if isinstance(value, dict) and "origin" in value:
        origin = _origin(value["origin"])
        content = picture_content(value.get("data"))
        return FoundMask(content, label=label, score=score, origin=origin, canvas=size)
    if isinstance(value, list):
        if not value:
            return FoundMask(np.zeros(size, np.uint8), label=label, score=score)
        return FoundMask(listed_mask(value, size), label=label, score=score)
    return FoundMask(picture_content(value), label=label, score=score)


def _origin(value: Any) -> tuple[int, int]:
    """Where a mask's corner lies (x, y), which may be outside of the picture."""
    if not value:
        return (0, 0)
    places = [value.get(axis) for axis in ("x", "y")] if isinstance(value, dict) else []
    numbers = [
        int(place)
        for place in places
        if isinstance(place, int) or (isinstance(place, float) and math.isfinite(place))
    ]
    if len(numbers) != 2:
        raise unusable(f"a mask's origin has numbers x and y, found {shorten(repr(value))}")
    return (numbers[0], numbers[1])
