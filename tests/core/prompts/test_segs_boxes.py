"""Boxes of SEGS, which is connected where boxes are."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.formats import parse_boxes
from segment_anywhere.core.prompts.prompts import Box, Prompts

SIZE = (100, 200)
FIELDS = "cropped_image cropped_mask confidence crop_region bbox label control_net_wrapper"
TheirSeg = namedtuple("TheirSeg", FIELDS, defaults=(None,) * 7)


@pytest.mark.parametrize(
    ("seg", "box"),
    [
        (TheirSeg(bbox=(5, 6, 15, 26), label="face"), Box(5, 6, 15, 26, name="face")),
        (
            TheirSeg(bbox=np.array([5.5, 6, 15, 26], np.float32), label=3),
            Box(5.5, 6, 15, 26, name="3"),
        ),
        (TheirSeg(crop_region=[5, 6, 15, 26]), Box(5, 6, 15, 26)),
        (TheirSeg(bbox=(-5, 90, 20, 120)), Box(0, 90, 20, 100)),
    ],
)
def test_the_box_of_a_seg_is_around_its_object_in_every_image(seg, box):
    assert parse_boxes((SIZE, [seg]), 2, SIZE) == [Prompts(boxes=(box,))] * 2


def test_boxes_are_scaled_from_the_size_that_segs_name():
    ((box,),) = (
        one.boxes for one in parse_boxes(((50, 400), [TheirSeg(bbox=(10, 10, 400, 50))]), 1, SIZE)
    )
    assert box == Box(5, 20, 200, 100)


@pytest.mark.parametrize("value", [(SIZE, []), ((0, 0), []), [list(SIZE), []]])
def test_segs_of_nothing_are_no_box(value):
    assert parse_boxes(value, 1, SIZE) == [Prompts()]


@pytest.mark.parametrize(
    ("seg", "message"),
    [
        (TheirSeg(), r"^bboxes\[0\]: found an object without crop_region and bbox"),
        (TheirSeg(bbox=(5, 5, 5, 9)), r"^bboxes\[0\]: found the box \(5, 5, 5, 9\)"),
        (TheirSeg(bbox="face"), r"^bboxes\[0\]: found \['f', 'a', 'c', 'e'\] as the box"),
        (TheirSeg(bbox=(200, 5, 210, 9)), "^bboxes: box 0 .* lies outside the image"),
    ],
)
def test_boxes_that_cannot_be_used_are_refused_with_a_sentence(seg, message):
    with pytest.raises(InputError, match=message):
        parse_boxes((SIZE, [seg]), 1, SIZE)
