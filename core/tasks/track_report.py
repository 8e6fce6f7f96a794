"""What became of the objects of a clip: a line for a person, JSON for other programs."""

from __future__ import annotations

import json

from ..prompts.names import numbered_label
from .tracking import FoundTracks, Record

_DIGITS = 4


def track_line(found: FoundTracks) -> str:
    """How many objects were followed through how many frames, how, and where they were lost."""
    if not found.records:
        return "nothing to follow: add a point, a box, segments or a prompt"
    objects = _count(len(found.records), "object")
    text = f"{objects} followed through {_count(found.segments.batch, 'frame')} by {found.method}"
    return "; ".join([text, *(_trouble(each) for each in found.records if _is_troubled(each))])


def track_json(found: FoundTracks) -> str:
    """The tracks as JSON: `method`, `frames`, and under `objects` what `Record` holds of each."""
    objects = [
        {
            "id": each.id,
            "label": each.label,
            "first_frame": each.first,
            "last_frame": each.last,
            "frames_lost": each.lost,
            "lowest_score": None
            if each.lowest_score is None
            else round(each.lowest_score, _DIGITS),
        }
        for each in found.records
    ]
    value = {"method": found.method, "frames": found.segments.batch, "objects": objects}
    return json.dumps(value, ensure_ascii=False)


def _is_troubled(record: Record) -> bool:
    return record.first is None or record.lost > 0


def _trouble(record: Record) -> str:
    name = (
        record.label
        if record.label == numbered_label(record.id)
        else f"{record.label} ({record.id})"
    )
    if record.first is None:
        return f"{name} is seen on no frame"
    return f"{name} is lost on {_count(record.lost, 'frame')}"


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
