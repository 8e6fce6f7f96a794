"""Whether colours are an object's, and where in a frame it may be."""

from __future__ import annotations

import numpy as np
import pytest
from segment_anywhere.core.engines.flow.looks import (
    cells_of,
    likeliest_place,
    look_at,
    odds_of,
    similarity,
)
from segment_anywhere.core.engines.flow.shapes import iou

from tests.support.clips import disc, painted, texture

SIZE = (120, 160)
RED, ORANGE, BLUE = (0.9, 0.1, 0.1), (0.95, 0.5, 0.1), (0.1, 0.2, 0.9)
HERE = disc(SIZE, (50, 60), 20)


def cells(*parts: tuple[np.ndarray, tuple[float, float, float]], light: float = 1.0, seed: int = 0):
    image = texture(SIZE, seed)
    for mask, color in parts:
        image = painted(image, mask, color)
    return cells_of((image * light * 255).astype(np.uint8))


LOOK = look_at(cells((HERE, RED)), HERE)


@pytest.mark.parametrize(
    ("color", "light", "least", "most"),
    [
        (RED, 1.0, 0.8, 1.0),
        (RED, 0.85, 0.5, 1.0),
        (ORANGE, 1.0, 0.0, 0.5),
        (BLUE, 1.0, 0.0, 0.1),
    ],
)
def test_similarity(color, light, least, most):
    there = disc(SIZE, (110, 50), 25)
    found = similarity(LOOK, cells((there, color), light=light, seed=4), there)
    assert least <= found <= most + 1e-6


def test_colours_of_the_surroundings_are_foreign_and_new_ones_are_not():
    there = disc(SIZE, (110, 50), 25)
    frame = cells((HERE, RED), (there, BLUE))
    odds = odds_of([LOOK], frame)
    outside = ~disc(SIZE, (50, 60), 24) & ~disc(SIZE, (110, 50), 29)
    inside = disc(SIZE, (50, 60), 16) | disc(SIZE, (110, 50), 21)
    new = disc(SIZE, (110, 50), 21)
    assert (odds[outside] < -1).mean() > 0.95 and not (odds[inside] < -1).any()
    assert (odds[inside & ~new] > 1).all() and np.abs(odds[new]).max() < 1


def test_what_one_key_frame_shows_is_not_foreign():
    blue = disc(SIZE, (110, 50), 25)
    first, second = cells((HERE, RED), (blue, BLUE)), cells((blue, BLUE), seed=5)
    looks = [look_at(first, HERE), look_at(second, blue)]
    assert (odds_of(looks[:1], second)[blue] < -1).mean() > 0.7
    assert (odds_of(looks, second)[blue] < -1).mean() < 0.1


@pytest.mark.parametrize("middle", [(30, 30), (120, 90), (0, 60)])
def test_the_place_is_found(middle):
    there = disc(SIZE, middle, 18)
    other = disc(SIZE, (80, 60), 18)
    frame = cells((other, BLUE), (there, RED), seed=6)
    place = likeliest_place([LOOK], frame, (1000, 1200), (50, 60))
    assert place is not None and iou(place, there) > 0.8


def test_of_two_alike_the_one_of_the_right_size_and_near_is_taken():
    small, large = disc(SIZE, (20, 20), 6), disc(SIZE, (100, 70), 20)
    frame = cells((small, RED), (large, RED), seed=7)
    place = likeliest_place([LOOK], frame, (1200, 1300), (60, 60))
    assert place is not None and iou(place, large) > 0.8
    near, far = disc(SIZE, (30, 60), 18), disc(SIZE, (130, 60), 18)
    place = likeliest_place([LOOK], cells((near, RED), (far, RED)), (1000, 1000), (20, 60))
    assert place is not None and iou(place, near) > 0.8


@pytest.mark.parametrize("frame", [cells(seed=8), cells(light=0.0), cells((HERE, BLUE))])
def test_no_place_where_nothing_is_like_it(frame):
    assert likeliest_place([LOOK], frame, (1000, 1000), (50, 60)) is None


def test_no_place_for_what_was_never_seen():
    assert likeliest_place([], cells((HERE, RED)), (0, 0), (0, 0)) is None


def test_an_object_that_covers_everything_has_a_look():
    everywhere = np.ones(SIZE, bool)
    look = look_at(cells(), everywhere)
    assert similarity(look, cells(), everywhere) == pytest.approx(1.0, abs=1e-5)
    assert (odds_of([look], cells()) >= 0).all()


def test_what_was_never_seen_has_no_odds():
    assert not odds_of([], cells()).any()
