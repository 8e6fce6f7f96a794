"""The protocol of all engines: encode an image once, decode prompts as often as needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..prompts import ObjectPrompt


@dataclass(frozen=True)
class Capabilities:
    """The kinds of prompt an engine understands."""

    points: bool = False
    boxes: bool = False
    negative_boxes: bool = False
    masks: bool = False


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
    the engine's estimate of each mask's IoU, 0..1.
    """

    logits: Tensor
    scores: Tensor


class Engine(Protocol):
    """A local model. Engines hold no images and no state between calls."""

    family: str
    """Key of CAPABILITIES."""
    module: nn.Module | None
    """The weights, None for an engine without any. The host moves it between devices."""

    def encode(self, frame: Tensor) -> Embedding:
        """Embed one frame ([H, W, 3] float32, 0..1, any device) on the model's device."""

    def decode(
        self, embedding: Embedding, prompts: Sequence[ObjectPrompt], multimask: bool
    ) -> list[Candidates]:
        """Propose masks for each object; multimask asks for several where the model has them."""

    def to_masks(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Bring logits [K, h, w] to the image's size and threshold them: [K, H, W] bool."""

    def activation_bytes(self) -> int:
        """An estimate of the memory that encoding one frame takes beside the weights."""


# Declared here rather than in the engines, so that asking imports no model code.
CAPABILITIES = {
    "grabcut": Capabilities(points=True, boxes=True, negative_boxes=True, masks=True),
    "sam2": Capabilities(points=True, boxes=True, masks=True),
    "edgetam": Capabilities(points=True, boxes=True, masks=True),
}


def check_prompts(family: str, prompts: Sequence[ObjectPrompt]) -> None:
    """Refuse prompts that an engine of this family cannot take.

    Raises InputError naming the prompt's kind and the families that take it.
    """
    for prompt in prompts:
        used = {
            "points": bool(prompt.points),
            "boxes": prompt.box is not None,
            "negative_boxes": bool(prompt.negative_boxes),
            "masks": prompt.mask is not None,
        }
        for kind in (kind for kind, is_used in used.items() if is_used):
            if not getattr(CAPABILITIES[family], kind):
                takers = [name for name, able in CAPABILITIES.items() if getattr(able, kind)]
                raise InputError(
                    f"{prompt.label}: {family} takes no {kind.replace('_', ' ')}; accepted by "
                    f"{', '.join(takers)}. Choose one of them in Load SAM or remove that prompt."
                )
