"""Overlays."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.render import PALETTE, overlay
from segment_anywhere.core.segments import Instance, Segments

SIZE = (120, 160)


def _segments(*squares: tuple[int, int, int], label: str = "dog") -> Segments:
    """One 40 px square per (top, left, frame)."""
    instances = []
    for top, left, frame in squares:
        mask = torch.zeros(SIZE, dtype=torch.uint8)
        mask[top : top + 40, left : left + 40] = 255
        instances.append(Instance(mask, 0.5, label, frame))
    return Segments.from_instances(instances, SIZE, 2)


def test_objects_are_tinted_and_the_rest_left_alone():
    image = torch.full((2, *SIZE, 3), 0.5)
    drawn = overlay(image, _segments((60, 20, 1)))
    assert drawn.shape == image.shape
    assert drawn.dtype == torch.float32
    assert torch.equal(drawn[0], image[0])
    tint = torch.tensor(PALETTE[0]) / 255
    inside = drawn[1, 85, 40]
    assert torch.allclose(inside, 0.5 + (tint - 0.5) * 0.45, atol=0.01)
    assert torch.allclose(drawn[1, 110, 150], image[1, 110, 150], atol=0.005)
    assert torch.equal(image, torch.full((2, *SIZE, 3), 0.5))


def test_the_colour_goes_with_the_place_in_the_frame():
    image = torch.zeros(2, *SIZE, 3)
    drawn = overlay(image, _segments((60, 10, 0), (60, 100, 0), (60, 100, 1)), opacity=1.0)
    colours = [drawn[0, 90, 30], drawn[0, 90, 120], drawn[1, 90, 120]]
    for colour, expected in zip(colours, (PALETTE[0], PALETTE[1], PALETTE[0]), strict=True):
        assert torch.allclose(colour * 255, torch.tensor(expected).float(), atol=1)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 120), (80, 120), (80, 0), (40, 60)])
def test_the_label_stays_inside_the_image(top, left):
    """All of it: as many black pixels wherever the object is."""
    image = torch.full((2, *SIZE, 3), 0.5)
    drawn = overlay(image, _segments((top, left, 0), label="a dog"))
    middle = overlay(image, _segments((60, 20, 0), label="a dog"))
    letters, expected = ((each[0] < 0.3).all(dim=-1).sum() for each in (drawn, middle))
    assert expected > 50
    assert letters == expected


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_rgba_images(channels):
    drawn = overlay(torch.rand(2, *SIZE, channels), _segments((60, 20, 0)))
    assert drawn.shape == (2, *SIZE, 3)


def test_soft_masks_tint_in_proportion():
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[60:100, 20:60] = 255
    mask[60:100, 40:60] = 128
    segments = Segments.from_instances([Instance(mask, 0.5, "", 0)], SIZE, 1)
    drawn = overlay(torch.zeros(1, *SIZE, 3), segments, opacity=1.0)
    ratio = drawn[0, 90, 50].sum() / drawn[0, 90, 30].sum()
    assert ratio == pytest.approx(0.5, abs=0.02)


def test_an_empty_mask_and_a_one_pixel_image():
    empty = Instance(torch.zeros((1, 1), dtype=torch.uint8), 0.5, "dog", 0)
    drawn = overlay(torch.full((1, 1, 1, 3), 0.5), Segments.from_instances([empty], (1, 1), 1))
    assert drawn.shape == (1, 1, 1, 3)
