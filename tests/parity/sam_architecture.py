"""How the official SAM and HQ-SAM are built, as make_sam_reference.py records it."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from torch import nn


def encoder_summary(encoder: nn.Module) -> dict[str, Any]:
    """The architecture of an official ViT, as built."""
    blocks = encoder.blocks
    windows = [block.window_size for block in blocks]
    return {
        "image_size": encoder.img_size,
        "patch_size": encoder.patch_embed.proj.kernel_size[0],
        "embed_dim": encoder.patch_embed.proj.out_channels,
        "depth": len(blocks),
        "num_heads": blocks[0].attn.num_heads,
        "global_attn_indexes": [index for index, size in enumerate(windows) if size == 0],
        "window_size": max(windows),
        "mlp_dim": blocks[0].mlp.lin1.out_features,
        "out_chans": encoder.neck[0].out_channels,
    }


def decoder_summary(decoder: nn.Module) -> dict[str, Any]:
    """Settings of the mask decoder, as built; the number of heads is in no shape."""
    transformer = decoder.transformer
    layer = transformer.layers[0]
    return {
        "depth": transformer.depth,
        "num_heads": transformer.num_heads,
        "mlp_dim": transformer.mlp_dim,
        "num_multimask_outputs": decoder.num_multimask_outputs,
        "iou_head_hidden_dim": decoder.iou_prediction_head.layers[0].out_features,
        "iou_head_depth": decoder.iou_prediction_head.num_layers,
        "transformer_norm_eps": layer.norm1.eps,
    }


def official_models(package: ModuleType) -> dict[str, dict[str, Any]]:
    """Tensor names, shapes and architecture of each official model, by its registry name.

    package: segment_anything or segment_anything_hq, with its `modeling` imported.
    """
    found = {}
    for name, build in package.sam_model_registry.items():
        if name == "default":
            continue
        model = build()
        vit = isinstance(model.image_encoder, package.modeling.ImageEncoderViT)
        found[name] = {
            # The encoder of the tiny HQ-SAM is no ViT: it has stages, convolutions, batch norms.
            "encoder": encoder_summary(model.image_encoder) if vit else None,
            "decoder": decoder_summary(model.mask_decoder),
            "keys": {key: list(value.shape) for key, value in model.state_dict().items()},
        }
    return found
