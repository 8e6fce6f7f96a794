"""The checkpoints of SAM 3 and 3.1: keys in the names of `sam3.build_model`, sizes from shapes.

Source: `sam3/model_builder.py` of the official implementation (sam3 0.1.4), the key lists in
tests/fixtures/sam3_keys, and the parameter names of transformers' `Sam3Model`, `Sam3TrackerModel`
and `Sam3VideoModel`.

Circulating are the official file, ComfyUI's single files, which are the same but for buffers, and
transformers folders. SAM 3.1 is SAM 3 with another video tracker; the parts that a still image uses
have the same architecture under other names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..lineage.layouts import Decoder, compiled, renamed
from ..sam2 import layout as sam2_layout

_VISION = "detector.backbone.vision_backbone."
_IS_SAM3 = _VISION + "trunk.blocks.0.attn.qkv.weight"
_IS_SAM31 = _VISION + "interactive_convs.0.conv_1x1.weight"

# What a still image and words do not use: tables that are computed, the half-size level of either
# neck, the neck of the video tracker of 3.1, point exemplars, and CLIP's own projection.
_UNUSED = re.compile(
    r"\.attn\.freqs_cis$"
    r"|\.vision_backbone\.(convs|sam2_convs)\.3\."
    r"|\.vision_backbone\.propagation_convs\."
    r"|^detector\.geometry_encoder\.points_"
    r"|\.language_backbone\.encoder\.text_projection$"
)

_RENAMES = compiled(
    # The image encoder: one trunk and two necks.
    (r"^detector\.backbone\.vision_backbone\.trunk\.", "vision_encoder.backbone."),
    (r"^detector\.backbone\.vision_backbone\.convs\.", "vision_encoder.detector_neck."),
    (
        r"^detector\.backbone\.vision_backbone\.(sam2|interactive)_convs\.",
        "vision_encoder.neck.",
    ),
    (r"neck\.(\d+)\.", r"neck.fpn_layers.\1."),
    (r"\.dconv_2x2(_0)?\.", ".scale_layers.0."),
    (r"\.dconv_2x2_1\.", ".scale_layers.2."),
    (r"\.conv_1x1\.", ".proj1."),
    (r"\.conv_3x3\.", ".proj2."),
    (r"backbone\.pos_embed$", "backbone.embeddings.position_embeddings"),
    (r"backbone\.patch_embed\.proj\.", "backbone.embeddings.patch_embeddings.projection."),
    (r"backbone\.ln_pre\.", "backbone.layer_norm."),
    (r"backbone\.blocks\.(\d+)\.attn\.proj\.", r"backbone.layers.\1.attention.o_proj."),
    (r"backbone\.blocks\.(\d+)\.attn\.", r"backbone.layers.\1.attention."),
    (r"backbone\.blocks\.(\d+)\.", r"backbone.layers.\1."),
    # The text encoder.
    (r"^detector\.backbone\.language_backbone\.resizer\.", "detector.text_projection."),
    (r"^detector\.backbone\.language_backbone\.encoder\.", "text_encoder."),
    (r"^text_encoder\.token_embedding\.", "text_encoder.embeddings.token_embedding."),
    (
        r"^text_encoder\.positional_embedding$",
        "text_encoder.embeddings.position_embedding.weight",
    ),
    (r"^text_encoder\.ln_final\.", "text_encoder.final_layer_norm."),
    (r"^text_encoder\.transformer\.resblocks\.", "text_encoder.encoder.layers."),
    (r"^(text_encoder\..*)\.attn\.", r"\1.self_attn."),
    (r"^(text_encoder\..*)\.ln_(\d)\.", r"\1.layer_norm\2."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    # The detector: an encoder of prompts, then a DETR, then masks.
    (r"^detector\.transformer\.encoder\.", "detector.detr_encoder."),
    (r"^detector\.transformer\.decoder\.", "detector.detr_decoder."),
    (r"^detector\.segmentation_head\.(mask_predictor\.)?", "detector.mask_decoder."),
    (r"^detector\.dot_prod_scoring\.", "detector.dot_product_scoring."),
    (r"\.geometry_encoder\.encode\.", ".geometry_encoder.layers."),
    (r"\.geometry_encoder\.img_pre_norm\.", ".geometry_encoder.vision_layer_norm."),
    (r"\.geometry_encoder\.norm\.", ".geometry_encoder.prompt_layer_norm."),
    (r"\.geometry_encoder\.encode_norm\.", ".geometry_encoder.output_layer_norm."),
    (r"\.cross_attn_image\.", ".cross_attn."),
    (r"\.ca_text\.", ".text_cross_attn."),
    (r"\.catext_norm\.", ".text_cross_attn_layer_norm."),
    (r"(detr_decoder\.layers\.\d+)\.cross_attn\.", r"\1.vision_cross_attn."),
    (r"(detr_decoder\.layers\.\d+)\.norm1\.", r"\1.vision_cross_attn_layer_norm."),
    (r"(detr_decoder\.layers\.\d+)\.norm2\.", r"\1.self_attn_layer_norm."),
    (r"(detr_decoder\.layers\.\d+)\.norm3\.", r"\1.mlp_layer_norm."),
    (r"^(detector\..*\.layers\.\d+)\.linear(\d)\.", r"\1.mlp.fc\2."),
    (r"\.detr_decoder\.norm\.", ".detr_decoder.output_layer_norm."),
    (r"\.presence_token_head\.", ".presence_head."),
    (r"\.presence_token_out_norm\.", ".presence_layer_norm."),
    (r"\.bbox_embed\.", ".box_head."),
    (r"\.boxRPB_embed_([xy])\.", r".box_rpb_embed_\1."),
    (r"\.dot_product_scoring\.prompt_mlp\.out_norm\.", ".dot_product_scoring.text_mlp_out_norm."),
    (r"\.dot_product_scoring\.prompt_", ".dot_product_scoring.text_"),
    (r"\.dot_product_scoring\.hs_proj\.", ".dot_product_scoring.query_proj."),
    (r"\.mask_decoder\.mask_embed\.", ".mask_decoder.mask_embedder."),
    (r"\.mask_decoder\.(instance|semantic)_seg_head\.", r".mask_decoder.\1_projection."),
    (r"\.mask_decoder\.cross_attend_prompt\.", ".mask_decoder.prompt_cross_attn."),
    (r"\.mask_decoder\.cross_attn_norm\.", ".mask_decoder.prompt_cross_attn_norm."),
    (r"^(detector\..*)\.out_proj\.", r"\1.o_proj."),
)
# Small networks whose layers transformers numbers from 1, in their names.
_NUMBERED = re.compile(
    r"(\.(?:presence_head|box_head|ref_point_head|box_rpb_embed_[xy]|text_mlp))\.layers\.(\d)\."
)
# Query, key and value in one matrix; transformers has three.
_FUSED = re.compile(r"^(.*\.)(?:qkv\.|in_proj_)(weight|bias)$")
_DECODER_MLP = re.compile(r"(transformer\.layers\.\d+\.mlp)\.lin(\d)\.")

_MEMORY_ATTENTION = re.compile(r"^tracker\.transformer\.encoder\.")
_MEMORY_ENCODER = re.compile(r"^tracker\.maskmem_backbone\.")

# Prefixes in a folder and here; the first that fits counts.
_FOLDER_PREFIXES = (
    ("detector_model.vision_encoder.backbone.", "vision_encoder.backbone."),
    ("detector_model.vision_encoder.neck.", "vision_encoder.detector_neck."),
    ("detector_model.text_encoder.text_model.", "text_encoder."),
    ("detector_model.text_encoder.text_projection.", "unused."),
    ("detector_model.", "detector."),
    ("tracker_neck.", "vision_encoder.neck."),
    # transformers 5.23 writes it twice when it saves such a model.
    ("tracker_model.tracker_model.", ""),
    ("tracker_model.", ""),
)
_UNUSED_IN_FOLDER = re.compile(r"neck\.fpn_layers\.3\.|^unused\.")

# What is in no shape and the same in all releases.
_TRUNK_HEADS = 16
_TEXT_HEADS = 16
_SCALES = (4, 2, 1)


def is_official(keys: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official SAM 3 or 3.1 checkpoint, or of ComfyUI's."""
    return _IS_SAM3 in keys


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official state dict -> that of `sam3.build_model`; only the positional table is cut.

    Raises KeyError for a checkpoint without the tracker's decoder.
    """
    detector = {
        key: tensor
        for key, tensor in state.items()
        if key.startswith("detector.") and not _UNUSED.search(key)
    }
    converted: dict[str, Tensor] = {}
    for key, tensor in renamed(detector, _RENAMES).items():
        converted.update(_split(_NUMBERED.sub(_count_from_one, key), tensor))
    # The first position is that of a class token, which the trunk does without.
    table = "vision_encoder.backbone.embeddings.position_embeddings"
    converted[table] = converted[table][:, 1:]
    return converted | sam2_layout.to_transformers(decoder_state(state))


def decoder_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tracker's prompt encoder and mask decoder, in SAM 2's official names.

    3.1 has two of them; the interactive one is for prompts on a still image.
    """
    is_31 = _IS_SAM31 in state
    prefix = "tracker.model.interactive_" if is_31 else "tracker."
    memory = "tracker.model.interactivity_no_mem_embed" if is_31 else "tracker.no_mem_embed"
    own = {
        _DECODER_MLP.sub(_count_from_zero, key.removeprefix(prefix)): tensor
        for key, tensor in state.items()
        if key.startswith((prefix + "sam_prompt_encoder.", prefix + "sam_mask_decoder."))
    }
    return {**own, "no_mem_embed": state[memory]}


