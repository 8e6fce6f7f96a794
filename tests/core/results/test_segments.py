"""The result type and the functions on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import (
    Instance,
    Segments,
    bounding_boxes,
    compact_soft,
    match_segments,
    numbered,
    take,
    union_frame,
    union_masks,
)

SIZE = (6, 8)


def _instance(top, left, bottom, right, frame=0, value=255, score=0.5, label="dog") -> Instance:
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[top:bottom, left:right] = value
    return Instance(compact(mask), score, label, frame)


def test_no_instances_keep_every_frame():
    segments = Segments.from_instances([], SIZE, 3)
    assert len(segments) == 0
    assert segments.full_masks().shape == (0, *SIZE)
    assert segments.boxes.shape == (0, 4)
    assert union_masks(segments).shape == (3, *SIZE)
    assert not union_masks(segments).any()
    assert bounding_boxes(segments) == [[], [], []]


def test_instances_keep_order_label_score_and_frame():
    segments = Segments.from_instances(
        [_instance(0, 0, 2, 2, frame=1), _instance(3, 4, 6, 8, score=0.25, label="cat")], SIZE, 2
    )
    assert segments.labels == ("dog", "cat")
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
    assert first.mask.pixels()[2, 2] == 100


@given(
    st.lists(
        st.tuples(
            *(st.integers(0, limit) for limit in (4, 6, 6, 8)),
            st.integers(0, 2),
            st.sampled_from([1, 100, 255]),
        ),
        max_size=6,
    )
)
def test_a_union_is_the_maximum_over_the_whole_frame(objects):
    """In every frame, whether its objects overlap, lie apart or are empty."""
    segments = Segments.from_instances(
        [_instance(*box, frame=frame, value=value) for *box, frame, value in objects], SIZE, 3
    )
    union = union_masks(segments)
    for frame in range(3):
        masks = [each.mask for each in segments if each.frame == frame]
        pixels = [mask.pixels() for mask in masks]
        expected = torch.stack([torch.zeros(SIZE, dtype=torch.uint8), *pixels]).amax(dim=0)
        assert torch.equal(union[frame], expected / 255.0)
        assert torch.equal(union_frame(masks, SIZE), union[frame])


def test_soft_masks_are_rounded_to_the_nearest_step():
    """Halves to the even one, and just beside them."""
    halves = torch.arange(511) / 510
    above, below = torch.nextafter(halves, torch.ones(())), torch.nextafter(halves, -torch.ones(()))
    values = torch.stack([halves, above, below]).clamp_(0, 1)
    for mask in (values, values.T):
        expected = (mask * 255.0).round_().to(torch.uint8)
        assert torch.equal(compact_soft(mask).pixels(), expected)


@given(
    top=st.integers(0, 4), left=st.integers(0, 6), height=st.integers(1, 3), width=st.integers(1, 3)
)
def test_boxes_are_tight(top, left, height, width):
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[top : top + height, left : left + width] = 255
    right, bottom = min(left + width, SIZE[1]), min(top + height, SIZE[0])
    assert compact(mask).box() == (left, top, right, bottom)


def test_soft_edges_do_not_widen_a_box():
    mask = torch.zeros((3, *SIZE), dtype=torch.uint8)
    mask[0, 1:5, 1:5] = 100
    mask[0, 2:4, 2:4] = 255
    mask[1, 1:5, 1:5] = 100
    boxes = [compact(each).box() for each in mask]
    assert boxes == [(2, 2, 4, 4), (1, 1, 5, 5), (0, 0, 0, 0)]


def test_soft_masks_keep_their_values_and_hard_ones_a_bit_a_pixel():
    instances = [_instance(1, 1, 4, 5), _instance(0, 0, 2, 2, value=7)]
    segments = Segments.from_instances(instances, SIZE, 1)
    assert torch.equal(segments.full_masks()[1], segments.mask(1))
    assert segments.mask(1)[0, 0] == 7
    assert segments.areas().tolist() == [12, 0]
    assert [mask.data.nbytes for mask in segments.masks] == [2, 4]


def test_the_same_objects_have_the_same_ids_in_every_frame():
    labels = {0: ("cat", "dog", "dog"), 1: ("dog", "bird")}
    instances = [
        _instance(0, 0, 2, 2, frame=frame, label=label)
        for frame, found in labels.items()
        for label in found
    ]
    assert [each.id for each in numbered(instances)] == [0, 1, 2, 1, 3]
    assert [each.id for each in numbered(instances, ("dog", "fox", "bird"))] == [3, 0, 1, 0, 2]
    assert numbered([]) == []


def test_ids_survive_selection_matching_and_a_resize():
    instances = [replace(_instance(0, 0, 2, 2), id=5), replace(_instance(2, 2, 5, 5), id=3)]
    segments = Segments.from_instances(instances, SIZE, 1)
    assert take(segments, [1]).ids.tolist() == [3]
    matched = match_segments(segments, 2, (12, 16))
    assert matched.ids.tolist() == [5, 3, 5, 3]
    assert matched.frames.tolist() == [0, 0, 1, 1]
    assert matched.boxes[1].tolist() == [4, 4, 10, 10]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("boxes", torch.zeros(1, 4), r"boxes has shape \[1, 4\]; expected is \[2, 4\]"),
        ("boxes", torch.zeros(2, 5), r"boxes has shape \[2, 5\]; expected is \[2, 4\]"),
        ("scores", torch.zeros(2, 1), r"scores has shape \[2, 1\]; expected is \[2\]"),
        ("labels", ("dog",), r"labels has shape \[1\]; expected is \[2\]"),
        ("frames", torch.zeros(3).long(), r"frames has shape \[3\]; expected is \[2\]"),
        ("frames", torch.tensor([0, 5]), "frames holds 5; expected is 0 to 0"),
        ("frames", torch.tensor([-1, 0]), "frames holds -1; expected is 0 to 0"),
        ("ids", torch.zeros(0).long(), r"ids has shape \[0\]; expected is \[2\]"),
        ("size", (6, 9), r"mask 0 has shape \[6, 8\]; expected is \[6, 9\]"),
    ],
)
def test_fields_that_do_not_fit_are_named(field, value, message):
    good = Segments.from_instances([_instance(0, 0, 2, 2), _instance(1, 1, 3, 3)], SIZE, 1)
    with pytest.raises(InputError, match=f"segments: {message}"):
        replace(good, **{field: value})


def test_masks_are_bytes_also_where_there_are_none():
    for objects in ([], [_instance(0, 0, 2, 2)]):
        assert Segments.from_instances(objects, SIZE, 1).full_masks().dtype == torch.uint8
