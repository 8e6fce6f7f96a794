"""OWLv2 on transformers' model class: phrases to boxes.

Source: Minderer et al., "Scaling Open-Vocabulary Object Detection" (2023). Boxes and scores equal
those of transformers' own processor, see tests/core/engines/detectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import Detections, Embedding
from ..image_model import Statistics
from .base import ClipDetector, collect_boxes, corners

if TYPE_CHECKING:
    from transformers import Owlv2ForObjectDetection, Owlv2Model


# Of an image of 4K: its longer side, and how often its square is held while it is resized.
_LARGEST_SIDE, _SQUARES = 3840, 5


class Owlv2Detector(ClipDetector):
    """OWLv2: the image encoder in `dtype`, text encoder and heads in fp32.

    Every patch of the image is compared with every phrase; boxes do not depend on the words.
    """

    family = "owlv2"
    module: Owlv2ForObjectDetection
    model_classes = {"owlv2": "Owlv2ForObjectDetection"}
    statistics = Statistics(
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    )

    @property
    def _clip(self) -> Owlv2Model:
        return self.module.owlv2

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Features of the image's patches, [1, P, C] in the encoder's dtype."""
        vision = self._clip.vision_model
        tokens = vision(pixel_values=pixels).last_hidden_state
        tokens = vision.post_layernorm(tokens).float()
        patches = self.module.layer_norm(tokens[:, 1:] * tokens[:, :1])
        return (patches.to(self._dtype),)

    @torch.inference_mode()
    def detect(
        self, embedding: Embedding, phrases: Sequence[str], threshold: float
    ) -> list[Detections]:
        """Find boxes for each phrase, without those that repeat a better one of the same phrase.

        Raises InputError for a phrase without words or longer than the model's text (16 tokens).
        """
        patches = embedding.features[0].to(self._device).float()
        words = torch.stack([self._phrase_features(phrase) for phrase in phrases])
        logits = self.module.class_predictor(patches, words[None].to(self._device))[0]
        # The image lies at the top left of a square of its longer side.
        side = max(embedding.size)
        boxes = corners(self.module.box_predictor(patches, patches)[0]) * side
        return collect_boxes(logits[0].sigmoid(), boxes, threshold, embedding.size)

    def _text_feature(self, phrase: str) -> Tensor:
        """A phrase's feature, of length 1."""
        feature = super()._text_feature(phrase)
        return feature / feature.norm()

    def _resized(self, image: Tensor) -> Tensor:
        """Pad to a square, then shrink or enlarge to the model's: [1, 3, S, S].

        The padding's value is of no account for the boxes inside; transformers changed its own from
        0.5 to 0, and the paper has 0.5.
        """
        height, width = image.shape[-2:]
        longest = max(height, width)
        image = F.pad(image, (0, longest - width, 0, longest - height), value=0.5)
        return _resize_smoothed(image, self._config.vision_config.image_size)

    def activation_bytes(self) -> int:
        """An image of 4K, padded and blurred, takes more than the encoder and its 16 states of all
        patches."""
        vision = self._config.vision_config
        patches = (vision.image_size // vision.patch_size) ** 2
        states = 16 * patches * vision.hidden_size * self._dtype.itemsize
        return max(states, _SQUARES * 3 * 4 * _LARGEST_SIDE**2)


def _resize_smoothed(image: Tensor, side: int) -> Tensor:
    """Resize a square [1, 3, s, s] to [1, 3, S, S] as OWLv2 was trained: scikit-image's `resize`,
    which blurs by the factor of shrinking and then samples bilinearly."""
    sigma = max(0.0, (image.shape[-1] / side - 1) / 2)
    if sigma:
        # scipy cuts its kernel at four deviations.
        radius = int(4 * sigma + 0.5)
        places = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
        kernel = torch.exp(-0.5 * (places / sigma) ** 2)
        kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
        wide = F.pad(image, (radius, radius, 0, 0), mode="reflect")
        wide = F.conv2d(wide, kernel, groups=3)
        high = F.pad(wide, (0, 0, radius, radius), mode="reflect")
        image = F.conv2d(high, kernel.transpose(2, 3), groups=3)
    return F.interpolate(image, size=(side, side), mode="bilinear", align_corners=False)


DETECTOR = Owlv2Detector
