"""Trimaps beside distances that are worked out pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.masks.trimap import UNKNOWN, band_width, trimap

SIZE = (40, 56)


def _shape() -> torch.Tensor:
    """Two boxes that touch the border and each other's corner."""
    mask = torch.zeros(SIZE)
    mask[6:20, 0:24] = 1
    mask[20:33, 24:50] = 1
    return mask


def _by_hand(mask: torch.Tensor, band: float) -> torch.Tensor:
    """The rim of the shape lies half a pixel inside of its contour."""
    inside = mask >= 0.5
    places = torch.cartesian_prod(torch.arange(SIZE[0]), torch.arange(SIZE[1])).float()
    padded = torch.nn.functional.pad(inside[None].float(), (1, 1, 1, 1), mode="replicate")[0]
    near = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    rim = (inside & (near < 4)).flatten()
    distance = torch.cdist(places, places[rim]).amin(dim=1).reshape(SIZE)
    signed = torch.where(inside, distance + 0.5, 0.5 - distance)
    return torch.where(signed.abs() <= band / 2, UNKNOWN, inside.float())


@pytest.mark.parametrize("band", [1.0, 2.0, 7.0, 12.5, 40.0])
def test_the_band_is_centred_on_the_contour(band):
    found = trimap(_shape(), band, SIZE)
    assert torch.equal(found, _by_hand(_shape(), band))
    assert (found == UNKNOWN).any()


@pytest.mark.parametrize("value", [0.0, 1.0, 0.4])
@pytest.mark.parametrize("band", [0.0, 10.0])
def test_what_has_no_contour_has_no_band(value, band):
    found = trimap(torch.full(SIZE, value), band, SIZE)
    soft = value == 0.4 and not band
    assert torch.equal(found, torch.full(SIZE, UNKNOWN if soft else round(value)))


def test_soft_pixels_are_not_known_where_the_band_is_the_masks():
    mask = torch.zeros(200, 300)
    mask[:, :100] = 1
    mask[50:60, 180:220] = torch.linspace(0.01, 0.99, 40)
    mask[90, 200], mask[91, 200] = 1 / 255, 254 / 255
    found = trimap(mask, 0.0, (200, 300))
    assert (found[50:60, 180:220] == UNKNOWN).all()
    # Rounding is no softness, but what is inside has a contour around it.
    assert found[120, 200] == 0 and found[120, 20] == 1
    assert (trimap(mask, 10.0, (200, 300))[50:60, 181:190] == 0).all()


@pytest.mark.parametrize(
    ("band", "size", "width"),
    [(0.0, (1080, 1920), 40.0), (0.0, (100, 50), 8.0), (60.0, (2160, 3840), 60.0)],
)
def test_the_width_of_a_band(band, size, width):
    assert band_width(band, size) == width
    mask = torch.zeros(20, 400)
    mask[:, :200] = 1
    assert int((trimap(mask, band, size)[0] == UNKNOWN).sum()) == width
