"""Reading points and boxes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.formats import (
    parse_box_lists,
    parse_boxes,
    parse_coords,
    parse_points,
)
from segment_anywhere.core.prompts.prompts import Box, Painted, Point, Prompts

from tests.support.paths import ROOT

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
    assert prompts.points == tuple(Point(**point) for point in vector["points"])
    boxes = tuple(replace(box, name="") for box in prompts.boxes)
    assert boxes == tuple(Box(**box) for box in vector["boxes"])
    names = sorted((int(number), name) for number, name in vector.get("names", {}).items())
    assert prompts.names == tuple(names)
    masks = [
        Painted(tuple(m["size"]), tuple(m["counts"]), (height, width), m["object"], m.get("frame"))
        for m in vector.get("masks", [])
    ]
    assert prompts.masks == tuple(masks)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_sentence(text):
    try:
        parse_points(text, SIZE)
    except InputError as error:
        assert "Accepted" in str(error) or "outside" in str(error)


KEYS = [
    *("x", "y", "width", "height", "label", "object", "frame", "points", "boxes", "names"),
    *("masks", "counts", "size", "unit", "positive", "negative", "version"),
]
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 300)
    | st.integers()
    | st.floats()
    | st.sampled_from(["x", "y", "pixel", "fraction"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
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
    assert all(0 <= box.x1 < box.x2 <= 200 for box in prompts.boxes)
    assert all(0 <= box.y1 < box.y2 <= 100 for box in prompts.boxes)


@pytest.mark.parametrize(
    "text", ["[[" + "9" * 400 + ", 2]]", "[[" + "9" * 5000 + ", 2]]", "[" * 100_000, "[1e400, 2]"]
)
def test_hostile_json_is_refused_with_a_sentence(text):
    with pytest.raises(InputError, match="^points"):
        parse_points(text, SIZE)


@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ('{"points": ', "}"), ('{"x": ', "}")]
)
def test_no_depth_of_nesting_is_an_error_of_its_own(opening, closing):
    """Some can be read and no longer be shown."""
    for depth in range(4, 1201):
        with pytest.raises(InputError, match="^points.*Accepted"):
            parse_points(opening * depth + "1" + closing * depth, SIZE)


SIDES = ["0", "1", "2.5", "1e-320", "1e308", "1e400", "-5", "NaN", "Infinity", "1" + "0" * 400]


@pytest.mark.parametrize("width", SIDES, ids=lambda side: side[:8])
@pytest.mark.parametrize("height", SIDES, ids=lambda side: side[:8])
def test_any_size_gives_prompts_inside_the_image_or_a_sentence(width, height):
    origin = '"points": [[0, 0]], "boxes": [{"x": 0, "y": 0, "width": 1, "height": 1}]'
    text = f'{{"size": [{width}, {height}], {origin}}}'
    if {width, height} <= {"1", "2.5", "1e308"}:
        prompts = parse_points(text, SIZE)
        assert (prompts.points[0].x, prompts.points[0].y) == (0, 0)
        assert 0 == prompts.boxes[0].x1 < prompts.boxes[0].x2 <= 200
        return
    with pytest.raises(InputError, match="^points.size: found .*Accepted"):
        parse_points(text, SIZE)


def test_other_types_than_text_are_refused_with_a_sentence():
    with pytest.raises(InputError, match="found a int, a text is expected"):
        parse_points(5, SIZE)


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), to=st.integers(1, 5000))
def test_a_full_size_box_and_the_last_pixel_survive_any_scaling(width, height, to):
    value = {
        "size": [width, height],
        "points": [[width - 0.01, height - 0.01]],
        "boxes": [{"x": 0, "y": 0, "width": width, "height": height}],
    }
    prompts = parse_points(json.dumps(value), (to, to))
    assert prompts.boxes[0].x2 == pytest.approx(to)
    assert prompts.boxes[0].y2 <= to
    assert prompts.points[0].x < to


@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_the_last_fraction_is_the_last_pixel(width, height):
    text = '{"unit": "fraction", "points": [[1, 1], [0, 0]]}'
    last, first = parse_points(text, (height, width)).points
    assert (first.x, first.y) == (0, 0)
    assert width - 1e-9 < last.x < width and height - 1e-9 < last.y < height


def test_fractions_without_a_unit_are_refused_with_both_ways_to_write_them():
    with pytest.raises(InputError) as caught:
        parse_points("[[0.5, 0.5]]", SIZE)
    for unit, x in (("fraction", 100), ("pixel", 0.5)):
        written = f'{{"unit": "{unit}", "points": [[0.5, 0.5]]}}'
        assert written in str(caught.value)
        assert parse_points(written, SIZE).points[0].x == x


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ('[{"x": 10, "y": 20}, {"x": 1, "y": 2}]', '""', [(10, 20, True), (1, 2, True)]),
        ("[]", '{"x": 10, "y": 20}', [(10, 20, False)]),
        (None, None, []),
        ("[[10, 20]]", "", [(10, 20, True)]),
        # "normalize" of the Points Editor: fractions of the image, judged over both strings.
        ('[{"x": 0.5, "y": 0.25}]', '[{"x": 0, "y": 0}]', [(100, 25, True), (0, 0, False)]),
        ('[{"x": 1, "y": 0}]', '[{"x": 1, "y": 1}]', [(1, 0, True), (1, 1, False)]),
        ('[{"x": 0.5, "y": 0.5}]', '[{"x": 7, "y": 7}]', [(0.5, 0.5, True), (7, 7, False)]),
    ],
)
def test_kjnodes_coordinates(positive, negative, expected):
    on, off = parse_coords(positive, negative, SIZE)
    assert [(point.x, point.y, point.positive) for point in (*on, *off)] == expected


def test_a_normalised_edge_stays_inside():
    (point,), _ = parse_coords('[{"x": 1.0, "y": 0.5}]', "", SIZE)
    assert 199.9 < point.x < 200


def test_a_coordinate_outside_names_its_input():
    with pytest.raises(InputError, match="negative_coords: point 0 at"):
        parse_coords("", '[{"x": 500, "y": 2}]', SIZE)


@pytest.mark.parametrize(
    "value",
    [
        BOX,
        [BOX],
        [[BOX], [BOX]],
        [[BOX]],
        (5, 6, 15, 26),
        [5, 6, 15, 26],
        [(5, 6, 15, 26)],
        [[5, 6, 15, 26]],
        {key: np.float32(number) for key, number in BOX.items()},
        np.array([[5, 6, 15, 26]]),
        torch.tensor([5.0, 6.0, 15.0, 26.0]),
        [torch.tensor([5.0, 6.0, 15.0, 26.0])],
    ],
    ids=repr,
)
def test_boxes_of_every_nesting(value):
    assert parse_boxes(value, 2, SIZE) == [Prompts(boxes=(Box(5, 6, 15, 26),))] * 2


def test_the_boxes_of_a_socket_are_on_no_frame_of_their_own():
    """Whatever a detector wrote beside them: their place in the list says it."""
    box = {**BOX, "frame": "third"}
    assert parse_boxes([[box], []], 2, SIZE) == [Prompts(boxes=(Box(5, 6, 15, 26),)), Prompts()]


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        (None, [0]),
        (BOX, [1]),
        ([BOX, BOX], [2]),
        ([[BOX]], [1]),
        ([[BOX], [], [BOX, BOX]], [1, 0, 2]),
    ],
)
def test_box_lists_are_for_all_frames_or_for_each(value, counts):
    lists = parse_box_lists(value, 3, SIZE)
    assert [len(prompts.boxes) for prompts in lists] == counts


def test_four_boxes_in_a_tuple_are_four_boxes():
    assert len(parse_boxes((BOX, BOX, BOX, BOX), 1, SIZE)[0].boxes) == 4


def test_boxes_of_a_detector():
    """Their corners may overstep the image by a rounding error or more."""
    detected = {"x": -0.25, "y": 90.5, "width": 200.5, "height": 30.0, "label": "dog", "score": 0.9}
    prompts = parse_boxes([[detected], []], 2, SIZE)
    assert prompts == [Prompts(boxes=(Box(0, 90.5, 200, 100, name="dog"),)), Prompts()]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[BOX], [BOX], [BOX]], "found 3 lists of boxes for 2 images"),
        ("box", 'bboxes: found "box", boxes are expected. Accepted: {x, y, width, height}'),
        ([{"x": 1}], r"bboxes\[0\]: found"),
        ([{**BOX, "label": 7}], r"bboxes\[0\].label"),
        ([(5, 6, 5, 26)], "width and height above 0"),
        ({**BOX, "x": 200}, "lies outside the image"),
    ],
)
def test_boxes_that_are_refused(value, message):
    with pytest.raises(InputError, match=message):
        parse_boxes(value, 2, SIZE)


def _circular() -> list:
    boxes: list = []
    boxes.append(boxes)
    return boxes


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([{("x", "y"): 5}], "a dict that JSON cannot hold"),
        (_circular(), "a list that JSON cannot hold"),
        ([[_circular()]], "a list that JSON cannot hold"),
        ({**BOX, "x": 10**5000}, "a int that JSON cannot hold"),
        ({**BOX, "object": 10**5000}, "a int that JSON cannot hold"),
    ],
    ids=["tuple as key", "circular", "circular boxes", "huge number", "huge object"],
)
def test_boxes_that_no_json_can_show(value, found):
    with pytest.raises(InputError, match=rf"^bboxes.*: found {found}, .*Accepted"):
        parse_boxes(value, 1, SIZE)


def test_kjnodes_coordinates_are_all_of_one_object():
    """Whatever number another editor wrote beside them: the sockets add to the first object."""
    on, off = parse_coords(
        '[{"x": 10, "y": 20}, {"x": 1, "y": 2, "object": 3, "frame": 4}]',
        '[{"x": 5, "y": 6, "object": 1}]',
        SIZE,
    )
    assert [(point.object, point.frame) for point in (*on, *off)] == [(0, None)] * 3
