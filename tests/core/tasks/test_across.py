"""A reference and an image in one picture: where they lie, and the way back."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.prompts import Box
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance
from segment_anywhere.core.tasks.across import Reference, read_reference

BOX = {"x": 10, "y": 10, "width": 20, "height": 10}


def _reference(own: tuple[int, int], image: tuple[int, int], boxes=BOX) -> Reference:
    pixels = torch.rand(1, *own, 3, generator=torch.Generator().manual_seed(0))
    reference = read_reference(pixels, boxes, image)
    assert reference is not None
    return reference


@pytest.mark.parametrize(
    ("own", "image", "joined", "box", "origin"),
    [
        ((40, 60), (40, 60), (80, 60), (10, 10, 30, 20), (40, 0)),
        ((60, 40), (60, 40), (60, 80), (10, 10, 30, 20), (0, 40)),
        # Twice as high, so twice as wide.
        ((40, 40), (80, 60), (80, 140), (20, 20, 60, 40), (0, 80)),
        ((80, 60), (40, 90), (160, 90), (15, 15, 45, 30), (120, 0)),
    ],
)
def test_the_picture_is_as_near_to_a_square_as_can_be(own, image, joined, box, origin):
    reference = _reference(own, image)
    picture = reference.join(torch.zeros(*image, 3))
    assert picture.shape == (*joined, 3) and reference.origin == origin
    (marked,) = reference.examples(())
    assert (marked.x1, marked.y1, marked.x2, marked.y2) == pytest.approx(box)


def test_boxes_on_the_image_move_with_it():
    reference = _reference((40, 60), (40, 60))
    own, marked = reference.examples([Box(1, 2, 3, 4, positive=False)])
    assert own == Box(1, 42, 3, 44, positive=False)
    assert marked.positive


@pytest.mark.parametrize(
    ("area", "kept"),
    [
        ((slice(50, 60), slice(5, 15)), (slice(10, 20), slice(5, 15))),
        ((slice(38, 44), slice(5, 15)), (slice(0, 4), slice(5, 15))),
        ((slice(30, 44), slice(5, 15)), None),
        ((slice(0, 10), slice(5, 15)), None),
    ],
)
def test_an_object_is_cut_to_the_image_or_left_out(area, kept):
    reference = _reference((40, 60), (40, 60))
    mask = torch.zeros(80, 60, dtype=torch.uint8)
    mask[area] = 255
    cut = reference.cut(Instance(compact(mask), 0.5, "dog", 0))
    if kept is None:
        assert cut is None
        return
    expected = torch.zeros(40, 60, dtype=torch.uint8)
    expected[kept] = 255
    assert cut is not None and torch.equal(cut.mask.pixels(), expected)


@pytest.mark.parametrize(
    ("batch", "boxes", "message"),
    [
        (0, [BOX], "reference_bboxes: there is no reference that they are on"),
        (1, None, "reference_bboxes: nothing on the reference is marked"),
        (1, [BOX | {"label": 0}], "reference_bboxes: nothing on the reference is marked"),
        (2, [BOX], "reference: found 2 images; accepted is one"),
        (1, [BOX | {"x": 90}], "reference_bboxes: box 0 .* lies outside the image"),
    ],
)
def test_what_is_refused(batch, boxes, message):
    pixels = torch.rand(batch, 40, 60, 3) if batch else None
    with pytest.raises(InputError, match=message):
        read_reference(pixels, boxes, (40, 60))


def test_without_a_reference_there_is_none():
    assert read_reference(None, None, (40, 60)) is None
