"""Small models of known classes, with random weights, as transformers folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers as tf
from torch import nn

from tests.support.word_models import start_afresh

LABELS = ("background", "person", "traffic light", "Upper-clothes", "dog", "door, gate")
_NAMES = {"id2label": dict(enumerate(LABELS)), "label2id": {v: k for k, v in enumerate(LABELS)}}
# What the encoders and decoders of RT-DETR and D-FINE share.
_DETR = {
    "d_model": 32,
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 32,
    "encoder_in_channels": [32, 48, 64],
    "encoder_attention_heads": 4,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 32,
    "decoder_attention_heads": 4,
    "decoder_layers": 2,
    "num_queries": 40,
    "num_denoising": 0,
    "freeze_backbone_batch_norms": False,
    **_NAMES,
}


def make_rt_detr(folder: Path, is_first: bool = False) -> None:
    """An RT-DETR v2, or one of the first version, of two layers."""
    backbone = tf.RTDetrResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 48, 64],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    version = "RTDetr" if is_first else "RTDetrV2"
    config = getattr(tf, f"{version}Config")(backbone_config=backbone, **_DETR)
    torch.manual_seed(11)
    _save_detr(getattr(tf, f"{version}ForObjectDetection")(config), folder)
    settings = {"size": {"height": 96, "width": 96}, "do_normalize": False}
    write_settings(folder, "RTDetrImageProcessor", settings)


def make_d_fine(folder: Path) -> None:
    """A D-FINE of two layers."""
    backbone = tf.HGNetV2Config(
        stem_channels=[3, 8, 16],
        stage_in_channels=[16, 16, 32, 48],
        stage_mid_channels=[8, 16, 16, 16],
        stage_out_channels=[16, 32, 48, 64],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[2, 2, 2, 2],
        hidden_sizes=[16, 32, 48, 64],
        out_features=["stage2", "stage3", "stage4"],
    )
    config = tf.DFineConfig(backbone_config=backbone, **_DETR)
    torch.manual_seed(12)
    # Each layer starts from the boxes of the one before: with more, rounding would grow to 3e-3.
    _save_detr(tf.DFineForObjectDetection(config), folder, box_spread=0.15)
    settings = {"size": {"height": 96, "width": 96}, "do_normalize": False}
    write_settings(folder, "RTDetrImageProcessor", settings)


def make_rf_detr(folder: Path, has_masks: bool = False) -> None:
    """An RF-DETR of two layers, with masks or without."""
    backbone = tf.RfDetrDinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=96,
        patch_size=8,
        num_windows=2,
        out_features=["stage2", "stage4"],
    )
    config = tf.RfDetrConfig(
        backbone_config=backbone,
        d_model=32,
        decoder_ffn_dim=32,
        decoder_layers=2,
        decoder_self_attention_heads=4,
        decoder_cross_attention_heads=4,
        num_queries=40,
        group_detr=2,
        intermediate_size=32,
        **_NAMES,
    )
    name = "RfDetrForInstanceSegmentation" if has_masks else "RfDetrForObjectDetection"
    torch.manual_seed(13)
    _save_detr(getattr(tf, name)(config), folder)
    write_settings(folder, "RfDetrImageProcessor", {"size": {"height": 96, "width": 96}})


def make_segformer(folder: Path) -> None:
    """A SegFormer of four layers."""
    config = tf.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 2, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=16,
        **_NAMES,
    )
    torch.manual_seed(14)
    model = tf.SegformerForSemanticSegmentation(config)
    start_afresh(model)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    write_settings(folder, "SegformerImageProcessor", {"size": {"height": 96, "width": 96}})


BOX_MAKERS = {
    "rt_detr_v2": make_rt_detr,
    "rt_detr": lambda folder: make_rt_detr(folder, is_first=True),
    "d_fine": make_d_fine,
}
if hasattr(tf, "RfDetrForObjectDetection"):
    BOX_MAKERS["rf_detr"] = make_rf_detr
    BOX_MAKERS["rf_detr_masks"] = lambda folder: make_rf_detr(folder, has_masks=True)
MAKERS = {**BOX_MAKERS, "segformer": make_segformer}
"""How a model of each type is made in a folder that is not there yet."""


def write_settings(folder: Path, processor: str, settings: dict[str, Any]) -> None:
    """A folder's preprocessor_config.json."""
    content = {"image_processor_type": processor, **settings}
    (folder / "preprocessor_config.json").write_text(json.dumps(content, indent=2) + "\n")


def _save_detr(model: nn.Module, folder: Path, box_spread: float = 0.3) -> None:
    """Save a DETR whose queries differ, find boxes of many sizes, and are of all classes.

    box_spread: of the weights that make boxes.
    """
    start_afresh(model)
    for name, parameter in model.named_parameters():
        if "bbox_embed" in name or "bbox_head" in name:
            torch.nn.init.normal_(parameter, std=box_spread)
        if "class_embed" in name or "score_head" in name:
            torch.nn.init.normal_(parameter, std=0.6 if parameter.dim() > 1 else 0.0)
    _know_images(model)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)


@torch.no_grad()
def _know_images(model: nn.Module) -> None:
    """Let batch norms see what images are like: without, hardly anything of one gets through."""
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)]
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = None
    model(F.interpolate(torch.rand(8, 3, 7, 7), size=96, mode="bicubic"))
    model.eval()
