"""Compact masks: nothing is lost, and little is kept."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.compact_mask import (
    _fetched,
    _packed,
    _Waiting,
    compact,
    tight_box,
)

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def _random(size: tuple[int, int], seed: int, values: tuple[int, ...]) -> torch.Tensor:
    """A random mask that is empty but for a random rectangle."""
    random = np.random.default_rng(seed)
    mask = np.zeros(size, np.uint8)
    top, left = random.integers(0, size[0] + 1), random.integers(0, size[1] + 1)
    part = mask[top:, left:]
    part[:] = random.choice(values, part.shape)
    return torch.from_numpy(mask)


@given(size=SIZES, seed=st.integers(0, 2**32 - 1), soft=st.booleans())
def test_what_goes_in_comes_out(size, seed, soft):
    mask = _random(size, seed, (0, 1, 100, 128, 255) if soft else (0, 255))
    compacted = compact(mask)
    assert torch.equal(compacted.pixels(), mask)
    assert torch.equal(compacted.crop(), mask[compacted.area])
    assert bool(compacted) == bool(mask.any())
    assert compacted.pixel_count() == int((mask >= 128).sum())
    again = pickle.loads(pickle.dumps(compacted))  # noqa: S301
    assert torch.equal(again.pixels(), mask)


@given(size=SIZES, seed=st.integers(0, 2**32 - 1))
def test_bool_and_bytes_are_the_same_mask(size, seed):
    mask = _random(size, seed, (0, 255))
    assert torch.equal(compact(mask > 0).pixels(), compact(mask).pixels())


@given(size=SIZES, seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4))
def test_masks_of_a_device_are_stored_alike(size, seeds):
    masks = [_random(size, seed, (0, 255)) > 0 for seed in seeds]
    waiting = [_Waiting(size, _packed(mask), tight_box(mask)) for mask in masks]
    for stored, mask in zip(_fetched(waiting), masks, strict=True):
        wanted = compact(mask)
        assert replace(stored, data=wanted.data) == wanted
        assert np.array_equal(stored.data, wanted.data)


@pytest.mark.parametrize("side", [8, 100, 333])
def test_a_hard_mask_costs_a_bit_a_pixel_of_its_box(side):
    mask = torch.zeros((1080, 1920), dtype=torch.uint8)
    mask[500 : 500 + side, 700 : 700 + side] = 255
    mask[501, 701] = 0
    assert compact(mask).data.nbytes <= 0.2 * side * side
    mask[501, 701] = 128
    assert compact(mask).data.nbytes == side * side


def test_what_is_kept_does_not_hold_the_whole_mask_in_memory():
    mask = torch.zeros((100, 100), dtype=torch.uint8)
    mask[4:6, 4:6] = 100
    assert compact(mask).data.base is None


@given(size=SIZES, seed=st.integers(0, 2**32 - 1), factor=st.integers(1, 7))
def test_shrinking_takes_the_middle_of_each_block(size, seed, factor):
    mask = _random(size, seed, (0, 100, 255))
    small = compact(mask).shrunk(factor)
    assert small.size == tuple(-(-side // factor) for side in size)
    middles = mask[factor // 2 :: factor, factor // 2 :: factor]
    expected = torch.zeros(small.size, dtype=torch.uint8)
    expected[: middles.shape[0], : middles.shape[1]] = middles
    assert torch.equal(small.pixels(), expected)


def test_a_mask_can_be_placed_in_a_larger_image():
    mask = _random((5, 7), 3, (0, 255))
    whole = compact(mask).placed(4, 2, (20, 30)).pixels()
    assert torch.equal(whole[2:7, 4:11], mask)
    assert whole.sum(dtype=torch.int64) == mask.sum(dtype=torch.int64)
    nothing = compact(torch.zeros((5, 7), dtype=torch.uint8)).placed(4, 2, (20, 30))
    assert nothing.box() == (0, 0, 0, 0)


@pytest.mark.parametrize("mask", [torch.zeros(4, 4), torch.zeros((1, 4, 4), dtype=torch.uint8)])
def test_other_tensors_are_refused(mask):
    with pytest.raises(InputError, match=r"mask: found torch\..* accepted are torch.bool"):
        compact(mask)
