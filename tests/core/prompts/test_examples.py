"""Example boxes, from the inputs of a node to the boxes of each frame."""

from __future__ import annotations

import pytest
from segment_anywhere.core.engines.families import (
    DETECTOR_FAMILIES,
    FAMILIES,
    check_examples,
    family_named,
)
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.examples import VISUAL, ExampleInputs, read_examples
from segment_anywhere.core.prompts.phrases import read_query
from segment_anywhere.core.prompts.prompts import Box

SIZE = (40, 60)
LIKE, UNLIKE = Box(1, 2, 11, 12), Box(20, 2, 30, 12, positive=False)
SOCKET = {"x": 1, "y": 2, "width": 10, "height": 10}
OTHER = {"x": 20, "y": 2, "width": 10, "height": 10}
DRAWN = '{"boxes": [{"x": 1, "y": 2, "width": 10, "height": 10, "frame": 1}]}'


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({}, [[], []]),
        ({"bboxes": SOCKET}, [[LIKE], [LIKE]]),
        ({"bboxes": [[SOCKET], []], "negative_bboxes": OTHER}, [[LIKE, UNLIKE], [UNLIKE]]),
        ({"bboxes": [OTHER | {"label": 0}]}, [[UNLIKE], [UNLIKE]]),
        ({"negative_bboxes": [[], [OTHER]]}, [[], [UNLIKE]]),
        ({"points": DRAWN, "bboxes": [[], []]}, [[], [Box(1, 2, 11, 12, frame=1)]]),
    ],
)
def test_the_boxes_of_each_frame(inputs, expected):
    assert read_examples(ExampleInputs(**inputs), 2, SIZE) == [tuple(each) for each in expected]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"points": "[[3, 4], [5, 6]]"}, "points: found 2 points among the example boxes"),
        ({"points": '{"boxes": [{"x": 1, "y": 1, "width": 2, "height": 2, "frame": 5}]}'}, "frame"),
        ({"negative_bboxes": [[], [], []]}, "negative_bboxes: found 3 lists of boxes for 2 images"),
        ({"bboxes": {"x": 70, "y": 1, "width": 2, "height": 2}}, "bboxes: box 0 .* outside"),
    ],
)
def test_what_is_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        read_examples(ExampleInputs(**inputs), 2, SIZE)


def test_boxes_go_with_every_phrase_but_the_unwanted():
    query = read_query("dog, cat", "tail", 0.4, 0, [(LIKE, UNLIKE), ()])
    assert query.all_phrases == ("tail", "dog", "cat")
    assert query.examples_on(0) == [(), (LIKE, UNLIKE), (LIKE, UNLIKE)]
    assert query.examples_on(1) == [] and query.asks(1)


def test_boxes_alone_are_asked_for_where_there_is_one_around_what_is_wanted():
    query = read_query(" ", "", 0.4, 0, [(LIKE,), (UNLIKE,), ()])
    assert query.phrases == (VISUAL,)
    assert [query.asks(frame) for frame in range(3)] == [True, False, False]


@pytest.mark.parametrize("examples", [[()], [(UNLIKE,)]])
def test_what_is_not_wanted_says_nothing_alone(examples):
    with pytest.raises(InputError, match="prompt: is empty"):
        read_query("", "tail", 0.4, 0, examples)


@pytest.mark.parametrize("family", [*FAMILIES, *DETECTOR_FAMILIES], ids=lambda each: each.name)
def test_only_sam3_takes_examples(family):
    check_examples(family, True, 0, "bboxes")
    if family.name == "sam3":
        check_examples(family, True, 3, "bboxes")
        return
    with pytest.raises(InputError, match=r"bboxes: found 3 example boxes .* accepted by SAM 3"):
        check_examples(family, True, 3, "bboxes")


def test_a_detector_in_place_of_sam3_is_refused():
    with pytest.raises(InputError, match="reference_bboxes: found 1 example box for a detector"):
        check_examples(family_named("sam3"), False, 1, "reference_bboxes")
