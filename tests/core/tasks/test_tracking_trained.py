"""A model that has learned to remember follows shapes that it has never seen from one click."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.tasks.key_frames import read_subjects
from segment_anywhere.core.tasks.segmenter import Segmenter
from segment_anywhere.core.tasks.tracking import follow

from tests.support.moving_scenes import SEEN, Clip, Motion, draw_clip
from tests.support.paths import FIXTURES
from tests.support.scenes import interior_point

# No clip of these seeds was trained on.
SEEDS = range(4)
# Clips in which the small shape is not seen at all on two frames.
HIDDEN_FOR_TWO = (1, 3, 5)


@dataclass(frozen=True)
class Followed:
    """A clip and what was found of its shapes, bool [N, T, H, W]."""

    clip: Clip
    found: np.ndarray

    def iou(self, number: int, shape: int, frame: int) -> float:
        """How far what was found of one shape is another one, or the same."""
        found, truth = self.found[number, frame], self.clip.masks[shape, frame]
        return float((found & truth).sum() / max(1, (found | truth).sum()))


@functools.cache
def _segmenter() -> Segmenter:
    return Segmenter(load_engine(FIXTURES / "sam2_tiny_video", torch.float32))


@functools.cache
def _follow(motion: Motion, seed: int) -> Followed:
    """Follow the shapes of a clip, each from one click on the first frame."""
    clip = draw_clip(seed, motion)
    prompts = [
        ObjectPrompt(f"shape {number}", (Point(*interior_point(mask)),), number=number)
        for number, mask in enumerate(clip.masks[:, 0])
    ]
    image = torch.from_numpy(clip.images)
    subjects = read_subjects({0: prompts}, None, len(image), clip.images.shape[1:3])
    tracks = follow(_segmenter(), image, subjects)
    assert tracks.method == "memory"
    found = np.zeros_like(clip.masks)
    for instance in tracks.segments:
        found[instance.id, instance.frame] = instance.mask.pixels().numpy() >= 128
    return Followed(clip, found)


@pytest.mark.parametrize("motion", Motion)
def test_shapes_are_followed_from_one_click(motion):
    values = [
        followed.iou(number, number, frame)
        for followed in (_follow(motion, seed) for seed in SEEDS)
        for number, frame in np.argwhere(followed.clip.masks.sum(axis=(2, 3)) >= SEEN)
    ]
    assert np.mean(values) > 0.8


@pytest.mark.parametrize("seed", SEEDS)
def test_shapes_that_cross_are_not_mixed_up(seed):
    followed = _follow(Motion.CROSSING, seed)
    for number, other in ((0, 1), (1, 0)):
        own = followed.iou(number, number, -1)
        assert own > 0.5
        assert own > followed.iou(number, other, -1)


@pytest.mark.parametrize("seed", HIDDEN_FOR_TWO)
def test_a_shape_is_found_again_behind_another(seed):
    followed = _follow(Motion.HIDDEN, seed)
    is_gone = ~followed.clip.masks[0].any(axis=(1, 2))
    assert is_gone.sum() == 2
    assert not followed.found[0, is_gone].any()
    assert followed.iou(0, 0, -1) > 0.8
