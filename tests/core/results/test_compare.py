"""Two results beside each other: pairs, what either missed, and means."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.compare import Comparison, compare
from segment_anywhere.core.results.segments import Instance, Segments

SIZE = (40, 60)


def _box(top, left, bottom, right, label="cat", frame=0, number=0) -> Instance:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return Instance(compact(mask), 0.5, label, frame, number)


def _segments(*instances: Instance, batch: int = 1, size=SIZE) -> Segments:
    return Segments.from_instances(instances, size, batch)


def _found(comparison: Comparison) -> tuple:
    """What was paired, by the ids of a and b, and what was not."""
    pairs = {(pair.a.id, pair.b.id): pair.iou for pair in comparison.pairs}
    missing = ([each.id for each in side] for side in (comparison.only_a, comparison.only_b))
    return (pairs, *missing)


def test_pairs_and_what_either_missed():
    a = _segments(
        _box(0, 0, 10, 10, "Cat ", number=1),
        _box(20, 20, 30, 30, "dog", number=2),
        _box(0, 40, 5, 45, "bird", number=3),
    )
    b = _segments(
        _box(20, 20, 30, 40, "wolf", number=7),
        _box(0, 0, 10, 8, "cat", number=8),
        _box(35, 50, 40, 60, "mat", number=9),
    )
    comparison = compare(a, b)
    assert _found(comparison) == ({(1, 8): 0.8, (2, 7): 0.5}, [3], [9])
    assert [pair.same_label for pair in comparison.pairs] == [True, False]
    assert comparison.objects == 4
    assert comparison.matched_iou == pytest.approx(0.65)
    assert comparison.iou == pytest.approx(1.3 / 4)
    assert comparison.union_iou == pytest.approx((80 + 100) / (225 + 330 - 180))
    boundaries = [pair.boundary_f for pair in comparison.pairs]
    assert comparison.boundary_f == pytest.approx(sum(boundaries) / 2)
    assert comparison.j_and_f == pytest.approx((0.65 + sum(boundaries) / 2) / 2)


def test_the_best_pair_comes_first():
    """The highest total, 0.56 + 0.4, would part what is one object to nine tenths."""
    a = _segments(_box(0, 0, 10, 20, number=1), _box(0, 0, 10, 10, number=2))
    b = _segments(_box(0, 0, 10, 18, number=3), _box(0, 12, 10, 20, number=4))
    assert _found(compare(a, b)) == ({(1, 3): 0.9}, [2], [4])


def test_objects_that_only_touch_are_two():
    a, b = _segments(_box(0, 0, 10, 20)), _segments(_box(0, 17, 10, 37))
    assert _found(compare(a, b)) == ({}, [0], [0])
    comparison = compare(a, _segments(_box(0, 16, 10, 36)))
    assert comparison.pairs[0].iou == pytest.approx(4 / 36)


def test_the_label_decides_between_equal_overlaps():
    twins = [_box(0, 0, 9, 9, label, number=n) for n, label in enumerate(("dog", "cat", "cow"))]
    comparison = compare(_segments(*twins), _segments(_box(0, 0, 9, 9, "Cat", number=5)))
    assert _found(comparison) == ({(1, 5): 1.0}, [0, 2], [])


def test_frames_are_apart_and_may_be_empty():
    a = _segments(_box(0, 0, 10, 10), _box(0, 0, 10, 10, frame=2), batch=4)
    b = _segments(_box(0, 0, 10, 10, frame=2), _box(0, 0, 10, 10, frame=3), batch=4)
    comparison = compare(a, b)
    assert [len(frame.pairs) for frame in comparison.frames] == [0, 0, 1, 0]
    assert [len(frame.only_a) for frame in comparison.frames] == [1, 0, 0, 0]
    assert [len(frame.only_b) for frame in comparison.frames] == [0, 0, 0, 1]
    assert [frame.union_iou for frame in comparison.frames] == [0, 1, 1, 0]
    assert comparison.iou == comparison.union_iou == pytest.approx(1 / 3)


def test_nothing_on_either_side_agrees():
    comparison = compare(_segments(batch=3), _segments(batch=3))
    assert (comparison.iou, comparison.union_iou, comparison.objects) == (1.0, 1.0, 0)
    assert comparison.matched_iou is comparison.boundary_f is comparison.j_and_f is None


def test_nothing_on_one_side_is_missed():
    comparison = compare(_segments(_box(0, 0, 9, 9)), _segments())
    assert (comparison.iou, comparison.union_iou) == (0.0, 0.0)
    assert comparison.matched_iou is None


def test_an_object_without_a_pixel_is_none():
    faint = torch.full(SIZE, 127, dtype=torch.uint8)
    objects = [_box(0, 0, 9, 9), _box(0, 0, 0, 0), Instance(compact(faint), 0.5, "fog", 0)]
    comparison = compare(_segments(*objects), _segments(objects[0]))
    assert (comparison.objects, comparison.iou) == (1, 1.0)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (_segments(batch=2), "3 images of 60x40 and 2 images of 60x40"),
        (_segments(batch=3, size=(40, 61)), "3 images of 60x40 and 3 images of 61x40"),
    ],
)
def test_other_images_are_refused(other, found):
    with pytest.raises(InputError, match=f"segments_a, segments_b: found {found}"):
        compare(_segments(batch=3), other)


@st.composite
def _results(draw) -> list[Instance]:
    """Boxes in three frames, each with an id of its own."""
    instances = []
    for number in range(draw(st.integers(0, 8))):
        top, left = draw(st.integers(0, 30)), draw(st.integers(0, 50))
        height, width = draw(st.integers(1, 10)), draw(st.integers(1, 10))
        label, frame = draw(st.sampled_from(["cat", "dog"])), draw(st.integers(0, 2))
        instances.append(_box(top, left, top + height, left + width, label, frame, number))
    return instances


@given(_results())
@settings(max_examples=30, deadline=None)
def test_a_result_agrees_with_itself(instances):
    comparison = compare(_segments(*instances, batch=3), _segments(*instances, batch=3))
    assert comparison.iou == comparison.union_iou == 1.0
    assert len(comparison.pairs) == comparison.objects == len(instances)
    assert all(pair.boundary_f == 1.0 and pair.same_label for pair in comparison.pairs)


@given(_results(), _results())
@settings(max_examples=60, deadline=None)
def test_the_other_way_round_is_the_same(one, other):
    a, b = _segments(*one, batch=3), _segments(*other, batch=3)
    forth, back = compare(a, b), compare(b, a)
    assert forth.iou == pytest.approx(back.iou)
    assert forth.boundary_f == pytest.approx(back.boundary_f)
    assert forth.union_iou == back.union_iou
    pairs, only_a, only_b = _found(back)
    assert _found(forth) == ({(b, a): iou for (a, b), iou in pairs.items()}, only_b, only_a)


@given(_results(), _results(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_objects_changes_nothing(one, other, order: random.Random):
    shuffled = [order.sample(side, len(side)) for side in (one, other)]
    plain, mixed = (
        compare(_segments(*a, batch=3), _segments(*b, batch=3)) for a, b in ((one, other), shuffled)
    )
    pairs, only_a, only_b = _found(plain)
    assert _found(mixed)[0] == pairs
    assert sorted(_found(mixed)[1]) == sorted(only_a)
    assert sorted(_found(mixed)[2]) == sorted(only_b)
    assert plain.iou == pytest.approx(mixed.iou)


@given(_results(), _results())
@settings(max_examples=60, deadline=None)
def test_every_object_is_in_one_place(one, other):
    comparison = compare(_segments(*one, batch=3), _segments(*other, batch=3))
    in_a = [pair.a.id for pair in comparison.pairs] + [each.id for each in comparison.only_a]
    in_b = [pair.b.id for pair in comparison.pairs] + [each.id for each in comparison.only_b]
    assert sorted(in_a) == [each.id for each in one]
    assert sorted(in_b) == [each.id for each in other]
    assert all(pair.a.frame == pair.b.frame for pair in comparison.pairs)
