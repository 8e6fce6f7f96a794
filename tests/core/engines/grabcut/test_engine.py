"""The built-in engine: what clicks, boxes and rough masks select, and what never goes wrong."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from segment_anywhere.core.engines.families import check_prompts, family_named
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.errors import MissingLibrary
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point

from tests.support.overlap import iou
from tests.support.paths import FIXTURES
from tests.support.scenes import draw_scene, interior_point
from tests.support.without_opencv import without_opencv

ENGINE = GrabCutEngine()
CUP = (250.0, 150.0)
SAUCER_BOX = Box(75, 20, 485, 390)


def prompt_of(positive=(), negative=(), **rest) -> ObjectPrompt:
    points = [Point(float(x), float(y)) for x, y in positive]
    points += [Point(float(x), float(y), positive=False) for x, y in negative]
    return ObjectPrompt("object 0", tuple(points), **rest)


def segment(image: np.ndarray | torch.Tensor, prompt: ObjectPrompt) -> np.ndarray:
    """[H, W] bool, after checks that hold for every answer."""
    embedding = ENGINE.encode(torch.as_tensor(image))
    (candidates,) = ENGINE.decode(embedding, [prompt], multimask=True)
    assert candidates.logits.dtype == torch.float32 and candidates.logits.shape[0] == 1
    assert candidates.scores.shape == (1,) and 0.0 <= float(candidates.scores) <= 1.0
    assert torch.isfinite(candidates.logits).all()
    masks = ENGINE.to_masks(candidates.logits, embedding.size)
    assert masks.dtype == torch.bool and masks.shape == (1, *image.shape[:2])
    return masks[0].numpy()


def ellipse(size: tuple[int, int], centre: tuple[int, int], axes: tuple[int, int]) -> np.ndarray:
    return cv2.ellipse(np.zeros(size, np.uint8), centre, axes, 0, 0, 360, 1, -1) > 0


def shape_mask(kind: str, size: tuple[int, int] = (160, 200)) -> np.ndarray:
    if kind == "circle":
        return ellipse(size, (110, 80), (38, 38))
    if kind == "ellipse at the border":
        return ellipse(size, (0, 70), (60, 40))
    canvas = np.zeros(size, np.uint8)
    corners = {
        "square": [(60, 40), (130, 40), (130, 110), (60, 110)],
        "triangle": [(100, 20), (160, 130), (40, 130)],
        "bar": [(20, 60), (180, 60), (180, 85), (20, 85)],
        "L": [(50, 20), (80, 20), (80, 110), (150, 110), (150, 140), (50, 140)],
    }[kind]
    return cv2.fillPoly(canvas, [np.array(corners)], 1) > 0


def paint(mask: np.ndarray, texture: str, seed: int = 0) -> np.ndarray:
    """An orange shape on noise, stripes or a gradient: [H, W, 3] float32."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    pattern = {
        "noise": np.full(mask.shape, 0.4, np.float32),
        "stripes": 0.4 + 0.1 * np.sin(x / 3.0),
        "gradient": 0.2 + 0.4 * y / mask.shape[0],
    }[texture]
    image = np.stack([pattern * 0.6, pattern, pattern * 0.9], axis=2)
    image[mask] = (0.85, 0.5, 0.2)
    image += 0.04 * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0.0, 1.0).astype(np.float32)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.asarray(Image.open(FIXTURES / "photo.jpg"), dtype=np.float32) / 255.0


@pytest.mark.parametrize("texture", ["noise", "stripes", "gradient"])
@pytest.mark.parametrize(
    "kind", ["circle", "square", "triangle", "bar", "L", "ellipse at the border"]
)
def test_one_click_selects_a_shape(kind, texture):
    truth = shape_mask(kind)
    mask = segment(paint(truth, texture), prompt_of([interior_point(truth)]))
    assert iou(mask, truth) > 0.9
    assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 2


@pytest.mark.parametrize("seed", [0, 3, 8])
def test_one_click_tells_neighbouring_shapes_apart(seed):
    scene = draw_scene(seed)
    for truth in scene.masks:
        click = interior_point(truth)
        _, parts = cv2.connectedComponents(truth.astype(np.uint8))
        part = parts == parts[click[1], click[0]]
        mask = segment(scene.image, prompt_of([click]))
        assert max(iou(mask, truth), iou(mask, part)) > 0.85


def test_one_click_on_the_photograph_selects_the_cup(photo):
    mask = segment(photo, prompt_of([CUP]))
    assert iou(mask, ellipse(photo.shape[:2], (290, 112), (117, 95))) > 0.9


def test_a_box_on_the_photograph_selects_the_saucer_and_what_stands_on_it(photo):
    size = photo.shape[:2]
    mask = segment(photo, prompt_of(box=SAUCER_BOX))
    assert (
        iou(mask, ellipse(size, (278, 222), (201, 167)) | ellipse(size, (290, 112), (117, 95)))
        > 0.9
    )


