"""Models that no library carries are known by their keys, and refused with what to use instead."""

from __future__ import annotations

import json

import pytest
import torch
from segment_anywhere.core.engines.families import FAMILIES, family_of_keys, family_of_type
from segment_anywhere.core.engines.files.checkpoints import find_family, load_engine
from segment_anywhere.core.engines.files.strangers import (
    STRANGERS,
    stranger_of_keys,
    stranger_of_type,
)
from segment_anywhere.core.errors import CheckpointError

from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference

# Of each official checkpoint's keys, what its parts begin with.
KEYS = {
    "the tiny HQ-SAM": Reference(FIXTURES / "sam_hq_parity").official["vit_tiny"]["keys"],
    "EfficientSAM": (
        "image_encoder.pos_embed",
        "image_encoder.patch_embed.proj.weight",
        "image_encoder.blocks.0.attn.qkv.weight",
        "image_encoder.neck.0.weight",
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "prompt_encoder.bbox_top_left_embeddings.weight",
        "mask_decoder.iou_token.weight",
        "mask_decoder.final_output_upscaling_layers.0.0.weight",
    ),
    "EfficientTAM": (
        "maskmem_tpos_enc",
        "image_encoder.trunk.pos_embed",
        "image_encoder.trunk.patch_embed.proj.weight",
        "image_encoder.trunk.blocks.0.attn.qkv.weight",
        "image_encoder.neck.convs.0.conv_1x1.weight",
        "image_encoder.neck.convs.0.norm_0.weight",
        "sam_mask_decoder.iou_token.weight",
        "memory_attention.layers.0.self_attn.q_proj.weight",
    ),
    "EVF-SAM": (
        "visual_model.image_encoder.trunk.pos_embed",
        "visual_model.sam_mask_decoder.iou_token.weight",
        "mm_extractor.beit3.text_embed.weight",
        "text_hidden_fcs.0.0.weight",
    ),
}


@pytest.mark.parametrize("title", KEYS)
def test_its_checkpoint_is_refused_by_name(title, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"model": {key: torch.zeros(1) for key in KEYS[title]}}, path)
    assert family_of_keys(dict.fromkeys(KEYS[title])) is None
    for load in (find_family, lambda path: load_engine(path, torch.float32)):
        with pytest.raises(CheckpointError, match=rf"model\.pt: this is {title}, .*\. Use "):
            load(path)


def test_its_folder_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "evf"}))
    with pytest.raises(CheckpointError, match=r"this is EVF-SAM, .* BEiT-3 .* fal"):
        find_family(tmp_path)


def test_all_are_tried():
    assert {stranger.title for stranger in STRANGERS} == set(KEYS)


@pytest.mark.parametrize("family", ["sam", "sam_hq", "mobile_sam", "sam2", "edgetam"])
def test_no_model_that_loads_is_taken_for_one(family):
    reference = Reference(FIXTURES / f"{family}_parity")
    for name in reference.official:
        keys = reference.official[name]["keys"]
        assert family_of_keys(keys) is None or stranger_of_keys(keys) is None
    assert stranger_of_keys(torch.load(reference.checkpoint, weights_only=True)) is None


def test_types_are_of_one_or_the_other():
    assert stranger_of_type(None) is None
    types = [name for family in FAMILIES for name in family.model_types]
    assert not any(map(stranger_of_type, types))
    assert not any(family_of_type(each.model_type) for each in STRANGERS if each.model_type)
