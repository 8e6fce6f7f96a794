"""What engines say they need beside their weights, at the official sizes.

Too little, and a GPU runs out of memory; too much, and the host evicts other models in vain.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from segment_anywhere.core.engines.base import ClipFrame, Embedding
from segment_anywhere.core.engines.lineage.prompted import (
    _GPU_OBJECTS,
    _MASK_BYTES,
    FRAME_BYTES,
    ModelPrompts,
    PromptedEngine,
)
from segment_anywhere.core.engines.sam import engine as sam
from segment_anywhere.core.engines.sam import hq
from segment_anywhere.core.engines.sam2 import edgetam
from segment_anywhere.core.engines.sam2 import engine as sam2
from segment_anywhere.core.engines.sam2.tracker import TOGETHER
from segment_anywhere.core.engines.sam3 import engine as sam3
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt

from tests.support.live_bytes import LiveBytes
from tests.support.needs import needs_sam3
from tests.support.paths import FIXTURES

OFFICIAL = "official_keys.json.gz"
MODELS = {
    "SAM ViT-B": (sam.from_official, f"sam_parity/{OFFICIAL}", "vit_b"),
    "SAM ViT-H": (sam.from_official, f"sam_parity/{OFFICIAL}", "vit_h"),
    "HQ-SAM ViT-B": (hq.from_official, f"sam_hq_parity/{OFFICIAL}", "vit_b"),
    "HQ-SAM ViT-H": (hq.from_official, f"sam_hq_parity/{OFFICIAL}", "vit_h"),
    "SAM 2.1 tiny": (sam2.from_official, f"sam2_parity/{OFFICIAL}", "sam2.1_hiera_tiny"),
    "SAM 2.1 large": (sam2.from_official, f"sam2_parity/{OFFICIAL}", "sam2.1_hiera_large"),
    "EdgeTAM": (edgetam.from_official, f"edgetam_parity/{OFFICIAL}", "edgetam"),
    "SAM 3": (sam3.from_official, "sam3_keys/sam3.json.gz", None),
}


def _shapes(path: Path, entry: str | None) -> dict[str, list[int]]:
    with gzip.open(path, "rt") as file:
        content = json.load(file)
    return content[entry]["keys"] if entry else content


def _peak(work: Callable[[], object]) -> int:
    with LiveBytes() as counted:
        work()
    return counted.peak


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_sam3 if name == "SAM 3" else ()) for name in MODELS]
)
def test_an_engine_needs_what_it_says(name, dtype):
    """Nearly so: it may say up to half as much again of what decoding takes."""
    make, keys, entry = MODELS[name]
    with torch.inference_mode(), torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in _shapes(FIXTURES / keys, entry).items()}
        engine: PromptedEngine = make(state, dtype)
        side = engine._image_size
        pixels = torch.empty(1, 3, side, side, dtype=dtype)
        embedding = Embedding(engine._features(pixels), (2160, 3840))
        points, labels = torch.empty(_GPU_OBJECTS, 1, 2), torch.ones(_GPU_OBJECTS, 1).int()
        prompts = ModelPrompts(points, labels, None, has_boxes=False)
        encoding = _peak(lambda: engine._features(pixels))
        decoding = _peak(lambda: engine.predict(embedding, prompts, True))
        assert encoding <= engine.activation_bytes() - FRAME_BYTES
        assert decoding <= engine.decoder_bytes(_GPU_OBJECTS) - _MASK_BYTES <= 1.5 * decoding


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["SAM 2.1 tiny", "SAM 2.1 large", "EdgeTAM"])
def test_following_objects_needs_no_more_than_encoding_is_said_to(name, dtype):
    make, keys, entry = MODELS[name]
    with torch.inference_mode(), torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in _shapes(FIXTURES / keys, entry).items()}
        engine: sam2.Sam2Engine = make(state, dtype)
        side = engine._image_size
        features = engine._features(torch.empty(1, 3, side, side, dtype=dtype))
        frame = ClipFrame(0, torch.empty(1), Embedding(features, (2160, 3840)))
        session = engine.track()
        objects = list(range(TOGETHER + 1))
        box = ObjectPrompt("box", box=Box(1, 1, 500, 500))
        session.start(frame, dict.fromkeys(objects, box))
        for index in range(1, 8):
            session.step(replace(frame, index=index), objects)
        needed = _peak(lambda: session.step(replace(frame, index=8), objects))
    assert 0.25 * engine.activation_bytes() < needed <= engine.activation_bytes() - FRAME_BYTES


def test_live_bytes_are_counted_once_and_given_back():
    given = torch.zeros(1000)
    with LiveBytes() as counted:
        made = given + 1
        view = made[:10].view(2, 5)
        made.add_(1)
        del made
        again = view.clone()
        del view
        last = torch.zeros(500)
    assert again.numel() + last.numel() == 510
    assert counted.peak == 4 * 1010
