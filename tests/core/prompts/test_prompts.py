"""Grouping prompts into objects."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.prompts.phrases import split_phrases
from segment_anywhere.core.prompts.prompts import (
    Box,
    Point,
    Prompts,
    group_by_object,
)

MASK = torch.ones(10, 10)


def test_objects_come_in_the_order_of_their_numbers():
    points = (Point(1, 1, object=3), Point(2, 2, object=1), Point(3, 3, object=3))
    objects = group_by_object(Prompts(points))
    assert [one.label for one in objects] == ["object 2", "object 4"]
    assert [len(one.points) for one in objects] == [1, 2]


def test_several_boxes_of_one_object_become_objects():
    left, right = Box(0, 0, 10, 10), Box(20, 0, 30, 10, name="dog")
    points = (Point(5, 5), Point(25, 5), Point(15, 5, positive=False), Point(13, 5))
    first, second = group_by_object(Prompts(points, (left, right)))
    assert (first.box, second.box) == (left, right)
    assert (first.label, second.label) == ("object 1", "dog")
    assert [point.x for point in first.points] == [5, 15, 13]
    assert [point.x for point in second.points] == [25, 15]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ((), ["object 1", "dog", "object 5"]),
        (((4, "cup"),), ["object 1", "dog", "cup"]),
        # What a person calls an object comes before what a detector calls a box.
        (((0, "left"), (4, "cup")), ["left", "left", "cup"]),
    ],
)
def test_names_are_labels(names, labels):
    boxes = (Box(0, 0, 5, 5), Box(5, 5, 9, 9, name="dog"))
    prompts = Prompts((Point(1, 1, object=4),), boxes, names)
    for whole in (prompts, prompts.on_frame(0), Prompts() + prompts.with_default_frame(2)):
        assert [one.label for one in group_by_object(whole)] == labels


def test_a_click_is_compared_with_each_box_once(monkeypatch):
    """Once for each pair of boxes, 500 clicks among 500 boxes would take most of a minute."""
    compared = []
    distance = Box.distance

    def counted(self, point):
        compared.append(point)
        return distance(self, point)

    monkeypatch.setattr(Box, "distance", counted)
    points = tuple(Point(7 * number % 90, 5) for number in range(40))
    boxes = tuple(Box(9 * number, 0, 9 * number + 8, 10) for number in range(10))
    objects = group_by_object(Prompts(points, boxes))
    assert len(compared) == len(points) * len(boxes)
    assert sum(len(one.points) for one in objects) == len(points)


def test_a_negative_box_belongs_to_its_object():
    around, off = Box(0, 0, 10, 10), Box(2, 2, 3, 3, positive=False)
    (one,) = group_by_object(Prompts(boxes=(around, off)))
    assert one.box == around
    assert one.negative_boxes == (off,)


def test_the_mask_goes_to_the_lowest_number():
    prompts = Prompts((Point(1, 1, object=2), Point(2, 2, object=5)))
    first, second = group_by_object(prompts, MASK)
    assert first.mask is MASK
    assert second.mask is None


def test_a_mask_alone_is_an_object():
    (one,) = group_by_object(Prompts(), MASK)
    assert one.mask is MASK


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts((Point(1, 1, positive=False),)),
        Prompts(boxes=(Box(1, 1, 2, 2, positive=False),)),
        Prompts((Point(1, 1), Point(2, 2, positive=False, object=1))),
    ],
)
def test_an_object_with_negative_prompts_only_is_left_out(prompts):
    assert all(one.label == "object 1" for one in group_by_object(prompts))
    assert len(group_by_object(prompts)) == sum(point.positive for point in prompts.points)


def test_a_mask_is_cut_to_each_of_several_boxes():
    left, right = Box(0, 0, 4, 10), Box(5.5, 2, 10, 10)
    first, second = group_by_object(Prompts(boxes=(left, right)), MASK)
    assert (first.mask.sum(), second.mask.sum()) == (40, 40)
    assert second.mask[2:, 5:].all()
    assert MASK.all()


def test_negative_points_refine_a_mask():
    (one,) = group_by_object(Prompts((Point(1, 1, positive=False),)), MASK)
    assert one.mask is MASK


@pytest.mark.parametrize(
    ("prompts", "mask", "single"),
    [
        (Prompts((Point(1, 1),)), None, True),
        (Prompts((Point(1, 1), Point(2, 2))), None, False),
        (Prompts((Point(1, 1),), (Box(0, 0, 3, 3),)), None, False),
        (Prompts((Point(1, 1),)), MASK, False),
        (Prompts(boxes=(Box(0, 0, 3, 3),)), None, False),
    ],
)
def test_what_counts_as_a_single_click(prompts, mask, single):
    assert group_by_object(prompts, mask)[0].is_single_click is single


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("dog", ["dog"]),
        ("dog, red car", ["dog", "red car"]),
        ("dog\nred car\r\n cat ", ["dog", "red car", "cat"]),
        (" dog ,, \n ,cat,", ["dog", "cat"]),
        ("a  red\tcar", ["a red car"]),
        ("dog, Dog, DOG, cat", ["dog", "cat"]),
        ("狗，红色的车", ["狗", "红色的车"]),
        ("犬、赤い車、 犬", ["犬", "赤い車"]),
        ("café, 🐕", ["café", "🐕"]),
        ("dog:1, (cat:1.2)", ["dog:1", "(cat:1.2)"]),
        ("", []),
        (" ,\n, ", []),
    ],
)
def test_phrases_stand_between_commas_and_line_ends(text, phrases):
    assert list(split_phrases(text)) == phrases
