"""Small pictures for the node itself."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.pictures.render import PALETTE
from segment_anywhere.core.pictures.thumbnails import (
    image_pictures,
    mask_pictures,
    prompt_picture,
    region_pictures,
    result_pictures,
)
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments

SIZE = (540, 2000)


def _read(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def _square(number: int, frame: int = 0) -> Instance:
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[200:400, 600:1000] = 255
    return Instance(compact(mask), 0.5, "dog", frame, number)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("size", "small"), [((40, 60), (60, 40)), ((1024, 9), (9, 1024)), ((1030, 2050), (684, 344))]
)
def test_no_side_is_longer_than_1024_pixels(channels, dtype, size, small):
    images = torch.full((2, *size, channels), 0.5, dtype=dtype)
    pictures = [_read(data) for data in image_pictures(images)]
    assert [(each.format, each.size) for each in pictures] == [("JPEG", small)] * 2
    if channels != 4:
        assert np.asarray(pictures[0])[4, 4].tolist() == [128, 128, 128]


def test_an_object_has_the_colour_of_its_id_where_it_lies():
    segments = Segments.from_instances([_square(2), _square(3, frame=1)], SIZE, 2)
    pictures = [
        np.asarray(_read(data)) for data in result_pictures(torch.zeros(2, *SIZE, 3), segments)
    ]
    for picture, colour in zip(pictures, (PALETTE[2], PALETTE[3]), strict=True):
        assert picture.shape == (270, 1000, 3)
        assert np.allclose(picture[190, 450], np.array(colour) * 0.45, atol=4)
        assert picture[250, 700].max() < 4


def test_regions_have_neither_boxes_nor_labels():
    segments = Segments.from_instances([_square(1)], SIZE, 1)
    (data,) = region_pictures(torch.zeros(1, *SIZE, 3), segments)
    picture = np.asarray(_read(data))
    assert picture[110:190, 310:490].std(axis=(0, 1)).max() < 2
    assert picture[:90].max() < 4, "no label above"


def test_values_out_of_range_and_gradients_do_no_harm():
    images = torch.tensor([-2.0, 3.0, float("inf")]).expand(1, 8, 8, 3).clone().requires_grad_()
    (data,) = image_pictures(images)
    assert np.allclose(np.asarray(_read(data))[4, 4], [0, 255, 255], atol=12)


def test_transparency_is_shown_as_squares():
    image = torch.zeros(1, 32, 32, 4)
    image[:, :16, :, 3] = 1.0
    (data,) = image_pictures(image)
    picture = np.asarray(_read(data).convert("L"))
    assert picture[:14].max() < 20
    assert picture[20:].min() > 80
    assert picture[20:].std() > 10


def test_a_mask_is_a_grey_png():
    mask = torch.zeros(2, *SIZE)
    mask[0, :, :1000] = 1.0
    mask[1, 100:200] = 0.5
    first, second = [_read(data) for data in mask_pictures(mask)]
    assert (first.format, first.mode, first.size) == ("PNG", "L", (1000, 270))
    assert np.asarray(first)[100, [10, 990]].tolist() == [255, 0]
    assert np.asarray(second)[75, 10] == 128


def test_the_editors_mask_is_indexed_by_object_number():
    instance = _square(9)
    picture = _read(prompt_picture([(9, instance.mask)], SIZE, 2))
    assert (picture.mode, picture.size, picture.info["transparency"]) == ("P", (1000, 270), 0)
    indices = np.asarray(picture)
    assert set(np.unique(indices)) == {0, 1 + 9 % len(PALETTE)}
    assert (indices > 0).sum() == 100 * 200
    assert picture.getpalette()[3 * 3 : 3 * 4] == list(PALETTE[2])
