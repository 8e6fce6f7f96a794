"""Masks, segments and images of every mix of batches and sizes."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.masks.inputs import MaskInputs, image_frames, match_image
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments

SIZE = (24, 32)
NO_ALPHA = torch.zeros(1, 64, 64)


def _mask(batch: int = 1, size: tuple[int, int] = SIZE) -> torch.Tensor:
    mask = torch.zeros(batch, *size)
    mask[:, : size[0] // 2] = 1
    return mask


def _segments(batch: int = 1, size: tuple[int, int] = SIZE) -> Segments:
    pixels = (_mask(1, size)[0] * 255).to(torch.uint8)
    instances = [Instance(compact(pixels), 0.5, "dog", frame) for frame in range(batch)]
    return Segments.from_instances(instances, size, batch)


@pytest.mark.parametrize("images", [None, 1, 3])
@pytest.mark.parametrize("masks", [None, 1, 3])
@pytest.mark.parametrize("objects", [None, 1, 3])
@pytest.mark.parametrize("size", [SIZE, (48, 64)])
def test_every_mix_of_batches_and_sizes(images, masks, objects, size):
    if masks is None and objects is None:
        return
    inputs = MaskInputs(
        None if masks is None else _mask(masks, size),
        None if objects is None else _segments(objects, size),
    )
    image = None if images is None else torch.rand(images, *SIZE, 3)
    batch, matched_size = match_image(inputs, image)
    assert batch == max(images or 1, masks or 1, objects or 1)
    assert matched_size == (size if image is None else SIZE)
    mask = inputs.matched_mask(batch, matched_size)
    segments = inputs.matched_segments(batch, matched_size)
    assert mask.shape == (batch, *matched_size)
    frame = inputs.matched_frames(batch, matched_size)
    assert torch.equal(torch.stack([frame(index) for index in range(batch)]), mask)
    assert inputs.device == mask.device
    half = matched_size[0] // 2
    assert mask[:, : half - 2].min() == 1
    assert mask[:, half + 2 :].max() == 0
    if objects is not None:
        assert segments.frames.tolist() == list(range(batch))
        assert segments.full_masks().shape == (batch, *matched_size)
        assert segments.labels == ("dog",) * batch
    if image is not None:
        assert image_frames(image, batch).shape == (batch, *SIZE, 3)


def test_the_zeros_of_a_picture_without_alpha_are_no_mask():
    alone = MaskInputs(NO_ALPHA)
    assert not alone.matched_mask(2, SIZE).any()
    beside = MaskInputs(NO_ALPHA, _segments(3))
    assert match_image(beside, None) == (3, SIZE)
    assert beside.matched_mask(3, SIZE).any()


@pytest.mark.parametrize(
    ("inputs", "images", "message"),
    [
        (MaskInputs(), None, "mask, segments: neither is connected"),
        (MaskInputs(suffix="_b"), None, "mask_b, segments_b: neither is connected"),
        (MaskInputs(_mask(2)), 3, "found 3 of image, 2 of mask"),
        (MaskInputs(_mask(2), _segments(3)), None, "found 2 of mask, 3 of segments"),
        (MaskInputs(torch.zeros(3)), None, "mask: found a tensor of shape"),
        (MaskInputs(torch.zeros(0, 4, 4)), None, "mask: found a tensor of shape"),
    ],
)
def test_what_does_not_fit_is_named(inputs, images, message):
    image = None if images is None else torch.rand(images, *SIZE, 3)
    with pytest.raises(InputError, match=message):
        match_image(inputs, image)


def test_nan_is_an_error():
    inputs = MaskInputs(torch.full((1, *SIZE), float("nan")))
    with pytest.raises(InputError, match="mask: holds NaN"):
        inputs.matched_mask(1, SIZE)
    with pytest.raises(InputError, match="mask: holds NaN"):
        inputs.matched_frames(1, SIZE)(0)


def test_whether_anything_is_selected():
    empty = Segments.from_instances([], SIZE, 1)
    for mask, segments, expected in (
        (_mask(), None, True),
        (torch.zeros(2, *SIZE), None, False),
        (-_mask(), None, False),
        (torch.zeros(1, *SIZE), _segments(), False),
        (NO_ALPHA, _segments(), True),
        (NO_ALPHA, empty, False),
        (None, empty, False),
        (None, _segments(), True),
    ):
        assert MaskInputs(mask, segments).select_anything() is expected
