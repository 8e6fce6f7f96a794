"""Segment everything: what is encoded and decoded, crops, limits, and that shapes are found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.tasks import everything, segmenter
from segment_anywhere.core.tasks.everything import (
    GridSettings,
    count_steps,
    segment_everything,
)
from segment_anywhere.core.tasks.segmenter import Segmenter

from tests.support.engines import MODELS, engine_of
from tests.support.paths import FIXTURES
from tests.support.scenes import draw_scene

LOOSE = GridSettings(points_per_side=6, score_threshold=0.3, stability_threshold=0.5)


@pytest.fixture(scope="module")
def engine():
    return load_engine(FIXTURES / "sam2_tiny", torch.float32)


def _frame(seed: int = 3) -> torch.Tensor:
    return torch.from_numpy(draw_scene(seed, 128).image)


def test_one_encode_and_batched_decodes(engine):
    segmenter, steps = Segmenter(engine), []
    settings = GridSettings(points_per_side=12)
    segment_everything(segmenter, _frame(), settings, step=lambda: steps.append(1))
    assert segmenter.counters.encodes == 1
    assert segmenter.counters.decodes == 5 == len(steps)
    assert count_steps(engine, (128, 128), settings) == 5
    segment_everything(segmenter, _frame(), LOOSE)
    assert segmenter.counters.encodes == 1


def test_each_crop_is_encoded_once(engine):
    segmenter, steps = Segmenter(engine), []
    settings = GridSettings(points_per_side=4, crop_layers=2, crop_points_divisor=2)
    segment_everything(segmenter, _frame(), settings, step=lambda: steps.append(1))
    assert segmenter.counters.encodes == 1 + 4 + 16
    assert len(steps) == count_steps(engine, (128, 128), settings) == 21


def test_a_small_memory_bound_changes_nothing(engine, monkeypatch):
    def run() -> list:
        return segment_everything(Segmenter(engine), _frame(), LOOSE)

    whole = run()
    monkeypatch.setattr(everything, "_UPSAMPLED_BYTES", 1)
    single = run()
    monkeypatch.setattr(segmenter, "_PROMPTS_PER_RUN", 5)
    for other in (single, run()):
        assert [one.score for one in other] == pytest.approx([one.score for one in whole], abs=1e-5)
        for one, two in zip(whole, other, strict=True):
            assert (one.mask.pixels() != two.mask.pixels()).float().mean() < 0.001


def test_instances_are_numbered_best_first(engine):
    found = segment_everything(Segmenter(engine), _frame(), LOOSE, index=4)
    assert len(found) > 2
    assert [one.label for one in found] == [f"region {number}" for number in range(len(found))]
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert {one.frame for one in found} == {4}
    assert all(set(one.mask.pixels().unique().tolist()) <= {0, 255} for one in found)


def test_the_shapes_are_found_without_a_prompt(engine):
    """Most shapes of scenes that the tiny model has never seen, each by a region of its own."""
    ious = []
    settings = GridSettings(points_per_side=12, score_threshold=0.5, stability_threshold=0.7)
    for seed in range(6):
        scene = draw_scene(seed, 128)
        frame = torch.from_numpy(scene.image)
        found = segment_everything(Segmenter(engine), frame, settings)
        masks = [one.mask.pixels().numpy() > 0 for one in found]
        for truth in scene.masks:
            ious.append(max(((m & truth).sum() / (m | truth).sum() for m in masks), default=0.0))
    assert np.mean(ious) > 0.75


@pytest.mark.parametrize("family", [each for each in MODELS if each != "sam2"])
def test_every_family_serves(family):
    """The other models of the tests have random weights, so nothing but the wiring can be seen."""
    segmenter = Segmenter(engine_of(family))
    settings = GridSettings(points_per_side=3, score_threshold=0.0, stability_threshold=0.0)
    frame = _frame()[:100]
    found = segment_everything(segmenter, frame, settings)
    assert segmenter.counters.encodes == segmenter.counters.decodes == 1
    assert found
    assert all(one.mask.pixels().shape == (100, 128) and 0 <= one.score <= 1 for one in found)


def test_min_area_leaves_nothing_smaller(engine):
    settings = GridSettings(
        points_per_side=8, score_threshold=0.0, stability_threshold=0.0, min_area=300
    )
    found = segment_everything(Segmenter(engine), _frame(), settings)
    assert found
    assert all((one.mask.pixels() > 0).sum() >= 300 for one in found)


def test_grabcut_takes_clicks_one_by_one():
    segmenter, steps = Segmenter(GrabCutEngine()), []
    frame = torch.full((90, 90, 3), 0.2)
    frame[20:60, 30:70] = torch.tensor((0.9, 0.1, 0.1))
    settings = GridSettings(points_per_side=3)
    found = segment_everything(segmenter, frame, settings, step=lambda: steps.append(1))
    assert len(steps) == count_steps(segmenter.engine, (90, 90), settings) == 9
    truth = torch.zeros(90, 90, dtype=torch.bool)
    truth[20:60, 30:70] = True
    masks = [one.mask.pixels() > 0 for one in found]
    overlaps = [float((mask & truth).sum() / (mask | truth).sum()) for mask in masks]
    assert max(overlaps) > 0.95


def test_a_layer_without_points_is_refused(engine):
    settings = GridSettings(points_per_side=4, crop_layers=3, crop_points_divisor=2)
    with pytest.raises(InputError, match="crop_points_divisor: 4 points a side, divided by 2 for"):
        segment_everything(Segmenter(engine), _frame(), settings)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 300, 3)])
def test_images_of_odd_sizes(engine, shape):
    frame = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    settings = GridSettings(
        points_per_side=2, score_threshold=0.0, stability_threshold=0.0, crop_layers=1
    )
    for one in segment_everything(Segmenter(engine), frame, settings):
        assert one.mask.pixels().shape == shape[:2]
