"""SAM 2 and SAM 2.1 on transformers' `Sam2Model`, with our own pre- and post-processing in torch.

Source: Ravi et al., "SAM 2: Segment Anything in Images and Videos" (2024); numerically equal to the
official `SAM2ImagePredictor` (sam2 1.1.0), see tests/parity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...tensors import resize_mask
from ..base import Embedding, TrackCache, TrackSession
from ..image_model import FRAME_BYTES
from ..lineage import weights
from ..lineage.layouts import Decoder, both_positions
from ..lineage.prompted import MASK_LOGIT, ModelPrompts, PromptedEngine
from .decoding import Decoded
from .encoder import streamline
from .layout import infer_decoder, infer_trunk, memory_part, to_transformers, without_memory
from .memory import TrackerMemory, attach_memory
from .tracker import TOGETHER, MemorySession

if TYPE_CHECKING:
    from transformers import Sam2Model, Sam3TrackerModel

# The maps that the mask decoder reads, of those in an embedding: SAM 3's has one more behind them.
_LEVELS = 3


class Sam2Engine(PromptedEngine):
    """A SAM 2 model: the image encoder in `dtype`, the prompt encoder and mask decoder in fp32."""

    family = "sam2"
    decoder_numbers = 170
    key_frames: int | None = None
    """The most key frames of an object that a frame of a clip is told of; None for all."""
    module: Sam2Model | Sam3TrackerModel

    def __init__(self, model: Sam2Model | Sam3TrackerModel, dtype: torch.dtype):
        super().__init__(model, dtype)
        self._image_size: int = self._config.prompt_encoder_config.image_size
        streamline(self.module.vision_encoder)
        attention: nn.Module | None = getattr(self.module, "memory_attention", None)
        for part in attention.modules() if attention is not None else ():
            if isinstance(part, nn.Linear):
                part.to(dtype)

    @property
    def memory(self) -> TrackerMemory | None:
        """What follows objects through a clip, None where the weights came without."""
        if not hasattr(self.module, "memory_attention"):
            return None
        return TrackerMemory(self.module, self._image_size)

    @property
    def no_memory(self) -> Tensor:
        """Added to the coarse map of an image that nothing came before, [1, C, 1, 1]: where the
        decoder is, which may be without the rest of the model."""
        return self.module.no_memory_embedding.reshape(1, -1, 1, 1).to(self._decoder_device)

    def track(self, frames: int, known: TrackCache | None = None) -> TrackSession:
        """Begin to follow objects through a clip, by memory where the weights hold it.

        In a clip of fewer than 16 frames their number counts, as in the official predictor.
        """
        memory = self.memory
        if memory is None:
            return super().track(frames, known)
        return MemorySession(self, memory, frames, known)

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """What the mask decoder reads: three maps at 1/4, 1/8 and 1/16 of the model's input, in the
        encoder's dtype."""
        return self._decoder_levels(self.module.vision_encoder(pixels).fpn_hidden_states)

    def _decoder_levels(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The three maps of the neck, fine to coarse -> what the mask decoder reads of them.

        The coarse one stays as it is: what it becomes depends on what came before the image.
        """
        decoder = self.module.mask_decoder
        fine = decoder.conv_s0(maps[0].float())
        middle = decoder.conv_s1(maps[1].float())
        return tuple(level.to(self._dtype) for level in (fine, middle, maps[2]))

    def _input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The model's square, whatever the image's sides."""
        return self._image_size, self._image_size

    def for_decoder(self, embedding: Embedding) -> Embedding:
        return super().for_decoder(replace(embedding, features=embedding.features[:_LEVELS]))

    @torch.inference_mode()
    def predict(
        self, embedding: Embedding, prompts: ModelPrompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        fine, middle, coarse = (level.float() for level in self.for_decoder(embedding).features)
        decoded = self.read((fine, middle), coarse + self.no_memory, prompts, multimask)
        return decoded.logits, decoded.scores

    def read(
        self,
        levels: tuple[Tensor, Tensor],
        coarse: Tensor,
        prompts: ModelPrompts,
        multimask: bool,
    ) -> Decoded:
        """Run the mask decoder for N objects.

        levels: the fine and the middle map of an image, coarse: its coarse one, [1 or N, C, S/16,
        S/16] with what is remembered of the objects, or with what says that nothing is; float32.
        """
        count = len(prompts)
        sparse, dense = self._embed_prompts(prompts)
        position = self.module.get_image_wide_positional_embeddings()
        logits, scores, tokens, presence = self.module.mask_decoder(
            image_embeddings=coarse.expand(count, -1, -1, -1),
            image_positional_embeddings=position.expand(count, -1, -1, -1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            high_resolution_features=[level.expand(count, -1, -1, -1) for level in levels],
        )
        return Decoded(logits[:, 0], scores[:, 0], tokens[:, 0], presence[:, 0])

    def _embed_prompts(self, prompts: ModelPrompts) -> tuple[Tensor, Tensor]:
        """Prompt embeddings: sparse [N, 1, T, C] (T may be 0), dense [N, C, S/16, S/16]."""
        encoder = self.module.prompt_encoder
        has_points = prompts.points.shape[1] > 0
        sparse, dense = encoder(
            input_points=prompts.points[:, None] if has_points else None,
            input_labels=prompts.labels[:, None] if has_points else None,
            input_boxes=None,
            input_masks=prompts.mask_logits,
        )
        if sparse is None:
            # The official predictor gives the decoder no prompt tokens for a mask alone.
            sparse = dense.new_zeros((len(prompts), 1, 0, encoder.hidden_size))
        return sparse, dense

    def _scale(self, size: tuple[int, int]) -> tuple[float, float]:
        height, width = size
        return self._image_size / width, self._image_size / height

    def given(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """A mask of an image, [H, W] float32, that says how an object lies there.

        Returns what its pointer is made of, the mask in the model's square, [1, 1, S, S], and its
        logits as if it had been decoded, [1, S/4, S/4]; float32 on the decoder's device.
        """
        size = (self._image_size, self._image_size)
        inside = (resize_mask(mask.to(self._decoder_device)[None], size) >= 0.5).float()
        return inside[:, None], self._low_resolution((inside * 2 - 1) * MASK_LOGIT)

    def _low_resolution(self, masks: Tensor) -> Tensor:
        return resize_mask(masks, (self._mask_side, self._mask_side))

    @property
    def _mask_side(self) -> int:
        return self.module.prompt_encoder.mask_input_size[0]

    def activation_bytes(self) -> int:
        """The encoder's first stage dominates: about 16 maps of its width at 1/4 of the input.

        Where it is narrow, two of the neck's in fp32 do, of which the decoder's maps are made; or,
        in a clip, what several objects remember: of each seven coarse maps, projected in fp32.
        """
        width = self._config.vision_config.backbone_config.hidden_size
        tokens = (self._image_size // 4) ** 2
        stage = 16 * width * self._dtype.itemsize
        neck = 2 * self._config.vision_config.fpn_hidden_size * 4
        memory = TOGETHER * 7 * self._config.vision_config.fpn_hidden_size * 20 // 16
        least = 0 if self.memory is None else memory
        return tokens * max(stage, neck, least) + FRAME_BYTES


def from_official(
    state: Mapping[str, Tensor], dtype: torch.dtype, image_size: int = 1024
) -> Sam2Engine:
    """Build the engine from an official state dict.

    image_size: the square the model was trained on, which no checkpoint records and which is 1024
    for all official ones.
    """
    trunk = infer_trunk(state)
    backbone = classes().Sam2HieraDetConfig(
        hidden_size=trunk.embed_dims[0],
        num_attention_heads=trunk.heads[0],
        image_size=[image_size, image_size],
        window_positional_embedding_background_size=list(trunk.background_size),
        blocks_per_stage=list(trunk.depths),
        embed_dim_per_stage=list(trunk.embed_dims),
        num_attention_heads_per_stage=list(trunk.heads),
        window_size_per_stage=list(trunk.windows),
        global_attention_blocks=list(trunk.global_blocks),
        mlp_ratio=trunk.mlp_ratio,
    )
    config = model_config(backbone, trunk.embed_dims, infer_decoder(state), image_size)
    return Sam2Engine(build_model(config, to_transformers(state), memory_part(state)), dtype)


def from_transformers(
    config: Mapping[str, Any], state: Mapping[str, Tensor], dtype: torch.dtype
) -> Sam2Engine:
    """Build the engine from a transformers folder: its config.json and its state dict.

    Takes `sam2` and `sam2_video` models.
    """
    model = build_model(folder_config(config), image_part(state), memory_part(state))
    return Sam2Engine(model, dtype)


def folder_config(config: Mapping[str, Any], vision: Any = None) -> Any:
    """A `Sam2Config` from a folder's config.json; vision replaces its image encoder's part."""
    parts = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    own = {part: config[part] for part in parts if part in config}
    return classes().Sam2Config(**(own if vision is None else {**own, "vision_config": vision}))


def image_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A folder's weights without those that only a clip uses."""
    return both_positions(without_memory(state))


def classes() -> Any:
    """transformers, which has the model classes; CheckpointError where it is too old for them."""
    return weights.classes("SAM 2", "Sam2Model", "4.57")


def model_config(backbone: Any, widths: Sequence[int], decoder: Decoder, image_size: int) -> Any:
    """A `Sam2Config` from the trunk's configuration, its channels per stage and the decoder."""
    vision = vision_config(backbone, widths, decoder.hidden_size, image_size)
    prompts = classes().Sam2PromptEncoderConfig(
        hidden_size=decoder.hidden_size, image_size=image_size
    )
    masks = classes().Sam2MaskDecoderConfig(**decoder_arguments(decoder))
    return classes().Sam2Config(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks
    )


def decoder_arguments(decoder: Decoder) -> dict[str, int]:
    """A mask decoder's architecture as transformers' configurations take it."""
    return {
        "hidden_size": decoder.hidden_size,
        "mlp_dim": decoder.mlp,
        "num_hidden_layers": decoder.layers,
        "attention_downsample_rate": decoder.downsample,
        "num_multimask_outputs": decoder.masks,
        "iou_head_hidden_dim": decoder.iou_hidden,
    }


def vision_config(backbone: Any, widths: Sequence[int], hidden: int, image_size: int) -> Any:
    """A `Sam2VisionConfig` from the trunk's configuration and its channels per stage."""
    return classes().Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=list(reversed(widths)),
        backbone_feature_sizes=[[image_size // stride] * 2 for stride in (4, 8, 16)],
        fpn_hidden_size=hidden,
    )


def build_model(
    config: Any,
    state: Mapping[str, Tensor],
    memory: Mapping[str, Tensor],
    trunk: nn.Module | None = None,
) -> Sam2Model:
    """Instantiate on no device and adopt the tensors as they are.

    memory: the weights that only a clip uses, which may be too few to follow anything.
    trunk: takes the place of the image encoder's own; its weights are then not in the state.
    Raises CheckpointError for missing and unknown weights and for other shapes.
    """
    with torch.device("meta"):
        model = classes().Sam2Model(config)
    if trunk is not None:
        model.vision_encoder.backbone = nn.Module()
    weights.adopt_weights(model, state, "SAM 2")
    if trunk is not None:
        model.vision_encoder.backbone = trunk
    attach_memory(model, memory, "SAM 2")
    return model
