"""What SAM 2's mask decoder answers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Decoded:
    """What the mask decoder says of N objects, float32.

    logits: [N, K, S/4, S/4], above 0 inside. scores: [N, K]. tokens: [N, K, C], what each mask was
    made of, of a single mask also where the decoder put another one in its place. presence: [N, 1],
    above 0 for objects that are in the image.
    """

    logits: Tensor
    scores: Tensor
    tokens: Tensor
    presence: Tensor
