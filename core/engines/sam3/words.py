"""SAM 3's text head: every instance of what a phrase names, with its score, box and mask.

Beside a phrase it reads example boxes: what looks like this is wanted too, or is not.

Source: Carion et al., "SAM 3: Segment Anything with Concepts" (2025), and `Sam3Processor` of the
official implementation (sam3 0.1.4), to which it is numerically equal, see tests/parity. It reads
the embedding that `sam3.Sam3Engine` makes, so words cost no second encoding of the image. Unlike
transformers' `Sam3Model` it computes masks for the instances that are kept, not for all queries.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...errors import CheckpointError, EngineError
from ...prompts.prompts import Box
from ..base import Detections, Embedding, MaskDetail
from .engine import Sam3Engine, TextHead
from .exemplars import encode_prompt
from .tokens import ClipTokenizer

if TYPE_CHECKING:
    from transformers import Sam3Model

# Phrases whose features are kept: 32 KB each at the most.
_KEPT_PHRASES = 512
# The token of padding, which the official implementation masks wherever it stands.
_PADDING = 0


class ConceptDetector:
    """The text head of an engine. Keeps the features of phrases, on the CPU, and no images."""

    mask_detail = MaskDetail.EXACT

    def __init__(self, engine: Sam3Engine, tokenizer: ClipTokenizer):
        """Raises CheckpointError for weights without a text head and for another vocabulary."""
        head = engine.text_head
        if head is None:
            raise CheckpointError(
                "SAM 3: these weights hold the tracker alone, without the text head. Choose the "
                "whole model in Load SAM, a single file or a folder of model type sam3_video, or a "
                "detector in Text Segment."
            )
        entries = head.text_encoder.embeddings.token_embedding.num_embeddings
        if len(tokenizer) != entries:
            raise CheckpointError(
                f"SAM 3: the tokenizer has {len(tokenizer)} entries, the text encoder {entries}. "
                "Take vocab.json and merges.txt of the repository that the weights are from."
            )
        self._engine = engine
        self._head = head
        self._tokenizer = tokenizer
        self._features: OrderedDict[str, Tensor] = OrderedDict()

    @torch.inference_mode()
    def detect(
        self, embedding: Embedding, phrases: Sequence[str], threshold: float
    ) -> Iterator[Detections]:
        """Find the instances of each phrase that score `threshold` or more, each phrase when it is
        asked for.

        Raises InputError for an empty or over-long phrase, EngineError where numbers overflow.
        """
        return self.detect_like(embedding, phrases, [()] * len(phrases), threshold)

    @torch.inference_mode()
    def detect_like(
        self,
        embedding: Embedding,
        phrases: Sequence[str],
        examples: Sequence[tuple[Box, ...]],
        threshold: float,
    ) -> Iterator[Detections]:
        """The same with example boxes beside each phrase, in pixels of the image.

        With boxes alone the phrase is `prompts.examples.VISUAL`. Raises like `detect`.
        """
        prompts = [self._phrase(phrase) for phrase in phrases]
        # A generator would hold a phrase's masks while it makes the next one's.
        return map(partial(_detect, _Scene(self._head, embedding), threshold), prompts, examples)

    def for_decoder(self, embedding: Embedding) -> Embedding:
        """What `refine` reads of an embedding, on the model's device."""
        return self._engine.for_decoder(embedding)

    def refine(self, embedding: Embedding, found: Detections) -> Detections:
        """Draw each instance anew with the tracker's head, which reads the same embedding."""
        if found.logits is None:
            raise ValueError("detections without masks cannot be drawn anew")
        return replace(found, logits=self._engine.refine(embedding, found.boxes, found.logits))

    def _phrase(self, phrase: str) -> Tensor:
        """Features of a phrase's tokens, [1, T, C] float32, from the cache where they are there."""
        if phrase not in self._features:
            self._features[phrase] = self._encode(phrase).cpu()
        self._features.move_to_end(phrase)
        while len(self._features) > _KEPT_PHRASES:
            self._features.popitem(last=False)
        return self._features[phrase]

    def _encode(self, phrase: str) -> Tensor:
        """Nothing is padded: attention is causal, and whatever reads the features masks padding."""
        encoder = self._head.text_encoder
        limit = encoder.embeddings.position_embedding.num_embeddings
        tokens = torch.tensor([self._tokenizer.encode(phrase, limit)])
        tokens = tokens.to(encoder.embeddings.token_embedding.weight.device)
        states = encoder(input_ids=tokens).last_hidden_state
        features = self._head.detector.text_projection(states.float())
        if not torch.isfinite(features).all():
            raise EngineError(
                f"precision: the text encoder overflowed in {str(states.dtype)[6:]}. Choose bf16 "
                "or fp32 in Load SAM."
            )
        return features[:, tokens[0] != _PADDING]


