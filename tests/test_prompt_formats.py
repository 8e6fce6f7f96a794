"""Reading prompts from text and sockets."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompt_formats import (
    PromptInputs,
    parse_boxes,
    parse_coords,
    parse_points,
    read_prompts,
)
from segment_anywhere.core.prompts import Box, Prompts

# The editor's parser is tested on the same table.
VECTORS = json.loads((ROOT / "tests" / "vectors" / "points.json").read_text())
SIZE = (100, 200)
BOX = {"x": 5, "y": 6, "width": 10, "height": 20}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vectors(vector):
    width, height = vector["size"]
    if "error" in vector:
        with pytest.raises(InputError) as caught:
            parse_points(vector["text"], (height, width))
        assert vector["error"] in str(caught.value)
        assert str(caught.value).startswith("points")
        return
    prompts = parse_points(vector["text"], (height, width))
    assert [asdict(point) for point in prompts.points] == vector["points"]
    boxes = [{k: v for k, v in asdict(box).items() if k != "name"} for box in prompts.boxes]
    assert boxes == vector["boxes"]


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_sentence(text):
    try:
        parse_points(text, SIZE)
    except InputError as error:
        assert "Accepted" in str(error) or "outside" in str(error)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.floats() | st.sampled_from(["x", "y"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["x", "y", "label", "object", "points", "boxes", "size", "positive"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_json)
def test_any_json_is_read_or_refused_with_a_sentence(value):
    try:
        prompts = parse_points(json.dumps(value), SIZE)
    except InputError:
        return
    assert all(0 <= point.x < 200 and 0 <= point.y < 100 for point in prompts.points)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"x": 10, "y": 20}, {"x": 1, "y": 2}]', [(10, 20), (1, 2)]),
        ('""', []),
        ("", []),
        ("[]", []),
        ('{"x": 10, "y": 20}', [(10, 20)]),
        ("[[10, 20]]", [(10, 20)]),
        # "normalize" of the Points Editor: fractions of the image.
        ('[{"x": 0.5, "y": 0.25}]', [(100, 25)]),
        ('[{"x": 1, "y": 0}]', [(1, 0)]),
    ],
)
@pytest.mark.parametrize("positive", [True, False])
def test_kjnodes_coordinates(text, expected, positive):
    points = parse_coords(text, positive, SIZE, "positive_coords").points
    assert [(point.x, point.y) for point in points] == expected
    assert all(point.positive is positive for point in points)


def test_a_coordinate_outside_names_its_input():
    with pytest.raises(InputError, match="negative_coords: point 0 at"):
        parse_coords('[{"x": 500, "y": 2}]', False, SIZE, "negative_coords")


@pytest.mark.parametrize(
    "value",
    [BOX, [BOX], [[BOX], [BOX]], [[BOX]], (5, 6, 15, 26), [(5, 6, 15, 26)], [[5, 6, 15, 26]]],
    ids=repr,
)
def test_boxes_of_every_nesting(value):
    assert parse_boxes(value, 2, SIZE) == [Prompts(boxes=(Box(5, 6, 15, 26),))] * 2


def test_boxes_of_a_detector():
    detected = {**BOX, "label": "dog", "score": 0.9}
    prompts = parse_boxes([[detected], []], 2, SIZE)
    assert prompts == [Prompts(boxes=(Box(5, 6, 15, 26, name="dog"),)), Prompts()]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[BOX], [BOX], [BOX]], "found 3 lists of boxes for 2 images"),
        ("box", 'bboxes: found "box"'),
        ([{"x": 1}], r"bboxes\[0\]: found"),
        ([{**BOX, "label": 7}], r"bboxes\[0\].label"),
        ([(5, 6, 5, 26)], "width and height above 0"),
        ({**BOX, "x": 195}, "reaches outside the image"),
    ],
)
def test_boxes_that_are_refused(value, message):
    with pytest.raises(InputError, match=message):
        parse_boxes(value, 2, SIZE)


def test_all_inputs_join_per_frame():
    inputs = PromptInputs(
        points="[[10, 20]]",
        positive_coords='[{"x": 30, "y": 40}]',
        negative_coords='[{"x": 50, "y": 60}]',
        bboxes=[[BOX], []],
        mask=torch.cat([torch.zeros(1, *SIZE), torch.ones(1, *SIZE)]),
    )
    first, second = read_prompts(inputs, 2, SIZE)
    assert len(first) == len(second) == 1
    assert [point.positive for point in first[0].points] == [True, True, False]
    assert first[0].box == Box(5, 6, 15, 26)
    assert first[0].mask is None, "a mask of zeros is no prompt"
    assert second[0].box is None
    assert second[0].mask.shape == SIZE


def test_nothing_given_is_no_object():
    assert read_prompts(PromptInputs(), 3, SIZE) == [[], [], []]


def test_the_mask_of_an_image_without_alpha_is_no_prompt():
    assert read_prompts(PromptInputs(mask=torch.zeros(1, 64, 64)), 1, SIZE) == [[]]
