"""The official checkpoints of SAM, HQ-SAM and MobileSAM: transformers' names, and what shapes tell.

Source: `segment_anything` 1.0 and `segment_anything_hq` 0.3, and the parameter names of
transformers' `SamModel` and `SamHQModel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ...errors import CheckpointError
from ..lineage import layouts
from ..lineage.layouts import Decoder, both_positions, compiled, renamed

_ENCODER, _DECODER = "image_encoder.", "mask_decoder."
_RENAMES = compiled(
    (r"^image_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^image_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^image_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^image_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^image_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^image_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.hf_token\.", ".hq_token."),
    (r"\.hf_mlp\.", ".hq_mask_mlp."),
    (r"\.compress_vit_feat\.0\.", ".compress_vit_conv1."),
    (r"\.compress_vit_feat\.1\.", ".compress_vit_norm."),
    (r"\.compress_vit_feat\.3\.", ".compress_vit_conv2."),
    (r"\.embedding_encoder\.0\.", ".encoder_conv1."),
    (r"\.embedding_encoder\.1\.", ".encoder_norm."),
    (r"\.embedding_encoder\.3\.", ".encoder_conv2."),
    (r"\.embedding_maskfeature\.0\.", ".mask_conv1."),
    (r"\.embedding_maskfeature\.1\.", ".mask_norm."),
    (r"\.embedding_maskfeature\.3\.", ".mask_conv2."),
)
# Some checkpoints hold the constants of the pixels' normalisation.
_CONSTANTS = ("pixel_mean", "pixel_std")


def is_sam(keys: Mapping[str, Tensor]) -> bool:
    """Whether these are the keys of an official SAM checkpoint with a ViT as image encoder."""
    return _has_vit(keys) and not _has_hq_token(keys)


def is_sam_hq(keys: Mapping[str, Tensor]) -> bool:
    """Whether these are the keys of an official HQ-SAM checkpoint with a ViT as image encoder."""
    return _has_vit(keys) and _has_hq_token(keys)


def is_mobile_sam(keys: Mapping[str, Tensor]) -> bool:
    """Whether these are the keys of an official MobileSAM checkpoint: SAM behind a TinyViT."""
    has_tiny_vit = "image_encoder.patch_embed.seq.0.c.weight" in keys
    return has_tiny_vit and "mask_decoder.iou_token.weight" in keys and not _has_hq_token(keys)


def _has_vit(keys: Mapping[str, Tensor]) -> bool:
    return "image_encoder.patch_embed.proj.weight" in keys and (
        # EfficientSAM calls what enlarges its masks otherwise.
        "mask_decoder.output_upscaling.0.weight" in keys
    )


def _has_hq_token(keys: Mapping[str, Tensor]) -> bool:
    return "mask_decoder.hf_token.weight" in keys


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official state dict -> that of `SamModel` or `SamHQModel`; tensors are not copied."""
    weights = {key: tensor for key, tensor in state.items() if key not in _CONSTANTS}
    return both_positions(renamed(weights, _RENAMES))


@dataclass(frozen=True)
class Encoder:
    """What differs between the ViT image encoders of SAM checkpoints. image_size: pixels.

    window: tokens on a side, for the blocks that are not global.
    """

    image_size: int
    patch_size: int
    width: int
    depth: int
    heads: int
    window: int
    global_blocks: tuple[int, ...]
    mlp: int


def infer_encoder(state: Mapping[str, Tensor]) -> Encoder:
    """Read the image encoder's architecture from an official checkpoint's keys and shapes.

    A table of relative positions has 2 n - 1 rows for n tokens on a side: those of the whole image
    in a block with global attention, those of a window in the others. Raises CheckpointError where
    windows differ in size.
    """
    width, _, patch, _ = state[_ENCODER + "patch_embed.proj.weight"].shape
    grid = state[_ENCODER + "pos_embed"].shape[1]
    tables = _position_tables(state)
    sides = [(table.shape[0] + 1) // 2 for table in tables]
    windows = {side for side in sides if side != grid}
    if not tables or len(windows) > 1:
        found = f"windows of {sorted(windows)} tokens" if windows else "no attention blocks"
        raise CheckpointError(
            f"SAM checkpoint: found an image encoder with {found}, accepted are windows of one "
            "size. Use a checkpoint in the layout of the official releases."
        )
    return Encoder(
        image_size=grid * patch,
        patch_size=patch,
        width=width,
        depth=len(tables),
        heads=width // tables[0].shape[1],
        window=max(windows, default=grid),
        global_blocks=tuple(index for index, side in enumerate(sides) if side == grid),
        mlp=state[_ENCODER + "blocks.0.mlp.lin1.weight"].shape[0],
    )


def infer_decoder(state: Mapping[str, Tensor]) -> Decoder:
    """Read the mask decoder's architecture from an official checkpoint's keys and shapes."""
    return layouts.infer_decoder(state, _DECODER, "mlp.lin1.weight")


def infer_mask_channels(state: Mapping[str, Tensor]) -> int:
    """Channels that the prompt encoder brings a mask to before the last convolution."""
    return state["prompt_encoder.mask_downscaling.3.weight"].shape[0]


def _position_tables(state: Mapping[str, Tensor]) -> list[Tensor]:
    tables: list[Tensor] = []
    while (key := f"{_ENCODER}blocks.{len(tables)}.attn.rel_pos_h") in state:
        tables.append(state[key])
    return tables
