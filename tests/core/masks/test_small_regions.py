"""Small holes and islands, as the official generators treat them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anywhere.core.masks.parts import clean_masks, fill_small_regions, remove_small_regions
from segment_anywhere.core.results.compact_mask import compact


def _mask(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


RING = _mask("........", ".####...", ".#..#...", ".#..#...", ".####...", ".......#")


@pytest.mark.parametrize(("min_area", "added"), [(1, 0), (4, 0), (5, 4), (100, 36)])
def test_holes_below_the_area_are_filled(min_area, added):
    """The background is a hole like any other, as in the official code."""
    filled = fill_small_regions(RING, min_area)
    assert filled.sum() - RING.sum() == (added if min_area < 100 else (~RING).sum())
    assert (filled | RING == filled).all()


@pytest.mark.parametrize(("min_area", "left"), [(1, 13), (2, 12), (12, 12), (13, 12), (99, 12)])
def test_islands_below_the_area_go_but_never_all(min_area, left):
    assert remove_small_regions(RING, min_area).sum() == left


def test_corners_connect():
    diagonal = np.eye(5, dtype=bool)
    assert remove_small_regions(diagonal, 5).sum() == 5


def test_nothing_stays_nothing():
    assert not remove_small_regions(np.zeros((4, 4), bool), 3).any()
    masks, rows = clean_masks([], 3, 0.7)
    assert masks == []
    assert rows.tolist() == []


def test_of_duplicates_the_one_that_needed_no_mending_stays():
    whole = np.zeros((20, 20), bool)
    whole[2:18, 2:18] = True
    holed = whole.copy()
    holed[5:7, 5:7] = False
    small = np.zeros((20, 20), bool)
    small[0, :3] = True
    given = [compact(torch.from_numpy(mask)) for mask in (holed, whole, small)]
    masks, rows = clean_masks(given, 5, 0.7)
    assert rows.tolist() == [1]
    assert masks == [given[1]]
    masks, rows = clean_masks(given[:1], 5, 0.7)
    assert torch.equal(masks[0].pixels(), given[1].pixels())


@pytest.mark.parametrize(("overlap", "left"), [(0.69, 1), (0.71, 2)])
@pytest.mark.parametrize("side", [(8, 11), (11, 8)])
def test_boxes_are_compared_as_the_official_generator_compares_them(side, overlap, left):
    """With their last row and column as corners: 7 x 10 of 10 x 10."""
    large, small = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    large[2:13, 2:13] = True
    small[2 : 2 + side[0], 2 : 2 + side[1]] = True
    given = [compact(torch.from_numpy(mask)) for mask in (large, small)]
    assert len(clean_masks(given, 0, overlap)[0]) == left
