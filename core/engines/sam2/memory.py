"""The part of SAM 2 that remembers: built from a checkpoint's weights where they hold it.

Source: `SAM2Base` of the official implementation (sam2 1.1.0), with the parameter names of
transformers' `Sam2VideoModel`, whose memory encoder is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...tensors import resize_mask
from ..lineage import weights
from .attention import MemoryAttention, Recalled
from .bank import Recall
from .encoder import NoPositionCode
from .perceiver import Perceiver

# How sure the memory encoder takes a mask to be inside and outside, where the official
# configurations put the sigmoid of its logits.
_MASK_SCALE, _MASK_BIAS = 20.0, -10.0
_PARTS = ("memory_attention.", "memory_encoder.", "object_pointer_proj.", "mask_downsample.")
_CODES = (
    "memory_temporal_positional_encoding",
    "no_object_pointer",
    "occlusion_spatial_embedding_parameter",
)


class TrackerMemory:
    """What a model does with the parts that `attach_memory` gave it.

    memory_temporal_positional_encoding: codes of maps by how many frames they are behind, one less;
    the last is that of key frames: [7, 1, 1, M]. no_object_pointer: the pointer of an object that
    is not seen, [1, C].
    """

    def __init__(self, model: Any, image_size: int):
        self._model = model
        self._image_size = image_size

    @property
    def device(self) -> torch.device:
        return self._model.no_object_pointer.device

    @property
    def _perceiver(self) -> Perceiver | None:
        return getattr(self._model, "spatial_perceiver", None)

    def mask_logits(self, inside: Tensor) -> Tensor:
        """A mask [N, 1, S, S], 0..1, as the mask decoder is told of it: [N, 1, S/4, S/4]."""
        return self._model.mask_downsample(inside)

    def encode(self, coarse: Tensor, logits: Tensor, certain: Tensor, seen: Tensor) -> Tensor:
        """What N objects' masks make of a frame's map, [1, C, h, w]: memories [N, P, M] bfloat16.

        logits: [N, 1, H, W] float32 at any size. certain: [N] bool, whose masks count as they are
        seen, thresholded, as those that somebody asked for do. seen: [N, 1] float32, above 0 for
        objects that are there.
        """
        size = (self._image_size, self._image_size)
        masks = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        masks = torch.where(certain[:, None, None, None], (masks > 0).float(), masks.sigmoid())
        masks = masks * _MASK_SCALE + _MASK_BIAS
        halvings = len(self._model.memory_encoder.mask_downsampler.layers)
        masks = _resized(masks, coarse.shape[-1] * 2**halvings)
        maps, _ = self._model.memory_encoder(coarse.expand(len(masks), -1, -1, -1), masks)
        unseen = getattr(self._model, "occlusion_spatial_embedding_parameter", None)
        if unseen is not None:
            maps = maps + (seen <= 0).float()[..., None, None] * unseen[..., None, None]
        if self._perceiver is None:
            tokens = maps.flatten(2).transpose(1, 2)
        else:
            tokens = self._perceiver(maps, place_codes(*maps.shape[1:3], maps.device))
        return rounded(tokens)

    def pointers(self, tokens: Tensor, seen: Tensor) -> Tensor:
        """Pointers [N, C] from the mask decoder's tokens [N, C]; seen as for `encode`."""
        there = (seen > 0).float()
        return (
            there * self._model.object_pointer_proj(tokens)
            + (1 - there) * self._model.no_object_pointer
        )

    def condition(self, coarse: Tensor, recalled: Sequence[Recall], reach: int) -> Tensor:
        """A frame's map [1, C, h, w] as N objects with equal layouts see it: [N, C, h, w] float32.

        reach: how many frames behind a pointer's code of time ends.
        """
        height = coarse.shape[2]
        features = coarse.flatten(2).transpose(1, 2)
        features = features + 0.1 * place_codes(coarse.shape[1], height, coarse.device)
        maps, _ = recalled[0].layout
        places = self._place_codes(recalled)
        values, keys, pointers = [], [], 0
        for recall in recalled:
            told, codes = self._pointer_tokens(recall, reach)
            pointers = len(told)
            remembered = torch.stack([each.float() for each, _ in recall.maps])
            times = torch.stack([self._time_code(row) for _, row in recall.maps])
            placed = remembered + (places + times)
            values.append(torch.cat([remembered.flatten(0, 1), told]))
            keys.append(torch.cat([placed.flatten(0, 1), told + codes]))
        memory = Recalled(torch.stack(values), torch.stack(keys), maps, pointers)
        seen = self._model.memory_attention(features, memory, self._rotated(places))
        return seen.transpose(1, 2).unflatten(2, (height, -1))

    def _time_code(self, row: int) -> Tensor:
        """[1, M]."""
        return self._model.memory_temporal_positional_encoding[row, 0]

    def _rotated(self, places: Tensor) -> int:
        return len(places) if self._perceiver is None else len(self._perceiver.latents_2d)

    def _place_codes(self, recalled: Sequence[Recall]) -> Tensor:
        """Codes of the places of a memory's tokens, [P, M]; zeros where they have none."""
        (first, _), *_ = recalled[0].maps
        count, width = first.shape
        if self._perceiver is None:
            return place_codes(width, round(count**0.5), first.device)
        placed = len(self._perceiver.latents_2d)
        codes = place_codes(width, round(placed**0.5), first.device)
        return F.pad(codes, (0, 0, count - placed, 0))

    def _pointer_tokens(self, recall: Recall, reach: int) -> tuple[Tensor, Tensor]:
        """Pointers cut to the width of maps, [Q, M], and the codes of their times, [Q, M]."""
        width = self._model.memory_temporal_positional_encoding.shape[-1]
        if not recall.pointers:
            empty = self._model.no_object_pointer.new_zeros(0, width)
            return empty, empty
        told = torch.stack([pointer for pointer, _ in recall.pointers])
        parts = told.shape[1] // width
        tokens = told.reshape(-1, width)
        project = getattr(self._model, "temporal_positional_encoding_projection_layer", None)
        if project is None:
            return tokens, torch.zeros_like(tokens)
        behind = torch.tensor([frames for _, frames in recall.pointers], dtype=torch.float32)
        codes = _time_codes(behind / reach, told.shape[1]).to(told.device)
        return tokens, project(codes).repeat_interleave(parts, dim=0)


