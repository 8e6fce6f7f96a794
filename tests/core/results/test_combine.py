"""Set operations on masks and objects."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.results.combine import Operation, combine_masks, combine_segments
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments

TRUTH = {
    Operation.UNION: [0, 1, 1, 1],
    Operation.INTERSECT: [0, 0, 0, 1],
    Operation.SUBTRACT: [0, 0, 1, 0],
    Operation.XOR: [0, 1, 1, 0],
}
SOFT = {
    Operation.UNION: 0.75,
    Operation.INTERSECT: 0.25,
    Operation.SUBTRACT: 0.25,
    Operation.XOR: 0.75,
}


@pytest.mark.parametrize("operation", Operation)
def test_the_truth_table(operation):
    first, second = torch.tensor([0.0, 0, 1, 1]), torch.tensor([0.0, 1, 0, 1])
    assert combine_masks(first, second, operation).tolist() == TRUTH[operation]


@pytest.mark.parametrize("operation", Operation)
def test_soft_values_stay_soft(operation):
    first, second = torch.tensor([0.25]), torch.tensor([0.75])
    assert combine_masks(first, second, operation).tolist() == [SOFT[operation]]


def _segments(*parts: tuple[int, int, str, int]) -> Segments:
    """One row of ten pixels per object: first and last pixel, label, frame."""
    instances = []
    for first, last, label, frame in parts:
        mask = torch.zeros((1, 10), dtype=torch.uint8)
        mask[:, first : last + 1] = 255
        instances.append(Instance(compact(mask), 0.5, label, frame))
    return Segments.from_instances(instances, (1, 10), 2)


def _spans(segments: Segments) -> list[tuple]:
    boxes = segments.boxes[:, [0, 2]].int().tolist()
    rows = zip(boxes, segments.labels, segments.frames.tolist(), strict=True)
    return [(left, right - 1, label, frame) for (left, right), label, frame in rows]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Operation.UNION, [(0, 5, "cat", 0), (3, 9, "hat", 0), (2, 4, "dog", 1)]),
        (Operation.INTERSECT, [(3, 5, "cat", 0)]),
        (Operation.SUBTRACT, [(0, 2, "cat", 0), (2, 4, "dog", 1)]),
        (Operation.XOR, [(0, 2, "cat", 0), (6, 9, "hat", 0), (2, 4, "dog", 1)]),
    ],
)
def test_objects_keep_labels_and_frames(operation, expected):
    first = _segments((0, 5, "cat", 0), (2, 4, "dog", 1))
    combined = combine_segments(first, _segments((3, 9, "hat", 0)), operation)
    assert _spans(combined) == expected
    assert combined.scores.tolist() == [0.5] * len(expected)
    assert (combined.size, combined.batch) == ((1, 10), 2)


@pytest.mark.parametrize("operation", Operation)
def test_no_objects(operation):
    none = _segments()
    some = _segments((0, 5, "cat", 0))
    assert len(combine_segments(none, none, operation)) == 0
    kept = combine_segments(some, none, operation)
    assert len(kept) == (0 if operation is Operation.INTERSECT else 1)