def memory_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What only a clip uses of an official SAM 3 checkpoint, in transformers' names.

    Nothing of 3.1, whose tracker is another one.
    """
    if _IS_SAM31 in state:
        return {}
    official = {
        _MEMORY_ENCODER.sub("memory_encoder.", _MEMORY_ATTENTION.sub("memory_attention.", key)): x
        for key, x in state.items()
    }
    own = {key.removeprefix("tracker."): x for key, x in official.items()}
    return sam2_layout.memory_part(own)


def from_folder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of a transformers folder -> that of `sam3.build_model`.

    Takes `sam3_video`, whose detector has the trunk, and `sam3_tracker`, whose names stay.
    """
    converted: dict[str, Tensor] = {}
    for key, tensor in state.items():
        for prefix, replacement in _FOLDER_PREFIXES:
            if key.startswith(prefix):
                key = replacement + key.removeprefix(prefix)
                break
        if not _UNUSED_IN_FOLDER.search(key):
            converted[key] = tensor
    return converted


def _count_from_zero(match: re.Match[str]) -> str:
    return f"{match[1]}.layers.{int(match[2]) - 1}."


def _count_from_one(match: re.Match[str]) -> str:
    return f"{match[1]}.layer{int(match[2]) + 1}."


def _split(key: str, tensor: Tensor) -> dict[str, Tensor]:
    """One weight, or three where it holds query, key and value."""
    match = _FUSED.match(key)
    if match is None:
        return {key: tensor}
    parts = zip("qkv", tensor.chunk(3), strict=True)
    return {f"{match[1]}{name}_proj.{match[2]}": part for name, part in parts}


