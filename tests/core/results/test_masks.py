"""Masks of other nodes as objects."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.masks import MaskBatch, masks_to_segments
from torch import Tensor

SIZE = (20, 30)


def _masks() -> Tensor:
    """Four masks, of which the second is empty and the last has soft edges."""
    masks = torch.zeros(4, *SIZE)
    masks[0, 2:8, 3:9] = 1
    masks[2, 2:8, 6:12] = 1
    masks[3, 10:15, 10:20] = torch.linspace(0, 1, 10)
    return masks


def test_every_mask_is_an_object_with_its_place_as_id():
    masks = _masks()
    segments = masks_to_segments(masks, MaskBatch.OBJECTS, ["dog", "cat"])
    assert (segments.batch, segments.size) == (1, SIZE)
    assert segments.ids.tolist() == [0, 2, 3]
    assert segments.labels == ("dog", "object 3", "object 4")
    assert segments.scores.tolist() == [1.0] * 3 and segments.frames.tolist() == [0] * 3
    assert torch.equal(segments.full_masks(), (masks[[0, 2, 3]] * 255).round().to(torch.uint8))


def test_one_object_is_on_the_image_of_each_mask():
    masks = _masks()
    segments = masks_to_segments(masks, MaskBatch.FRAMES, ["dog"])
    assert segments.batch == 4
    assert segments.frames.tolist() == [0, 2, 3]
    assert segments.ids.tolist() == [0, 0, 0] and segments.labels == ("dog",) * 3
    assert torch.equal(segments.full_masks(), (masks[[0, 2, 3]] * 255).round().to(torch.uint8))
    assert masks_to_segments(masks, MaskBatch.FRAMES).labels == ("object 1",) * 3


@pytest.mark.parametrize(
    ("kind", "images", "batch", "frames"),
    [
        (MaskBatch.OBJECTS, 7, 1, [0, 0, 0]),
        (MaskBatch.FRAMES, 4, 4, [0, 2, 3]),
    ],
)
def test_masks_are_resized_to_the_images(kind, images, batch, frames):
    segments = masks_to_segments(_masks(), kind, images=(images, (40, 60)))
    assert (segments.batch, segments.size) == (batch, (40, 60))
    assert segments.frames.tolist() == frames
    assert segments.boxes[0].tolist() == [6, 4, 18, 16]


def test_a_single_mask_is_of_every_image():
    segments = masks_to_segments(_masks()[:1], MaskBatch.FRAMES, images=(3, SIZE))
    assert segments.frames.tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", list(MaskBatch))
def test_empty_masks_are_no_objects(kind):
    # What Load Image sends for a picture without alpha.
    assert len(masks_to_segments(torch.zeros(1, 64, 64), kind)) == 0
    assert len(masks_to_segments(torch.zeros(64, 64), kind, ["dog"])) == 0


@pytest.mark.parametrize(
    ("masks", "kind", "labels", "images", "message"),
    [
        (_masks(), MaskBatch.FRAMES, ["a", "b"], None, "labels: found 2 for 1 object;"),
        (_masks(), MaskBatch.OBJECTS, list("abcde"), None, "labels: found 5 for 4 objects;"),
        (_masks(), MaskBatch.FRAMES, [], (3, SIZE), "masks: found 4 masks for 3 images"),
        (torch.zeros(2, 3, 4, 5), MaskBatch.OBJECTS, [], None, "masks: found a tensor of shape"),
        (torch.full((1, 4, 4), torch.nan), MaskBatch.OBJECTS, [], None, "masks: holds NaN"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(masks, kind, labels, images, message):
    with pytest.raises(InputError, match=message):
        masks_to_segments(masks, kind, labels, images)
