"""Fields of distances, and what an engine is asked with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from segment_anywhere.core.engines.flow.shapes import (
    REACH,
    box_around,
    field_of,
    inner_points,
    iou,
)

from tests.support.clips import disc

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=24))


@settings(max_examples=60, deadline=None)
@given(masks)
def test_a_field_is_positive_where_its_mask_is(mask):
    field = field_of(mask)
    assert field.dtype == np.float32 and np.abs(field).max() <= REACH
    assert np.array_equal(field > 0, mask)


def test_a_field_holds_distances_to_the_outline():
    y, x = np.mgrid[:80, :80]
    field = field_of(disc((80, 80), (40, 40), 20))
    near = np.abs(field) < 5
    assert np.abs(field - (20.25 - np.hypot(x - 40, y - 40)))[near].max() < 0.75


@settings(max_examples=60, deadline=None)
@given(masks)
def test_points_are_inside_and_deep(mask):
    points = inner_points(mask)
    assert len(points) <= 3 and bool(points) == bool(mask.any())
    assert all(mask[int(point.y), int(point.x)] and point.positive for point in points)
    assert len({(point.x, point.y) for point in points}) == len(points)


def test_points_spread_over_a_long_shape():
    mask = np.zeros((40, 120), bool)
    mask[10:30, 10:110] = True
    columns = sorted(point.x for point in inner_points(mask))
    assert len(columns) == 3 and min(np.diff(columns)) >= 10


@settings(max_examples=60, deadline=None)
@given(masks.filter(np.any))
def test_the_box_holds_the_mask_and_lies_in_the_image(mask):
    box = box_around(mask)
    rows, columns = np.nonzero(mask)
    assert 0 <= box.x1 <= columns.min() and columns.max() + 1 <= box.x2 <= mask.shape[1]
    assert 0 <= box.y1 <= rows.min() and rows.max() + 1 <= box.y2 <= mask.shape[0]


def test_the_box_is_somewhat_larger():
    mask = np.zeros((100, 100), bool)
    mask[40:60, 20:70] = True
    box = box_around(mask)
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((15, 37, 75, 63))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([0, 0], [0, 0], 0.0), ([1, 0], [1, 0], 1.0), ([1, 1], [1, 0], 0.5), ([1, 0], [0, 1], 0.0)],
)
def test_iou(first, second, expected):
    assert iou(np.array([first], bool), np.array([second], bool)) == expected
