"""IMAGE and MASK tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.tensors import (
    image_size,
    mask_frame,
    mask_frames,
    rgb_frame,
    row_bands,
)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_frames_of_every_kind_of_image(channels, dtype):
    image = torch.rand(2, 5, 7, channels).to(dtype)
    before = image.clone()
    assert image_size(image) == (2, 5, 7)
    frame = rgb_frame(image, 1)
    assert frame.shape == (5, 7, 3)
    assert frame.dtype == torch.float32
    expected = image[1, ..., :3].float() if channels > 1 else image[1].float().expand(-1, -1, 3)
    assert torch.equal(frame, expected)
    assert torch.equal(image, before)


def test_values_out_of_range_are_clamped_without_touching_the_input():
    image = torch.tensor([-1.0, 0.5, 3.0]).reshape(1, 1, 1, 3)
    assert rgb_frame(image, 0).flatten().tolist() == [0.0, 0.5, 1.0]
    assert image.flatten().tolist() == [-1.0, 0.5, 3.0]
    infinite = torch.full((1, 1, 1, 3), float("inf"))
    assert rgb_frame(infinite, 0).flatten().tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "shape", [(5, 7, 3), (1, 5, 7, 2), (1, 5, 7, 5), (0, 5, 7, 3), (1, 0, 7, 3), (1, 5, 0, 3)]
)
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match=r"image: found .*\[.*\]"):
        image_size(torch.zeros(shape))


def test_nan_names_the_frame():
    image = torch.zeros(2, 4, 4, 3)
    image[1, 2, 2, 0] = float("nan")
    rgb_frame(image, 0)
    with pytest.raises(InputError, match="frame 1 holds NaN"):
        rgb_frame(image, 1)


@pytest.mark.parametrize("shape", [(8, 10), (1, 8, 10), (1, 1, 8, 10), (3, 8, 10), (3, 1, 8, 10)])
def test_masks_of_every_rank_match_the_batch(shape):
    mask = torch.rand(shape)
    frames = mask_frames(mask, 3, (8, 10))
    assert frames.shape == (3, 8, 10)
    expected = mask.reshape(-1, 8, 10)
    assert torch.equal(frames[2], expected[2 if len(expected) == 3 else 0])


@pytest.mark.parametrize("shape", [(8, 10), (1, 8, 10), (3, 8, 10), (3, 1, 8, 10)])
def test_a_mask_that_needs_no_change_is_not_copied(shape):
    mask = torch.rand(shape)
    frame = mask_frame(mask, 2, (8, 10))
    assert frame.untyped_storage().data_ptr() == mask.untyped_storage().data_ptr()
    assert torch.equal(frame, mask_frames(mask, 3, (8, 10))[2])


def test_masks_out_of_range_are_clamped_without_touching_the_input():
    mask = torch.tensor([-1.0, 0.5, 3.0, float("inf")]).reshape(1, 1, 4)
    before = mask.clone()
    assert mask_frame(mask, 0, (1, 4)).tolist() == [[0.0, 0.5, 1.0, 1.0]]
    assert mask_frames(mask, 1, (1, 4)).tolist() == [[[0.0, 0.5, 1.0, 1.0]]]
    assert torch.equal(mask, before)


def test_the_masks_of_a_batch_are_no_view_of_the_input():
    mask = torch.rand(2, 8, 10)
    before = mask.clone()
    mask_frames(mask, 2, (8, 10)).zero_()
    assert torch.equal(mask, before)


def test_a_mask_of_another_size_is_resized():
    mask = torch.zeros(1, 10, 20)
    mask[:, :, 10:] = 1
    frames = mask_frames(mask, 1, (20, 40))
    assert frames.shape == (1, 20, 40)
    assert frames[0, :, :18].max() == 0
    assert frames[0, :, 22:].min() == 1


def test_zeros_of_an_image_without_alpha_fit_any_size():
    frames = mask_frames(torch.zeros(1, 64, 64), 2, (480, 640))
    assert frames.shape == (2, 480, 640)
    assert not frames.any()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(2, 4, 4), "found 2 masks for 3 images"),
        (torch.zeros(0, 4, 4), "found a tensor of shape"),
        (torch.zeros(4), "found a tensor of shape"),
        (torch.zeros(1, 3, 4, 4), "found a tensor of shape"),
        (torch.full((1, 4, 4), float("nan")), "NaN"),
    ],
)
def test_masks_that_are_refused(mask, message):
    with pytest.raises(InputError, match=f"mask: .*{message}|mask: {message}"):
        mask_frames(mask, 3, (4, 4))


def test_what_requires_a_gradient_is_read_without_it():
    """From a node that trains or optimises; nothing here can be asked for NumPy otherwise."""
    image, mask = (torch.rand(shape, requires_grad=True) for shape in ((1, 8, 10, 3), (1, 8, 10)))
    np.testing.assert_array_equal(rgb_frame(image, 0).numpy(), image[0].detach().numpy())
    np.testing.assert_array_equal(mask_frames(mask, 1, (8, 10)).numpy(), mask.detach().numpy())
    assert not mask_frames(mask, 2, (4, 5)).requires_grad
    assert image.requires_grad and mask.requires_grad


@pytest.mark.parametrize("multiple", [1, 4, 25])
@pytest.mark.parametrize("size", [(1, 1), (24, 9000), (1090, 1920), (2105, 4000), (3, 600_000)])
def test_bands_cover_all_rows_and_none_is_too_low(size, multiple):
    plane = torch.empty(size)
    bands = list(row_bands(plane, 2, multiple))
    assert [row for rows in bands for row in range(rows.start, rows.stop)] == list(range(size[0]))
    assert all(rows.start % multiple == 0 for rows in bands)
    assert min(rows.stop - rows.start for rows in bands) >= min(multiple, size[0])