class _Scene:
    """What the detector reads of an image, made when it is first needed. All float32."""

    def __init__(self, head: TextHead, embedding: Embedding):
        self.detector = head.detector
        self.size = embedding.size
        self._neck = head.neck
        self._trunk = embedding.features[-1].to(next(self._neck.parameters()).device)
        # Several phrases share their boxes.
        self._tokens: dict[tuple[Box, ...], Tensor] = {}

    @cached_property
    def coarse(self) -> Tensor:
        """The level that instances are found on, [1, C, h, w]."""
        return self._neck.fpn_layers[2](self._trunk).float()

    @cached_property
    def fine(self) -> list[Tensor]:
        """The two finer levels, for masks."""
        return [layer(self._trunk).float() for layer in self._neck.fpn_layers[:2]]

    @cached_property
    def position(self) -> Tensor:
        """Sine codes of the places in `coarse`, of the same shape."""
        height, width = self.coarse.shape[-2:]
        rows, columns = (_fractions(side, self.coarse.device) for side in (height, width))
        codes = self._neck.position_encoding
        _, of_rows = codes.encode_1d_positions(rows, rows)
        of_columns, _ = codes.encode_1d_positions(columns, columns)
        code = torch.cat(
            (
                of_rows[:, None].expand(-1, width, -1),
                of_columns[None].expand(height, -1, -1),
            ),
            dim=-1,
        )
        return code.permute(2, 0, 1)[None]

    def tokens(self, boxes: tuple[Box, ...]) -> Tensor:
        """What ends every prompt: tokens of its boxes and the class token, [1, N + 1, C].

        The official detector appends the class token with and without boxes; transformers, with.
        """
        if boxes not in self._tokens:
            self._tokens[boxes] = encode_prompt(
                self.detector.geometry_encoder, self.coarse, self.position, boxes, self.size
            )
        return self._tokens[boxes]


def _fractions(side: int, device: torch.device) -> Tensor:
    """Places of a row of `side` cells as fractions, the last being 1: [side] float32."""
    return torch.arange(1, side + 1, device=device, dtype=torch.float32) / (side + 1e-6)


@torch.inference_mode()
def _detect(
    scene: _Scene, threshold: float, phrase: Tensor, examples: tuple[Box, ...]
) -> Detections:
    """Run the detector on one phrase's features [1, T, C], on any device, and its boxes."""
    detector = scene.detector
    prompt = torch.cat((phrase.to(scene.coarse.device), scene.tokens(examples)), dim=1)
    encoded = detector.detr_encoder(
        vision_features=[scene.coarse],
        text_features=prompt,
        vision_pos_embeds=[scene.position],
    )
    decoded = detector.detr_decoder(
        vision_features=encoded.last_hidden_state,
        text_features=prompt,
        vision_pos_encoding=encoded.pos_embeds_flattened,
        spatial_shapes=encoded.spatial_shapes,
    )
    # Of the decoder's layers, the last one counts.
    queries = decoded.intermediate_hidden_states[-1:]
    logits = detector.dot_product_scoring(queries, prompt)[0, 0, :, 0]
    scores = logits.sigmoid() * decoded.presence_logits[-1, 0].sigmoid()
    order = scores.argsort(descending=True, stable=True)
    # One copy to the host for all that it asks. The threshold is compared as the scores are.
    ranked = scores[order].cpu()
    least = float(np.float32(threshold))
    kept = order[: int((ranked >= least).sum())]
    boxes = _boxes(detector, queries[0, 0, kept], decoded.reference_boxes[-1, 0, kept], scene.size)
    masks = _masks(scene, queries[0, :, kept], encoded.last_hidden_state, prompt)
    return Detections(ranked[: len(kept)], boxes, masks, float(ranked[0]))


def _boxes(
    detector: Sam3Model, queries: Tensor, references: Tensor, size: tuple[int, int]
) -> Tensor:
    """Boxes [N, 4] xyxy in pixels, cut to the image, from references [N, 4] as centre and size."""
    offsets = detector.detr_decoder.box_head(queries)
    # The official inverse of the sigmoid.
    start = torch.log(references.clamp(min=1e-3) / (1 - references).clamp(min=1e-3))
    centre, extent = (start + offsets).sigmoid().chunk(2, dim=-1)
    corners = torch.cat((centre - extent / 2, centre + extent / 2), dim=-1)
    height, width = size
    return corners.clamp(0, 1) * corners.new_tensor((width, height, width, height))


def _masks(scene: _Scene, queries: Tensor, encoded: Tensor, prompt: Tensor) -> Tensor:
    """Mask logits [N, h, w] of queries [1, N, C]."""
    if queries.shape[1] == 0:
        side = 4 * scene.coarse.shape[-1]
        return queries.new_zeros((0, side, side))
    masks = scene.detector.mask_decoder(
        decoder_queries=queries,
        backbone_features=[*scene.fine, scene.coarse],
        encoder_hidden_states=encoded,
        prompt_features=prompt,
    )
    return masks.pred_masks[0]
