"""Memory attention: the map of a frame reads what is remembered of earlier frames.

Source: `sam2/modeling/memory_attention.py` and `sam/transformer.py` of the official implementation
(sam2 1.1.0), with the parameter names of transformers' `Sam2VideoMemoryAttention`. That class is
not used: it takes maps of 64 channels only, has no batch of objects, and rotates and projects more
than needs be. For a frame of SAM 2.1 tiny ours takes 1.5 s of one core in bf16 and 4.9 s in fp32,
the official one 5.6 s in either. All releases have one head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ROTATION_BASE = 10000.0
# Bytes of a column of what a CPU works out at a time of an attention: what is between its two
# products then stays in its cache. On an AMD EPYC (Zen 5) this takes a quarter of the time of
# PyTorch's own kernel in bf16; on an Intel Xeon (Emerald Rapids) three quarters in either type.
_COLUMN_BYTES = 512


@dataclass(frozen=True)
class Recalled:
    """What N objects remember: first their maps, one after the other, then their pointers.

    values: [N, L, M] float32. keys: the same with positions in place and time. maps: how many.
    pointers: tokens of pointers at the end.
    """

    values: Tensor
    keys: Tensor
    maps: int
    pointers: int


class MemoryAttention(nn.Module):
    """Layers of attention within the frame, then to the memory.

    width: channels of the frame's map. memory_width: of what is remembered. Linear layers may be in
    half precision; sums and norms are in fp32.
    """

    def __init__(self, width: int, memory_width: int, hidden: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, memory_width, hidden) for _ in range(layers))
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, features: Tensor, memory: Recalled, rotated: int) -> Tensor:
        """The frame as each object sees it: [N, T, C] float32.

        features: [1, T, C] float32, a square map with its positions. rotated: tokens of each
        remembered map that have places in a square, the last of them.
        """
        for layer in self.layers:
            features = layer(features, memory, rotated)
        return self.layer_norm(features)


class _Layer(nn.Module):
    def __init__(self, width: int, memory_width: int, hidden: int):
        super().__init__()
        self.self_attn = _RotaryAttention(width, width)
        self.cross_attn_image = _RotaryAttention(width, memory_width)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.layer_norm1 = nn.LayerNorm(width)
        self.layer_norm2 = nn.LayerNorm(width)
        self.layer_norm3 = nn.LayerNorm(width)

    def forward(self, features: Tensor, memory: Recalled, rotated: int) -> Tensor:
        """Up to its own attention the first layer works once for all objects."""
        dtype = self.linear1.weight.dtype
        own = self.layer_norm1(features).to(dtype)
        itself = Recalled(own, own, maps=1, pointers=0)
        features = features + self.self_attn(own, itself, own.shape[1])
        features = features + self.cross_attn_image(
            self.layer_norm2(features).to(dtype), memory, rotated
        )
        hidden = F.relu(self.linear1(self.layer_norm3(features).to(dtype)))
        return features + self.linear2(hidden)


class _RotaryAttention(nn.Module):
    """Attention of one head, with places in a square as rotations (Su et al., 2021)."""

    def __init__(self, width: int, memory_width: int):
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(memory_width, width)
        self.v_proj = nn.Linear(memory_width, width)
        self.o_proj = nn.Linear(width, width)

    def forward(self, features: Tensor, memory: Recalled, rotated: int) -> Tensor:
        """[N or 1, T, C] and what N objects remember -> [N, T, C]."""
        dtype = self.q_proj.weight.dtype
        query = _rotate(self.q_proj(features)[:, None], features.shape[1])[:, 0]
        query = query.expand(len(memory.keys), -1, -1)
        key = self._keys(memory.keys.to(dtype), memory, rotated)
        values = memory.values.to(dtype)
        if features.device.type == "cpu":
            # Rows of an attention add up to 1, so values may be projected behind it, and the
            # product before has their own width: a quarter.
            return self.o_proj(self.v_proj(_attend_in_blocks(query, key, values)))
        values = self.v_proj(values)
        found = F.scaled_dot_product_attention(query[:, None], key[:, None], values[:, None])
        return self.o_proj(found[:, 0])

    def _keys(self, keys: Tensor, memory: Recalled, rotated: int) -> Tensor:
        key = self.k_proj(keys)
        if not memory.maps:
            return key
        length = key.shape[1] - memory.pointers
        placed = key[:, :length].unflatten(1, (memory.maps, -1))
        return torch.cat([_rotate(placed, rotated).flatten(1, 2), key[:, length:]], dim=1)


def _rotate(tokens: Tensor, rotated: int) -> Tensor:
    """Rotate the last so many of the tokens of maps, [N, K, P, C], by their places in a square."""
    free = tokens.shape[2] - rotated
    placed = tokens[:, :, free:].float().unflatten(-1, (-1, 2))
    turned = torch.view_as_complex(placed) * _rotations(rotated, tokens.shape[3], tokens.device)
    turned = torch.view_as_real(turned).flatten(-2).to(tokens.dtype)
    return torch.cat([tokens[:, :, :free], turned], dim=2) if free else turned


@cache
def _rotations(count: int, width: int, device: torch.device) -> Tensor:
    """By how much each place of a square turns each pair of channels: [count, C/2] complex64."""
    side = round(count**0.5)
    exponents = torch.arange(0, width, 4, dtype=torch.float32)[: width // 4] / width
    frequencies = 1.0 / _ROTATION_BASE**exponents
    places = torch.arange(count)
    columns = torch.outer((places % side).float(), frequencies)
    rows = torch.outer((places // side).float(), frequencies)
    angles = torch.cat([columns, rows], dim=1)
    return torch.polar(torch.ones_like(angles), angles).to(device)


def _attend_in_blocks(query: Tensor, key: Tensor, values: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(C)) V of [N, T, C], [N, L, C] and [N, L, M]: [N, T, M]."""
    query = query * query.shape[2] ** -0.5
    result = values.new_empty(*query.shape[:2], values.shape[2])
    rows = _COLUMN_BYTES // query.element_size()
    for row in range(len(query)):
        across = key[row].t()
        for start in range(0, query.shape[1], rows):
            block = slice(start, start + rows)
            weights = torch.mm(query[row, block], across).softmax(dim=-1)
            torch.mm(weights, values[row], out=result[row, block])
    return result
