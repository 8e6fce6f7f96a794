"""Small matting models with random weights, as transformers folders."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers as tf
from torch import nn

from tests.support.word_models import start_afresh

SETTINGS = {
    "image_processor_type": "VitMatteImageProcessor",
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.3],
    "size_divisibility": 32,
}


def small_vitmatte(patch: int = 16, is_global: bool = True) -> tf.VitMatteForImageMatting:
    """A ViTMatte of two blocks, the second of which attends to all of a tile or to a window.

    patch: 4 or 16 pixels. Windows are 4 patches wide.
    """
    backbone = tf.VitDetConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        num_channels=4,
        image_size=128,
        pretrain_image_size=128,
        patch_size=patch,
        window_size=4,
        window_block_indices=[0] if is_global else [0, 1],
        use_relative_position_embeddings=True,
        out_features=["stage2"],
    )
    levels = {16: ([8, 12, 16], [24, 16, 12, 8]), 4: ([8], [12, 8])}
    stream, fusion = levels[patch]
    config = tf.VitMatteConfig(
        backbone_config=backbone,
        hidden_size=32,
        convstream_hidden_sizes=stream,
        fusion_hidden_sizes=fusion,
    )
    torch.manual_seed(0)
    model = tf.VitMatteForImageMatting(config)
    start_afresh(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # transformers starts with scales near 0; statistics as if it had been trained.
            module.reset_parameters()
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.05, 0.2)
    if not is_global:
        # Which says where in the tile a window is.
        nn.init.zeros_(model.backbone.embeddings.position_embeddings)
    return model.eval()


def make_vitmatte(folder: Path) -> Path:
    """Such a model as a folder that is not there yet."""
    folder.mkdir(parents=True)
    small_vitmatte().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    return folder
