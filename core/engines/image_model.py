"""What all models with weights share: their place and number type, and how they see an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ..tensors import resize_planes
from .base import Embedding, Prepared

# An image of 4K on its way to an encoder, beside what the encoder itself needs.
FRAME_BYTES = 2**27


@dataclass(frozen=True)
class Statistics:
    """Means and deviations of red, green and blue in the images that a model was trained on."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalise(self, image: Tensor) -> Tensor:
        """Bring an image [1, 3, h, w], in the range of the statistics, to mean 0, deviation 1."""
        mean, std = _on_device(self, image.device)
        return (image - mean) / std


@cache
def _on_device(statistics: Statistics, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation, [1, 3, 1, 1] float32 each: copied to a device once."""
    mean, std = (
        torch.tensor(part, device=device).reshape(1, 3, 1, 1)
        for part in (statistics.mean, statistics.std)
    )
    return mean, std


IMAGENET = Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class ImageModel:
    """A model of transformers' classes whose image encoder runs in `dtype`.

    Subclasses say how large the encoder's input is (`_input_size`), what is kept of its output
    (`_features`), and of which class the module is.
    """

    family: str
    module: Any
    """The weights."""
    statistics = IMAGENET
    """Of the pixels that the encoder reads."""

    def __init__(self, model: nn.Module, dtype: torch.dtype):
        self.module = model.eval().requires_grad_(False)
        self._dtype = dtype

    def encode(self, frame: Tensor) -> Embedding:
        """Embed one frame, [H, W, 3] float32, 0..1; `_features` says what the features are."""
        return self.encode_batch([self.prepare(frame)])[0]

    def prepare(self, frame: Tensor) -> Prepared:
        """A frame as the host hands it to the model's device."""
        return Prepared(self._host_pixels(frame), (frame.shape[0], frame.shape[1]))

    @torch.inference_mode()
    def encode_batch(self, frames: Sequence[Prepared]) -> list[Embedding]:
        """Embed frames of one size together. The features are parts of what they share."""
        images = [self._pixels(frame.pixels) for frame in frames]
        features = self._features(images[0] if len(images) == 1 else torch.cat(images))
        return [
            Embedding(tuple(feature[row : row + 1] for feature in features), frame.size)
            for row, frame in enumerate(frames)
        ]

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """What decoding needs of images, [B, 3, h, w] as `_pixels` makes them: [B, ...] each."""
        raise NotImplementedError

    def _host_pixels(self, frame: Tensor) -> Tensor:
        """What `_pixels` takes of a frame [H, W, 3]."""
        return frame

    def _pixels(self, frame: Tensor) -> Tensor:
        """A frame [H, W, 3] as the image encoder reads it: resized and normalised, [1, 3, h, w] in
        the encoder's dtype on its device."""
        # From pinned memory, see `pinned`, the host does not wait for the copy.
        image = frame.to(self._device, non_blocking=True).permute(2, 0, 1)[None]
        return self.statistics.normalise(self._resized(image)).to(self._dtype)

    def _resized(self, image: Tensor) -> Tensor:
        """Resize an image [1, 3, H, W] to the encoder's input, antialiased: [1, 3, h, w]."""
        size = self._input_size((image.shape[2], image.shape[3]))
        return resize_planes(image, size)

    def _input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the encoder's input for an image of (H, W)."""
        raise NotImplementedError

    def activation_bytes(self) -> int:
        """An estimate of the memory that encoding one frame takes beside the weights."""
        raise NotImplementedError

    @property
    def _device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def _config(self) -> Any:
        """The model's configuration, whose parts transformers types as of any kind."""
        return self.module.config
