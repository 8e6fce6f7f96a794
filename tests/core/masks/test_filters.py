"""Blurs, and the way to a small copy and back, with OpenCV and with tensor operations alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anywhere.core.masks import filters

SIZES = [(1, 1), (1, 30), (31, 1), (24, 36), (23, 37)]


@pytest.fixture(params=["opencv", "tensor operations"])
def _way(request, monkeypatch):
    monkeypatch.setattr(filters, "uses_opencv", lambda tensor: request.param == "opencv")


def _random(*size: int) -> torch.Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(0))


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("radius", [1, 4])
def test_a_box_blur_is_the_mean_of_its_window(size, radius):
    plane = _random(*size)
    padded = np.pad(plane.numpy(), radius, mode="edge")
    side = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    expected = torch.from_numpy(windows.mean(axis=(2, 3), dtype=np.float64)).float()
    assert torch.allclose(filters.box_blur(plane, radius), expected, atol=1e-5)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("size", SIZES)
def test_a_gaussian_blur_keeps_what_is_even_and_spreads_a_point(size):
    assert torch.allclose(filters.gaussian_blur(torch.full(size, 0.3), 2.0), torch.full(size, 0.3))
    point = torch.zeros(41, 41)
    point[20, 20] = 1
    blurred = filters.gaussian_blur(point, 2.0)
    offset = torch.arange(41) - 20.0
    assert blurred.sum() == pytest.approx(1.0)
    # The kernel ends at three sigma; a pixel's own width adds 1/12 to the variance.
    assert (blurred.sum(dim=0) * offset**2).sum() == pytest.approx(4.0 + 1 / 12, rel=0.05)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [1, 3, 8])
def test_shrinking_takes_the_mean_of_blocks(size, factor):
    factor = min(factor, *size)
    planes = _random(*size, 3)
    height, width = size[0] // factor, size[1] // factor
    blocks = planes[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    rest = (0, 0, 0, int(size[1] % factor > 0), 0, int(size[0] % factor > 0))
    expected = np.pad(blocks.mean(dim=(1, 3)).numpy(), np.reshape(rest, (3, 2))[::-1], mode="edge")
    assert np.allclose(filters.shrink(planes, factor).numpy(), expected, atol=1e-6)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [1, 3, 8])
def test_stretching_is_linear_between_the_centres_of_blocks(size, factor):
    factor = min(factor, *size)
    small = filters.shrink(_random(*size, 2), factor).permute(2, 0, 1).contiguous()
    whole = filters.stretch(small, factor, slice(0, size[0]), size[1])
    assert whole.shape == (2, *size)
    centres = [(np.arange(count) + 0.5) * factor - 0.5 for count in small.shape[1:]]
    for plane, expected in zip(whole, small.numpy(), strict=True):
        across = np.stack([np.interp(np.arange(size[1]), centres[1], row) for row in expected])
        down = [np.interp(np.arange(size[0]), centres[0], column) for column in across.T]
        assert np.allclose(plane.numpy(), np.stack(down, axis=1), atol=1e-6)


@pytest.mark.usefixtures("_way")
def test_stretching_in_bands_is_stretching_the_whole():
    small = _random(4, 7, 10)
    whole = filters.stretch(small, 4, slice(0, 27), 39)
    bands = [filters.stretch(small, 4, rows, 39) for rows in (slice(0, 8), slice(8, 27))]
    assert torch.equal(torch.cat(bands, dim=1), whole)
