"""Moving and softening contours by exact distances."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anywhere.core.masks.distance import (
    _distance_opencv,
    _distance_torch,
    edge_width,
    edge_width_map,
    is_soft,
    move_contour,
    move_levels,
    signed_distance,
)

SIZE = 96
CENTRES = torch.arange(SIZE) + 0.5


def _disc(radius: float, x: float = 48.0, y: float = 48.0) -> torch.Tensor:
    """A hard disc: pixels whose centre lies within."""
    return (torch.hypot(CENTRES[None] - x, CENTRES[:, None] - y) <= radius).float()


def _disc_distance(radius: float, x: float = 48.0, y: float = 48.0) -> torch.Tensor:
    return torch.hypot(CENTRES[None] - x, CENTRES[:, None] - y) - radius


shapes = st.builds(
    lambda rows: torch.tensor(rows, dtype=torch.bool),
    st.integers(1, 9).flatmap(
        lambda width: st.lists(
            st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=9
        )
    ),
)


@given(shapes, st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_distances_are_exact_and_negative_outside(shape, reach):
    field = signed_distance(shape.float(), 0.5, reach)
    assert torch.equal(field > 0, shape)
    inside = shape.nonzero()
    for y, x in (~shape).nonzero().tolist():
        if len(inside):
            exact = (inside - torch.tensor([y, x])).float().norm(dim=1).min()
            assert -field[y, x].clamp(min=-reach) == pytest.approx(min(exact - 0.5, reach), 1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (9, 7), (150, 170)])
@pytest.mark.parametrize("reach", [1, 7, 8, 48, 49, 250])
@pytest.mark.parametrize("share", [0.0, 0.0005, 0.02, 1.0])
def test_both_ways_to_measure_agree(size, reach, share):
    rim = torch.rand(size, generator=torch.Generator().manual_seed(0)) < share
    ours, opencv = _distance_torch(rim, reach), _distance_opencv(rim)
    assert torch.allclose(ours.clamp(max=reach), opencv.clamp(max=reach), atol=1e-4)
    assert (ours >= opencv.clamp(max=reach) - 1e-4).all()


@given(st.floats(-15, 25), st.floats(18, 22), st.floats(46, 50), st.floats(46, 50))
@settings(max_examples=60, deadline=None)
def test_a_disc_moves_by_the_amount_in_every_direction(amount, radius, x, y):
    moved = move_contour(_disc(radius, x, y), amount)
    distance = _disc_distance(radius + amount, x, y)
    assert (moved[distance > 1.0] < 0.5).all()
    assert (moved[distance < -1.0] > 0.5).all()
    # The area says where the contour is on the average, far below a pixel.
    measured = (moved.sum().item() / np.pi) ** 0.5
    assert measured == pytest.approx(radius + amount, abs=0.5)


@given(st.integers(0, 20), st.integers(5, 25), st.integers(5, 25))
@settings(max_examples=40, deadline=None)
def test_expanding_then_measuring_gives_the_amount(amount, top, left):
    """Every pixel of the new contour is that far from the old shape, within half a pixel."""
    mask = torch.zeros(SIZE, SIZE)
    mask[30 + top : 60, 30 + left : 60] = 1
    grown = move_contour(mask, float(amount)) >= 0.5
    outside = (mask == 0).numpy().astype(np.uint8)
    distance = torch.from_numpy(cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
    assert (distance[grown] <= amount + 0.5).all()
    assert (distance[~grown] > amount - 0.5).all()


@given(st.floats(0, 10), st.floats(0, 10), st.floats(8, 14))
@settings(max_examples=40, deadline=None)
def test_two_steps_are_one_on_a_convex_shape(first, second, radius):
    mask = _disc(radius)
    twice = move_contour(move_contour(mask, first), second) >= 0.5
    once = move_contour(mask, first + second) >= 0.5
    assert move_contour(once.float(), 1.0)[twice].min() > 0.4
    assert move_contour(twice.float(), 1.0)[once].min() > 0.4


@pytest.mark.parametrize("radius", [3, 8])
def test_a_whole_amount_is_a_dilation_with_a_disc(radius):
    """Half a pixel wider than the amount, for the contour runs half a pixel outside of centres."""
    mask = torch.zeros(SIZE, SIZE)
    mask[30:60, 20:50] = 1
    span = np.arange(-radius, radius + 1)
    kernel = (np.hypot(span[None], span[:, None]) <= radius + 0.5).astype(np.uint8)
    expected = torch.from_numpy(cv2.dilate(mask.numpy(), kernel))
    moved = move_contour(mask, float(radius))
    assert torch.equal(moved >= 0.5, expected >= 0.5)
    # Along straight edges nothing is soft.
    assert set(moved[35:55].unique().tolist()) == {0.0, 1.0}


def test_an_image_border_is_no_contour():
    mask = torch.zeros(SIZE, SIZE)
    mask[:, :40] = 1
    assert torch.equal(move_contour(mask, -10.0)[:, :30], torch.ones(SIZE, 30))
    assert torch.equal(move_contour(mask, 0.0, 8.0)[0], move_contour(mask, 0.0, 8.0)[50])


def test_sub_pixel_amounts_count():
    mask = torch.zeros(SIZE, SIZE)
    mask[:, :40] = 1
    row = move_contour(mask, 2.25)[50]
    assert row[41] == 1.0
    assert row[42] == pytest.approx(0.25)
    assert row[43] == 0.0


@pytest.mark.parametrize("width", [2.0, 7.0, 20.0])
def test_feather_is_a_linear_ramp_centred_on_the_contour(width):
    mask = torch.zeros(SIZE, SIZE)
    mask[:, :48] = 1
    row = move_contour(mask, 0.0, width)[50]
    expected = (0.5 - (CENTRES - 48) / width).clamp(0, 1)
    # The steps of the grid are averaged out over neighbours, which rounds the ramp's ends.
    assert torch.allclose(row, expected, atol=1e-3)


def test_feather_does_not_shrink_thin_parts():
    """A blur of this width would leave a tenth of a line of three pixels."""
    mask = torch.zeros(SIZE, SIZE)
    mask[:, 47:50] = 1
    feathered = move_contour(mask, 0.0, 20.0)
    assert feathered[50, 48] > 0.5
    assert (feathered >= 0.5)[50].sum() == 3
    blurred = cv2.GaussianBlur(mask.numpy(), (0, 0), 10)
    assert blurred[50, 48] < 0.15


def _soft_edge(width: float) -> torch.Tensor:
    return (0.5 - (CENTRES - 48) / width).clamp(0, 1).expand(SIZE, SIZE).contiguous()


@pytest.mark.parametrize("width", [3.0, 10.0, 24.0])
@pytest.mark.parametrize("amount", [-9.0, 2.5, 12.0])
def test_a_soft_edge_is_moved_as_it_is(width, amount):
    moved = move_levels(_soft_edge(width), amount)
    expected = (0.5 - (CENTRES - 48 - amount) / width).clamp(0, 1)
    # Half of the step between two levels.
    assert (moved[50] - expected).abs().max() < 1 / 6 + 0.01
    assert (moved[50] - expected).abs().mean() < 0.01
    assert edge_width(moved) == pytest.approx(width, rel=0.2, abs=1.5)


def test_a_half_transparent_area_stays_so():
    mask = torch.zeros(SIZE, SIZE)
    mask[20:70, 20:70] = 0.6
    mask[20:70, 20:30] = 1.0
    moved = move_levels(mask, 4.0)
    assert moved[45, 50] == pytest.approx(0.6, abs=0.05)
    assert moved[45, 18] > 0.5
    assert moved[45, 80] == 0


@pytest.mark.parametrize("width", [4.0, 15.0, 40.0])
def test_the_width_of_edges_is_measured(width):
    assert edge_width(_soft_edge(width)) == pytest.approx(width, rel=0.05, abs=0.1)
    assert edge_width((_soft_edge(width) >= 0.5).float()) == 0.0
    assert is_soft(_soft_edge(width))
    # Windows that hold the whole ramp.
    middle = edge_width_map(_soft_edge(width), int(width))[48, 48].item()
    assert middle == pytest.approx(width, rel=0.05)


def test_a_disc_has_antialiased_edges_about_a_pixel_wide():
    disc = (0.5 - _disc_distance(30)).clamp(0, 1)
    assert edge_width(disc) == pytest.approx(1.0, abs=0.25)
    assert not is_soft(disc)


@pytest.mark.parametrize("part", [0.2, 0.4, 0.6, 0.8])
def test_antialiased_pixels_draw_a_feathered_contour_to_where_it_runs(part):
    """It ends nearer there than the contour of whole pixels does."""
    edge = (48.0 + part + 0.5 - CENTRES).clamp(0, 1).expand(SIZE, SIZE).contiguous()
    truth = ((48.0 + part - CENTRES) / 4.0 + 0.5).clamp(0, 1).sum()
    hard = (edge >= 0.5).float()
    off, hard_off = (abs(move_contour(each, 0.0, 4.0)[50].sum() - truth) for each in (edge, hard))
    assert off < 0.9 * hard_off


@pytest.mark.parametrize("faint", [0.04, 0.1, 0.95])
def test_what_is_hardly_selected_is_moved_too(faint):
    mask = torch.zeros(SIZE, SIZE)
    mask[20:70, 20:70] = faint
    grown, shrunk = move_levels(mask, 6.0), move_levels(mask, -6.0)
    assert grown[45, 45] == pytest.approx(faint, abs=0.05) and grown[45, 45] > 0.5 * faint
    assert grown[45, 71] > 0 and grown[45, 80] == 0
    assert shrunk[45, 60] > 0 and shrunk[45, 68] < 0.5 * faint
