"""What shows the objects of a clip, joined from clicks, boxes, masks and found objects."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments
from segment_anywhere.core.tasks.key_frames import KeyPrompt, read_subjects

SIZE = (12, 16)
CLICK = (Point(3.0, 4.0),)


def _mask(value: float = 1.0) -> torch.Tensor:
    mask = torch.zeros(SIZE)
    mask[2:8, 3:9] = value
    return mask


def _found(*places: tuple[int, int], batch: int = 4, size: tuple[int, int] = SIZE) -> Segments:
    """Objects of (frame, id)."""
    mask = torch.zeros(size, dtype=torch.bool)
    mask[: size[0] // 2] = True
    instances = [Instance(compact(mask), 0.5, f"cat {n}", frame, n) for frame, n in places]
    return Segments.from_instances(instances, size, batch)


@pytest.mark.parametrize(
    ("prompt", "mask", "is_correction", "is_drawn"),
    [
        (ObjectPrompt("a", CLICK), None, True, False),
        (ObjectPrompt("a", CLICK, Box(1, 1, 5, 5)), None, False, False),
        (ObjectPrompt("a"), _mask(), False, True),
        (ObjectPrompt("a", CLICK), _mask(), False, False),
        (ObjectPrompt("a", box=Box(1, 1, 5, 5)), _mask(), False, False),
    ],
)
def test_what_a_key_frame_is_worth(prompt, mask, is_correction, is_drawn):
    stored = None if mask is None else compact(mask > 0)
    key = KeyPrompt(prompt, stored)
    assert (key.is_correction, key.is_drawn) == (is_correction, is_drawn)


def test_a_mask_comes_back_as_it_was_given():
    prompts = {2: [ObjectPrompt("object 0", CLICK, mask=_mask(0.6))]}
    (subject,) = read_subjects(prompts, None, 4, SIZE)
    again = subject.keys[2].prompt()
    assert again.points == CLICK
    torch.testing.assert_close(again.mask, _mask(0.6), rtol=0, atol=0.5 / 255)


def test_objects_come_by_their_numbers_with_all_their_key_frames():
    prompts = {
        0: [ObjectPrompt("object 3", CLICK, number=3)],
        2: [ObjectPrompt("object 1", CLICK, number=1), ObjectPrompt("object 3", CLICK, number=3)],
    }
    subjects = read_subjects(prompts, None, 4, SIZE)
    assert [(each.number, each.label, sorted(each.keys)) for each in subjects] == [
        (1, "object 1", [2]),
        (3, "object 3", [0, 2]),
    ]


def test_clicks_join_the_found_object_of_their_number():
    prompts = {
        1: [ObjectPrompt("object 7", CLICK, number=7)],
        3: [ObjectPrompt("object 7", CLICK, number=7)],
    }
    found, other = read_subjects(prompts, _found((1, 7), (1, 9)), 4, SIZE)
    assert (found.label, other.label) == ("cat 7", "cat 9")
    assert found.keys[1].mask is not None
    assert found.keys[1].asked.points == CLICK
    assert found.keys[3].is_correction


def test_objects_of_a_single_image_are_on_the_first_frame_at_its_size():
    (subject,) = read_subjects({}, _found((0, 5), batch=1, size=(24, 32)), 4, SIZE)
    assert list(subject.keys) == [0]
    mask = subject.keys[0].mask
    assert mask is not None
    assert mask.size == SIZE
    assert mask.box() == (0, 0, 16, 6)


def test_objects_of_another_number_of_images_are_refused():
    with pytest.raises(InputError, match="objects of 3 images for a clip of 4"):
        read_subjects({}, _found((0, 1), batch=3), 4, SIZE)
