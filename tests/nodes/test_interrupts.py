"""The user's interrupt ends the nodes that work on batches of masks between two frames."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import pytest
import torch
from segment_anywhere.nodes.compare_segments import CompareSegments
from segment_anywhere.nodes.crop_segments import CropSegments
from segment_anywhere.nodes.cut_out import CutOut
from segment_anywhere.nodes.draw_segments import DrawSegments
from segment_anywhere.nodes.mask_refine import MaskRefine
from segment_anywhere.nodes.stitch_segments import StitchSegments

from tests.support.nodes import box_mask, interrupt_at, noise, one_object

DEFAULTS = {each.id: each.default for each in MaskRefine.GET_SCHEMA().inputs if not each.optional}
PAIR = {"segments_a": one_object(9), "segments_b": one_object(9)}
CROPS, _, _, STITCH = CropSegments.execute(noise(9), one_object(9)).args
# A node, its inputs, and at which of its looks for an interrupt there is one.
CASES: dict[str, tuple[Any, dict[str, Any], int]] = {
    "Cut Out": (CutOut, {"image": noise(9), "segments": one_object(9)}, 3),
    "Cut Out, each": (CutOut, {"image": noise(9), "segments": one_object(9), "each": True}, 3),
    "Draw Segments": (DrawSegments, {"image": noise(9), "segments": one_object(9)}, 3),
    "Mask Refine": (MaskRefine, {**DEFAULTS, "mask": box_mask(50), "image": noise(50)}, 3),
    "Compare Segments, at its pictures": (CompareSegments, PAIR, 3),
    "Compare Segments, at its numbers": (CompareSegments, PAIR, 12),
    "Crop Segments": (CropSegments, {"image": noise(9), "segments": one_object(9)}, 3),
    "Stitch Segments": (StitchSegments, {"stitch": [STITCH], "image": CROPS, "feather": [8.0]}, 3),
}


@pytest.mark.parametrize("name", CASES)
@torch.inference_mode()
def test_an_interrupt_stops_a_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node, inputs, look = CASES[name]
    looks = interrupt_at(look, monkeypatch)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        node.execute(**inputs)
    assert len(looks) == look
