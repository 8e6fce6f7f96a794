"""Edges that follow the image, and colours without background."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from segment_anywhere.core.masks.matting import (
    _FLATNESS,
    _solve_symmetric,
    follow_edges,
    foreground_colours,
    window_radius,
)
from segment_anywhere.core.tensors import FrameArea

SIZE = 160
OBJECT = torch.tensor([0.9, 0.5, 0.2])
GROUND = torch.tensor([0.1, 0.2, 0.5])


def _furry_alpha() -> torch.Tensor:
    """A disc with hairs around it: coverage 0..1, drawn at four times the size."""
    big = SIZE * 4
    canvas = np.zeros((big, big), np.uint8)
    middle = big // 2
    cv2.circle(canvas, (middle, middle), 160, 255, -1)
    for angle in np.linspace(0, 2 * np.pi, 90, endpoint=False):
        direction = np.array([np.cos(angle), np.sin(angle)])
        start, end = middle + 150 * direction, middle + 205 * direction
        cv2.line(canvas, start.astype(int).tolist(), end.astype(int).tolist(), 255, 5)
    small = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small.astype(np.float32) / 255)


def _composite(alpha: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0)) * 0.01
    return (GROUND + (OBJECT - GROUND) * alpha[..., None] + noise).clamp(0, 1)[None]


def _whole(image: torch.Tensor) -> FrameArea:
    return FrameArea(image, 0, (slice(0, image.shape[1]), slice(0, image.shape[2])))


def _colours(image: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    return torch.cat([part for _, part in foreground_colours(_whole(image), alpha)])


def test_guided_edges_find_the_hairs():
    alpha = _furry_alpha()
    grid = torch.arange(SIZE) + 0.5 - SIZE / 2
    rough = (torch.hypot(grid[None], grid[:, None]) < 46).float()
    guided = follow_edges(rough, _whole(_composite(alpha)), 10)
    before, after = (rough - alpha).abs().sum(), (guided - alpha).abs().sum()
    assert after < 0.5 * before
    # Far from the contour nothing changes.
    assert torch.equal(guided[70:90, 70:90], torch.ones(20, 20))
    assert not guided[:8].any()


def test_guided_edges_leave_a_mask_alone_in_an_even_image():
    mask = torch.zeros(SIZE, SIZE)
    mask[:, :80] = 1
    guided = follow_edges(mask, _whole(torch.full((1, SIZE, SIZE, 3), 0.4)), 6)
    assert ((guided >= 0.5) == (mask >= 0.5)).float().mean() > 0.98


@pytest.mark.parametrize(
    ("size", "radius"), [((100, 100), 3), ((1080, 1920), 12), ((10, 3840), 24)]
)
def test_the_window_grows_with_the_image(size, radius):
    assert window_radius(size) == radius


def test_soft_edges_keep_the_objects_colour_alone():
    alpha = _furry_alpha()
    colours = _colours(_composite(alpha), alpha)
    edge = (alpha > 0.1) & (alpha < 0.95)
    assert (colours[edge] - OBJECT).abs().max() < 0.15
    assert (colours[edge] - OBJECT).abs().mean() < 0.02


def test_a_hard_mask_shows_no_rim_of_background():
    """The mask ends on pixels that are half background."""
    alpha = _furry_alpha()
    hard = (alpha >= 0.4).float()
    image = _composite(alpha)
    rim = (hard > 0) & (alpha < 0.9)
    before = (image[0][rim] - OBJECT).abs().mean()
    assert (_colours(image, hard)[rim] - OBJECT).abs().mean() < 0.35 * before


def test_the_background_does_not_stay_in_the_file():
    alpha = _furry_alpha()
    colours = _colours(_composite(alpha), alpha)
    assert (colours[alpha == 0] - OBJECT).abs().max() < 0.1


def test_inside_the_object_every_pixel_stays():
    mask = torch.zeros(SIZE, SIZE)
    mask[20:140, 20:140] = 1
    image = torch.rand(1, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    colours = _colours(image, mask)
    assert torch.allclose(colours[24:136, 24:136], image[0, 24:136, 24:136], atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (33, 40)])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_every_size_and_plain_masks(size, value):
    image = torch.rand(1, *size, 3)
    colours = _colours(image, torch.full(size, value))
    assert colours.shape == (*size, 3)
    assert torch.isfinite(colours).all()
    if value == 1.0:
        assert torch.allclose(colours, image[0], atol=1e-5)
    assert torch.isfinite(follow_edges(torch.full(size, value), _whole(image), 12)).all()


def test_the_symmetric_systems_are_solved():
    """Each pixel's own, as a general solver does it; the diagonal is raised a little."""
    generator = torch.Generator().manual_seed(0)
    root = torch.rand(5, 7, 3, 3, generator=generator)
    whole, right = root @ root.mT, torch.rand(5, 7, 3, generator=generator)
    matrix = [whole[..., row, column] for row in range(3) for column in range(row, 3)]
    found = torch.stack(_solve_symmetric(matrix, list(right.unbind(-1))), dim=-1)
    raised = whole.double() + _FLATNESS * torch.eye(3, dtype=torch.float64)
    expected = torch.linalg.solve(raised, right.double()[..., None])[..., 0]
    residue = (raised @ found.double()[..., None])[..., 0] - right
    assert residue.abs().max() < 0.02
    assert torch.allclose(found.double(), expected, rtol=0.02, atol=0.02)


def test_where_the_image_is_flat_only_the_raised_diagonal_is_left():
    """In each of the three colours."""
    nothing = torch.zeros(2, 2)
    right = [torch.full((2, 2), _FLATNESS * number) for number in (1, 2, 3)]
    for number, solved in enumerate(_solve_symmetric([nothing] * 6, right), 1):
        assert torch.allclose(solved, torch.full((2, 2), float(number)), rtol=1e-3)
