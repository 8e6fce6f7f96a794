"""Holes and islands by area."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anywhere.core.masks.parts import fill_holes, label_parts, remove_islands

masks = st.builds(
    lambda seed, height, width, share: torch.from_numpy(
        (np.random.default_rng(seed).random((height, width)) < share).astype(np.float32)
    ),
    st.integers(0, 10_000),
    st.integers(1, 24),
    st.integers(1, 24),
    st.floats(0.2, 0.9),
)
areas = st.integers(1, 40)


def _parts(binary: np.ndarray, connectivity: int) -> list[np.ndarray]:
    count, labels = cv2.connectedComponents(binary.astype(np.uint8), connectivity=connectivity)
    return [labels == label for label in range(1, count)]


@given(masks, areas)
@settings(max_examples=200, deadline=None)
def test_islands_are_the_parts_below_the_area(mask, smallest):
    expected = mask.numpy().copy()
    for part in _parts(expected > 0, 8):
        if part.sum() < smallest:
            expected[part] = 0
    removed = remove_islands(mask, smallest)
    assert np.array_equal(removed.numpy(), expected)
    assert (removed <= mask).all()


def _reaches_the_border(part: np.ndarray) -> bool:
    return bool(part[0].any() or part[-1].any() or part[:, 0].any() or part[:, -1].any())


@given(masks)
@settings(max_examples=100, deadline=None)
def test_all_holes_are_what_does_not_reach_the_border(mask):
    expected = mask.numpy().copy()
    for part in _parts(expected == 0, 4):
        if not _reaches_the_border(part):
            expected[part] = 1
    assert np.array_equal(fill_holes(mask, -1).numpy(), expected)


@given(masks, areas)
@settings(max_examples=200, deadline=None)
def test_holes_are_filled_up_to_the_area(mask, largest):
    """A hole counts with what stands in it, and is filled with it."""
    filled = fill_holes(mask, largest)
    assert (filled >= mask).all()
    for part in _parts(mask.numpy() == 0, 4):
        if _reaches_the_border(part):
            assert not filled.numpy()[part].any()
            continue
        padded = np.pad(part, 1).astype(np.uint8)
        outside = [each for each in _parts(padded == 0, 8) if each[0, 0]][0]
        if (~outside).sum() <= largest:
            assert filled.numpy()[part].all()


@pytest.mark.parametrize("area", [1, 2, 9, 30])
def test_the_area_is_counted_in_pixels(area):
    mask = torch.zeros(20, 60)
    mask[10, 10 : 10 + area] = 1
    assert torch.equal(remove_islands(mask, area), mask)
    assert not remove_islands(mask, area + 1).any()
    hole = 1 - mask
    assert fill_holes(hole, area).all()
    assert torch.equal(fill_holes(hole, area - 1) if area > 1 else hole, hole)


def test_soft_rims_go_with_their_part():
    mask = torch.zeros(60, 60)
    mask[20:40, 20:40] = 1
    mask[5:8, 5:8] = torch.tensor([[0.2, 0.5, 0.2], [0.5, 0.9, 0.5], [0.2, 0.5, 0.2]])
    assert not remove_islands(mask, 20)[:15].any()
    hole = 1 - mask
    assert fill_holes(hole, 20)[:15].min() == 1
    assert torch.equal(fill_holes(hole, 20)[15:], hole[15:])


def test_nested_parts_are_kept():
    """An island in the hole of an island that goes stays where it is big enough."""
    mask = torch.zeros(40, 40)
    mask[5:35, 5:35] = 1
    mask[6:34, 6:34] = 0
    mask[12:28, 12:28] = 1
    kept = remove_islands(mask, 200)
    assert kept.sum() == 256
    assert kept[20, 20] == 1


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (5, 5)])
def test_plain_masks_stay(value, size):
    mask = torch.full(size, value)
    assert torch.equal(fill_holes(mask, -1), mask)
    assert torch.equal(remove_islands(mask, 1), mask)


@pytest.mark.parametrize(("connectivity", "areas"), [(8, [12, 4]), (4, [12, 3, 1])])
def test_parts_that_touch_at_a_corner_are_one_or_two(connectivity, areas):
    mask = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]], bool)
    labels, found = label_parts(mask, connectivity=connectivity)
    assert found.tolist() == areas
    assert [int((labels == part).sum()) for part in range(len(found))] == areas
