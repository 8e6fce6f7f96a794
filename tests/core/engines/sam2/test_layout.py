"""The layout of the official SAM 2 checkpoints."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.engines.sam2 import engine as sam2
from segment_anywhere.core.engines.sam2 import layout as sam2_layout

from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference

REFERENCE = Reference(FIXTURES / "sam2_parity")


@pytest.mark.parametrize("name", REFERENCE.official)
def test_every_official_size_is_recognised(name):
    """The keys and shapes of all eight releases give the official architecture and fit."""
    state = REFERENCE.official_state(name)
    assert sam2_layout.is_official(state)
    trunk = REFERENCE.official[name]["trunk"]
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
