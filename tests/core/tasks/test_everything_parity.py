"""Segment Everything against the official implementation.

The reference is what the official `SAM2AutomaticMaskGenerator` makes of the same weights, by
tests/parity/make_everything_reference.py.
"""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import torch
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.results import rle
from segment_anywhere.core.tasks.everything import GridSettings, segment_everything
from segment_anywhere.core.tasks.segmenter import Segmenter

from tests.support.overlap import iou
from tests.support.paths import FIXTURES

FOLDER = FIXTURES / "everything_parity"
CASES = {
    case["name"]: case
    for case in json.loads(gzip.decompress((FOLDER / "masks.json.gz").read_bytes()))
}
OURS = {
    "points_per_side": "points_per_side",
    "pred_iou_thresh": "score_threshold",
    "stability_score_thresh": "stability_threshold",
    "stability_score_offset": "stability_offset",
    "box_nms_thresh": "overlap_threshold",
    "crop_nms_thresh": "overlap_threshold",
    "crop_n_layers": "crop_layers",
    "crop_n_points_downscale_factor": "crop_points_divisor",
    "min_mask_region_area": "min_area",
}


@pytest.fixture(scope="module")
def images() -> dict[str, torch.Tensor]:
    with np.load(FOLDER / "images.npz") as arrays:
        return {name: torch.from_numpy(array).float() / 255 for name, array in arrays.items()}


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(load_engine(FIXTURES / "sam2_tiny", torch.float32))


@pytest.mark.parametrize("name", CASES)
def test_equals_the_official_generator(name, images, segmenter):
    case = CASES[name]
    frame = images[case["image"]]
    settings = GridSettings(**{OURS[key]: value for key, value in case["settings"].items()})
    found = segment_everything(segmenter, frame, settings)
    expected = [
        (rle.decode(each["counts"], tuple(frame.shape[:2])) > 0, each["score"])
        for each in case["masks"]
    ]
    # The official generator mends small masks and keeps them; here they are left out.
    expected = [each for each in expected if each[0].sum() >= settings.min_area]
    assert len(found) == len(expected) > 0
    masks = [each.mask.pixels().numpy() > 0 for each in found]
    for mask, score in expected:
        overlaps = [iou(mask, each) for each in masks]
        best = int(np.argmax(overlaps))
        # A logit that is 0 but for rounding may fall on either side.
        assert overlaps[best] > 0.999
        assert found[best].score == pytest.approx(score, abs=1e-4)


def test_the_reference_tells_right_from_wrong():
    """Settings that change nothing would be tested by no case."""
    answers = {
        image: {
            tuple(sorted(each["counts"] for each in case["masks"]))
            for case in CASES.values()
            if case["image"] == image
        }
        for image in ("wide", "high")
    }
    assert len(answers["wide"]) == len(CASES) // 2