def test_the_answer_scales_with_the_image(photo):
    large = cv2.resize(photo, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    mask = segment(large, prompt_of([(CUP[0] * 3, CUP[1] * 3)]))
    assert iou(mask, ellipse(large.shape[:2], (870, 336), (351, 285))) > 0.9


def test_the_score_tells_a_clear_object_from_none(photo):
    embedding = ENGINE.encode(torch.from_numpy(photo))
    clear = ENGINE.decode(embedding, [prompt_of([CUP])], False)[0].scores
    blank = ENGINE.encode(torch.full((100, 100, 3), 0.5))
    unclear = ENGINE.decode(blank, [prompt_of([(50, 50)])], False)[0].scores
    assert float(clear) > 0.9 and float(unclear) < 0.6


def test_clicks_on_parts_of_different_colours_add_up(photo):
    cup = segment(photo, prompt_of([CUP]))
    both = segment(photo, prompt_of([CUP, (110, 210)]))
    assert (both & cup).sum() > 0.95 * cup.sum()
    assert both.sum() > 1.4 * cup.sum()


def test_a_negative_click_removes_the_area_around_it():
    image = np.full((120, 200, 3), 0.2, np.float32)
    left, right = np.zeros((2, 120, 200), bool)
    left[30:90, 30:100] = True
    right[30:90, 100:170] = True
    image[left] = (0.9, 0.5, 0.2)
    image[right] = (0.9, 0.56, 0.26)
    before = segment(image, prompt_of([(60, 60)]))
    assert (before & right).sum() > 0.9 * right.sum()
    after = segment(image, prompt_of([(60, 60)], [(140, 60)]))
    assert (after & right).sum() < 0.1 * right.sum()
    assert (after & left).sum() > 0.9 * left.sum()


@pytest.mark.parametrize("with_mask", [False, True])
def test_a_negative_box_is_left_out(with_mask):
    truth = shape_mask("bar")
    mask = segment(
        paint(truth, "noise"),
        prompt_of(
            [(40, 72)],
            negative_boxes=(Box(120, 0, 200, 160, positive=False),),
            mask=torch.from_numpy(truth).float() if with_mask else None,
        ),
    )
    assert not mask[:, 124:].any()
    assert mask[65:80, 30:90].all()


@pytest.mark.parametrize("kind", ["circle", "square", "triangle", "L"])
@pytest.mark.parametrize("clicked", [False, True])
def test_a_box_selects_the_shape_inside(kind, clicked):
    truth = shape_mask(kind)
    rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
    box = Box(columns[0] - 6, rows[0] - 6, columns[-1] + 7, rows[-1] + 7)
    clicks = [interior_point(truth)] if clicked else []
    mask = segment(paint(truth, "stripes"), prompt_of(clicks, box=box))
    assert iou(mask, truth) > 0.9


@pytest.mark.parametrize("box", [Box(20, 30, 90, 80), Box(0, 0, 200, 160), Box(50, 50, 51, 51)])
def test_the_answer_stays_in_the_box(box):
    mask = segment(paint(shape_mask("bar"), "noise"), prompt_of(box=box))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask.any()
    assert columns[0] >= box.x1 - 2 and columns[-1] < box.x2 + 2
    assert rows[0] >= box.y1 - 2 and rows[-1] < box.y2 + 2


@pytest.mark.parametrize("kind", ["circle", "square", "L"])
@pytest.mark.parametrize("change", ["shifted", "eroded", "grown"])
def test_a_rough_mask_is_refined(kind, change):
    truth = shape_mask(kind)
    kernel = np.ones((9, 9), np.uint8)
    rough = {
        "shifted": np.roll(truth, (4, 5), (0, 1)),
        "eroded": cv2.erode(truth.astype(np.uint8), kernel) > 0,
        "grown": cv2.dilate(truth.astype(np.uint8), kernel) > 0,
    }[change]
    mask = segment(paint(truth, "noise"), prompt_of(mask=torch.from_numpy(rough).float()))
    assert iou(mask, truth) > max(0.93, iou(rough, truth))


def test_an_empty_mask_selects_nothing():
    image = paint(shape_mask("circle"), "noise")
    assert not segment(image, prompt_of(mask=torch.zeros(160, 200))).any()


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("click", [(0, 0), (59, 39), (30, 20)])
def test_an_image_of_one_colour_is_no_error(value, click):
    image = np.full((40, 60, 3), value, np.float32)
    assert segment(image, prompt_of([click]))[click[1], click[0]]
    assert segment(image, prompt_of(box=Box(10, 10, 40, 30)))[20, 25]
    apart = segment(image, prompt_of([click], [(45, 10)]))
    assert apart[click[1], click[0]] and not apart[10, 45]


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 300), (300, 1), (3, 2000)])
def test_the_smallest_images_are_no_error(size):
    rng = np.random.default_rng(1)
    image = rng.random((*size, 3), dtype=np.float32)
    assert segment(image, prompt_of([(size[1] - 1, size[0] - 1)]))[-1, -1]
    segment(image, prompt_of(box=Box(0, 0, size[1], size[0])))
    segment(image, prompt_of(mask=torch.ones(size)))
    segment(image, prompt_of([(0, 0)], [(size[1] - 1, size[0] - 1)], mask=torch.ones(size)))


