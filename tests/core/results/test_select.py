"""Choosing among segments: the index grammar, the filters, the orders, batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments
from segment_anywhere.core.results.select import Selection, SortBy, parse_indices, select

SIZE = (40, 60)


def _box(top, left, bottom, right, label, score, frame=0) -> Instance:
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[top:bottom, left:right] = 255
    return Instance(compact(mask), score, label, frame)


# Areas 100, 400, 50 and 16; left to right c, b, d, a; top to bottom d, a, b, c.
OBJECTS = (
    _box(2, 50, 12, 60, "Dog", 0.9),
    _box(10, 10, 30, 30, "cat", 0.5),
    _box(35, 0, 40, 10, "dog ", 0.7),
    _box(0, 32, 4, 36, "red car", 0.2),
)
NAMES = ("a", "b", "c", "d")


def _segments(*instances: Instance, batch: int = 1) -> Segments:
    return Segments.from_instances(instances, SIZE, batch)


def _chosen(**selection) -> str:
    chosen = select(_segments(*OBJECTS), Selection(**selection))
    scores = [round(score, 3) for score in chosen.scores.tolist()]
    known = [instance.score for instance in OBJECTS]
    return "".join(NAMES[known.index(score)] for score in scores)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" , \n", []),
        ("0", [0]),
        ("0, 2-4", [0, 2, 3, 4]),
        ("0,2 - 4,", [0, 2, 3, 4]),
        ("7-7\n3，3", [7, 3]),
        ("007", [7]),
    ],
)
def test_index_lists(text, expected):
    assert [index for each in parse_indices(text) for index in each] == expected


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "-1",
        "1.5",
        "2-",
        "1-2-3",
        "0 2",
        "0; 2",
        "²",
        "٣-",
        "9999999999",
        "0-9999999999",
        "1–3",
    ],
)
def test_index_lists_that_are_refused(text):
    with pytest.raises(InputError, match="indices: found .* accepted are numbers from 0"):
        parse_indices(f"0, {text}")


def test_a_range_written_backwards_says_how_to_write_it():
    with pytest.raises(InputError, match=r"the range 4-2 ends before it begins. Write 2-4"):
        parse_indices("4-2")


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text):
    try:
        ranges = parse_indices(text)
    except InputError:
        return
    assert all(each.start >= 0 and len(each) >= 1 for each in ranges)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, "abcd"),
        ({"labels": ("dog",)}, "ac"),
        ({"labels": ("RED CAR", "cat")}, "bd"),
        ({"labels": ("do",)}, ""),
        ({"min_score": 0.5}, "abc"),
        ({"max_score": 0.5}, "bd"),
        ({"min_score": 0.7, "max_score": 0.7}, "c"),
        ({"min_area": 50}, "abc"),
        ({"max_area": 100}, "acd"),
        ({"min_area": 50, "max_area": 50}, "c"),
        ({"reverse": True}, "dcba"),
        ({"sort_by": SortBy.SCORE}, "acbd"),
        ({"sort_by": SortBy.SCORE, "reverse": True}, "dbca"),
        ({"sort_by": SortBy.AREA}, "bacd"),
        ({"sort_by": SortBy.LEFT}, "cbda"),
        ({"sort_by": SortBy.TOP}, "dabc"),
        ({"sort_by": SortBy.CENTRE}, "bdac"),
        ({"indices": parse_indices("0, 2-3")}, "acd"),
        ({"indices": parse_indices("3, 0")}, "da"),
        ({"indices": parse_indices("1, 0-1, 1")}, "ba"),
        ({"indices": parse_indices("2-999999999")}, "cd"),
        ({"indices": parse_indices("4")}, ""),
        ({"sort_by": SortBy.AREA, "indices": parse_indices("0")}, "b"),
        ({"labels": ("dog",), "sort_by": SortBy.LEFT, "indices": parse_indices("0")}, "c"),
    ],
)
def test_filter_then_sort_then_take(selection, expected):
    assert _chosen(**selection) == expected


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"min_score": 0.8, "max_score": 0.3}, "min_score: 0.8 is above max_score, 0.3"),
        ({"min_area": 9, "max_area": 3}, "min_area: 9 is above max_area, 3"),
    ],
)
def test_limits_that_contradict_each_other(selection, message):
    with pytest.raises(InputError, match=message):
        select(_segments(), Selection(**selection))


def test_every_image_has_its_own_list_and_none_is_lost():
    segments = _segments(
        _box(0, 0, 4, 4, "late", 0.5, frame=2),
        _box(0, 0, 4, 4, "small", 0.9, frame=0),
        _box(0, 0, 8, 8, "large", 0.4, frame=0),
        batch=4,
    )
    first = select(segments, Selection(sort_by=SortBy.AREA, indices=parse_indices("0")))
    assert first.labels == ("large", "late")
    assert first.frames.tolist() == [0, 2]
    assert first.boxes.tolist() == [[0, 0, 8, 8], [0, 0, 4, 4]]
    assert (first.batch, first.size) == (4, SIZE)
    nothing = select(segments, Selection(labels=("bird",)))
    assert (len(nothing), nothing.full_masks().shape, nothing.batch) == (0, (0, *SIZE), 4)


def test_nothing_to_choose_from():
    for sort_by in SortBy:
        chosen = select(_segments(), Selection(sort_by=sort_by, min_area=3))
        assert len(chosen) == 0


def test_equals_keep_their_order():
    twins = [_box(0, 0, 4, 4, str(number), 0.5) for number in range(5)]
    for sort_by in SortBy:
        assert select(_segments(*twins), Selection(sort_by=sort_by)).labels == tuple("01234")
