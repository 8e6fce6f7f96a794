"""What the models with weights share."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.engines.image_model import IMAGENET, Statistics

EIGHT_BITS = Statistics(
    tuple(255 * part for part in IMAGENET.mean), tuple(255 * part for part in IMAGENET.std)
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_image_with_its_own_statistics_becomes_mean_0_and_deviation_1(dtype):
    image = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0), dtype=dtype)
    image = image * torch.tensor([1.0, 0.5, 0.1], dtype=dtype).reshape(1, 3, 1, 1) + 0.2
    mean, std = image.mean(dim=(0, 2, 3)), image.std(dim=(0, 2, 3))
    own = Statistics(tuple(mean.tolist()), tuple(std.tolist()))
    normal = own.normalise(image)
    assert normal.dtype is dtype
    torch.testing.assert_close(
        normal.mean(dim=(0, 2, 3)), torch.zeros(3, dtype=dtype), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        normal.std(dim=(0, 2, 3)), torch.ones(3, dtype=dtype), atol=1e-5, rtol=0
    )


def test_the_range_of_the_pixels_is_that_of_the_statistics():
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = IMAGENET.normalise(image)
    torch.testing.assert_close(EIGHT_BITS.normalise(255 * image), expected, atol=1e-5, rtol=0)
