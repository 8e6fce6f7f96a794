"""How far masks cover each other: areas in bits, contours beside the definition of DAVIS."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anywhere.core.results.compact_mask import CompactMask, compact
from segment_anywhere.core.results.overlap import (
    boundary_f,
    overlap,
    pack,
    shared_pixels,
    unite,
)

SIZE = (60, 90)


def _mask(pixels: np.ndarray) -> CompactMask:
    return compact(torch.from_numpy(np.ascontiguousarray(pixels)))


def _rectangle(top: int, left: int, bottom: int, right: int, size=SIZE) -> np.ndarray:
    pixels = np.zeros(size, bool)
    pixels[top:bottom, left:right] = True
    return pixels


def _f(one: np.ndarray, other: np.ndarray) -> float:
    return boundary_f(_mask(one), _mask(other))


def _contour(pixels: np.ndarray) -> np.ndarray:
    """Where a pixel differs from one to the right, below or across, as places [N, 2]."""
    padded = np.pad(pixels, ((0, 1), (0, 1)), mode="edge")
    squares = np.lib.stride_tricks.sliding_window_view(padded, (2, 2))
    return np.argwhere(squares.any(axis=(2, 3)) & ~squares.all(axis=(2, 3)))


def _davis(one: np.ndarray, other: np.ndarray) -> float:
    """The boundary measure by its definition, from the distance of every pixel to every other."""
    first, second = _contour(one), _contour(other)
    if not (len(first) and len(second)):
        return float(len(first) == len(second))
    tolerance = math.ceil(0.008 * math.hypot(*one.shape))
    squared = ((first[:, None] - second[None]) ** 2).sum(axis=-1)
    near = squared <= tolerance**2
    precision, recall = near.any(axis=1).mean(), near.any(axis=0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@st.composite
def _shapes(draw, size=SIZE) -> np.ndarray:
    """Some discs and rectangles, with holes, that may be cut off by the border or missing."""
    pixels = np.zeros(size, bool)
    y, x = np.mgrid[: size[0], : size[1]]
    for _ in range(draw(st.integers(0, 4))):
        top, left = draw(st.integers(-9, size[0] + 9)), draw(st.integers(-9, size[1] + 9))
        radius, filled = draw(st.integers(0, 30)), draw(st.booleans())
        round_one = np.hypot(y - top, x - left) <= radius
        square = (abs(y - top) <= radius) & (abs(x - left) <= radius)
        pixels[round_one if draw(st.booleans()) else square] = filled
    return pixels


@given(_shapes(), _shapes())
@settings(max_examples=60, deadline=None)
def test_pixels_are_counted_as_in_whole_masks(one, other):
    first, second = pack(_mask(one)), pack(_mask(other))
    shared, covered = int((one & other).sum()), int((one | other).sum())
    assert (first.pixels, second.pixels) == (one.sum(), other.sum())
    assert shared_pixels(first, second) == shared_pixels(second, first) == shared
    assert unite([first, second], SIZE).pixels == covered
    expected = shared / covered if covered else 1.0
    assert overlap(first, second) == overlap(second, first) == expected


@given(_shapes(), _shapes(), st.sampled_from([0.1, 0.5, 0.9]))
@settings(max_examples=60, deadline=None)
def test_what_can_reach_a_limit_is_counted(one, other, limit):
    first, second = pack(_mask(one)), pack(_mask(other))
    exact = overlap(first, second)
    assert overlap(first, second, limit) in ((exact,) if exact >= limit else (exact, 0.0))


@given(_shapes(), _shapes())
@settings(max_examples=60, deadline=None)
def test_the_boundary_measure_is_that_of_davis(one, other):
    assert _f(one, other) == pytest.approx(_davis(one, other))
    assert _f(one, other) == pytest.approx(_f(other, one))
    assert _f(one, one) == 1.0


@pytest.mark.parametrize("shift", [0, 1, 2, 5, 6, 7, 12])
@pytest.mark.parametrize("diagonal", [False, True])
def test_a_shifted_shape(shift, diagonal):
    """In an image where the tolerance is 6 pixels."""
    size = (400, 600)
    one = _rectangle(100, 150, 300, 350, size)
    other = np.roll(one, (shift, shift if diagonal else 0), axis=(0, 1))
    found = _f(one, other)
    assert found == pytest.approx(_davis(one, other))
    assert (found == 1.0) == (shift <= 6 - 2 * diagonal or shift == 0)


def test_the_border_is_no_contour():
    everything, left = np.ones(SIZE, bool), _rectangle(0, 0, 60, 45)
    assert _f(everything, everything) == 1.0
    assert _f(everything, left) == 0.0
    assert _f(left, ~left) == 1.0


def test_nothing_and_nothing_agree():
    nothing = np.zeros(SIZE, bool)
    assert _f(nothing, nothing) == overlap(pack(_mask(nothing)), pack(_mask(nothing))) == 1.0
    assert _f(nothing, _rectangle(9, 9, 20, 20)) == 0.0


def test_soft_pixels_count_from_the_middle_up():
    soft = np.where(_rectangle(10, 10, 30, 30), 127, 0).astype(np.uint8)
    soft[10:30, 13:20] = 128
    hard = _rectangle(10, 13, 30, 20)
    assert shared_pixels(pack(_mask(soft)), pack(_mask(hard))) == pack(_mask(soft)).pixels == 140
    assert boundary_f(_mask(soft), _mask(hard)) == 1.0