def rounded(tokens: Tensor) -> Tensor:
    """Memories as they are kept, [N, P, M] bfloat16, which the official predictors do too."""
    return tokens.to(torch.bfloat16)


def _resized(masks: Tensor, side: int) -> Tensor:
    """[N, 1, h, w] -> [N, 1, side, side], antialiased; as they are where they have that size."""
    if masks.shape[-1] == side:
        return masks
    return resize_mask(masks[:, 0], (side, side))[:, None]


def _time_codes(times: Tensor, width: int) -> Tensor:
    """Sine codes of times [Q] as in the first transformer: [Q, width] float32."""
    half = width // 2
    periods = 10000.0 ** (2 * torch.arange(half).div(2, rounding_mode="floor") / half)
    angles = times[:, None] / periods
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@cache
def place_codes(width: int, side: int, device: torch.device) -> Tensor:
    """Sine codes of the places of a square map, worked out once: [side * side, width] float32.

    Half of the channels for the row, half for the column; sines and cosines take turns.
    """
    half = width // 2
    places = torch.arange(1, side + 1, dtype=torch.float32)
    places = places / (side + 1e-6) * 2 * torch.pi
    channels = torch.arange(half, dtype=torch.float32)
    periods = 10000.0 ** (2 * channels.div(2, rounding_mode="floor") / half)
    angles = places[:, None] / periods
    codes = torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=2).flatten(1)
    rows = codes[:, None].expand(side, side, half)
    columns = codes[None].expand(side, side, half)
    return torch.cat([rows, columns], dim=2).flatten(0, 1).to(device)


def attach_memory(model: nn.Module, state: Mapping[str, Tensor], family: str) -> None:
    """Give a model the parts that remember, if the weights for them are there.

    state: in transformers' names, which the parts keep. family: the model's name for messages.
    Raises CheckpointError for a part that is incomplete or has other shapes.
    """
    if not all(any(key.startswith(part) for key in state) for part in _PARTS):
        return
    with torch.device("meta"):
        parts = _blank(state)
    weights.adopt_weights(parts, state, family)
    parts.memory_encoder.position_encoding = NoPositionCode()
    for name, part in parts.named_children():
        model.add_module(name, part)
    for name, parameter in parts.named_parameters(recurse=False):
        model.register_parameter(name, parameter)


def _blank(state: Mapping[str, Tensor]) -> Any:
    """A module with the parts that a state dict's keys and shapes tell of."""
    from transformers.models.sam2.modeling_sam2 import Sam2FeedForward

    width = state["memory_attention.layer_norm.weight"].shape[0]
    memory_width = state["memory_temporal_positional_encoding"].shape[-1]
    parts: Any = nn.Module()
    parts.memory_attention = MemoryAttention(
        width,
        memory_width,
        state["memory_attention.layers.0.linear1.weight"].shape[0],
        _count(state, "memory_attention.layers."),
    )
    parts.memory_encoder = _blank_encoder(state)
    parts.object_pointer_proj = Sam2FeedForward(width, width, width, 3)
    parts.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
    if "temporal_positional_encoding_projection_layer.weight" in state:
        parts.temporal_positional_encoding_projection_layer = nn.Linear(width, memory_width)
    if "spatial_perceiver.latents_2d" in state:
        parts.spatial_perceiver = _blank_perceiver(state)
    for name in _CODES:
        if name in state:
            parts.register_parameter(name, nn.Parameter(torch.empty(state[name].shape)))
    return parts


def _blank_encoder(state: Mapping[str, Tensor]) -> nn.Module:
    import transformers
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryEncoder

    encoder = "memory_encoder."
    fuser = encoder + "memory_fuser.layers."
    hidden = state[encoder + "feature_projection.weight"].shape[0]
    kernel = state[fuser + "0.depthwise_conv.weight"].shape[-1]
    sampler = encoder + "mask_downsampler.layers."
    config = transformers.Sam2VideoConfig(
        memory_encoder_hidden_size=hidden,
        memory_encoder_output_channels=state[encoder + "projection.weight"].shape[0],
        mask_downsampler_embed_dim=hidden,
        mask_downsampler_kernel_size=state[sampler + "0.conv.weight"].shape[-1],
        mask_downsampler_total_stride=2 ** _count(state, sampler),
        memory_fuser_num_layers=_count(state, fuser),
        memory_fuser_embed_dim=hidden,
        memory_fuser_intermediate_dim=state[fuser + "0.pointwise_conv1.weight"].shape[0],
        memory_fuser_kernel_size=kernel,
        memory_fuser_padding=kernel // 2,
    )
    return Sam2VideoMemoryEncoder(config)


def _blank_perceiver(state: Mapping[str, Tensor]) -> Perceiver:
    prefix = "spatial_perceiver."
    tokens, width = state[prefix + "latents_1d"].shape
    return Perceiver(
        width,
        tokens,
        state[prefix + "latents_2d"].shape[0],
        state[prefix + "layers.0.mlp.up_proj.weight"].shape[0],
        _count(state, prefix + "layers."),
    )


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many layers a stack has."""
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})
