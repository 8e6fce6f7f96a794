"""Choosing among the objects of a result: by label, score, area and place in a sorted list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from ..errors import InputError
from ..prompts.phrases import split_phrases
from .segments import Instance, Segments, take

_RANGE = re.compile(r"([0-9]+)(?:\s*-\s*([0-9]+))?")
# Python refuses to read longer numbers, and no result has as many objects.
_MAX_DIGITS = 9


class SortBy(str, Enum):
    """The order of the objects in each image; what is named comes first."""

    AS_GIVEN = "as given"
    SCORE = "highest score"
    AREA = "largest area"
    LEFT = "left to right"
    TOP = "top to bottom"
    CENTRE = "nearest to centre"


@dataclass(frozen=True)
class Selection:
    """What to choose; the defaults choose everything.

    labels: any of these, whatever their case; none = all. indices: places in each image's list once
    it is filtered and sorted; none = all. Scores are 0..1, areas in pixels, both limits included;
    a max_area of 0 is no limit.
    """

    labels: tuple[str, ...] = ()
    indices: tuple[range, ...] = ()
    min_score: float = 0.0
    max_score: float = 1.0
    min_area: int = 0
    max_area: int = 0
    sort_by: SortBy = SortBy.AS_GIVEN
    reverse: bool = False


def parse_indices(text: str) -> tuple[range, ...]:
    """Read a list of indices from 0 and of ranges that include both ends, such as `0, 2-4`.

    Raises InputError naming the part that is neither.
    """
    return tuple(_parse_range(part) for part in split_phrases(text))


def _parse_range(part: str) -> range:
    match = _RANGE.fullmatch(part)
    ends = [end for end in match.groups() if end is not None] if match else []
    if not match or any(len(end) > _MAX_DIGITS for end in ends):
        raise InputError(
            f"indices: found {part!r}; accepted are numbers from 0 and ranges, separated by "
            "commas, such as 0, 2-4. Leave it empty to take all."
        )
    first, last = int(ends[0]), int(ends[-1])
    if last < first:
        raise InputError(
            f"indices: the range {part} ends before it begins. Write {last}-{first}, and choose "
            "the order with sort_by and reverse."
        )
    return range(first, last + 1)


def select(segments: Segments, selection: Selection) -> Segments:
    """Filter, then sort within each image, then take the places asked for.

    The result is ordered by image. An image that loses all its objects stays, as does the batch's
    size. Places that an image's list does not have are no error: images differ. Raises InputError
    for limits that contradict each other.
    """
    _check(selection)
    passed = _passed(segments, selection)
    key = _sort_key(segments, selection.sort_by)
    rows: list[int] = []
    for frame in range(segments.batch):
        members = (passed & (segments.frames == frame)).nonzero()[:, 0]
        order = key[members].argsort(stable=True, descending=selection.reverse)
        rows += _places(members[order].tolist(), selection.indices)
    return take(segments, rows)


def best_per_label(instances: Sequence[Instance], max_objects: int) -> list[Instance]:
    """By score, the best first, at most so many of each label; 0 for all."""
    kept: list[Instance] = []
    counts: dict[str, int] = {}
    for instance in sorted(instances, key=lambda each: each.score, reverse=True):
        counts[instance.label] = counts.get(instance.label, 0) + 1
        if not max_objects or counts[instance.label] <= max_objects:
            kept.append(instance)
    return kept


def _check(selection: Selection) -> None:
    if selection.min_score > selection.max_score:
        raise InputError(
            f"min_score: {selection.min_score:g} is above max_score, {selection.max_score:g}. "
            "Lower the one or raise the other."
        )
    if 0 < selection.max_area < selection.min_area:
        raise InputError(
            f"min_area: {selection.min_area} is above max_area, {selection.max_area}. Lower the "
            "one or raise the other; a max_area of 0 is no limit."
        )


def _passed(segments: Segments, selection: Selection) -> Tensor:
    """Which objects have the labels, scores and areas asked for: [N] bool."""
    wanted = {label.casefold() for label in selection.labels}
    named = [not wanted or label.strip().casefold() in wanted for label in segments.labels]
    passed = torch.tensor(named, dtype=torch.bool)
    # Widgets hold two digits; 0.9 as float32 would miss a limit of 0.9.
    scores = segments.scores.double().round(decimals=6)
    passed &= (scores >= selection.min_score) & (scores <= selection.max_score)
    if selection.min_area or selection.max_area:
        areas = segments.areas()
        passed &= areas >= selection.min_area
        if selection.max_area:
            passed &= areas <= selection.max_area
    return passed


def _sort_key(segments: Segments, sort_by: SortBy) -> Tensor:
    """A number for each object, the least for what comes first: [N]."""
    centres = (segments.boxes[:, :2] + segments.boxes[:, 2:]) / 2
    if sort_by is SortBy.SCORE:
        return -segments.scores
    if sort_by is SortBy.AREA:
        return -segments.areas()
    if sort_by is SortBy.LEFT:
        return centres[:, 0]
    if sort_by is SortBy.TOP:
        return centres[:, 1]
    if sort_by is SortBy.CENTRE:
        height, width = segments.size
        return (centres - centres.new_tensor((width, height)) / 2).norm(dim=1)
    return torch.arange(len(segments))


def _places(members: Sequence[int], indices: Sequence[range]) -> list[int]:
    """The members at these places, each once, in the order of the places."""
    if not indices:
        return list(members)
    count = len(members)
    places = [place for each in indices for place in range(each.start, min(each.stop, count))]
    return [members[place] for place in dict.fromkeys(places)]
