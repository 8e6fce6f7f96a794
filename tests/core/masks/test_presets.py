"""Each preset does what its name says, on a drawn portrait whose alpha is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from segment_anywhere.core.masks.distance import move_contour
from segment_anywhere.core.masks.presets import AS_SET, PRESETS
from segment_anywhere.core.masks.refine import refine

from tests.support.portraits import portrait

PORTRAIT = portrait(512, seed=5)
# As of a segmenter that made mistakes: a hole in the shirt, a crumb beside the head.
HOLE, CRUMB = (slice(470, 478), slice(250, 258)), (slice(60, 66), slice(20, 26))


def _flawed() -> torch.Tensor:
    mask = PORTRAIT.rough.clone()
    mask[HOLE], mask[CRUMB] = 0.0, 1.0
    return mask


@pytest.fixture(scope="module")
def refined() -> dict[str, torch.Tensor]:
    image, mask = PORTRAIT.image[None], _flawed()[None]
    return {name: refine(mask, settings, image)[0] for name, settings in PRESETS.items()}


def _error(mask: torch.Tensor) -> float:
    return float((mask - PORTRAIT.alpha).abs().sum())


def _ramp_width(mask: torch.Tensor) -> float:
    """Of the edge: what is partly selected, over the length of the contour."""
    partly = ((mask > 0.02) & (mask < 0.98)).sum()
    contours, _ = cv2.findContours(
        (mask > 0.5).numpy().astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return float(partly) / sum(cv2.arcLength(each, True) for each in contours)


def test_as_set_is_no_preset():
    assert AS_SET not in PRESETS
    assert len({repr(settings) for settings in PRESETS.values()}) == len(PRESETS) == 4
    assert not any(settings.is_neutral for settings in PRESETS.values())


@pytest.mark.parametrize("name", PRESETS)
def test_flaws_of_the_mask_are_mended(refined, name):
    mask = refined[name]
    assert mask[HOLE].min() > 0.9
    assert mask[CRUMB].max() == 0.0


def test_a_clean_cut_out_stays_just_inside_and_has_a_narrow_edge(refined):
    mask = refined["clean cut-out"]
    outside = move_contour(PORTRAIT.rough, 0.5) == 0
    assert mask[outside].max() < 0.5
    assert 1.0 < _ramp_width(mask) < 3.5
    assert mask[move_contour(PORTRAIT.rough, -6.0) == 1].min() == 1.0


def test_a_soft_portrait_has_a_wide_edge_most_of_it_inside(refined):
    mask = refined["soft portrait"]
    assert 7.0 < _ramp_width(mask) < 14.0
    partly = (mask > 0.02) & (mask < 0.98)
    assert (partly & (PORTRAIT.rough == 1)).sum() > 2 * (partly & (PORTRAIT.rough == 0)).sum()


def test_hair_and_fur_find_strands_that_the_mask_does_not_have(refined):
    """Near the contour more of the strands' alpha is there than before, and than elsewhere."""
    mask = refined["hair and fur"]
    near = (move_contour(PORTRAIT.rough, 4.0) > 0) & (PORTRAIT.rough == 0)
    strands, gaps = near & (PORTRAIT.alpha > 0.8), near & (PORTRAIT.alpha < 0.05)
    assert strands.sum() > 500 and gaps.sum() > 500
    assert mask[strands].mean() > 2 * mask[gaps].mean()
    assert _error(mask) < _error(_flawed())
    assert _error(mask) < min(_error(refined[name]) for name in PRESETS if name != "hair and fur")


def test_inpainting_covers_all_of_the_object_and_its_rim(refined):
    mask = refined["inpainting"]
    assert mask[move_contour(PORTRAIT.rough, 6.0) > 0].min() == 1.0
    assert mask[move_contour(PORTRAIT.rough, 26.0) == 0].max() == 0.0
    assert 9.0 < _ramp_width(mask) < 18.0
