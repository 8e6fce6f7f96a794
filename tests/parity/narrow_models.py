"""What the reference scripts share: seeded weights for narrow models, pictures, mask prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def draw(
    model: nn.Module,
    name: str,
    like: Tensor,
    generator: torch.Generator,
    gains: Mapping[str, float],
) -> Tensor:
    """Random values for one tensor, none of them neutral, so that leaving it out shows.

    gains: factors on the usual scale of linear and convolution weights, by the end of their name.
    """
    noise = torch.randn(like.shape, generator=generator)
    owner_name, _, leaf = name.rpartition(".")
    owner = model.get_submodule(owner_name)
    if type(owner).__name__ in ("LayerNorm", "LayerNorm2d"):
        return 1 + 0.3 * noise if leaf == "weight" else 0.3 * noise
    if leaf == "bias":
        return 0.15 * noise
    if isinstance(owner, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        # A transposed convolution with stride = kernel reads each input pixel once per output.
        transposed = isinstance(owner, nn.ConvTranspose2d)
        fan_in = like.shape[0] if transposed else like[0].numel()
        gain = next((g for end, g in gains.items() if owner_name.endswith(end)), 1.0)
        return gain / math.sqrt(fan_in) * noise
    if leaf == "positional_encoding_gaussian_matrix":
        # The released checkpoints hold a unit normal here as well.
        return noise
    if leaf in ("rel_pos_h", "rel_pos_w"):
        return 0.3 * noise
    if owner_name.endswith(("iou_token", "mask_tokens", "hf_token")):
        return 0.42 * noise
    return (1.05 if "point_embeddings" in owner_name else 0.7) * noise


def smooth_field(channels: int, cells: tuple[int, int], size: tuple[int, int], seed: int) -> Tensor:
    """Smooth random maps with about unit variance, [channels, height, width]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((1, channels, *cells), generator=generator)
    return F.interpolate(coarse, size, mode="bicubic", align_corners=False)[0]


def make_images(shapes: Sequence[tuple[int, int]], seed: int) -> list[np.ndarray]:
    """Smooth uint8 RGB images with some grain, [height, width, 3], one per (height, width)."""
    images = []
    for index, (height, width) in enumerate(shapes):
        cells = (max(height // 18, 2), max(width // 18, 2))
        field = smooth_field(3, cells, (height, width), seed + 1 + index)
        grain = smooth_field(3, (height, width), (height, width), seed + 21 + index)
        pixels = (field * 60 + grain * 8 + 128).round().clamp(0, 255).to(torch.uint8)
        images.append(pixels.permute(1, 2, 0).contiguous().numpy())
    return images


def make_mask_inputs(count: int, side: int, seed: int) -> dict[str, np.ndarray]:
    """Smooth low-resolution logits, one mask prompt per image, [1, side, side]."""
    return {
        f"mask_input_{index}": (
            6 * smooth_field(1, (5, 5), (side, side), seed + 11 + index)
        ).numpy()
        for index in range(count)
    }
