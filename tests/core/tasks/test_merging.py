"""Sightings of objects in overlapping tiles: each object once, whatever the tiles have cut, and
however near to others it is."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt
from segment_anywhere.core.results.boxes import box_iou
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.tasks.closely import _Seen, _sighting
from segment_anywhere.core.tasks.merging import Sighting, merge_sightings
from segment_anywhere.core.tasks.tiling import Crop, are_cut, in_crop, make_tiles

SIZE = (600, 800)
WHOLE, *TILES = make_tiles(SIZE, 2)
# Columns first: the two at the left, then the two at the right.
LEFT, LOW, RIGHT, LAST = TILES


def _at(box: tuple, crop: Crop, score: float = 0.5, masked: bool = False) -> Sighting:
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
            seen.append(_at((x1, y1, x2, y2), crop, masked=masked))
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
    piece = _at((LEFT.right - 30, 50, LEFT.right, 90), LEFT)
    assert merge_sightings([piece], WHOLE) == [piece]


def test_pieces_of_two_objects_stay_two():
    found = _seen((100, 20, 780, 60), TILES) + _seen((100, 90, 780, 130), TILES)
    assert _boxes(merge_sightings(found, WHOLE)) == [(100, 20, 780, 60), (100, 90, 780, 130)]


def test_a_spot_of_the_whole_image_gives_way_to_what_the_tiles_show():
    one, two = _at((10, 10, 50, 50), LEFT), _at((52, 10, 90, 50), LEFT)
    spot = _at((8, 8, 92, 52), WHOLE, 0.9)
    assert _boxes(merge_sightings([spot, one, two], WHOLE)) == _boxes([one, two])


def test_a_faint_spot_gives_way_to_the_box_around_it():
    """A heat map shows less of a thing where it sees it small."""
    spot, box = _at((20, 20, 34, 34), WHOLE, 0.9), _at((10, 10, 50, 50), LEFT)
    other = _at((382, 20, 392, 30), RIGHT), _at((375, 12, 405, 42), LEFT, 0.4)
    assert _boxes(merge_sightings([spot, box], WHOLE)) == _boxes([box])
    assert _boxes(merge_sightings(other, WHOLE)) == _boxes([other[1]])


def test_a_spot_gives_way_to_a_piece_that_has_no_better():
    piece = _at((LEFT.right - 42, 50, LEFT.right, 92), LEFT)
    spot = _at((LEFT.right - 30, 62, LEFT.right - 16, 76), WHOLE, 0.9)
    assert merge_sightings([spot, piece], WHOLE) == [piece]


def test_a_child_before_an_adult_stays_where_one_part_shows_both():
    adult, child = (380, 100, 420, 200), (385, 150, 400, 200)
    found = [_at(box, crop) for crop in (LEFT, RIGHT, WHOLE) for box in (adult, child)]
    assert _boxes(merge_sightings(found, WHOLE)) == [adult, child]


def test_small_objects_before_a_large_one_stay_beside_it():
    small, large = _at((100, 100, 140, 140), LEFT), _at((20, 20, 780, 580), WHOLE)
    assert len(merge_sightings([large, small], WHOLE)) == 2


def test_what_one_part_tells_apart_stays_apart():
    """A detector has kept its own boxes apart already, in a crowd too."""
    crowd = [_at((100 + 12 * n, 100, 140 + 12 * n, 180), LEFT) for n in range(4)]
    assert len(merge_sightings(crowd, WHOLE)) == 4


def test_of_two_tiles_the_better_sighting_stays_and_the_best_comes_first():
    box = (390, 100, 410, 120)
    found = [_at(box, LEFT, 0.6), _at(box, RIGHT, 0.8), _at(box, WHOLE, 0.9)]
    other = _at((700, 500, 720, 520), LAST, 0.85)
    merged = merge_sightings([*found, other], WHOLE)
    assert [each.score for each in merged] == [0.85, 0.8]


LARGE = (2048, 2048)


def _detected(
    objects: list[tuple],
    crops: list[Crop],
    size: tuple[int, int],
    jitter: float = 0.0,
    least: float = 0.3,
) -> list[Sighting]:
    """What a detector finds that misses nothing of which a part shows so much at least, 0..1.

    jitter: by so many pixels at most its boxes differ from part to part; those of what an edge has
    cut end by as much before it.
    """
    rng, found = random.Random(0), []
    for crop in crops:
        for x1, y1, x2, y2 in objects:
            left, top = max(x1, crop.left), max(y1, crop.top)
            right, bottom = min(x2, crop.right), min(y2, crop.bottom)
            width, height = right - left, bottom - top
            is_sliver = min(width, height) <= 3 * jitter
            if is_sliver or width * height < least * (x2 - x1) * (y2 - y1):
                continue
            box = Box(
                max(left + (jitter if left > x1 else rng.uniform(-jitter, jitter)), crop.left),
                max(top + (jitter if top > y1 else rng.uniform(-jitter, jitter)), crop.top),
                min(right - (jitter if right < x2 else rng.uniform(-jitter, jitter)), crop.right),
                min(
                    bottom - (jitter if bottom < y2 else rng.uniform(-jitter, jitter)), crop.bottom
                ),
            )
            prompt = in_crop(ObjectPrompt("it", box=box), crop)
            found.append(_sighting(_Seen(prompt, rng.uniform(0.5, 0.9), None), crop, size))
    return found


def _check_once_each(merged: list[Sighting], objects: list[tuple], off: float) -> None:
    """Whether each object is there once, and nothing else; off: in pixels, by which a box may be
    another."""
    boxes = torch.stack([each.corners for each in merged])
    distances = (boxes[:, None] - torch.tensor(objects).float()).abs().amax(dim=2)
    assert ((distances <= off + 1e-3).sum(dim=0) == 1).all()
    assert len(merged) == len(objects)


def _crowd(rng: random.Random, number: int, area: tuple[int, int, int, int]) -> list[tuple]:
    """People at random whose upper left corners lie in an area, xyxy; no two of an IoU of 0.3."""
    people: list[tuple] = []
    for _ in range(number):
        x, y = rng.randint(area[0], area[2]), rng.randint(area[1], area[3])
        width = rng.randint(50, 200)
        box = (x, y, x + width, y + int(width * rng.uniform(2, 3)))
        others = torch.tensor(people).reshape(-1, 4).float()
        if not (box_iou(torch.tensor(box).float(), others) >= 0.3).any():
            people.append(box)
    return people


@pytest.mark.parametrize("jitter", [0.0, 3.0])
@pytest.mark.parametrize("tiles", [2, 3, 4])
def test_in_a_crowd_across_seams_everybody_comes_once(tiles, jitter):
    rng, (whole, *parts) = random.Random(1), make_tiles(LARGE, tiles)
    for _ in range(6):
        people = _crowd(rng, 20, (600, 500, 1300, 1100))
        found = _detected(people, [whole, *parts], LARGE, jitter)
        _check_once_each(merge_sightings(found, whole), people, jitter)


@pytest.mark.parametrize("left", range(1100, 1300, 25))
def test_of_two_people_at_a_seam_both_stay(left):
    """Of whom half of the one lies in the box of the other, and one tile shows only a piece."""
    people = [(left, 100, left + 195, 700), (left + 100, 150, left + 270, 690)]
    for jitter in (0.0, 3.0):
        whole, *parts = make_tiles(LARGE, 2)
        found = _detected(people, [whole, *parts], LARGE, jitter)
        _check_once_each(merge_sightings(found, whole), people, jitter)


def test_a_large_object_stays_behind_a_row_of_small_ones():
    """Whose boxes overlap: all have more than half of its area, and cover a fifth of it."""
    large, small = (
        (300, 200, 1100, 1900),
        [(320 + 60 * n, 250, 500 + 60 * n, 700) for n in range(9)],
    )
    whole, *parts = make_tiles(LARGE, 2)
    seen_whole = _detected([large], [whole], LARGE)
    in_front = _detected(small, parts[:1], LARGE)
    pieces = _detected([large], parts, LARGE)
    for found in ([*seen_whole, *in_front], [*seen_whole, *pieces, *in_front]):
        _check_once_each(merge_sightings(found, whole), [large, *small], 0.0)
    # Pieces alone, which the small ones in front of them cover for the most part.
    low = [(300 + 40 * n, 1000, 480 + 40 * n, 1360) for n in range(16)]
    tall = (300, 700, 1000, 1700)
    found = _detected([tall, *low], parts, LARGE)
    _check_once_each(merge_sightings(found, whole), [tall, *low], 0.0)


def test_one_between_two_that_share_a_little_of_it_each_stays():
    """Though no part shows it beside them."""
    beside = [_at((310, 100, 400, 300), RIGHT), _at((420, 100, 510, 300), RIGHT)]
    between = _at((370, 100, 450, 300), LEFT)
    assert len(merge_sightings([*beside, between], WHOLE)) == 3


def test_fragments_give_way_to_what_another_tile_shows_in_one():
    """One thing behind a post, of which the larger half is much like all of it."""
    one = _at((350, 100, 450, 300), LEFT)
    fragments = [_at((350, 100, 450, 230), RIGHT), _at((350, 235, 450, 300), RIGHT)]
    assert merge_sightings([one, *fragments], WHOLE) == [one]


@pytest.mark.parametrize("tiles", [2, 3, 4])
@pytest.mark.parametrize("size", [(200, 4000), (4000, 200), (2000, 4000)])
def test_in_an_elongated_image_an_object_comes_once_wherever_it_is(size, tiles):
    """Objects of several sizes, seen in the whole image too or in the tiles alone."""
    whole, *parts = make_tiles(size, tiles)
    short, long = sorted(size)
    for share, length in ((0.2, 0.2), (0.3, 1.5), (0.7, 0.7), (0.9, 1.8)):
        across, along = int(share * short), int(length * short)
        for number, first in enumerate(range(0, long - along, (long - along) // 9)):
            # At an edge, in the middle and at the other edge in turn.
            top = number % 3 * (short - across) // 2
            box = (first, top, first + along, top + across)
            if size[0] > size[1]:
                box = (top, first, top + across, first + along)
            found = _detected([box], [whole, *parts], size, jitter=6.0, least=0.1)
            _check_once_each(merge_sightings(found, whole), [box], 6.0)
            in_tiles = [each for each in found if each.crop != whole]
            assert len(merge_sightings(in_tiles, whole)) == 1


def test_nothing_is_nothing():
    assert merge_sightings([], WHOLE) == []


@pytest.mark.parametrize("tiles", [2, 3, 4])
def test_a_thing_that_a_part_shows_twice_comes_once(tiles):
    """As from a model that does not drop its own repetitions: boxes of an IoU of 0.8."""
    crops = make_tiles(SIZE, tiles)
    box = (300, 300, 340, 340)
    again = (300, 304, 340, 344)
    seen = [
        _at(each, crop, score) for crop in crops[:1] for each, score in ((box, 0.9), (again, 0.8))
    ]
    seen += _seen(box, crops[1:])
    assert len(merge_sightings(seen, crops[0])) == 1
    twice = [*_seen(box, crops), *_seen(again, crops)]
    assert len(merge_sightings(twice, crops[0])) == 1


def test_where_the_whole_image_alone_is_searched_all_stays():
    (whole,) = make_tiles(SIZE, 0)
    seen = [_at((10, 10, 50, 50), whole, 0.4), _at((10, 11, 50, 51), whole, 0.9)]
    assert merge_sightings(seen, whole) == seen[::-1]
