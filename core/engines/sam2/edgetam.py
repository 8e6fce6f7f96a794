"""EdgeTAM: SAM 2's prompt encoder and mask decoder behind a small convolutional image encoder.

Source: Zhou et al., "EdgeTAM: On-Device Track Anything Model" (2025). The decoder is SAM 2's to the
letter, so the engine is too; the encoder is `repvit.RepViT`, since transformers' own `EdgeTamModel`
needs the library timm, which ComfyUI does not bring. Equal to the official implementation, see
tests/parity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from . import engine as sam2
from .layout import infer_decoder, memory_part, to_transformers
from .repvit import RepViT, from_timm

_OFFICIAL_TRUNK = "image_encoder.trunk.body."
_FOLDER_TRUNK = "vision_encoder.backbone.timm_model."


class EdgeTamEngine(sam2.Sam2Engine):
    """An EdgeTAM model: the image encoder in `dtype`, prompt encoder and mask decoder in fp32."""

    family = "edgetam"


def from_official(
    state: Mapping[str, Tensor], dtype: torch.dtype, image_size: int = 1024
) -> EdgeTamEngine:
    """Build the engine from an official state dict; image_size as for SAM 2."""
    trunk, rest = _split(state, _OFFICIAL_TRUNK)
    decoder = infer_decoder(rest)
    config = sam2.model_config(_stand_in(trunk), trunk.widths, decoder, image_size)
    model = sam2.build_model(config, to_transformers(rest), memory_part(rest), trunk)
    return EdgeTamEngine(model, dtype)


def from_transformers(
    config: Mapping[str, Any], state: Mapping[str, Tensor], dtype: torch.dtype
) -> EdgeTamEngine:
    """Build the engine from a transformers folder (`edgetam` or `edgetam_video`)."""
    trunk, rest = _split(state, _FOLDER_TRUNK)
    vision = config.get("vision_config") or {}
    prompts = config.get("prompt_encoder_config") or {}
    sizes = (vision.get("fpn_hidden_size", 256), prompts.get("image_size", 1024))
    own = sam2.folder_config(config, sam2.vision_config(_stand_in(trunk), trunk.widths, *sizes))
    model = sam2.build_model(own, sam2.image_part(rest), memory_part(rest), trunk)
    return EdgeTamEngine(model, dtype)


def _split(state: Mapping[str, Tensor], prefix: str) -> tuple[RepViT, dict[str, Tensor]]:
    """The image encoder, built, and the weights of everything else."""
    own = {key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}
    rest = {key: tensor for key, tensor in state.items() if not key.startswith(prefix)}
    return from_timm(own), rest


def _stand_in(trunk: RepViT) -> Any:
    """A Hiera of the same widths: the configuration asks for one, and RepViT takes its place."""
    return sam2.classes().Sam2HieraDetConfig(
        hidden_size=trunk.widths[0], embed_dim_per_stage=list(trunk.widths)
    )