def infer_decoder(state: Mapping[str, Tensor]) -> Decoder:
    """Read the tracker's mask decoder from an official checkpoint's keys and shapes."""
    return sam2_layout.infer_decoder(decoder_state(state))


def infer_vision(state: Mapping[str, Tensor], image_size: int) -> dict[str, Any]:
    """The image encoder as a `Sam3VisionConfig` takes it, from converted keys and shapes.

    The positional table is that of one window, tiled; every fourth part of the trunk ends with a
    block of global attention.
    """
    trunk = "vision_encoder.backbone."
    width, _, _, patch = state[trunk + "embeddings.patch_embeddings.projection.weight"].shape
    window = math.isqrt(state[trunk + "embeddings.position_embeddings"].shape[1])
    depth = _layers(state, trunk)
    step = max(1, depth // 4)
    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": width,
        "intermediate_size": state[trunk + "layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": depth,
        "num_attention_heads": _TRUNK_HEADS,
        "image_size": image_size,
        "patch_size": patch,
        "window_size": window,
        "pretrain_image_size": window * patch,
        "global_attn_indexes": list(range(step - 1, depth, step)),
    }
    return {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "fpn_hidden_size": state["vision_encoder.neck.fpn_layers.0.proj1.weight"].shape[0],
        **neck_scales(image_size // patch),
    }


def neck_scales(grid: int) -> dict[str, Any]:
    """The levels of a neck that are read, as a `Sam3VisionConfig` takes them; grid: the trunk's."""
    return {
        "scale_factors": [float(scale) for scale in _SCALES],
        "backbone_feature_sizes": [[grid * scale] * 2 for scale in _SCALES],
    }


def infer_detector(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The detector's parts as a `Sam3Config` takes them, from converted keys and shapes."""
    queries, hidden = state["detector.detr_decoder.query_embed.weight"].shape
    heads = state["detector.detr_decoder.box_rpb_embed_x.layer2.weight"].shape[0]
    common = {"hidden_size": hidden, "num_attention_heads": heads}
    stacks = {
        f"{part}_config": {
            **common,
            "num_layers": _layers(state, f"detector.{part}."),
            "intermediate_size": state[f"detector.{part}.layers.0.mlp.fc1.weight"].shape[0],
        }
        for part in ("geometry_encoder", "detr_encoder", "detr_decoder")
    }
    stacks["detr_decoder_config"]["num_queries"] = queries
    stages = _layers(state, "detector.mask_decoder.pixel_decoder.", "conv_layers")
    return {
        "text_config": _infer_text(state),
        "mask_decoder_config": {**common, "num_upsampling_stages": stages},
        **stacks,
    }


def _infer_text(state: Mapping[str, Tensor]) -> dict[str, Any]:
    vocabulary, width = state["text_encoder.embeddings.token_embedding.weight"].shape
    return {
        "model_type": "clip_text_model",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": state["text_encoder.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": _layers(state, "text_encoder.encoder."),
        "num_attention_heads": _TEXT_HEADS,
        "max_position_embeddings": state["text_encoder.embeddings.position_embedding.weight"].shape[
            0
        ],
        "hidden_act": "gelu",
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
    }


def _layers(state: Mapping[str, Tensor], prefix: str, name: str = "layers") -> int:
    """How many layers a stack has."""
    start = f"{prefix}{name}."
    return len({key.removeprefix(start).split(".")[0] for key in state if key.startswith(start)})
