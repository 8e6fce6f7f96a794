"""EdgeTAM's perceiver: the memory of a frame as few tokens, half of them with places in a square.

Source: `sam2/modeling/perceiver.py` of the official EdgeTAM, with the parameter names of
transformers' `EdgeTamVideoPerceiverResampler`, whose configuration asks for the library timm.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Perceiver(nn.Module):
    """width: channels of the memory. tokens: without places. placed: with, a square of them."""

    def __init__(self, width: int, tokens: int, placed: int, hidden: int, layers: int):
        super().__init__()
        self.latents_1d = nn.Parameter(torch.empty(tokens, width))
        self.latents_2d = nn.Parameter(torch.empty(placed, width))
        self.layers = nn.ModuleList(_Layer(width, hidden) for _ in range(layers))
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor, positions: Tensor) -> Tensor:
        """Maps [N, M, h, w] with the codes [h * w, M] of their places -> [N, tokens + placed, M].

        Tokens with places read the part of the map that is theirs, the others all of it.
        """
        count, channels, height, _ = maps.shape
        free = self.latents_1d.expand(count, -1, -1)
        placed = self.latents_2d.expand(count, -1, -1).reshape(-1, 1, channels)
        everything = maps.flatten(2).transpose(1, 2)
        side = round(len(self.latents_2d) ** 0.5)
        parts = maps.unflatten(3, (side, -1)).unflatten(2, (side, height // side))
        parts = parts.permute(0, 2, 4, 3, 5, 1).reshape(len(placed), -1, channels)
        for layer in self.layers:
            free = layer(free, everything, positions)
            placed = layer(placed, parts, None)
        tokens = torch.cat([free, placed.reshape(count, -1, channels)], dim=1)
        return self.layer_norm(tokens)


class _Layer(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.cross_attention = _Attention(width)
        self.mlp = _Mlp(width, hidden)
        self.self_attention = _Attention(width)
        self.self_mlp = _Mlp(width, hidden)
        self.layer_norm_input = nn.LayerNorm(width)
        self.layer_norm_latents = nn.LayerNorm(width)
        self.layer_norm_self = nn.LayerNorm(width)

    def forward(self, latents: Tensor, tokens: Tensor, positions: Tensor | None) -> Tensor:
        seen = self.layer_norm_input(tokens)
        latents = latents + self.cross_attention(self.layer_norm_latents(latents), seen, positions)
        latents = latents + self.mlp(latents)
        own = self.layer_norm_self(latents)
        latents = latents + self.self_attention(own, own, None)
        return latents + self.self_mlp(latents)


class _Attention(nn.Module):
    """Attention of one head whose keys and values carry the same positions."""

    def __init__(self, width: int):
        super().__init__()
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, queries: Tensor, tokens: Tensor, positions: Tensor | None) -> Tensor:
        key, value = self.k_proj(tokens), self.v_proj(tokens)
        if positions is not None:
            key, value = key + positions, value + positions
        query = self.q_proj(queries)
        found = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])
        return self.o_proj(found[:, 0])


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.layer_norm = nn.LayerNorm(width)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.down_proj(F.gelu(self.up_proj(self.layer_norm(tokens))))
