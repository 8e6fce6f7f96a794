"""The SAM 2 engine against the official implementation.

The reference outputs are those of the official `SAM2ImagePredictor` on the same weights, made by
tests/parity/make_sam2_reference.py. The weights are random and the model narrow; every parameter
that a still image uses takes part in the outputs.
"""

from __future__ import annotations

import gzip
import json

import pytest
import torch
from conftest import FIXTURES
from predictor_cases import Reference
from segment_anywhere.core.engines import sam2, sam2_layout
from segment_anywhere.core.engines.checkpoints import read_weights

FOLDER = FIXTURES / "sam2_parity"
REFERENCE = Reference(FOLDER)


@pytest.fixture(scope="module")
def engine() -> sam2.Sam2Engine:
    state = read_weights(REFERENCE.checkpoint)
    return sam2.from_official(state, torch.float32, image_size=REFERENCE.config["image_size"])


@pytest.fixture(scope="module")
def embeddings(engine) -> list:
    return [engine.encode(frame) for frame in REFERENCE.frames()]


@pytest.mark.parametrize("name", REFERENCE.cases)
def test_equals_the_official_predictor(name, engine, embeddings):
    case = REFERENCE.cases[name]
    REFERENCE.check(engine, embeddings[case["image"]], case)


def test_the_reference_tells_right_from_wrong():
    REFERENCE.check_itself()


with gzip.open(FOLDER / "official_keys.json.gz", "rt") as file:
    OFFICIAL = json.load(file)


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_official_size_is_recognised(name):
    """The keys and shapes of all eight releases give the official architecture and fit."""
    official = OFFICIAL[name]
    state = {key: torch.empty(shape, device="meta") for key, shape in official["keys"].items()}
    assert sam2_layout.is_official(state)
    trunk = official["trunk"]
    arch = sam2_layout.infer_trunk(state)
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
