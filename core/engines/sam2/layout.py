"""The official SAM 2 checkpoints: keys in transformers' names, architecture from shapes.

Source: `sam2/modeling` and `sam2/configs` of the official implementation (sam2 1.1.0), and the
parameter names of transformers' `Sam2Model`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...errors import CheckpointError
from ..lineage import layouts
from ..lineage.layouts import Decoder, both_positions, compiled, renamed

# Parts that only a clip uses: what official checkpoints and transformers folders call alike, then
# the former's names, then the latter's.
_MEMORY = re.compile(
    r"^(memory_|mask_downsample|spatial_perceiver"
    r"|obj_ptr_(proj|tpos_proj)|maskmem_tpos_enc|no_mem_pos_enc|no_obj_(ptr|embed_spatial)"
    r"|object_pointer_proj|temporal_positional_encoding_projection_layer"
    r"|no_memory_positional_encoding|no_object_pointer|occlusion_spatial_embedding_parameter)"
)

# In checkpoints, and used by none of the released models.
UNUSED = re.compile(r"^(no_mem_pos_enc|no_memory_positional_encoding)$")

_RENAMES = compiled(
    (
        r"^image_encoder\.trunk\.patch_embed\.proj\.",
        "vision_encoder.backbone.patch_embed.projection.",
    ),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"(attn|attn_token_to_image|attn_image_to_token)\.out_proj\.", r"\1.o_proj."),
)
_MEMORY_RENAMES = compiled(
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^memory_attention\.norm\.", "memory_attention.layer_norm."),
    (r"^(memory_attention\..*)\.out_proj\.", r"\1.o_proj."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"^(memory_encoder\..*)\.gamma$", r"\1.scale"),
    (r"^(memory_encoder\..*)\.norm\.", r"\1.layer_norm."),
    (r"^spatial_perceiver\.latents$", "spatial_perceiver.latents_1d"),
    (r"^spatial_perceiver\.norm\.", "spatial_perceiver.layer_norm."),
    (r"^(spatial_perceiver\..*)\.self_attn\.norm\.", r"\1.layer_norm_self."),
    (r"^(spatial_perceiver\..*)\.attn\.norm_x\.", r"\1.layer_norm_input."),
    (r"^(spatial_perceiver\..*)\.attn\.norm_latents\.", r"\1.layer_norm_latents."),
    (r"^(spatial_perceiver\..*)\.self_attn\.", r"\1.self_attention."),
    (r"^(spatial_perceiver\..*)\.attn\.", r"\1.cross_attention."),
    (r"^(spatial_perceiver\..*)\.to_q\.", r"\1.q_proj."),
    (r"^(spatial_perceiver\..*)\.to_out\.", r"\1.o_proj."),
    (r"^(spatial_perceiver\..*)\.self_ff\.", r"\1.self_mlp."),
    (r"^(spatial_perceiver\..*)\.ff\.", r"\1.mlp."),
    (r"^(spatial_perceiver\..*mlp)\.0\.", r"\1.layer_norm."),
    (r"^(spatial_perceiver\..*mlp)\.1\.", r"\1.up_proj."),
    (r"^(spatial_perceiver\..*mlp)\.3\.", r"\1.down_proj."),
)
_SAMPLER = "memory_encoder.mask_downsampler."
_SAMPLER_LAYER = re.compile(re.escape(_SAMPLER) + r"encoder\.(\d+)\.(weight|bias)$")
_KEYS_AND_VALUES = ".to_kv."
_POINT_EMBEDDING = "sam_prompt_encoder.point_embeddings.{}.weight"


def is_official(keys: Mapping[str, Tensor]) -> bool:
    """Whether these are the keys of an official SAM 2 or 2.1 checkpoint."""
    return "image_encoder.trunk.patch_embed.proj.weight" in keys and (
        "sam_mask_decoder.conv_s0.weight" in keys
    )


def is_edgetam(keys: Mapping[str, Tensor]) -> bool:
    """Whether these are the keys of an official EdgeTAM checkpoint, SAM 2 with another trunk."""
    return "image_encoder.trunk.body.stem.conv1.c.weight" in keys


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official state dict -> that of transformers' `Sam2Model`, which has no memory.

    Tensors are not copied.
    """
    image_part = {
        key: tensor
        for key, tensor in without_memory(state).items()
        if ".point_embeddings." not in key
    }
    converted = both_positions(renamed(image_part, _RENAMES))
    points = [state[_POINT_EMBEDDING.format(index)] for index in range(4)]
    converted["prompt_encoder.point_embed.weight"] = torch.cat(points)
    return converted


