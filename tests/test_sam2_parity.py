"""The SAM 2 engine against the official implementation.

The reference outputs are those of the official `SAM2ImagePredictor` on the same weights, made by
tests/parity/make_sam2_reference.py. The weights are random and the model narrow; every parameter
that a still image uses takes part in the outputs.
"""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import torch
from conftest import FIXTURES
from segment_anywhere.core.engines import sam2, sam2_layout
from segment_anywhere.core.engines.base import Candidates
from segment_anywhere.core.engines.checkpoints import read_weights
from segment_anywhere.core.prompts import Box, ObjectPrompt, Point

FOLDER = FIXTURES / "sam2_parity"
CONFIG = json.loads((FOLDER / "config.json").read_text())
CASES = {case["name"]: case for case in CONFIG["cases"]}
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "reference.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def engine() -> sam2.Sam2Engine:
    state = read_weights(FOLDER / "checkpoint.pt")
    return sam2.from_official(state, torch.float32, image_size=CONFIG["image_size"])


@pytest.fixture(scope="module")
def embeddings(engine, reference) -> list:
    frames = [torch.from_numpy(reference[name]).float() / 255 for name in CONFIG["images"]]
    return [engine.encode(frame) for frame in frames]


def _prompts(case: dict) -> list[ObjectPrompt]:
    points = tuple(
        Point(x, y, positive=label == 1)
        for (x, y), label in zip(case["points"] or [], case["labels"] or [], strict=True)
    )
    boxes = np.array(case["box"], dtype=float).reshape(-1, 4) if case["box"] else [None]
    return [
        ObjectPrompt("object 0", points, Box(*box) if box is not None else None) for box in boxes
    ]


def _predict(engine, embedding, case: dict, reference) -> list[Candidates]:
    prompts = _prompts(case)
    if case["mask_input"] is None:
        return engine.decode(embedding, prompts, case["multimask"])
    # The official mask input is the logits of an earlier prediction, not a mask.
    points, labels = engine._points(prompts, embedding.size)
    mask_logits = torch.from_numpy(reference[case["mask_input"]])[None]
    logits, scores = engine.predict(embedding, points, labels, mask_logits, case["multimask"])
    return [Candidates(logits[0], scores[0])]


@pytest.mark.parametrize("name", CASES)
def test_equals_the_official_predictor(name, engine, embeddings, reference):
    case = CASES[name]
    embedding = embeddings[case["image"]]
    candidates = _predict(engine, embedding, case, reference)
    expected_low = torch.from_numpy(reference[case["outputs"]["low"]])
    expected_scores = torch.from_numpy(reference[case["outputs"]["scores"]])
    # The official predictor clamps the logits that it hands back for the next click.
    low = torch.stack([one.logits for one in candidates]).reshape(expected_low.shape)
    scores = torch.stack([one.scores for one in candidates]).reshape(expected_scores.shape)
    torch.testing.assert_close(low.clamp(-32, 32), expected_low, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(scores, expected_scores, atol=TOLERANCE, rtol=0)
    if "full" in case["outputs"]:
        full = torch.stack([engine.to_logits(one.logits, embedding.size) for one in candidates])
        expected = torch.from_numpy(reference[case["outputs"]["full"]])
        torch.testing.assert_close(full.reshape(expected.shape), expected, atol=TOLERANCE, rtol=0)


def test_the_reference_tells_right_from_wrong(reference):
    """Constant or one-sided logits would agree with almost anything."""
    for case in CASES.values():
        low = reference[case["outputs"]["low"]]
        assert low.std() > 0.1
        assert 0.01 < (low > 0).mean() < 0.99


with gzip.open(FOLDER / "official_keys.json.gz", "rt") as file:
    OFFICIAL = json.load(file)


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_official_size_is_recognised(name):
    """The keys and shapes of all eight releases give the official architecture and fit."""
    official = OFFICIAL[name]
    state = {key: torch.empty(shape, device="meta") for key, shape in official["keys"].items()}
    assert sam2_layout.is_official(state)
    trunk = official["trunk"]
    arch = sam2_layout.infer_architecture(state)
    assert arch.embed_dims[0] == trunk["embed_dim"]
    assert arch.heads[0] == trunk["num_heads"]
    assert list(arch.depths) == trunk["stages"]
    assert list(arch.global_blocks) == trunk["global_att_blocks"]
    assert list(arch.windows) == trunk["window_spec"]
    assert list(arch.background_size) == trunk["window_pos_embed_bkg_spatial_size"]
    model = sam2.from_official(state, torch.float32).module
    windows = [block.window_size for block in model.vision_encoder.backbone.blocks]
    heads = [block.attn.num_attention_heads for block in model.vision_encoder.backbone.blocks]
    assert windows == trunk["block_windows"]
    assert heads == trunk["block_heads"]
