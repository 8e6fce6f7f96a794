"""The result type and the functions on it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.segments import (
    Instance,
    Segments,
    bounding_boxes,
    mask_boxes,
    union_masks,
)

SIZE = (6, 8)


def _instance(top, left, bottom, right, frame=0, value=255, score=0.5, label="dog") -> Instance:
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[top:bottom, left:right] = value
    return Instance(mask, score, label, frame)


def test_no_instances_keep_every_frame():
    segments = Segments.from_instances([], SIZE, 3)
    assert len(segments) == 0
    assert segments.masks.shape == (0, *SIZE)
    assert segments.boxes.shape == (0, 4)
    assert union_masks(segments).shape == (3, *SIZE)
    assert not union_masks(segments).any()
    assert bounding_boxes(segments) == [[], [], []]


def test_instances_keep_order_label_score_and_frame():
    segments = Segments.from_instances(
        [_instance(0, 0, 2, 2, frame=1), _instance(3, 4, 6, 8, score=0.25, label="cat")], SIZE, 2
    )
    assert segments.labels == ["dog", "cat"]
    assert segments.frames.tolist() == [1, 0]
    assert segments.boxes.tolist() == [[0, 0, 2, 2], [4, 3, 8, 6]]
    assert bounding_boxes(segments) == [
        [{"x": 4, "y": 3, "width": 4, "height": 3, "score": 0.25, "label": "cat"}],
        [{"x": 0, "y": 0, "width": 2, "height": 2, "score": 0.5, "label": "dog"}],
    ]


def test_the_union_is_the_maximum_and_leaves_the_instances_alone():
    first, second = _instance(0, 0, 3, 3, value=100), _instance(1, 1, 5, 5, value=255)
    segments = Segments.from_instances([first, second], SIZE, 1)
    union = union_masks(segments)
    assert union.dtype == torch.float32
    assert union[0, 0, 0] == pytest.approx(100 / 255)
    assert union[0, 2, 2] == 1
    assert first.mask[2, 2] == 100


@given(
    top=st.integers(0, 4), left=st.integers(0, 6), height=st.integers(1, 3), width=st.integers(1, 3)
)
def test_boxes_are_tight(top, left, height, width):
    mask = torch.zeros((1, *SIZE), dtype=torch.uint8)
    mask[0, top : top + height, left : left + width] = 255
    right, bottom = min(left + width, SIZE[1]), min(top + height, SIZE[0])
    assert mask_boxes(mask).tolist() == [[left, top, right, bottom]]


def test_soft_edges_do_not_widen_a_box():
    mask = torch.zeros((3, *SIZE), dtype=torch.uint8)
    mask[0, 1:5, 1:5] = 100
    mask[0, 2:4, 2:4] = 255
    mask[1, 1:5, 1:5] = 100
    boxes = mask_boxes(mask)
    assert boxes.tolist() == [[2, 2, 4, 4], [1, 1, 5, 5], [0, 0, 0, 0]]
