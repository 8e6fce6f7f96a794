"""A comparison as text: a line for a person, JSON for other programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from .compare import Comparison, FrameComparison, Pair
from .segments import Instance

_LISTED = 6
_DIGITS = 4


def summary_line(comparison: Comparison, names: tuple[str, str]) -> str:
    """How many objects both found, how well they fit, and which labels either missed.

    names: of a and b.
    """
    objects, both = comparison.objects, len(comparison.pairs)
    if not objects:
        return "no objects in either result"
    parts = [f"{both} of {objects} {'object' if objects == 1 else 'objects'} found by both"]
    if comparison.matched_iou is not None and comparison.boundary_f is not None:
        parts[0] += f", IoU {comparison.matched_iou:.2f}, boundary {comparison.boundary_f:.2f}"
        if both < objects:
            parts.append(f"IoU of all {comparison.iou:.2f}")
    missed = zip(names, (comparison.only_b, comparison.only_a), strict=True)
    parts += [f"{name} missed: {_labels(instances)}" for name, instances in missed if instances]
    return "; ".join(parts)


def _labels(instances: Sequence[Instance]) -> str:
    """The labels by how often they occur: `cat (2), dog (1)`."""
    counts = Counter(instance.label for instance in instances).most_common()
    listed = ", ".join(f"{label} ({count})" for label, count in counts[:_LISTED])
    return f"{listed} and {len(counts) - _LISTED} more" if len(counts) > _LISTED else listed


def comparison_json(comparison: Comparison, names: tuple[str, str]) -> str:
    """A comparison as a JSON object: `names` of a and b, `summary`, and `frames`.

    Each frame has `frame`, `union_iou`, `both` (for each pair `a` and `b` with id, label and score,
    `iou`, `boundary_f`, `same_label`), and `only_a`, `only_b`. Numbers are 0..1 with four digits; a
    mean over no pair is null. The fields of the summary are those of `Comparison`, with
    `share_of_a` and `share_of_b`: how many of either's objects the other has, too, 1 where there
    are none.
    """
    frames = [_frame(index, frame) for index, frame in enumerate(comparison.frames)]
    return json.dumps(
        {
            "names": {"a": names[0], "b": names[1]},
            "summary": _summary(comparison),
            "frames": frames,
        },
        ensure_ascii=False,
    )


def _summary(comparison: Comparison) -> dict[str, Any]:
    both = len(comparison.pairs)
    only_a, only_b = len(comparison.only_a), len(comparison.only_b)
    return {
        "both": both,
        "only_a": only_a,
        "only_b": only_b,
        "same_label": sum(pair.same_label for pair in comparison.pairs),
        "share_of_a": _rounded(both / (both + only_a)) if both + only_a else 1.0,
        "share_of_b": _rounded(both / (both + only_b)) if both + only_b else 1.0,
        "iou": _rounded(comparison.iou),
        "matched_iou": _rounded(comparison.matched_iou),
        "boundary_f": _rounded(comparison.boundary_f),
        "j_and_f": _rounded(comparison.j_and_f),
        "union_iou": _rounded(comparison.union_iou),
    }


def _frame(index: int, frame: FrameComparison) -> dict[str, Any]:
    return {
        "frame": index,
        "union_iou": _rounded(frame.union_iou),
        "both": [_pair(pair) for pair in frame.pairs],
        "only_a": [_object(instance) for instance in frame.only_a],
        "only_b": [_object(instance) for instance in frame.only_b],
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "a": _object(pair.a),
        "b": _object(pair.b),
        "iou": _rounded(pair.iou),
        "boundary_f": _rounded(pair.boundary_f),
        "same_label": pair.same_label,
    }


def _object(instance: Instance) -> dict[str, Any]:
    return {"id": instance.id, "label": instance.label, "score": _rounded(instance.score)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
