"""RT-DETR, D-FINE and RF-DETR on transformers' model classes: boxes, of some RF-DETR masks.

Sources: Lv et al., "RT-DETRv2" (2024); Peng et al., "D-FINE" (2024); Robinson et al., "RF-DETR"
(2025). Boxes, scores and masks equal those of transformers' own processors, see
tests/core/engines/detectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..base import Detections, Embedding, MaskDetail
from ..image_model import FRAME_BYTES
from .base import DetectorFolder, collect_boxes, corners
from .classes import ClassDetector, check_task

_RF_DETR = "rf_detr"
_WITH_MASKS = "RfDetrForInstanceSegmentation"
# Measured at the official sizes: RF-DETR Seg medium 415, and at 640 D-FINE L 267, X 371, RT-DETR v2
# R50 292, R101 299. What does not grow with the image makes it more at 320: 321, 371, 366, 388.
_PIXEL_BYTES = 416
# The part of each model that reads pixels; what has masks holds a model without any.
_BACKBONES = {
    "RTDetrV2ForObjectDetection": "model.backbone.model",
    "RTDetrForObjectDetection": "model.backbone.model",
    "DFineForObjectDetection": "model.backbone.model",
    "RfDetrForObjectDetection": "model.backbone.backbone",
    _WITH_MASKS: "model.model.backbone.backbone",
}


class DetrDetector(ClassDetector):
    """A DETR of known classes: the backbone in `dtype`, all else in fp32.

    An embedding holds what its queries found: logits of all classes [1, Q, C], boxes [1, Q, 4] in
    shares of the image, and mask logits [1, Q, h, w] of a model that has any.
    """

    family = "detr"
    model_classes = {
        "rt_detr_v2": "RTDetrV2ForObjectDetection",
        "rt_detr": "RTDetrForObjectDetection",
        "d_fine": "DFineForObjectDetection",
        _RF_DETR: "RfDetrForObjectDetection",
    }
    usual_size = {"height": 640, "width": 640}

    def __init__(self, folder: DetectorFolder, dtype: torch.dtype):
        is_rf_detr = folder.model.config.model_type == _RF_DETR
        # As transformers' processors of the two kinds do by themselves.
        self.normalises, self.antialias = is_rf_detr, not is_rf_detr
        super().__init__(folder, dtype)
        name = type(folder.model).__name__
        self.mask_detail = MaskDetail.ROUGH if name == _WITH_MASKS else MaskDetail.NONE
        backbone = self.module.get_submodule(_BACKBONES[name]).to(dtype)
        backbone.register_forward_hook(_maps_in_fp32)

    @classmethod
    def model_class(cls, path: Path, config: Mapping[str, Any]) -> tuple[str, str]:
        usual = cls.model_classes[config["model_type"]]
        if config["model_type"] == _RF_DETR:
            return check_task(path, config, (usual, _WITH_MASKS)), "5.9"
        return check_task(path, config, (usual,)), "4.57"

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        output = self.module(pixels)
        masks = () if self.mask_detail is MaskDetail.NONE else (output.pred_masks,)
        return (output.logits, output.pred_boxes, *masks)

    @torch.inference_mode()
    def _find(
        self, embedding: Embedding, classes: Sequence[tuple[int, ...]], threshold: float
    ) -> list[Detections]:
        height, width = embedding.size
        logits, boxes, *masks = (feature[0] for feature in embedding.features)
        # There is next to nothing to compute, and the boxes are chosen on the CPU.
        chances = logits.cpu().sigmoid()
        scores = torch.stack([chances[:, numbers].amax(dim=1) for numbers in classes], dim=1)
        boxes = corners(boxes.cpu()) * torch.tensor([width, height, width, height])
        return collect_boxes(scores, boxes, threshold, embedding.size, *masks)

    def activation_bytes(self) -> int:
        """Of all models about as much for each pixel of the input, in either number type: what
        encoder, decoder and masks hold is in fp32. An image of 4K takes more than small inputs."""
        return max(_PIXEL_BYTES * self._largest_area, FRAME_BYTES)


def _maps_in_fp32(module: nn.Module, inputs: Any, output: Any) -> Any:
    """A hook: the backbone's maps in the number type of all that reads them."""
    output.feature_maps = tuple(feature.float() for feature in output.feature_maps)
    return output


DETECTOR = DetrDetector
