"""ViTMatte on transformers' model class: an image and its trimap to the alpha of what is unknown.

Source: Yao et al., "ViTMatte: Boosting Image Matting with Pretrained Plain Vision Transformers"
(2023). Alphas equal those of transformers' `VitMatteForImageMatting` with its own processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import CheckpointError
from ..files.checkpoints import read_config
from ..files.folders import build_model, read_settings
from ..image_model import Statistics
from ..lineage import weights

if TYPE_CHECKING:
    from transformers import VitMatteForImageMatting

TILE = 512
"""Side of the largest tile in pixels: what the published models were trained on. Some blocks attend
to all of a tile, so that four times the pixels would take sixteen times the memory."""
_MODEL_TYPE = "vitmatte"
_BACKBONE = "vitdet"
_MULTIPLE = 32
_MODEL_CLASS = "VitMatteForImageMatting"
# What the decoder holds at the image's size at once, in copies of the last layer's features.
_LAST_COPIES = 4


def load_matting(path: Path, dtype: torch.dtype) -> VitMatte:
    """Load a transformers folder of a ViTMatte; dtype is the image encoder's.

    Raises CheckpointError where the folder is incomplete, unreadable or of another model.
    """
    config = read_config(path / "config.json")
    _check_config(path, config)
    weights.classes("ViTMatte", _MODEL_CLASS, "4.57")
    return VitMatte(
        build_model(path, _MODEL_CLASS), read_settings(path, "preprocessor_config.json"), dtype
    )


def _check_config(path: Path, config: Mapping[str, Any]) -> None:
    if config.get("model_type") != _MODEL_TYPE:
        raise CheckpointError(
            f"{path}: config.json names the model type {config.get('model_type')!r}; accepted: "
            f"{_MODEL_TYPE}. Choose another matting_model in Mask Refine."
        )
    backbone = config.get("backbone_config")
    found = backbone.get("model_type") if isinstance(backbone, Mapping) else None
    # Any other one transformers would fetch by its name.
    if found != _BACKBONE or config.get("backbone"):
        raise CheckpointError(
            f"{path}: config.json names the backbone {config.get('backbone') or found!r}; accepted "
            f"is a backbone_config of the type {_BACKBONE}. Download the whole repository again."
        )


class VitMatte:
    """A ViTMatte: the image encoder in `dtype`, all that makes alphas of it in fp32."""

    family = "vitmatte"

    def __init__(
        self, model: VitMatteForImageMatting, image: Mapping[str, Any], dtype: torch.dtype
    ):
        """image: the folder's preprocessor_config.json, empty where it has none."""
        self.module = model.float().eval().requires_grad_(False)
        # transformers' wrapper of Module.to is typed as a plain function, not as a method.
        self.module.backbone.to(dtype)  # pyright: ignore[reportAttributeAccessIssue]
        self._dtype = dtype
        half = (0.5, 0.5, 0.5)
        self._statistics = Statistics(
            tuple(image.get("image_mean", half)), tuple(image.get("image_std", half))
        )
        self.multiple = int(image.get("size_divisor", image.get("size_divisibility", _MULTIPLE)))

    @torch.inference_mode()
    def alphas(self, tiles: Sequence[Tensor]) -> Tensor:
        """The alphas of tiles of one size, [h, w, 4] each: [N, h, w] float32, 0..1.

        Sides that are no multiple of the model's are padded with zeros below and at the right.
        """
        height, width = tiles[0].shape[:2]
        pixels = self._pixels(tiles)
        features = self.module.backbone(pixels.to(self._dtype)).feature_maps[-1]
        return self.module.decoder(features.float(), pixels)[:, 0, :height, :width]

    def _pixels(self, tiles: Sequence[Tensor]) -> Tensor:
        """Tiles as the model reads them, normalised and padded: [N, 4, h, w] float32."""
        device = next(self.module.parameters()).device
        stacked = torch.stack([tile.to(device, non_blocking=True) for tile in tiles])
        planes = stacked.permute(0, 3, 1, 2)
        pixels = torch.cat([self._statistics.normalise(planes[:, :3]), planes[:, 3:]], dim=1)
        down, across = (-side % self.multiple for side in pixels.shape[-2:])
        return F.pad(pixels, (0, across, 0, down))

    def activation_bytes(self) -> int:
        """Of a tile of the largest size: the decoder's last block, which works on its pixels."""
        config: Any = self.module.config
        *_, before, last = config.fusion_hidden_sizes
        channels = 2 * before + 4 + _LAST_COPIES * last
        return 4 * TILE**2 * channels
