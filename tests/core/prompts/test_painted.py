"""Rough masks that were painted in the editor, as prompts of their objects."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.examples import ExampleInputs, read_examples
from segment_anywhere.core.prompts.formats import parse_points
from segment_anywhere.core.prompts.inputs import PromptInputs, read_key_frames, read_prompts
from segment_anywhere.core.results import rle

SIZE = (4, 8)
LEFT = {"size": [2, 2], "counts": [0, 2, 2]}
RIGHT = {"size": [2, 2], "counts": [2, 2]}


def _text(*masks: dict, **further) -> str:
    return json.dumps({"masks": masks, **further})


def _half(side: str) -> torch.Tensor:
    mask = torch.zeros(SIZE)
    mask[:, slice(0, 4) if side == "left" else slice(4, 8)] = 1.0
    return mask


@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    scale=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    data=st.data(),
)
def test_the_runs_are_those_of_the_packs_results(rows, columns, scale, data):
    """Any mask survives, and each of its cells covers its share of the image."""
    cells = data.draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    grid = np.array(cells, dtype=np.uint8).reshape(rows, columns)
    flat = np.concatenate([[0], grid.T.ravel(), [2]])
    edges = np.flatnonzero(np.diff(flat) != 0)
    counts = np.diff(edges, prepend=0).tolist()
    np.testing.assert_array_equal(rle.decode(counts, (rows, columns)), grid)
    size = (rows * scale[0], columns * scale[1])
    masks = parse_points(_text({"size": [rows, columns], "counts": counts}), size).masks
    assert bool(masks) == bool(grid.any())
    for mask in masks:
        np.testing.assert_array_equal(mask.drawn.numpy(), np.kron(grid, np.ones(scale)))


def test_an_image_smaller_than_the_grid_has_a_mask_of_its_own_size():
    counts = [128 * 256, 128 * 256]
    (mask,) = parse_points(_text({"size": [256, 256], "counts": counts}), SIZE).masks
    assert torch.equal(mask.drawn, _half("right"))


def test_a_painted_mask_is_a_prompt_of_its_object():
    point = {"x": 1, "y": 1, "object": 1}
    text = _text({**RIGHT, "object": 1}, {**LEFT, "object": 3}, points=[point], names={"3": "cup"})
    first, second = read_prompts(PromptInputs(text), 1, SIZE)[0]
    assert (first.label, len(first.points), first.is_single_click) == ("object 2", 1, False)
    assert torch.equal(first.mask, _half("right"))
    assert (second.label, second.points) == ("cup", ()) and second.is_wanted
    assert torch.equal(second.mask, _half("left"))


def test_a_painted_mask_shows_the_object_of_a_negative_click():
    text = _text(LEFT, points=[{"x": 6, "y": 1, "label": 0}])
    (found,) = read_prompts(PromptInputs(text), 1, SIZE)[0]
    assert not found.points[0].positive and found.mask is not None


def test_the_socket_and_what_is_painted_of_the_first_object_are_one_mask():
    text = _text(LEFT, {**RIGHT, "object": 1})
    given_mask = torch.zeros(1, *SIZE)
    given_mask[0, 0, 7] = 0.75
    first, second = read_prompts(PromptInputs(text, mask=given_mask), 1, SIZE)[0]
    wanted = _half("left")
    wanted[0, 7] = 0.75
    assert torch.equal(first.mask, wanted)
    assert torch.equal(second.mask, _half("right"))
    assert given_mask.sum() == 0.75, "the input stays as it was"


def test_a_mask_is_on_the_frames_it_names():
    text = _text({**LEFT, "frame": 1}, {**RIGHT, "object": 1})
    frames = read_prompts(PromptInputs(text), 3, SIZE)
    assert [[each.number for each in frame] for frame in frames] == [[1], [0, 1], [1]]
    keys = read_key_frames(PromptInputs(text), 3, SIZE)
    assert {frame: [each.number for each in found] for frame, found in keys.items()} == {
        0: [1],
        1: [0],
    }
    with pytest.raises(InputError, match="points: mask 0 is on frame 1; the batch has 1 image"):
        read_prompts(PromptInputs(text), 1, SIZE)


def test_boxes_cut_what_is_painted():
    box = {"x": 0, "y": 0, "width": 2, "height": 2}
    other = {"x": 2, "y": 2, "width": 2, "height": 2}
    one, two = read_prompts(PromptInputs(_text(LEFT, boxes=[box, other])), 1, SIZE)[0]
    assert one.mask.sum() == two.mask.sum() == 4
    assert one.mask[:2, :2].all() and two.mask[2:, 2:4].all()


def test_examples_are_not_painted():
    with pytest.raises(InputError, match="found 1 painted masks among the example boxes"):
        read_examples(ExampleInputs(points=_text(LEFT)), 1, SIZE)


def test_an_error_says_what_to_do_next():
    with pytest.raises(InputError, match=r"Accepted: \{.*Paint it in the editor, or remove the"):
        parse_points(_text({**LEFT, "counts": [3]}), SIZE)
