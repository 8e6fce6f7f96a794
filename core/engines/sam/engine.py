"""SAM on transformers' `SamModel`, with the official pre- and post-processing.

Source: Kirillov et al., "Segment Anything" (2023); numerically equal to the official `SamPredictor`
(segment_anything 1.0), see tests/parity.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...prompts.prompts import ObjectPrompt
from ...tensors import resize_mask
from ..base import Embedding
from ..image_model import FRAME_BYTES, Statistics
from ..lineage import weights
from ..lineage.layouts import both_positions
from ..lineage.prompted import ModelPrompts, PromptedEngine
from .encoder import bias_bytes, streamline
from .layout import (
    Encoder,
    infer_decoder,
    infer_encoder,
    infer_mask_channels,
    to_transformers,
)

if TYPE_CHECKING:
    from transformers import SamHQModel, SamModel

# What the official decoder's norms add to the variance. transformers' default is another, and it
# writes that into the folders it converts.
_NORM_EPS = 1e-5
_PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
# What the names of transformers' classes begin with, and what the model is called.
_TITLES = {"Sam": "SAM", "SamHQ": "HQ-SAM"}


class SamEngine(PromptedEngine):
    """A SAM model: the image encoder in `dtype`, the prompt encoder and mask decoder in fp32.

    An image lies in the top left of the model's square, its longer side as long as the square's.
    """

    family = "sam"
    decoder_numbers = 140
    module: SamModel | SamHQModel
    # ImageNet's, of pixels in 0..255, as the official model holds them.
    statistics = Statistics((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

    def __init__(self, model: SamModel | SamHQModel, dtype: torch.dtype):
        super().__init__(model, dtype)
        self._image_size: int = self._config.vision_config.image_size

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """A map at 1/16 of the model's input, in the encoder's dtype."""
        return (self.module.vision_encoder(pixels).last_hidden_state,)

    def _host_pixels(self, frame: Tensor) -> Tensor:
        """Resize as the official predictor does: [h, w, 3] uint8 on the CPU.

        The predictor resizes 8 bit images with Pillow, and torch's results are not close to that.
        """
        height, width = _fit((frame.shape[0], frame.shape[1]), self._image_size)
        picture = Image.fromarray((frame * 255).round().to(torch.uint8).cpu().numpy())
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(picture))

    def _pixels(self, frame: Tensor) -> Tensor:
        """Normalise what `_host_pixels` gives and pad it with zeros: [1, 3, S, S] in the encoder's
        dtype on its device."""
        pixels = frame.to(self._device, non_blocking=True).float()
        image = self.statistics.normalise(pixels.permute(2, 0, 1)[None])
        return _pad(image, self._image_size).to(self._dtype)

    def _group_key(self, prompt: ObjectPrompt) -> Hashable:
        # Without a box, the prompt encoder adds a token that stands for none.
        return len(prompt.points), prompt.box is not None, prompt.mask is not None

    @torch.inference_mode()
    def predict(
        self, embedding: Embedding, prompts: ModelPrompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        sparse, dense = self._embed_prompts(prompts)
        features = [level.float() for level in self.for_decoder(embedding).features]
        return self._decode_tokens(
            features, sparse, dense.expand(len(prompts), -1, -1, -1), multimask
        )

    def _embed_prompts(self, prompts: ModelPrompts) -> tuple[Tensor | None, Tensor]:
        """Prompt embeddings: sparse [N, 1, T, C], None for a mask alone; dense [N, C, S/16, S/16].

        transformers takes the corners of a box apart from the clicks.
        """
        points, labels = prompts.points, prompts.labels
        clicks = 2 if prompts.has_boxes else 0
        has_clicks = points.shape[1] > clicks
        return self.module.prompt_encoder(
            input_points=points[:, None, clicks:] if has_clicks else None,
            input_labels=labels[:, None, clicks:] if has_clicks else None,
            input_boxes=points[:, :2].reshape(-1, 1, 4) if prompts.has_boxes else None,
            input_masks=prompts.mask_logits,
        )

    def _decode_tokens(
        self, features: list[Tensor], sparse: Tensor | None, dense: Tensor, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Run the mask decoder for N objects: logits [N, K, S/4, S/4] and scores [N, K].

        features: those of one embedding, in fp32 on the device. sparse, dense: [N, ...].
        """
        position = self.module.get_image_wide_positional_embeddings()
        logits, scores = self.module.mask_decoder(
            image_embeddings=features[0].expand_as(dense),
            image_positional_embeddings=position.expand_as(dense),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )[:2]
        return logits[:, 0], scores[:, 0]

    def _scale(self, size: tuple[int, int]) -> tuple[float, float]:
        height, width = _fit(size, self._image_size)
        return width / size[1], height / size[0]

    def _low_resolution(self, masks: Tensor) -> Tensor:
        side = self._mask_side
        return _pad(resize_mask(masks, _fit((masks.shape[1], masks.shape[2]), side)), side)

    @property
    def _mask_side(self) -> int:
        return self._image_size // 4

    def to_logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Upsample logits [K, h, w] to the model's square, cut off its padding, and bring the rest
        to the image's size, bilinear both times, as the official model does: [K, H, W] float32."""
        height, width = _fit(size, self._image_size)
        square = super().to_logits(logits, (self._image_size, self._image_size))
        return super().to_logits(square[:, :height, :width], size)

    def activation_bytes(self) -> int:
        """The encoder's MLP, its hidden layer twice and a few maps of its width, and the bias, of
        which there are two for a moment."""
        config = self._config.vision_config
        tokens = (self._image_size // config.patch_size) ** 2
        maps = tokens * (2 * config.mlp_dim + 4 * config.hidden_size) * self._dtype.itemsize
        return maps + 2 * bias_bytes(tokens, self._dtype, self._device) + FRAME_BYTES


def from_official(state: Mapping[str, Tensor], dtype: torch.dtype) -> SamEngine:
    """Build the engine from an official state dict."""
    return SamEngine(build_official(state, "Sam"), dtype)


def from_transformers(
    config: Mapping[str, Any], state: Mapping[str, Tensor], dtype: torch.dtype
) -> SamEngine:
    """Build the engine from a transformers folder: its config.json and its state dict."""
    return SamEngine(build_folder(config, state, "Sam"), dtype)


def build_official(state: Mapping[str, Tensor], kind: str, **decoder_extra: int) -> Any:
    """The model of an official state dict.

    kind: what the names of transformers' classes begin with. decoder_extra: further settings of the
    mask decoder.
    """
    config = official_config(infer_encoder(state), state, **decoder_extra)
    return _build(kind, config, to_transformers(state))


def build_folder(config: Mapping[str, Any], state: Mapping[str, Tensor], kind: str) -> Any:
    """The model of a transformers folder; kind as for `build_official`."""
    parts = {part: config.get(part) or {} for part in _PARTS}
    return _build(kind, parts, both_positions(state))


def official_config(
    encoder: Encoder, state: Mapping[str, Tensor], **decoder_extra: int
) -> dict[str, Any]:
    """What a folder's config.json would say of an official checkpoint, from its shapes."""
    decoder = infer_decoder(state)
    vision = {
        "hidden_size": encoder.width,
        "output_channels": decoder.hidden_size,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.heads,
        "image_size": encoder.image_size,
        "patch_size": encoder.patch_size,
        "window_size": encoder.window,
        "global_attn_indexes": list(encoder.global_blocks),
        "num_pos_feats": decoder.hidden_size // 2,
        "mlp_dim": encoder.mlp,
    }
    prompts = {
        "hidden_size": decoder.hidden_size,
        "image_size": encoder.image_size,
        "patch_size": encoder.patch_size,
        "mask_input_channels": infer_mask_channels(state),
    }
    masks = {
        "hidden_size": decoder.hidden_size,
        "mlp_dim": decoder.mlp,
        "num_hidden_layers": decoder.layers,
        "attention_downsample_rate": decoder.downsample,
        "num_multimask_outputs": decoder.masks,
        "iou_head_hidden_dim": decoder.iou_hidden,
        **decoder_extra,
    }
    return dict(zip(_PARTS, (vision, prompts, masks), strict=True))


def _build(kind: str, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Any:
    """Instantiate without memory and adopt the tensors as they are.

    Raises CheckpointError for missing and unknown weights and for other shapes.
    """
    model = empty_model(kind, config)
    weights.adopt_weights(model, state, _TITLES[kind])
    streamline(model.vision_encoder)
    return model


def empty_model(kind: str, config: Mapping[str, Any]) -> Any:
    """The model of a configuration without its weights; kind as for `build_official`."""
    library = weights.classes(_TITLES[kind], f"{kind}Model", "4.57")
    vision, prompts, masks = (config[part] for part in _PARTS)
    whole = getattr(library, f"{kind}Config")(
        vision_config=vision,
        prompt_encoder_config=prompts,
        mask_decoder_config={**masks, "layer_norm_eps": _NORM_EPS},
    )
    with torch.device("meta"):
        return getattr(library, f"{kind}Model")(whole)


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(H, W) scaled so that the longer of the two is `side`, rounded as the official code does."""
    scale = side / max(size)
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def _pad(maps: Tensor, side: int) -> Tensor:
    """Zeros at the right and the bottom: [..., h, w] -> [..., side, side]."""
    return F.pad(maps, (0, side - maps.shape[-1], 0, side - maps.shape[-2]))
