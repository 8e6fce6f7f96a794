"""Non-maximum suppression against its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.results.boxes import box_iou, nms

_SIDES = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 6), st.integers(0, 6))


def _boxes(sides) -> torch.Tensor:
    corners = [(x, y, x + width, y + height) for x, y, width, height in sides]
    return torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)


@given(
    st.lists(st.tuples(_SIDES, st.integers(0, 4)), max_size=12), st.sampled_from([0.0, 0.5, 0.9])
)
def test_no_two_kept_boxes_overlap_and_each_dropped_one_has_a_better(entries, threshold):
    boxes = _boxes([sides for sides, _ in entries])
    scores = torch.tensor([float(score) for _, score in entries])
    kept = nms(boxes, scores, threshold).tolist()
    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
    for row in range(len(boxes)):
        ious = box_iou(boxes[row], boxes)
        better = [
            other
            for other in kept
            if other != row and (scores[other], -other) > (scores[row], -row)
        ]
        assert (row in kept) is not any(bool(ious[other] > threshold) for other in better)


def test_a_known_overlap():
    boxes = _boxes([(0, 0, 4, 4), (2, 0, 4, 4), (20, 20, 1, 1), (0, 0, 0, 0)])
    assert box_iou(boxes[0], boxes).tolist() == pytest.approx([1.0, 1 / 3, 0.0, 0.0])
    assert nms(boxes, torch.tensor([0.1, 0.9, 0.5, 0.2]), 0.3).tolist() == [1, 2, 3]
    assert nms(boxes, torch.tensor([0.1, 0.9, 0.5, 0.2]), 0.4).tolist() == [1, 2, 3, 0]
    assert nms(boxes[:0], torch.zeros(0), 0.4).tolist() == []