def without_memory(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a still image uses of a state dict, in official or transformers' names."""
    return {key: tensor for key, tensor in state.items() if not _MEMORY.search(key)}


def memory_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What only a clip uses of a state dict in either's names, in transformers'."""
    own = {
        key: tensor
        for key, tensor in state.items()
        if _MEMORY.search(key) and not UNUSED.search(key)
    }
    if not any(_SAMPLER_LAYER.match(key) for key in own):
        return own
    converted: dict[str, Tensor] = {}
    for key, tensor in renamed(own, _MEMORY_RENAMES).items():
        key = _SAMPLER_LAYER.sub(partial(_sampler_layer, own), key)
        if _KEYS_AND_VALUES in key:
            for name, part in zip(("k_proj", "v_proj"), tensor.chunk(2), strict=True):
                converted[key.replace(_KEYS_AND_VALUES, f".{name}.")] = part
        else:
            converted[key] = tensor
    return converted


def _sampler_layer(state: Mapping[str, Tensor], match: re.Match[str]) -> str:
    """Convolution, norm and activation take turns in the official encoder of masks; the last
    convolution is alone."""
    layer, place = divmod(int(match[1]), 3)
    if place:
        return f"{_SAMPLER}layers.{layer}.layer_norm.{match[2]}"
    is_last = f"{_SAMPLER}encoder.{3 * layer + 1}.weight" not in state
    return f"{_SAMPLER}{'final_conv' if is_last else f'layers.{layer}.conv'}.{match[2]}"


@dataclass(frozen=True)
class Trunk:
    """What differs between the Hiera image encoders of SAM 2 checkpoints, per stage."""

    embed_dims: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    windows: tuple[int, ...]
    global_blocks: tuple[int, ...]
    background_size: tuple[int, int]
    mlp_ratio: float


def infer_trunk(state: Mapping[str, Tensor]) -> Trunk:
    """Read the image encoder's architecture from an official checkpoint's keys and shapes.

    Three things are in no shape and follow the official configurations: the number of heads and the
    third stage's window go with the width of the first stage, and the three blocks with global
    attention are spaced evenly at the end of the third stage. Raises CheckpointError for a trunk
    without four stages.
    """
    trunk = "image_encoder.trunk."
    widths = _block_widths(state)
    embed_dims = tuple(dict.fromkeys(widths))
    if len(embed_dims) != 4:
        raise CheckpointError(
            f"SAM 2 checkpoint: found an image encoder with {len(embed_dims)} stages, accepted are "
            "4. Use a checkpoint in the layout of the official sam2 or sam2.1 releases."
        )
    depths = tuple(widths.count(width) for width in embed_dims)
    first_heads = 2 if embed_dims[0] >= 112 else 1
    window = state[trunk + "pos_embed_window"].shape[-1]
    height, width = state[trunk + "pos_embed"].shape[-2:]
    return Trunk(
        embed_dims=embed_dims,
        depths=depths,
        heads=tuple(first_heads * 2**stage for stage in range(4)),
        windows=(window, 4, 16, 8) if embed_dims[0] >= 144 else (window, 4, 14, 7),
        global_blocks=_global_blocks(depths),
        background_size=(height, width),
        mlp_ratio=state[trunk + "blocks.0.mlp.layers.0.weight"].shape[0] / embed_dims[0],
    )


def infer_decoder(state: Mapping[str, Tensor]) -> Decoder:
    """Read the mask decoder's architecture from an official checkpoint's keys and shapes."""
    return layouts.infer_decoder(state, "sam_mask_decoder.", "mlp.layers.0.weight")


def _block_widths(state: Mapping[str, Tensor]) -> list[int]:
    widths: list[int] = []
    while (key := f"image_encoder.trunk.blocks.{len(widths)}.mlp.layers.1.weight") in state:
        widths.append(state[key].shape[0])
    return widths


def _global_blocks(depths: tuple[int, ...]) -> tuple[int, ...]:
    """The last block of the third stage and two before it, 2/7 of the stage's depth apart.

    Gives the official (5, 7, 9), (7, 10, 13), (12, 16, 20) and (23, 33, 43).
    """
    last = sum(depths[:3]) - 1
    step = max(1, 2 * depths[2] // 7)
    return tuple(last - step * count for count in (2, 1, 0))
