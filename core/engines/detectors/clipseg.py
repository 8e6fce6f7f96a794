"""CLIPSeg on transformers' model class: words to a heat map, its connected components to objects.

Source: Lüddecke and Ecker, "Image Segmentation Using Text and Image Prompts" (CVPR 2022); the heat
map equals that of transformers' `CLIPSegForImageSegmentation` with its own processor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...opencv import cv2
from ..base import Detections, Embedding, MaskDetail
from ..image_model import FRAME_BYTES
from .base import ClipDetector, DetectorFolder

if TYPE_CHECKING:
    from transformers import CLIPSegForImageSegmentation, CLIPSegModel


class ClipsegDetector(ClipDetector):
    """A CLIPSeg model: the image encoder in `dtype`, text encoder and decoder in fp32."""

    family = "clipseg"
    module: CLIPSegForImageSegmentation
    model_classes = {"clipseg": "CLIPSegForImageSegmentation"}
    mask_detail = MaskDetail.ROUGH

    def __init__(self, folder: DetectorFolder, dtype: torch.dtype):
        super().__init__(folder, dtype)
        # The decoder reads no layer behind the last of these.
        del self._clip.vision_model.encoder.layers[max(self.module.extract_layers) + 1 :]

    @property
    def _clip(self) -> CLIPSegModel:
        return self.module.clip

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The layers of the image encoder that the decoder reads: [1, T, C] each, in `dtype`."""
        vision = self._clip.vision_model
        layers = vision(pixels, output_hidden_states=True, return_dict=True).hidden_states
        # The first state is the encoder's input.
        return tuple(layers[layer + 1] for layer in self.module.extract_layers)

    @torch.inference_mode()
    def detect(
        self, embedding: Embedding, phrases: Sequence[str], threshold: float
    ) -> Iterator[Detections]:
        """Find the connected parts of each phrase's heat map that reach the threshold.

        A part's score is its highest heat. Raises InputError for a phrase without words or longer
        than the model's text (77 tokens).
        """
        layers = [layer.to(self._device).float() for layer in embedding.features]
        words = [self._phrase_features(phrase) for phrase in phrases]
        return map(partial(self._find, layers, threshold, embedding.size), words)

    @torch.inference_mode()
    def _find(
        self, layers: list[Tensor], threshold: float, size: tuple[int, int], words: Tensor
    ) -> Detections:
        """What a phrase's feature [C] names in an image of (H, W); layers: the image's, in fp32."""
        heat = self.module.decoder(layers, words[None].to(self._device), return_dict=True).logits
        return self._parts(heat.reshape(heat.shape[-2:]).cpu(), threshold, size)

    def _parts(self, heat: Tensor, threshold: float, size: tuple[int, int]) -> Detections:
        """The connected parts of one phrase's logits [h, w], in an image of (H, W)."""
        above = heat - torch.tensor(threshold).logit(eps=1e-4)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (above >= 0).numpy().astype(np.uint8), connectivity=8
        )
        # Smaller than half a patch a side, a part beside larger ones is noise: the model sees
        # nothing so small.
        largest = stats[1:, cv2.CC_STAT_AREA].max(initial=0)
        smallest = min(largest, (heat.shape[0] * self._patch_share / 2) ** 2)
        # The first component is the ground.
        numbers = [n for n in range(1, len(stats)) if stats[n, cv2.CC_STAT_AREA] >= smallest]
        parts = torch.from_numpy(labels) == torch.tensor(numbers).reshape(-1, 1, 1)
        scores = torch.tensor([float(heat[part].max()) for part in parts]).sigmoid()
        order = scores.argsort(descending=True, stable=True)
        boxes = torch.from_numpy(stats[numbers, :4]).float().reshape(-1, 4)
        boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
        scale = torch.tensor([size[1] / heat.shape[1], size[0] / heat.shape[0]]).repeat(2)
        # Other parts become outside; along its outline a part's logits stay as they are.
        logits = torch.where(parts, above, -above.abs())
        best = float(heat.max().sigmoid())
        return Detections(scores[order], (boxes * scale)[order], logits[order], best)

    @property
    def _patch_share(self) -> float:
        """A patch's side as a share of the image's."""
        vision = self._config.vision_config
        return vision.patch_size / vision.image_size

    def _input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The model's square, whatever the image's sides."""
        sides = self._image.get("size", {})
        return sides.get("height", 352), sides.get("width", 352)

    def activation_bytes(self) -> int:
        """About 32 states of all patches in the encoder, and as many of the decoder's in fp32; an
        image of 4K takes more."""
        config = self._config
        patches = (352 // config.vision_config.patch_size) ** 2
        encoder = config.vision_config.hidden_size * self._dtype.itemsize
        return 32 * patches * (encoder + config.reduce_dim * 4) + FRAME_BYTES


DETECTOR = ClipsegDetector
