"""Motion against exact warps: where pixels go, whether that is known, and shapes carried along."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anywhere.core.engines.flow.motion import carry, fit_motion, measure
from segment_anywhere.core.engines.flow.shapes import field_of, iou

from tests.support.clips import disc, motion, moved, moved_mask, texture

SIZE = (150, 200)
MOTIONS = {
    "nothing": motion(SIZE, (0, 0)),
    "a part of a pixel": motion(SIZE, (0.4, -0.3)),
    "a shift": motion(SIZE, (9, -5)),
    "a far shift": motion(SIZE, (18, -10)),
    "a turn": motion(SIZE, (0, 0), turn=5),
    "a zoom": motion(SIZE, (0, 0), zoom=1.06),
    "away": motion(SIZE, (0, 0), zoom=0.94),
    "all at once": motion(SIZE, (6, 4), turn=-4, zoom=1.04),
}


def gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor((image * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)


def places(size: tuple[int, int]) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=2).astype(np.float32)


@pytest.fixture(scope="module", params=MOTIONS)
def exact(request) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A matrix, and a picture before and after it."""
    picture = texture(SIZE)
    matrix = MOTIONS[request.param]
    return matrix, gray(picture), gray(moved(picture, matrix))


def test_the_flow_is_the_motion(exact):
    matrix, before, after = exact
    found = measure(before, after)
    here = places(SIZE)
    for flow, way in ((found.ahead, matrix), (found.back, cv2.invertAffineTransform(matrix))):
        expected = cv2.transform(here, way) - here
        off = np.linalg.norm(flow - expected, axis=2)[30:-30, 40:-40]
        assert np.median(off) < 0.15 and np.quantile(off, 0.95) < 0.5


def test_what_is_seen_in_both_frames_is_known(exact):
    _, before, after = exact
    found = measure(before, after)
    assert found.known[30:-30, 40:-40].mean() > 0.97
    assert found.known_ahead[30:-30, 40:-40].mean() > 0.97


def test_what_a_thing_uncovers_and_covers_is_not_known():
    picture = gray(texture(SIZE))
    before, after = picture.copy(), picture.copy()
    stripe = gray(texture((SIZE[0], 40), seed=1))
    before[:, 60:100] = stripe
    after[:, 80:120] = stripe
    found = measure(before, after)
    rows = slice(20, -20)
    assert found.known[rows, 62:78].mean() < 0.3 < 0.8 < found.known[rows, 85:115].mean()
    assert found.known_ahead[rows, 102:118].mean() < 0.3


def test_a_shape_is_carried_along(exact):
    matrix, before, after = exact
    shape = disc(SIZE, (100, 75), 30) & ~disc(SIZE, (100, 75), 10)
    field, share = carry(field_of(shape), measure(before, after))
    assert field.dtype == np.float32 and field.shape == SIZE
    assert iou(field > 0, moved_mask(shape, matrix)) > 0.96
    assert share > 0.95


def test_a_shape_keeps_its_outline_over_many_frames():
    """Carried on by parts of a pixel, which a mask cannot be."""
    picture, shape = texture(SIZE), disc(SIZE, (60, 60), 25)
    steps = [motion(SIZE, (0.7 * k, 0.4 * k), turn=0.3 * k) for k in range(41)]
    field = field_of(shape)
    for old, new in zip(steps, steps[1:], strict=False):
        way = measure(gray(moved(picture, old)), gray(moved(picture, new)))
        field, _ = carry(field, way)
    assert iou(field > 0, moved_mask(shape, steps[-1])) > 0.94


def test_where_motion_is_unknown_the_object_moves_as_a_whole():
    """A patch of it that was not there before, as of a reflection, is no hole in it."""
    picture, matrix = texture(SIZE), MOTIONS["a shift"]
    after = gray(moved(picture, matrix))
    after[60:80, 100:120] = gray(texture((20, 20), seed=2))
    shape = disc(SIZE, (100, 75), 30)
    field, share = carry(field_of(shape), measure(gray(picture), after))
    assert iou(field > 0, moved_mask(shape, matrix)) > 0.95
    assert share < 0.95


def test_what_the_border_cuts_off_goes_on_outside():
    picture, matrix = texture(SIZE), motion(SIZE, (0, -20))
    shape = np.zeros(SIZE, bool)
    shape[90:, 60:140] = True
    field, _ = carry(field_of(shape), measure(gray(picture), gray(moved(picture, matrix))))
    assert (field > 0)[-15:, 70:130].mean() > 0.95


@pytest.mark.parametrize("others", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("matrix", MOTIONS.values(), ids=MOTIONS)
def test_the_fit_is_what_most_points_do(matrix, others):
    rng = np.random.default_rng(3)
    before = rng.uniform(0, 150, (600, 2)).astype(np.float32)
    after = cv2.transform(before[None], matrix)[0].astype(np.float32)
    stray = rng.random(600) < others
    after[stray] += rng.uniform(15, 40, (int(stray.sum()), 2)).astype(np.float32)
    np.testing.assert_allclose(fit_motion(before, after), matrix, atol=0.02)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_a_few_points_are_shifted(count):
    before = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    shift = (3.0, -2.0) if count else (0.0, 0.0)
    expected = [[1, 0, shift[0]], [0, 1, shift[1]]]
    np.testing.assert_allclose(fit_motion(before, before + np.float32(shift)), expected)


def test_points_in_one_place_do_not_shrink_an_object_to_nothing():
    before = places((10, 10)).reshape(-1, 2)
    found = fit_motion(before, np.full_like(before, 5.0))
    assert abs(np.linalg.det(found[:, :2])) > 0.1


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 9), even=st.booleans()
)
def test_any_size_stands_still(height, width, seed, even):
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (height, width), dtype=np.uint8) * np.uint8(not even)
    mask = rng.random((height, width)) > 0.5
    found = measure(frame, frame)
    assert found.back.shape == (height, width, 2) and found.known.all()
    field, share = carry(field_of(mask), found)
    assert np.array_equal(field > 0, mask)
    assert share == (1.0 if mask.any() else 0.0)
