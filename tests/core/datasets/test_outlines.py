"""Outlines: whoever fills them gets the mask back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from segment_anywhere.core.datasets.outlines import Polygon, Raster, joined, outlines
from segment_anywhere.core.results.compact_mask import CompactMask, compact

from tests.support.datasets import shapes
from tests.support.overlap import iou

Fill = Callable[[Sequence[Polygon], tuple[int, int]], np.ndarray]


def fill_coco(polygons: Sequence[Polygon], size: tuple[int, int]) -> np.ndarray:
    """As pycocotools does."""
    runs = coco.frPyObjects([polygon.flatten().tolist() for polygon in polygons], *size)
    return coco.decode(coco.merge(runs)) > 0


def fill_cut_off(polygons: Sequence[Polygon], size: tuple[int, int]) -> np.ndarray:
    """As ultralytics does: whole pixels by cutting off, OpenCV."""
    return _fill_opencv([polygon.astype(np.int32) for polygon in polygons], size)


def fill_rounded(polygons: Sequence[Polygon], size: tuple[int, int]) -> np.ndarray:
    """As supervision does: whole pixels by rounding, OpenCV."""
    return _fill_opencv([np.round(polygon).astype(np.int32) for polygon in polygons], size)


def _fill_opencv(polygons: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    whole = np.zeros(size, np.uint8)
    for polygon in polygons:
        part = np.zeros(size, np.uint8)
        cv2.fillPoly(part, [polygon], 1)
        whole |= part
    return whole > 0


def fill_pillow(polygons: Sequence[Polygon], size: tuple[int, int]) -> np.ndarray:
    """As LabelMe does."""
    whole = np.zeros(size, bool)
    for polygon in polygons:
        canvas = Image.new("1", size[::-1])
        corners = [tuple(corner) for corner in polygon.tolist()]
        ImageDraw.Draw(canvas).polygon(corners, outline=1, fill=1)
        whole |= np.array(canvas)
    return whole


FILLS = {
    "pycocotools": (Raster.CENTRES, fill_coco),
    "ultralytics": (Raster.PIXELS, fill_cut_off),
    "supervision": (Raster.PIXELS, fill_rounded),
    "LabelMe": (Raster.PIXELS, fill_pillow),
}
SHAPES = shapes()


def _mask(pixels: np.ndarray) -> CompactMask:
    return compact(torch.from_numpy(np.ascontiguousarray(pixels)))


@pytest.mark.parametrize("program", FILLS)
@given(pixels=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14)))
@settings(max_examples=150)
def test_any_mask_comes_back_exactly(program, pixels):
    raster, fill = FILLS[program]
    polygons = outlines(_mask(pixels), raster)
    assert all(len(polygon) >= 3 for polygon in polygons)
    assert bool(polygons) == bool(pixels.any())
    if polygons:
        assert np.array_equal(fill(polygons, pixels.shape), pixels)


@pytest.mark.parametrize("program", FILLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_come_back_exactly(shape, program):
    raster, fill = FILLS[program]
    pixels = SHAPES[shape]
    assert np.array_equal(fill(outlines(_mask(pixels), raster), pixels.shape), pixels)


@pytest.mark.parametrize("program", FILLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_parts_joined_to_one_polygon_stay_what_they_are(shape, program):
    raster, fill = FILLS[program]
    pixels = SHAPES[shape]
    one = joined(outlines(_mask(pixels), raster))
    if program == "pycocotools":
        assert np.array_equal(fill([one], pixels.shape), pixels)
    else:
        # The others fill the seam between two parts too: a line of one pixel.
        assert iou(fill([one], pixels.shape), pixels) > 0.99


@pytest.mark.parametrize("simplify", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_simplified_outline_is_nowhere_further_away_and_has_fewer_points(shape, simplify):
    mask = _mask(SHAPES[shape])
    exact = outlines(mask, Raster.CENTRES)
    simple = outlines(mask, Raster.CENTRES, simplify)
    assert len(simple) == len(exact)
    for few, many in zip(simple, exact, strict=True):
        assert 3 <= len(few) <= len(many)
        ring = few.astype(np.float32)[:, None]
        if len(few) < len(many):
            away = [abs(cv2.pointPolygonTest(ring, tuple(map(float, p)), True)) for p in many]
            assert max(away) <= simplify + 1e-3


def test_simplifying_leaves_a_round_object_what_it_is():
    pixels = SHAPES["disc"]
    exact = outlines(_mask(pixels), Raster.CENTRES)
    simple = outlines(_mask(pixels), Raster.CENTRES, 1.0)
    assert sum(map(len, simple)) * 5 < sum(map(len, exact))
    assert iou(fill_coco(simple, pixels.shape), pixels) > 0.98


def test_an_outline_of_centres_encloses_as_much_as_the_mask_has_pixels():
    for name in ("disc", "ring", "parts"):
        polygons = outlines(_mask(SHAPES[name]), Raster.CENTRES)
        enclosed = sum(cv2.contourArea(polygon.astype(np.float32)) for polygon in polygons)
        assert enclosed == SHAPES[name].sum()


def test_an_empty_mask_has_none():
    assert outlines(_mask(np.zeros((4, 5), bool)), Raster.CENTRES) == []


def test_soft_edges_count_from_the_half_up():
    mask = torch.zeros(4, 6, dtype=torch.uint8)
    mask[1:3, 1:3], mask[1:3, 3], mask[1:3, 4] = 255, 128, 127
    (polygon,) = outlines(compact(mask), Raster.CENTRES)
    assert polygon.min(axis=0).tolist() == [1, 1]
    assert polygon.max(axis=0).tolist() == [4, 3]
