"""The protocol of all engines: encode an image once, decode prompts as often as needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..prompts import ObjectPrompt


@dataclass(frozen=True)
class Embedding:
    """What an engine needs of an image to decode prompts. features: tensors of any shape and type.

    size: (H, W) of the image in pixels.
    """

    features: tuple[Tensor, ...]
    size: tuple[int, int]

    def to(self, device: torch.device | str) -> Embedding:
        return Embedding(tuple(tensor.to(device) for tensor in self.features), self.size)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.features)


@dataclass(frozen=True)
class Candidates:
    """The masks an engine proposes for one object, in its own order.

    logits: [K, h, w] float32, above 0 inside, at the engine's own resolution. scores: [K] float32,
    the engine's estimate of each mask's IoU; SAM's and HQ-SAM's may lie a little outside 0..1.
    """

    logits: Tensor
    scores: Tensor


class Engine(Protocol):
    """A local model. Engines hold no images and no state between calls."""

    family: str
    """The name of its `families.Family`."""
    module: nn.Module | None
    """The weights, None for an engine without any. The host moves it between devices."""

    def encode(self, frame: Tensor) -> Embedding:
        """Embed one frame ([H, W, 3] float32, 0..1, any device) on the model's device."""

    def decode(
        self, embedding: Embedding, prompts: Sequence[ObjectPrompt], multimask: bool
    ) -> list[Candidates]:
        """Propose masks for each object; multimask asks for several where the model has them."""

    def to_logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Bring logits [K, h, w] to the image's size: [K, H, W] float32."""

    def to_masks(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Bring logits [K, h, w] to the image's size and threshold them: [K, H, W] bool."""

    def activation_bytes(self) -> int:
        """An estimate of the memory that encoding one frame takes beside the weights."""
