"""Joining all prompt inputs of a node."""

from __future__ import annotations

import json

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.inputs import PromptInputs, read_key_frames, read_prompts
from segment_anywhere.core.prompts.prompts import Box

SIZE = (100, 200)
BOX = {"x": 5, "y": 6, "width": 10, "height": 20}
OFF = '[{"x": 50, "y": 60}]'


def test_all_inputs_join_per_frame():
    inputs = PromptInputs(
        points="[[10, 20]]",
        positive_coords='[{"x": 30, "y": 40}]',
        negative_coords=OFF,
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


@pytest.mark.parametrize(("value", "objects"), [(0.003, 0), (0.49, 0), (0.5, 1), (1.0, 1)])
def test_a_faint_mask_is_no_prompt(value, objects):
    mask = torch.full((1, *SIZE), value)
    assert len(read_prompts(PromptInputs(mask=mask), 1, SIZE)[0]) == objects


@pytest.mark.parametrize(
    "inputs",
    [
        PromptInputs(points='[{"x": 1, "y": 1, "label": 0}]'),
        PromptInputs(points='[{"x": 1, "y": 1}, {"x": 1, "y": 1, "label": 0, "object": 1}]'),
        PromptInputs(negative_coords=OFF),
    ],
)
def test_negative_prompts_alone_are_refused(inputs):
    with pytest.raises(InputError, match="only negative prompts.*Add a click"):
        read_prompts(inputs, 2, SIZE)


def test_beside_words_negative_prompts_may_stand_alone():
    """All of them are of one object, whatever theirs were."""
    points = '[{"x": 1, "y": 2, "label": 0}, {"x": 3, "y": 4, "label": 0, "object": 1}]'
    inputs = PromptInputs(points=points, negative_coords=OFF)
    first, second = read_prompts(inputs, 2, SIZE, has_words=True)
    assert first == second
    (alone,) = first
    assert [(point.x, point.y) for point in alone.points] == [(1, 2), (3, 4), (50, 60)]
    assert not alone.is_wanted
    assert read_prompts(PromptInputs(), 1, SIZE, has_words=True) == [[]]


def test_beside_words_and_a_click_each_object_needs_one_of_its_own():
    points = '[{"x": 1, "y": 2}, {"x": 3, "y": 4, "label": 0, "object": 1}]'
    with pytest.raises(InputError, match="object 2 has only negative prompts"):
        read_prompts(PromptInputs(points=points), 1, SIZE, has_words=True)
    inputs = PromptInputs(points="[[1, 2]]", negative_coords=OFF)
    assert read_prompts(inputs, 1, SIZE, True) == read_prompts(inputs, 1, SIZE)


@pytest.mark.parametrize(
    "inputs",
    [
        PromptInputs(negative_coords=OFF, bboxes=[[BOX], []]),
        PromptInputs(negative_coords=OFF, mask=torch.stack([torch.ones(SIZE), torch.zeros(SIZE)])),
    ],
)
def test_a_frame_without_a_hit_is_left_empty(inputs):
    first, second = read_prompts(inputs, 2, SIZE)
    assert len(first) == 1
    assert second == []


def test_no_hit_in_any_frame_is_no_error():
    inputs = PromptInputs(negative_coords=OFF, bboxes=[[], []])
    assert read_prompts(inputs, 2, SIZE) == [[], []]


def test_negative_coordinates_belong_to_every_object():
    points = '[{"x": 1, "y": 2, "object": 1}, {"x": 3, "y": 4, "object": 2}]'
    (objects,) = read_prompts(PromptInputs(points=points, negative_coords=OFF), 1, SIZE)
    assert [one.label for one in objects] == ["object 2", "object 3"]
    assert [[point.positive for point in one.points] for one in objects] == [[True, False]] * 2


def _points(*entries):
    """The text of points at (1, 1), each with what it says of itself."""
    return json.dumps([{"x": 1, "y": 1, **entry} for entry in entries])


@pytest.mark.parametrize(
    ("entries", "numbers"),
    [
        ([{}], [[0], [0], [0]]),
        ([{"frame": 1}], [[], [0], []]),
        ([{"frame": 0}, {"frame": 2, "object": 5}], [[0], [], [5]]),
        ([{}, {"frame": 2, "object": 5}], [[0], [0], [0, 5]]),
        ([{"object": 1}, {"object": 1, "label": 0, "frame": 1}], [[1], [1], [1]]),
    ],
)
def test_a_prompt_with_a_frame_is_on_that_frame_alone(entries, numbers):
    frames = read_prompts(PromptInputs(_points(*entries)), 3, SIZE)
    assert [[one.number for one in objects] for objects in frames] == numbers


def test_what_a_frame_adds_stays_there():
    inputs = PromptInputs(_points({}, {"label": 0, "frame": 1}))
    assert [len(one.points) for (one,) in read_prompts(inputs, 3, SIZE)] == [1, 2, 1]


@pytest.mark.parametrize(
    ("inputs", "batch", "message"),
    [
        (_points({}, {"frame": 3}), 3, "points: point 1 is on frame 3; the batch has 3 images, "),
        (_points({"frame": 1}), 1, "point 0 is on frame 1; the batch has 1 image, frame 0. Remove"),
        (json.dumps([{**BOX, "frame": 9}]), 2, "points: box 0 is on frame 9; .* frames 0 to 1"),
    ],
)
@pytest.mark.parametrize("read", [read_prompts, read_key_frames])
def test_a_frame_that_the_batch_does_not_have(read, inputs, batch, message):
    with pytest.raises(InputError, match=message):
        read(PromptInputs(inputs), batch, SIZE)


def test_negative_coordinates_ask_for_nothing_where_the_points_are_on_other_frames():
    inputs = PromptInputs(_points({"frame": 1}), negative_coords=OFF)
    first, second = read_prompts(inputs, 2, SIZE)
    assert first == []
    assert [point.positive for point in second[0].points] == [True, False]


def test_negative_prompts_alone_on_a_frame_are_refused():
    inputs = PromptInputs(_points({"frame": 0}, {"frame": 1, "label": 0}))
    with pytest.raises(
        InputError, match="object 1 has only negative prompts on frame 1; an object"
    ):
        read_prompts(inputs, 2, SIZE)


def test_beside_words_a_frame_may_have_negative_prompts_alone():
    inputs = PromptInputs(_points({"frame": 1, "label": 0}))
    first, second = read_prompts(inputs, 2, SIZE, has_words=True)
    assert first == []
    assert not second[0].is_wanted


MASKS = torch.stack([torch.zeros(SIZE), torch.ones(SIZE), torch.zeros(SIZE)])
FAR = {"x": 100, "y": 50, "width": 10, "height": 20}


@pytest.mark.parametrize(
    ("inputs", "numbers"),
    [
        (PromptInputs(), {}),
        (PromptInputs(_points({})), {0: [0]}),
        (PromptInputs(_points({}, {"frame": 2}, {"frame": 2, "object": 4})), {0: [0], 2: [0, 4]}),
        (PromptInputs(_points({"frame": 1, "object": 3})), {1: [3]}),
        (PromptInputs(positive_coords='[{"x": 3, "y": 4}]'), {0: [0]}),
        (PromptInputs(bboxes=BOX), {0: [0]}),
        (PromptInputs(bboxes=[[], [], [BOX]]), {2: [0]}),
        (PromptInputs(bboxes=[[], [], []]), {}),
        (PromptInputs(mask=torch.ones(1, *SIZE)), {0: [0]}),
        (PromptInputs(mask=torch.zeros(1, *SIZE)), {}),
        (PromptInputs(mask=MASKS), {1: [0]}),
        (PromptInputs(_points({"frame": 2, "object": 4}), mask=MASKS), {1: [4], 2: [4]}),
        (PromptInputs(_points({"frame": 2}), bboxes=[BOX]), {0: [0], 2: [0]}),
        # A detector's boxes are objects of their own, the same in every frame by their order.
        (PromptInputs(bboxes=[[BOX, FAR], [], [FAR, BOX]]), {0: [0, 1], 2: [0, 1]}),
        (PromptInputs(_points({"object": 1}), bboxes=[BOX, FAR]), {0: [0, 2, 1]}),
        # A correction of an object that another frame shows, before or after.
        (PromptInputs(_points({"frame": 1}, {"frame": 2, "label": 0})), {1: [0], 2: [0]}),
        (PromptInputs(_points({"frame": 1}, {"frame": 0, "label": 0})), {0: [0], 1: [0]}),
        (PromptInputs(_points({"label": 0, "frame": 2}), mask=MASKS), {1: [0], 2: [0]}),
    ],
)
def test_key_frames(inputs, numbers):
    frames = read_key_frames(inputs, 3, SIZE)
    assert {frame: [one.number for one in objects] for frame, objects in frames.items()} == numbers
    assert list(frames) == sorted(frames)


def test_all_inputs_join_in_key_frames():
    inputs = PromptInputs(
        points=_points({}, {"frame": 1, "label": 0}),
        positive_coords='[{"x": 30, "y": 40}]',
        negative_coords=OFF,
        bboxes=[BOX],
        mask=MASKS,
    )
    frames = read_key_frames(inputs, 3, SIZE)
    assert list(frames) == [0, 1]
    (first,), (second,) = frames.values()
    assert [point.positive for point in first.points] == [True, True, False]
    assert (first.box, first.mask) == (Box(5, 6, 15, 26), None)
    assert [point.positive for point in second.points] == [False, False]
    assert second.box is None
    assert torch.equal(second.mask, torch.ones(SIZE))


def test_an_object_of_a_detector_keeps_its_name_among_key_frames():
    boxes = [{**BOX, "label": "dog"}, {**FAR, "label": "cat"}, BOX]
    (objects,) = read_key_frames(PromptInputs(bboxes=boxes), 1, SIZE).values()
    assert [(one.number, one.label) for one in objects] == [(0, "dog"), (1, "cat"), (2, "object 3")]


@pytest.mark.parametrize(
    ("inputs", "number"),
    [
        (PromptInputs(_points({"frame": 1, "label": 0})), 1),
        (PromptInputs(_points({}, {"frame": 1, "label": 0, "object": 2})), 3),
        (PromptInputs(negative_coords=OFF), 1),
    ],
)
def test_an_object_that_no_key_frame_shows_is_refused(inputs, number):
    with pytest.raises(InputError, match=f"object {number} has only negative prompts.*Add a click"):
        read_key_frames(inputs, 3, SIZE)


def test_an_object_that_another_input_shows_may_be_corrected():
    inputs = PromptInputs(_points({"frame": 1, "label": 0, "object": 2}), bboxes=None)
    ((correction,),) = read_key_frames(inputs, 3, SIZE, shown=[2]).values()
    assert (correction.number, correction.is_wanted) == (2, False)


def test_a_hit_in_no_frame_is_no_error():
    assert read_key_frames(PromptInputs(negative_coords=OFF, bboxes=[[], []]), 2, SIZE) == {}


def test_the_masks_of_key_frames_are_not_copied():
    """A clip's masks may be large."""
    ((one,),) = read_key_frames(PromptInputs(mask=MASKS), 3, SIZE).values()
    assert one.mask.data_ptr() == MASKS[1].data_ptr()


def test_masks_for_other_than_one_or_every_frame_are_refused():
    with pytest.raises(InputError, match="found 3 masks for 5 images"):
        read_key_frames(PromptInputs(mask=MASKS), 5, SIZE)
