"""SegFormer on transformers' model class: of every pixel the class it belongs to.

Source: Xie et al., "SegFormer" (2021). The classes of all pixels equal those that transformers' own
post-processing finds, see tests/core/engines/detectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...opencv import cv2
from ..base import Detections, Embedding, MaskDetail
from ..image_model import FRAME_BYTES
from .base import DetectorFolder
from .classes import ClassDetector, check_task

if TYPE_CHECKING:
    from transformers import SegformerForSemanticSegmentation

# Pixels of the input along each side of one of the logits.
_STRIDE = 4
# Smaller than this in pixels of the input, a part beside larger ones is noise.
_SMALLEST = 8 * 8


@dataclass(frozen=True)
class _Winners:
    """Which class is the most likely one where, and by how much. [H, W] each, on the CPU.

    owner: the place of the best class in a list. best, second: logits of the best and the next.
    """

    owner: Tensor
    best: Tensor
    second: Tensor


class SegformerDetector(ClassDetector):
    """A SegFormer: the encoder in `dtype`, the head in fp32.

    An embedding holds the logits of all classes, [1, C, h, w]. A class may be in several places:
    its connected parts are objects, as two faces are two. Their outlines are left as they are by
    `auto`: of a box around hair a SAM would make the head.
    """

    family = "segformer"
    module: SegformerForSemanticSegmentation
    model_classes = {"segformer": "SegformerForSemanticSegmentation"}
    mask_detail = MaskDetail.EXACT
    usual_size = {"height": 512, "width": 512}

    def __init__(self, folder: DetectorFolder, dtype: torch.dtype):
        super().__init__(folder, dtype)
        # transformers' wrapper of Module.to is typed as a plain function, not as a method.
        self.module.segformer.to(dtype)  # pyright: ignore[reportArgumentType]

    @classmethod
    def model_class(cls, path: Path, config: Mapping[str, Any]) -> tuple[str, str]:
        return check_task(path, config, tuple(cls.model_classes.values())), "4.57"

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        encoder = self.module.segformer
        states = encoder(pixels, output_hidden_states=True, return_dict=True).hidden_states
        logits = self.module.decode_head(tuple(state.float() for state in states))
        # A single class has nothing to be compared with: its logit is that of a sigmoid.
        return (F.pad(logits, (0, 0, 0, 0, 0, 1)) if logits.shape[1] == 1 else logits,)

    @torch.inference_mode()
    def _find(
        self, embedding: Embedding, classes: Sequence[tuple[int, ...]], threshold: float
    ) -> Iterator[Detections]:
        """A part's score is the highest probability of its class in it."""
        logits = embedding.features[0].to(self._device)
        named = list(self._numbers.values())
        unnamed = set(range(logits.shape[1])).difference(*named)
        every = [*named, *((number,) for number in sorted(unnamed))]
        # No finer than the input: beyond that, memory would grow and no outline get better.
        height, width = (each * _STRIDE for each in logits.shape[-2:])
        size = min(embedding.size[0], height), min(embedding.size[1], width)
        winners = _find_winners(logits, every, size)
        find = partial(self._parts, logits, winners, every, threshold, embedding.size)
        return map(find, classes)

    @torch.inference_mode()
    def _parts(
        self,
        logits: Tensor,
        winners: _Winners,
        every: Sequence[tuple[int, ...]],
        threshold: float,
        size: tuple[int, int],
        numbers: tuple[int, ...],
    ) -> Detections:
        """The connected parts of one class, given by its numbers, in an image of (H, W)."""
        is_own = winners.owner == every.index(numbers)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            is_own.numpy().astype(np.uint8), connectivity=8
        )
        height, width = is_own.shape
        chance = _resize(logits.softmax(dim=1), numbers, (height, width)).cpu()
        places = torch.from_numpy(labels).long().flatten()
        scores = torch.zeros(len(stats)).scatter_reduce(0, places, chance.flatten(), "amax")
        areas = torch.from_numpy(stats[:, cv2.CC_STAT_AREA])
        areas[0] = 0
        inputs = logits.shape[-1] * logits.shape[-2] * _STRIDE**2
        smallest = min(int(areas.max()), _SMALLEST * height * width / inputs)
        is_part = areas >= max(smallest, 1)
        rows = (is_part & (scores >= threshold)).nonzero()[:, 0]
        rows = rows[scores[rows].argsort(descending=True, stable=True)]
        own = _resize(logits, numbers, (height, width)).cpu()
        margin = own - torch.where(is_own, winners.second, winners.best)
        parts = torch.from_numpy(labels) == rows.reshape(-1, 1, 1)
        boxes = torch.from_numpy(stats[rows.numpy(), :4]).float().reshape(-1, 4)
        boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
        scale = torch.tensor([size[1] / width, size[0] / height]).repeat(2)
        best = float(scores[is_part].max()) if is_own.any() else 0.0
        logits = torch.where(parts, margin, -margin.abs())
        return Detections(scores[rows], boxes * scale, logits, best)

    def activation_bytes(self) -> int:
        """The head holds maps of all stages at the first one's size, in fp32, twice and what goes
        with them; an image of 4K takes more than the smallest model."""
        config = self._config
        tokens = self._largest_area // _STRIDE**2
        stages = tokens * config.decoder_hidden_size * config.num_encoder_blocks * 4
        return max(5 * stages // 2, FRAME_BYTES)


def _resize(logits: Tensor, numbers: Sequence[int], size: tuple[int, int]) -> Tensor:
    """What there is of a class in [1, C, h, w], at the size (H, W): [H, W]."""
    # Sliced and not indexed, for which a GPU would wait.
    own = torch.cat([logits[:, number : number + 1] for number in numbers], dim=1)
    return F.interpolate(own, size=size, mode="bilinear", align_corners=False)[0].amax(dim=0)


def _find_winners(
    logits: Tensor, every: Sequence[tuple[int, ...]], size: tuple[int, int]
) -> _Winners:
    """The best of all classes at the size (H, W), class by class: all of them together would take
    hundreds of times the memory."""
    best = torch.full(size, -torch.inf, device=logits.device)
    second, owner = best.clone(), torch.zeros(size, dtype=torch.int32, device=logits.device)
    for place, numbers in enumerate(every):
        own = _resize(logits, numbers, size)
        is_best = own > best
        second = torch.where(is_best, best, torch.maximum(second, own))
        best = torch.maximum(best, own)
        owner[is_best] = place
    return _Winners(owner.cpu(), best.cpu(), second.cpu())


DETECTOR = SegformerDetector
