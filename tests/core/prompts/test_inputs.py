"""Joining all prompt inputs of a node."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.inputs import PromptInputs, read_prompts
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
    with pytest.raises(InputError, match="object 1 has only negative prompts"):
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
    assert [one.label for one in objects] == ["object 1", "object 2"]
    assert [[point.positive for point in one.points] for one in objects] == [[True, False]] * 2