def test_a_large_image_is_kept_small():
    frame = torch.zeros(3000, 4000, 3)
    frame[1000:2000, 1500:2500] = torch.tensor([0.9, 0.2, 0.1])
    embedding = ENGINE.encode(frame)
    assert embedding.nbytes <= 640 * 480 * 3
    truth = frame[..., 0].numpy() > 0.5
    assert iou(segment(frame, prompt_of([(2000, 1500)])), truth) > 0.98


@st.composite
def clicked_images(draw):
    """A small image of random blocks with up to three clicks of each kind, all on other pixels."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    blocks = rng.random((draw(st.integers(1, 4)), draw(st.integers(1, 4)), 3), dtype=np.float32)
    image = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    pixels = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    clicks = draw(st.lists(pixels, min_size=1, max_size=6, unique=True))
    positive = clicks[: draw(st.integers(1, min(3, len(clicks))))]
    return image, positive, clicks[len(positive) :]


@settings(max_examples=30, deadline=None)
@given(clicked_images())
def test_positive_clicks_are_inside_and_negative_ones_outside(case):
    image, positive, negative = case
    mask = segment(image, prompt_of(positive, negative))
    assert all(mask[y, x] for x, y in positive)
    assert not any(mask[y, x] for x, y in negative)
    assert cv2.connectedComponents(mask.astype(np.uint8))[0] - 1 <= len(positive)


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_clicks_hold_where_the_kept_image_is_smaller(data):
    image = paint(shape_mask("L"), "noise")
    image = cv2.resize(image, (1500, 1200))
    positive = (data.draw(st.floats(0, 700)), data.draw(st.floats(0, 1199.9)))
    negative = (data.draw(st.floats(720, 1499.9)), data.draw(st.floats(0, 1199.9)))
    mask = segment(image, prompt_of([positive], [negative]))
    assert mask[int(positive[1]), int(positive[0])]
    assert not mask[int(negative[1]), int(negative[0])]


def test_the_same_prompt_gives_the_same_answer(photo):
    first = segment(photo, prompt_of([CUP], [(110, 210)]))
    cv2.setRNGSeed(99)
    assert np.array_equal(first, segment(photo, prompt_of([CUP], [(110, 210)])))


def test_objects_are_decoded_independently(photo):
    embedding = ENGINE.encode(torch.from_numpy(photo))
    prompts = [prompt_of([CUP]), prompt_of(box=SAUCER_BOX)]
    together = ENGINE.decode(embedding, prompts, False)
    alone = [ENGINE.decode(embedding, [prompt], False)[0] for prompt in prompts]
    assert all(
        torch.equal(one.logits, other.logits) for one, other in zip(together, alone, strict=True)
    )


def test_inputs_are_not_written_to():
    truth = shape_mask("circle")
    frame = torch.from_numpy(paint(truth, "noise"))
    rough = torch.from_numpy(truth).float()
    kept_frame, kept_rough = frame.clone(), rough.clone()
    embedding = ENGINE.encode(frame)
    kept_feature = embedding.features[0].clone()
    ENGINE.decode(embedding, [prompt_of([(110, 80)], [(10, 10)], mask=rough)], False)
    assert torch.equal(frame, kept_frame) and torch.equal(rough, kept_rough)
    assert torch.equal(embedding.features[0], kept_feature)


def test_all_kinds_of_prompt_are_declared():
    prompt = prompt_of(
        [(1, 1)], box=Box(0, 0, 2, 2), negative_boxes=(Box(1, 1, 2, 2),), mask=torch.ones(2, 2)
    )
    check_prompts(family_named(ENGINE.family), [[prompt]])
    assert ENGINE.module is None and ENGINE.activation_bytes() == 0


def test_without_opencv_it_says_so_before_it_sees_an_image():
    with without_opencv(), pytest.raises(MissingLibrary, match=r"grabcut.*choose another model"):
        GrabCutEngine()


def test_importing_loads_no_opencv():
    code = """if True:
        import sys
        import segment_anywhere.core.engines.grabcut.engine
        assert "cv2" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)
