"""Masks as providers draw them: polygons, rows, scores, and pictures of more than eight bits."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.providers.answers import polygon_mask, read_score, rows_mask
from segment_anywhere.core.providers.masks import _is_mask, read_masks, read_picture
from segment_anywhere.core.providers.wire import CallFailed, FoundMask, Reading

SQUARE = [[1, 1], [3, 1], [3, 2], [1, 2]]
CORNER = [[5, 4], [5, 4], [5, 4]]


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _read(pixels: np.ndarray, reading: Reading) -> list[torch.Tensor]:
    frame = torch.zeros(*pixels.shape[:2], 3)
    return list(read_masks(FoundMask(_png(pixels), reading), frame))


@pytest.mark.parametrize(
    ("polygons", "filled"),
    [
        (SQUARE, {(x, y) for x in (1, 2, 3) for y in (1, 2)}),
        ([SQUARE, CORNER], {(x, y) for x in (1, 2, 3) for y in (1, 2)} | {(5, 4)}),
        ([[0.6, 0.4], [0.6, 0.4], [1.4, 0.4]], {(1, 0)}),
    ],
    ids=["one ring", "two rings", "halves are rounded"],
)
def test_polygons_are_filled_with_their_outline(polygons, filled):
    mask = polygon_mask(polygons, (5, 6)).draw()
    assert mask.dtype == np.uint8 and mask.shape == (5, 6)
    assert {(int(x), int(y)) for y, x in np.argwhere(mask == 255)} == filled
    assert np.count_nonzero(mask) == len(filled)


@pytest.mark.parametrize(
    "polygons",
    [
        [],
        None,
        5,
        {},
        [1, 2, 3],
        [[1, 2, 3]],
        [["a", "b"]],
        [[[1], [2]]],
        [[float("inf"), 1]],
        [[1, 1e300]],
    ],
    ids=repr,
)
def test_what_is_no_polygon(polygons):
    with pytest.raises(CallFailed, match="polygons"):
        polygon_mask(polygons, (5, 6))


@pytest.mark.parametrize(
    ("rows", "mask"),
    [([[0, 1], [1, 0]], [[0, 255], [255, 0]]), ([[True, False]], [[255, 0]])],
)
def test_rows_of_numbers(rows, mask):
    assert rows_mask(rows).tolist() == mask


@pytest.mark.parametrize("rows", [[[1, 0], [1]], [1, 0], [["a"]], None])
def test_what_is_no_row_of_numbers(rows):
    with pytest.raises(CallFailed, match="rows of numbers of equal length"):
        rows_mask(rows)


@pytest.mark.parametrize(
    ("value", "score"),
    [(0.8, 0.8), ("0.25", 0.25), (7, 1.0), (-1, 0.0), (None, 1.0), ("good", 1.0), (10**400, 1.0)],
    ids=lambda value: repr(value)[:12],
)
def test_scores(value, score):
    assert read_score(value) == score


@pytest.mark.parametrize("highest", [1, 255, 4096, 65535])
def test_sixteen_bits_are_spread_over_what_they_use(highest):
    pixels = np.array([[0, highest], [highest, 0]], np.uint16)
    (mask,) = _read(pixels, Reading.LUMA)
    assert mask.tolist() == [[0, 255], [255, 0]]


def test_a_black_mask_of_sixteen_bits_shows_nothing():
    assert _read(np.zeros((2, 3), np.uint16), Reading.LUMA) == []


def test_categories_of_sixteen_bits():
    pixels = np.array([[0, 300, 300], [0, 70, 300]], np.uint16)
    first, second = _read(pixels, Reading.CATEGORIES)
    assert first.tolist() == [[0, 0, 0], [0, 255, 0]]
    assert second.tolist() == [[0, 255, 255], [0, 0, 255]]


def test_more_categories_than_an_answer_may_have():
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) % 2000
    with pytest.raises(CallFailed, match="2000 different values"):
        _read(pixels, Reading.CATEGORIES)


def test_a_row_is_inside_above_a_half():
    assert rows_mask([[0.0, 0.5, 0.51, 1.0]]).tolist() == [[0, 0, 255, 255]]


@pytest.mark.parametrize(
    ("data", "found"),
    [(b"", "'nothing'"), (b"plain text", "'plain text'"), (b"a" * 60, f"'{'a' * 40}'")],
)
def test_what_is_no_picture_is_shown_by_its_beginning(data, found):
    with pytest.raises(CallFailed, match=f"WebP picture is expected, found {found}$"):
        list(read_masks(FoundMask(data, Reading.AUTO), torch.zeros(2, 3, 3)))


SHAPE = (slice(20, 60), slice(30, 80))


def _scene() -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """A grey object of one colour on grainy ground, where it is, and the image that was sent."""
    pixels = np.random.default_rng(0).integers(60, 120, (90, 120, 3), np.uint8)
    pixels[SHAPE] = 140
    mask = np.zeros(pixels.shape[:2], bool)
    mask[SHAPE] = True
    return pixels, mask, torch.from_numpy(pixels).float() / 255


def _drawn(kind: str) -> np.ndarray:
    """The provider's picture of the scene."""
    pixels, mask, _ = _scene()
    if kind == "tinted":
        return np.where(mask[..., None], pixels // 2 + np.uint8(120), pixels)
    if kind == "on white":
        return np.where(mask[..., None], pixels, np.uint8(255))
    return np.dstack([pixels, np.where(mask, np.uint8(255), np.uint8(0))])


@pytest.mark.parametrize("kind", ["tinted", "on white", "cut out"])
def test_the_object_in_a_picture_of_it(kind):
    """An object of one colour is no ground, though a tint turns it into one colour, too."""
    pixels, mask, frame = _scene()
    found = FoundMask(_png(_drawn(kind)), Reading.AUTO)
    (read,) = read_masks(found, frame)
    inside = read.numpy() > 127
    assert (inside & mask).sum() / (inside | mask).sum() > 0.97
    picture = read_picture([found], frame)
    assert picture is not None
    assert np.array_equal(picture, _drawn(kind)[..., :3])


@pytest.mark.parametrize("reading", [Reading.AUTO, Reading.LUMA, Reading.CATEGORIES])
def test_a_mask_is_no_picture_of_the_image(reading):
    _, mask, frame = _scene()
    found = FoundMask(_png(mask.astype(np.uint8) * 255), reading)
    assert read_picture([found], frame) is None
    assert read_picture([FoundMask(mask.astype(np.uint8) * 255)], frame) is None
    assert read_picture([], frame) is None


def _shaded(share: float, tint: tuple[int, int, int]) -> np.ndarray:
    """A white picture of 100 x 100, of which a share, from the left on, has a tint."""
    pixels = np.full((100, 100, 3), 255, np.uint8)
    pixels[:, : round(100 * share)] = tint
    return pixels


@pytest.mark.parametrize(
    ("share", "tint", "is_mask"),
    [
        (1.0, (0, 0, 8), True),
        (1.0, (0, 0, 9), False),
        (1.0, (247, 255, 255), True),
        (1.0, (246, 255, 255), False),
        (0.05, (128, 128, 128), True),
        (0.06, (128, 128, 128), False),
        (1.0, (23, 23, 23), True),
        (1.0, (24, 24, 24), False),
        (1.0, (232, 232, 232), True),
        (1.0, (231, 231, 231), False),
    ],
)
def test_what_looks_like_a_mask(share, tint, is_mask):
    """Nearly black or white, nearly without colour, but for a twentieth of it."""
    assert _is_mask(Image.fromarray(_shaded(share, tint))) is is_mask


@pytest.mark.parametrize(("corner", "is_one"), [(2**31 - 1, True), (2**31, False)])
def test_corners_of_polygons_that_no_picture_has(corner, is_one):
    outline = [[0, 0], [corner, 0], [0, corner]]
    if is_one:
        assert polygon_mask(outline, (5, 6)).size == (5, 6)
    else:
        with pytest.raises(CallFailed, match="polygons"):
            polygon_mask(outline, (5, 6))
