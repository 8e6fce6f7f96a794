"""The SAM 2 engine finds the right object: a tiny trained model on scenes it has never seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.tasks.segmenter import MaskChoice, Segmenter
from segment_anywhere.nodes.host.models import segment_model
from segment_anywhere.nodes.point_segment import PointSegment

from tests.support.overlap import iou
from tests.support.paths import FIXTURES
from tests.support.scenes import Scene, draw_scene, interior_point

TINY = FIXTURES / "sam2_tiny"
SCENES = 60


def _scene(seed: int) -> Scene:
    """A scene that is not square, as the model's input is: 160 x 192 or 192 x 160 pixels."""
    scene = draw_scene(seed, 192)
    image, masks = (scene.image[:160], scene.masks[:, :160])
    if seed % 2:
        image, masks = image.transpose(1, 0, 2), masks.transpose(0, 2, 1)
    kept = [index for index, mask in enumerate(masks) if mask.sum() >= 600]
    return Scene(
        np.ascontiguousarray(image),
        masks[kept],
        [scene.kinds[index] for index in kept],
        [scene.colors[index] for index in kept],
    )


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [_scene(seed) for seed in range(SCENES)]


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(load_engine(TINY, torch.float32))


def _point(mask: np.ndarray, positive: bool = True) -> Point:
    x, y = interior_point(mask)
    return Point(x + 0.5, y + 0.5, positive)


def _box(mask: np.ndarray) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(float(columns[0]), float(rows[0]), columns[-1] + 1.0, rows[-1] + 1.0)


def _click(mask: np.ndarray) -> ObjectPrompt:
    return ObjectPrompt("one click", (_point(mask),))


def _two_clicks(mask: np.ndarray) -> ObjectPrompt:
    y, x = np.argwhere(mask)[len(np.argwhere(mask)) // 3]
    return ObjectPrompt("two clicks", (_point(mask), Point(x + 0.5, y + 0.5)))


def _boxed(mask: np.ndarray) -> ObjectPrompt:
    return ObjectPrompt("box", box=_box(mask))


def _boxed_click(mask: np.ndarray) -> ObjectPrompt:
    return ObjectPrompt("box and click", (_point(mask),), _box(mask))


def _rough_mask(mask: np.ndarray) -> ObjectPrompt:
    return ObjectPrompt("mask", mask=torch.from_numpy(np.roll(mask, (3, 3), (0, 1))).float())


@pytest.mark.parametrize(
    "make", [_click, _two_clicks, _boxed, _boxed_click, _rough_mask], ids=lambda make: make.__name__
)
def test_the_object_asked_for_is_the_one_found(make, scenes, segmenter):
    values = []
    for scene in scenes:
        prompts = [make(mask) for mask in scene.masks]
        found = segmenter.segment(torch.from_numpy(scene.image), prompts, MaskChoice.BEST)
        pairs = zip(found, scene.masks, strict=True)
        values += [iou(one.mask.pixels().numpy() > 0, mask) for one, mask in pairs]
    assert len(values) > 100
    assert np.mean(values) > 0.85


def test_each_scene_was_encoded_once(scenes, segmenter):
    for scene in scenes:
        segmenter.embed(torch.from_numpy(scene.image))
    assert segmenter.counters.encodes == len(scenes)


def test_a_negative_click_keeps_the_other_shape_out(scenes, segmenter):
    kept, dropped = [], []
    for scene in scenes:
        wanted, other = scene.masks[:2] if len(scene.masks) > 1 else (None, None)
        if wanted is None:
            continue
        prompt = ObjectPrompt("", (_point(wanted), _point(other, positive=False)))
        (found,) = segmenter.segment(torch.from_numpy(scene.image), [prompt], MaskChoice.BEST)
        mask = found.mask.pixels().numpy() > 0
        kept.append((mask & wanted).sum() / wanted.sum())
        dropped.append((mask & other).sum() / other.sum())
    assert np.mean(kept) > 0.85
    assert np.mean(dropped) < 0.1


def test_a_rough_mask_alone_is_read_with_the_box_around_it(scenes, segmenter):
    mask = scenes[0].masks[0]
    rough = torch.from_numpy(mask).float()
    frame = torch.from_numpy(scenes[0].image)
    prompts = [ObjectPrompt("", mask=rough), ObjectPrompt("", box=_box(mask), mask=rough)]
    alone, boxed = segmenter.segment(frame, prompts, MaskChoice.BEST)
    assert torch.equal(alone.mask.pixels(), boxed.mask.pixels())
    assert alone.score == pytest.approx(boxed.score, abs=1e-6)


def test_the_score_tells_good_masks_from_bad(scenes, segmenter):
    scores, values = [], []
    for scene in scenes:
        prompts = [_click(mask) for mask in scene.masks]
        found = segmenter.segment(torch.from_numpy(scene.image), prompts, MaskChoice.ALL)
        truths = [mask for mask in scene.masks for _ in range(3)]
        scores += [one.score for one in found]
        pairs = zip(found, truths, strict=True)
        values += [iou(one.mask.pixels().numpy() > 0, truth) for one, truth in pairs]
    score, value = np.reshape(scores, (-1, 3)), np.reshape(values, (-1, 3))
    assert (np.diff(score) <= 0).all(), "best first"
    assert np.abs(score - value).mean() < 0.1
    assert value[:, 0].mean() > value[:, 2].mean()


@torch.inference_mode()
def test_through_the_node_and_a_batch(scenes):
    """Every frame of a batch, two objects in each, half precision and alpha along the way."""
    batch = [scene for scene in scenes[::2] if len(scene.masks) > 1][:6]
    clicks = [interior_point(mask) for mask in batch[0].masks[:2]]
    points = str([[list(map(int, click))] for click in clicks])
    image = torch.from_numpy(np.stack([scene.image for scene in batch]))
    image = torch.cat([image, torch.ones_like(image[..., :1])], dim=-1).half()
    model = segment_model(TINY, "fp32")
    mask, segments, bboxes, *_ = PointSegment.execute(model, image, points, "best").args
    assert mask.shape == image.shape[:3]
    assert segments.frames.tolist() == [index for index in range(6) for _ in range(2)]
    for index, truth in enumerate(batch[0].masks[:2]):
        assert iou(segments.mask(index).numpy() > 0, truth) > 0.8
        box = bboxes[0][index]
        corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
        expected = _box(truth)
        assert np.allclose(corners, (expected.x1, expected.y1, expected.x2, expected.y2), atol=6)
    union = (segments.mask(0) | segments.mask(1)) > 0
    assert torch.equal(mask[0] > 0, union)
