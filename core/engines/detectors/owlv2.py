"""OWLv2 on transformers' model class: phrases to boxes.

Source: Minderer et al., "Scaling Open-Vocabulary Object Detection" (2023). Boxes and scores equal
those of transformers' own processor, see tests/core/engines/detectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import Detections, Embedding, MaskDetail
from .base import DetectorFolder, check_length, collect_boxes, corners, normalise, phrase_tokens

MODEL_CLASSES = {"owlv2": "Owlv2ForObjectDetection"}
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


class Owlv2Detector:
    """OWLv2: the image encoder in `dtype`, text encoder and heads in fp32.

    Every patch of the image is compared with every phrase; boxes do not depend on the words.
    """

    family = "owlv2"
    mask_detail = MaskDetail.NONE

    def __init__(self, folder: DetectorFolder, dtype: torch.dtype):
        self.module = folder.model.eval().requires_grad_(False).float()
        self._dtype = dtype
        self._tokenizer = folder.tokenizer
        self._image = folder.image
        self.module.owlv2.vision_model.to(dtype)
        self._phrase_features = lru_cache(maxsize=1024)(self._encode_phrase)

    @torch.inference_mode()
    def encode(self, frame: Tensor) -> Embedding:
        """Embed one frame, [H, W, 3] float32, 0..1: features of its patches, [1, P, C] in the
        encoder's dtype."""
        vision = self.module.owlv2.vision_model
        tokens = vision(pixel_values=self._pixels(frame).to(self._dtype)).last_hidden_state
        tokens = vision.post_layernorm(tokens).float()
        patches = self.module.layer_norm(tokens[:, 1:] * tokens[:, :1])
        return Embedding((patches.to(self._dtype),), (frame.shape[0], frame.shape[1]))

    @torch.inference_mode()
    def detect(
        self, embedding: Embedding, phrases: Sequence[str], threshold: float
    ) -> list[Detections]:
        """Find boxes for each phrase, without those that repeat a better one of the same phrase.

        Raises InputError for a phrase without words or longer than the model's text (16 tokens).
        """
        patches = embedding.features[0].to(self._device).float()
        words = torch.stack([self._phrase_features(phrase) for phrase in phrases])
        logits, _ = self.module.class_predictor(patches, words[None].to(self._device))
        # The image lies at the top left of a square of its longer side.
        side = max(embedding.size)
        boxes = corners(self.module.box_predictor(patches, patches)[0]) * side
        return collect_boxes(logits[0].sigmoid(), boxes, threshold, embedding.size)

    def _encode_phrase(self, phrase: str) -> Tensor:
        """A phrase's feature: [C] float32 of length 1, on the CPU."""
        model = self.module.owlv2
        limit = model.config.text_config.max_position_embeddings
        tokens = self._tokenizer(phrase, return_tensors="pt")
        check_length(phrase, phrase_tokens(tokens.input_ids), limit - 2, "OWLv2")
        pooled = model.text_model(**tokens.to(self._device)).pooler_output
        feature = model.text_projection(pooled)[0]
        return (feature / feature.norm()).cpu()

    def _pixels(self, frame: Tensor) -> Tensor:
        """Pad to a square, shrink or enlarge to the model's and normalise: [1, 3, S, S].

        The padding's value is of no account for the boxes inside; transformers changed its own from
        0.5 to 0, and the paper has 0.5.
        """
        image = frame.to(self._device).permute(2, 0, 1)[None]
        height, width = image.shape[-2:]
        longest = max(height, width)
        image = F.pad(image, (0, longest - width, 0, longest - height), value=0.5)
        side = self.module.config.vision_config.image_size
        image = _resize_smoothed(image, side)
        mean = self._image.get("image_mean", _MEAN)
        return normalise(image, mean, self._image.get("image_std", _STD))

    @property
    def _device(self) -> torch.device:
        return next(self.module.parameters()).device

    def activation_bytes(self) -> int:
        """The attention of the patches dominates, should the device compute it as a whole."""
        vision = self.module.config.vision_config
        patches = (vision.image_size // vision.patch_size) ** 2
        return 2 * vision.num_attention_heads * patches**2 * self._dtype.itemsize


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


def from_folder(folder: DetectorFolder, dtype: torch.dtype) -> Owlv2Detector:
    """Build the detector of a transformers folder; dtype is the image encoder's."""
    return Owlv2Detector(folder, dtype)
