"""What the official checkpoints of the SAM lineage have in common, and transformers' names for it.

Source: the prompt encoder and mask decoder of the official `segment_anything` 1.0, from which its
successors took theirs, and the parameter names of transformers' `SamModel` and `Sam2Model`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

Renames = Sequence[tuple[re.Pattern[str], str]]


def compiled(*renames: tuple[str, str]) -> Renames:
    """Patterns and what to put in their place, to be applied in this order."""
    return tuple((re.compile(pattern), replacement) for pattern, replacement in renames)


_COMMON = compiled(
    (r"\.pe_layer\.positional_encoding_gaussian_matrix$", ".shared_embedding.positional_embedding"),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
)
_MLP_LAYER = re.compile(
    r"^(.*(?:\.mlp|\.hf_mlp|iou_prediction_head|pred_obj_score_head|obj_ptr_proj"
    r"|output_hypernetworks_mlps\.\d+))\.layers\.(\d+)\.(weight|bias)$"
)
_POSITIONS = (
    "shared_image_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding",
)


def renamed(state: Mapping[str, Tensor], own: Renames) -> dict[str, Tensor]:
    """Official names -> transformers' names; own: the family's renames, before those of all."""
    depths = _mlp_depths(state)
    return {_rename(key, depths, (*own, *_COMMON)): tensor for key, tensor in state.items()}


def both_positions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict in transformers' names that holds the positional matrix in both places.

    transformers has it twice, for prompts and for the image; official checkpoints have it once, and
    some versions of transformers save it once.
    """
    completed = dict(state)
    for key, other in (_POSITIONS, _POSITIONS[::-1]):
        if other in completed:
            completed.setdefault(key, completed[other])
    return completed


def _mlp_depths(state: Mapping[str, Tensor]) -> dict[str, int]:
    depths: dict[str, int] = {}
    for match in filter(None, map(_MLP_LAYER.match, state)):
        depths[match[1]] = max(depths.get(match[1], 0), int(match[2]) + 1)
    return depths


def _rename(key: str, depths: Mapping[str, int], renames: Renames) -> str:
    match = _MLP_LAYER.match(key)
    if match:
        layer = int(match[2])
        if layer == 0:
            part = "proj_in"
        elif layer == depths[match[1]] - 1:
            part = "proj_out"
        else:
            part = f"layers.{layer - 1}"
        key = f"{match[1]}.{part}.{match[3]}"
    for pattern, replacement in renames:
        key = pattern.sub(replacement, key)
    return key


@dataclass(frozen=True)
class Decoder:
    """What differs between prompt encoders and mask decoders."""

    hidden_size: int
    mlp: int
    layers: int
    downsample: int
    iou_hidden: int
    masks: int


def infer_decoder(state: Mapping[str, Tensor], prefix: str, mlp: str) -> Decoder:
    """Read the mask decoder's architecture from an official checkpoint's keys and shapes.

    prefix: of all its keys. mlp: the name of the first weight of a transformer layer's MLP.
    """
    attention = state[prefix + "transformer.layers.0.cross_attn_token_to_image.q_proj.weight"]
    layers = {key.split(".")[3] for key in state if key.startswith(prefix + "transformer.layers.")}
    masks, hidden = state[prefix + "mask_tokens.weight"].shape
    return Decoder(
        hidden_size=hidden,
        mlp=state[prefix + "transformer.layers.0." + mlp].shape[0],
        layers=len(layers),
        downsample=hidden // attention.shape[0],
        iou_hidden=state[prefix + "iou_prediction_head.layers.0.weight"].shape[0],
        masks=masks - 1,
    )
