"""Sightings of objects in overlapping tiles: each object once, whatever the tiles have cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.tasks.merging import Sighting, merge_sightings
from segment_anywhere.core.tasks.tiling import Crop, are_cut, make_tiles

SIZE = (600, 800)
WHOLE, *TILES = make_tiles(SIZE, 2)
# Columns first: the two at the left, then the two at the right.
LEFT, LOW, RIGHT, LAST = TILES


def _sighting(box: tuple, crop: Crop, score: float = 0.5, masked: bool = False) -> Sighting:
    x1, y1, x2, y2 = box
    is_cut = bool(are_cut(torch.tensor([box]).float(), crop, SIZE, 2.0))
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[y1:y2, x1:x2] = 255
    prompt = ObjectPrompt("it", box=Box(*map(float, box)))
    return Sighting(prompt, score, crop, is_cut, compact(mask) if masked else None)


def _seen(box: tuple, crops: list[Crop], masked: bool = False) -> list[Sighting]:
    """What a perfect detector finds of an object in each part that shows any of it."""
    seen = []
    for crop in crops:
        x1, y1 = max(box[0], crop.left), max(box[1], crop.top)
        x2, y2 = min(box[2], crop.right), min(box[3], crop.bottom)
        if x2 > x1 and y2 > y1:
            seen.append(_sighting((x1, y1, x2, y2), crop, masked=masked))
    return seen


def _boxes(sightings: list[Sighting]) -> list[tuple]:
    return sorted(tuple(each.corners.int().tolist()) for each in sightings)


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 60, 40),
        (380, 280, 420, 320),
        (300, 100, 500, 180),
        (20, 20, 780, 580),
        (0, 290, 800, 310),
    ],
    ids=["in one tile", "in all tiles", "in the overlap", "nearly all", "across"],
)
def test_an_object_that_all_parts_show_comes_once(box):
    assert _boxes(merge_sightings(_seen(box, [WHOLE, *TILES]), WHOLE)) == [box]


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.integers(0, 5)] * 4), min_size=1, max_size=6), st.integers(2, 4))
def test_objects_apart_come_once_each(places, tiles):
    """Each in a cell of its own, of any size and with any part of it cut by any tile."""
    whole, *parts = make_tiles(SIZE, tiles)
    objects = {}
    for column, row, width, height in places:
        x, y = 133 * column, 100 * row
        objects[column, row] = (x + 5, y + 5, x + 30 + 18 * width, y + 30 + 12 * height)
    found = [each for box in objects.values() for each in _seen(box, [whole, *parts])]
    assert _boxes(merge_sightings(found, whole)) == sorted(objects.values())


def test_pieces_that_no_part_shows_whole_become_one():
    box = (20, 200, 780, 400)
    (joined,) = merge_sightings(_seen(box, TILES, masked=True), WHOLE)
    assert _boxes([joined]) == [box] and joined.crop == WHOLE
    assert joined.mask is not None and joined.mask.box() == box
    assert joined.mask.pixel_count() == 760 * 200


def test_a_lone_piece_stays():
    piece = _sighting((LEFT.right - 30, 50, LEFT.right, 90), LEFT)
    assert merge_sightings([piece], WHOLE) == [piece]


def test_pieces_of_two_objects_stay_two():
    found = _seen((100, 20, 780, 60), TILES) + _seen((100, 90, 780, 130), TILES)
    assert _boxes(merge_sightings(found, WHOLE)) == [(100, 20, 780, 60), (100, 90, 780, 130)]


def test_a_spot_of_the_whole_image_gives_way_to_what_the_tiles_show():
    one, two = _sighting((10, 10, 50, 50), LEFT), _sighting((52, 10, 90, 50), LEFT)
    spot = _sighting((8, 8, 92, 52), WHOLE, 0.9)
    assert _boxes(merge_sightings([spot, one, two], WHOLE)) == _boxes([one, two])


def test_a_faint_spot_gives_way_to_the_box_around_it():
    """A heat map shows less of a thing where it sees it small."""
    spot, box = _sighting((20, 20, 34, 34), WHOLE, 0.9), _sighting((10, 10, 50, 50), LEFT)
    other = _sighting((382, 20, 392, 30), RIGHT), _sighting((375, 12, 405, 42), LEFT, 0.4)
    assert _boxes(merge_sightings([spot, box], WHOLE)) == _boxes([box])
    assert _boxes(merge_sightings(other, WHOLE)) == _boxes([other[1]])


def test_a_spot_gives_way_to_a_piece_that_has_no_better():
    piece = _sighting((LEFT.right - 42, 50, LEFT.right, 92), LEFT)
    spot = _sighting((LEFT.right - 30, 62, LEFT.right - 16, 76), WHOLE, 0.9)
    assert merge_sightings([spot, piece], WHOLE) == [piece]


def test_a_child_before_an_adult_stays_where_one_part_shows_both():
    adult, child = (380, 100, 420, 200), (385, 150, 400, 200)
    found = [_sighting(box, crop) for crop in (LEFT, RIGHT, WHOLE) for box in (adult, child)]
    assert _boxes(merge_sightings(found, WHOLE)) == [adult, child]


def test_small_objects_before_a_large_one_stay_beside_it():
    small, large = _sighting((100, 100, 140, 140), LEFT), _sighting((20, 20, 780, 580), WHOLE)
    assert len(merge_sightings([large, small], WHOLE)) == 2


def test_what_one_part_tells_apart_stays_apart():
    """A detector has kept its own boxes apart already, in a crowd too."""
    crowd = [_sighting((100 + 12 * n, 100, 140 + 12 * n, 180), LEFT) for n in range(4)]
    assert len(merge_sightings(crowd, WHOLE)) == 4


def test_of_two_tiles_the_better_sighting_stays_and_the_best_comes_first():
    box = (390, 100, 410, 120)
    found = [_sighting(box, LEFT, 0.6), _sighting(box, RIGHT, 0.8), _sighting(box, WHOLE, 0.9)]
    other = _sighting((700, 500, 720, 520), LAST, 0.85)
    merged = merge_sightings([*found, other], WHOLE)
    assert [each.score for each in merged] == [0.85, 0.8]


def test_nothing_is_nothing():
    assert merge_sightings([], WHOLE) == []
