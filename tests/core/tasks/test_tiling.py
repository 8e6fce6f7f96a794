"""Parts of an image: that they cover it, hold what is no larger than their overlap, and the way of
prompts into them and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.tasks.tiling import (
    Crop,
    are_cut,
    crop_around,
    in_crop,
    in_image,
    make_crops,
    make_tiles,
)

SIZES = [(1, 1), (2, 3), (500, 40), (1080, 1920)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_crops_cover_the_image_and_stay_inside(size, layers):
    crops = make_crops(size, layers)
    assert (crops[0].size, crops[0].layer) == (size, 0)
    for layer in range(layers + 1):
        _check_cover([each for each in crops if each.layer == layer], size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tiles", [0, 1, 2, 3, 4])
def test_tiles_are_the_image_and_so_many_parts(size, tiles):
    whole, *parts = make_tiles(size, tiles)
    assert (whole.size, whole.layer) == (size, 0)
    if tiles < 2:
        assert parts == []
        return
    _check_cover(parts, size)
    if min(size) >= 40:
        assert len(parts) == tiles**2
    assert len(set(parts)) == len(parts) and all(each.layer == 1 for each in parts)


@pytest.mark.parametrize(
    ("size", "tiles", "rows", "columns"),
    [
        ((1080, 1920), 2, 2, 2),
        ((1920, 1080), 4, 4, 4),
        ((2000, 4000), 2, 1, 4),
        ((2000, 4000), 3, 3, 3),
        ((4000, 2000), 4, 8, 2),
        ((200, 4000), 3, 1, 9),
        ((4000, 200), 4, 16, 1),
    ],
)
def test_an_elongated_image_has_fewer_tiles_along_its_short_side(size, tiles, rows, columns):
    _, *parts = make_tiles(size, tiles)
    assert len({each.top for each in parts}) == rows
    assert len({each.left for each in parts}) == columns


@given(st.integers(2, 4), st.integers(100, 4000), st.integers(100, 4000))
def test_tiles_are_about_square(tiles, height, width):
    """Of an image that is no more elongated than all of them in a row."""
    tile = make_tiles((height, width), tiles)[1]
    if max(height, width) <= tiles**2 * min(height, width):
        assert max(tile.size) <= 2.5 * min(tile.size)


def _check_cover(crops: list[Crop], size: tuple[int, int]) -> None:
    covered = np.zeros(size, bool)
    for crop in crops:
        assert 0 <= crop.left < crop.right <= size[1]
        assert 0 <= crop.top < crop.bottom <= size[0]
        covered[crop.rows, crop.columns] = True
    assert covered.all()


@given(st.integers(2, 4), st.integers(100, 900), st.integers(100, 900), st.data())
def test_what_is_no_larger_than_the_overlap_lies_whole_in_a_tile(tiles, height, width, data):
    side = int(512 / 1500 * min(height, width) * 2 / tiles)
    left = data.draw(st.integers(0, width - side))
    top = data.draw(st.integers(0, height - side))
    assert any(
        part.left <= left
        and left + side <= part.right
        and part.top <= top
        and top + side <= part.bottom
        for part in make_tiles((height, width), tiles)[1:]
    )


@pytest.mark.parametrize(
    ("box", "crop"),
    [
        (Box(100, 100, 140, 200), (90, 75, 150, 225, 1)),
        (Box(0, 0, 40, 100), (0, 0, 50, 125, 1)),
        (Box(398, 290, 400, 300), (383, 279, 400, 300, 1)),
        (Box(199.5, 150, 200.5, 151), (184, 134, 216, 167, 1)),
        (Box(50, 40, 350, 260), (0, 0, 400, 300, 0)),
        (Box(0, 0, 400, 300), (0, 0, 400, 300, 0)),
    ],
)
def test_a_crop_is_half_as_large_again_as_its_box(box, crop):
    """In an image of 400x300; at the border what is not there is left out."""
    found = crop_around(box, (300, 400))
    assert (found.left, found.top, found.right, found.bottom, found.layer) == crop


@given(st.data())
def test_there_and_back_is_where_it_was(data):
    left, top = data.draw(st.integers(0, 300)), data.draw(st.integers(0, 200))
    crop = Crop(left, top, left + data.draw(st.integers(2, 340)), top + 280, 1)
    x = data.draw(st.floats(left, crop.right - 1))
    y = data.draw(st.floats(top, crop.bottom - 1))
    prompt = ObjectPrompt("it", (Point(x, y, False, 3),), Box(x, y, x + 1, y + 1, name="it"))
    back = in_image(in_crop(prompt, crop), crop)
    assert (back.label, back.points[0].positive, back.box.name) == ("it", False, "it")
    assert (back.points[0].x, back.points[0].y) == pytest.approx((x, y), abs=1e-9)
    assert (back.box.x1, back.box.y2) == pytest.approx((x, y + 1), abs=1e-9)


def test_what_is_outside_of_a_crop_stays_there():
    mask = torch.arange(100.0).reshape(10, 10)
    prompt = ObjectPrompt(
        "it",
        points=(Point(3, 3), Point(1, 3), Point(8, 3, False)),
        box=Box(0, 3, 9, 4),
        negative_boxes=(Box(0, 0, 2, 9), Box(5, 5, 20, 20)),
        mask=mask,
    )
    moved = in_crop(prompt, Crop(2, 2, 8, 8, 1))
    assert moved.points == (Point(1, 1),)
    assert moved.box == Box(0, 1, 6, 2)
    assert moved.negative_boxes == (Box(3, 3, 6, 6),)
    assert torch.equal(moved.mask, mask[2:8, 2:8])


def test_an_edge_of_the_image_cuts_nothing():
    boxes = torch.tensor([[0, 5, 9, 9], [0, 5, 19, 9], [5, 20, 9, 30], [5, 5, 9, 9]]).float()
    assert are_cut(boxes, Crop(0, 0, 20, 30, 1), (30, 60), 1.0).tolist() == [0, 1, 0, 0]


def test_a_margin_may_be_another_across_than_along():
    boxes = torch.tensor([[50, 6, 90, 9], [52, 15, 96, 17], [52, 15, 94, 19]]).float()
    margin = torch.tensor((5.0, 1.0, 5.0, 1.0))
    assert are_cut(boxes, Crop(40, 5, 100, 20, 1), (60, 300), margin).tolist() == [1, 1, 1]
    assert are_cut(boxes, Crop(40, 5, 100, 20, 1), (60, 300), 1.0).tolist() == [1, 0, 1]
