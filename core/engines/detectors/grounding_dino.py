"""Grounding DINO and MM Grounding DINO on transformers' model classes: phrases to boxes.

Sources: Liu et al., "Grounding DINO" (2023); Zhao et al., "MM-Grounding-DINO" (2024). Boxes and
scores equal those of transformers' own processors, see tests/core/engines/detectors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..base import Detections, Embedding
from .base import DetectorFolder, FolderDetector, collect_boxes, corners

if TYPE_CHECKING:
    from transformers import GroundingDinoForObjectDetection, MMGroundingDinoForObjectDetection

# Captions separate phrases by these, which a phrase must not hold itself.
_SEPARATORS = re.compile(r"[.?]")
# What a full caption and the queries take, whatever the image's size.
_WORDS_BYTES = 2**25


class GroundingDinoDetector(FolderDetector):
    """Grounding DINO or MM Grounding DINO: the image encoder in `dtype`, all else in fp32.

    All phrases go into one caption, as in training. A box belongs to the phrase whose best token
    scores highest on it, so labels are the phrases and nothing between them.
    """

    family = "grounding_dino"
    module: GroundingDinoForObjectDetection | MMGroundingDinoForObjectDetection
    model_classes = {
        "grounding-dino": "GroundingDinoForObjectDetection",
        "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
    }

    def __init__(self, folder: DetectorFolder, dtype: torch.dtype):
        super().__init__(folder, dtype)
        backbone = self.module.model.backbone
        self._stored_maps = _StoredMaps(backbone.conv_encoder.model.to(dtype))
        backbone.register_module("conv_encoder", self._stored_maps)
        self._tokens = lru_cache(maxsize=1024)(self._tokenize)

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The image encoder's maps, in its dtype."""
        return tuple(self._stored_maps.model(pixels).feature_maps)

    @torch.inference_mode()
    def detect(
        self, embedding: Embedding, phrases: Sequence[str], threshold: float
    ) -> list[Detections]:
        """Find boxes for each phrase, without those that repeat a better one of the same phrase.

        Raises InputError for a phrase without words or longer than the model's text (256 tokens).
        """
        results = []
        for caption in self._captions(phrases):
            logits, boxes = self._ask(embedding, caption)
            chances = logits.sigmoid()
            scores = [chances[:, start:end].amax(dim=1) for start, end in caption.spans]
            results += collect_boxes(torch.stack(scores, dim=1), boxes, threshold, embedding.size)
        return results

    def _ask(self, embedding: Embedding, caption: _Caption) -> tuple[Tensor, Tensor]:
        """Run the model: logits [Q, T] of each query and token, boxes [Q, 4] in pixels, xyxy."""
        height, width = embedding.size
        ids = torch.tensor([caption.ids], device=self._device)
        self._stored_maps.maps = embedding.to(self._device).features
        # Of the pixels, the model now needs no more than their size.
        pixels = torch.zeros(1, device=self._device).expand(1, 3, *self._input_size(embedding.size))
        output = self.module(
            pixel_values=pixels, input_ids=ids, attention_mask=torch.ones_like(ids)
        )
        self._stored_maps.maps = ()
        scale = torch.tensor([width, height, width, height], device=self._device)
        return output.logits[0], corners(output.pred_boxes[0]) * scale

    def _captions(self, phrases: Sequence[str]) -> list[_Caption]:
        """As few captions as hold all phrases in their order."""
        limit = self._config.max_text_len
        # A caption has its two end tokens, and a phrase the point that ends it.
        budget = limit - 2
        groups: list[list[tuple[int, ...]]] = [[]]
        for phrase in phrases:
            tokens = self._tokens(phrase)
            self._check_length(phrase, len(tokens), budget - 1)
            if sum(len(each) + 1 for each in (*groups[-1], tokens)) > budget:
                groups.append([])
            groups[-1].append(tokens)
        return [self._caption(group) for group in groups]

    def _caption(self, phrases: Sequence[tuple[int, ...]]) -> _Caption:
        tokenizer = self._tokenizer
        point = tokenizer.convert_tokens_to_ids(".")
        ids, spans = [tokenizer.cls_token_id], []
        for tokens in phrases:
            spans.append((len(ids), len(ids) + len(tokens)))
            ids += [*tokens, point]
        return _Caption([*ids, tokenizer.sep_token_id], spans)

    def _tokenize(self, phrase: str) -> tuple[int, ...]:
        text = _SEPARATORS.sub(" ", phrase.lower())
        return tuple(self._tokenizer(text, add_special_tokens=False).input_ids)

    def _input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the model's input for an image of (H, W), whose proportion is kept."""
        from transformers.image_transforms import get_size_with_aspect_ratio

        sides = self._image.get("size", {})
        shortest, longest = sides.get("shortest_edge", 800), sides.get("longest_edge", 1333)
        return get_size_with_aspect_ratio(size, shortest, longest)

    def activation_bytes(self) -> int:
        """The fusion of image and text dominates: about 70 maps of the largest input in fp32, and
        what goes with queries and words."""
        sides = self._image.get("size", {})
        area = sides.get("shortest_edge", 800) * sides.get("longest_edge", 1333)
        return 70 * (area // 64 * 4 // 3) * self._config.d_model * 4 + _WORDS_BYTES


@dataclass(frozen=True)
class _Caption:
    """Token ids of a whole caption, and where in it each phrase's tokens begin and end."""

    ids: list[int]
    spans: list[tuple[int, int]]


class _StoredMaps(nn.Module):
    """Takes the place of Grounding DINO's image encoder: gives out maps that were made before."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.maps: tuple[Tensor, ...] = ()

    def forward(self, pixels: Tensor, pixel_mask: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The maps in fp32, each with a mask [1, h, w] that says all of it is image."""
        return [
            (each.float(), pixel_mask.new_ones((1, *each.shape[-2:]), dtype=torch.bool))
            for each in self.maps
        ]


DETECTOR = GroundingDinoDetector
