"""SAM 3 and 3.1 on transformers' classes: one image trunk, the tracker's head and the detector's.

Source: Carion et al., "SAM 3: Segment Anything with Concepts" (2025); numerically equal to the
official implementation (sam3 0.1.4), see tests/parity. The tracker's head takes points, boxes and
masks as SAM 2 does, so that engine's decoder serves it; the detector's takes words and is in
`words`. An image is encoded once for both.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import CheckpointError
from ...tensors import resize_mask
from ..base import Embedding
from ..image_model import FRAME_BYTES, Statistics
from ..lineage import weights
from ..lineage.prompted import BOX_LABELS, ModelPrompts
from ..sam2 import engine as sam2
from ..sam2 import layout as sam2_layout
from ..sam2.memory import attach_memory
from . import layout as sam3_layout

if TYPE_CHECKING:
    from transformers import CLIPTextModel, Sam2Model, Sam3Model, Sam3TrackerModel
    from transformers.models.sam3.modeling_sam3 import Sam3VisionNeck

# Instances in one decoder run when they are drawn anew.
_REFINED = 8
# The logits of a mask that somebody gave.
_SURE = 1024.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextHead:
    """The parts of a model that understand words.

    detector: a `Sam3Model` without encoders. neck: its own, which reads the trunk. text_encoder:
    phrases to features.
    """

    detector: Sam3Model
    neck: Sam3VisionNeck
    text_encoder: CLIPTextModel


class Sam3Engine(sam2.Sam2Engine):
    """A SAM 3 model: image encoder and text encoder in `dtype`, all heads in fp32."""

    family = "sam3"
    encoders = ("vision_encoder", "text_encoder")
    key_frames = 4
    statistics = Statistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def __init__(self, model: Sam3TrackerModel, dtype: torch.dtype):
        super().__init__(model, dtype)
        _compute_tables(model)

    @property
    def text_head(self) -> TextHead | None:
        """What understands words, None where the weights came without."""
        return _text_head(self.module)

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The three maps of the tracker's mask decoder, as in SAM 2, and the trunk's own
        [1, C, S/14, S/14], all in the encoder's dtype.

        The text head makes its maps from the trunk's when it needs them: they take six times the
        memory, and a twentieth of the time.
        """
        encoder = self.module.vision_encoder
        tokens = encoder.backbone(pixels).last_hidden_state
        side = self._image_size // self._backbone.patch_size
        trunk = tokens.transpose(1, 2).unflatten(2, (side, side))
        levels = self._decoder_levels([layer(trunk) for layer in encoder.neck.fpn_layers])
        return levels if self.text_head is None else (*levels, trunk)

    @torch.inference_mode()
    def refine(self, embedding: Embedding, boxes: Tensor, logits: Tensor) -> Tensor:
        """Draw what the text head found anew with the tracker's head.

        boxes: [N, 4] float32, xyxy in pixels. logits: [N, S/3.5, S/3.5] float32. Returns logits of
        the same shape.
        """
        embedding = self.for_decoder(embedding)
        scale = torch.tensor(self._scale(embedding.size), device=boxes.device)
        corners = boxes.reshape(-1, 2, 2) * scale
        labels = torch.tensor(BOX_LABELS, dtype=torch.int32, device=boxes.device)
        refined = torch.empty_like(logits)
        for start in range(0, len(boxes), _REFINED):
            part = slice(start, start + _REFINED)
            points = corners[part].to(self._decoder_device)
            prompts = ModelPrompts(
                points,
                labels.expand(len(points), -1).to(self._decoder_device),
                logits[part, None].to(self._decoder_device),
                has_boxes=True,
            )
            masks, _ = self.predict(embedding, prompts, multimask=False)
            refined[part] = masks[:, 0].to(logits.device)
        return refined

    def given(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As for SAM 2, but the pointer is made of the mask with its soft edges, at four times the
        size of logits, and the logits are sure of every pixel."""
        mask = mask.to(self._decoder_device)[None]
        side = 4 * self._mask_side
        logits = self._low_resolution(((mask > 0.5) * 2.0 - 1.0) * _SURE)
        return resize_mask(mask, (side, side))[:, None], logits

    @property
    def _backbone(self) -> Any:
        return self._config.vision_config.backbone_config

    def activation_bytes(self) -> int:
        """The finest level of the neck dominates: four maps of a quarter of the trunk's width, at
        16 times its tokens. The text head's decoder of masks takes as much again, in fp32."""
        tokens = (self._image_size // self._backbone.patch_size) ** 2
        finest = 16 * tokens * self._backbone.hidden_size // 4
        return 4 * finest * (self._dtype.itemsize + 4) + FRAME_BYTES


def from_official(
    state: Mapping[str, Tensor], dtype: torch.dtype, image_size: int = 1008
) -> Sam3Engine:
    """Build the engine from an official state dict, of SAM 3 or 3.1, or of ComfyUI's files.

    image_size: the square the model was trained on, which is 1008 for all releases.
    """
    converted = sam3_layout.to_transformers(state)
    vision = sam3_layout.infer_vision(converted, image_size)
    decoder = sam3_layout.infer_decoder(state)
    backbone = vision["backbone_config"]
    prompts = classes().Sam3TrackerPromptEncoderConfig(
        hidden_size=decoder.hidden_size, image_size=image_size, patch_size=backbone["patch_size"]
    )
    masks = classes().Sam3TrackerMaskDecoderConfig(**sam2.decoder_arguments(decoder))
    tracker = classes().Sam3TrackerConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks
    )
    detector = classes().Sam3Config(vision_config=vision, **sam3_layout.infer_detector(converted))
    memory = sam3_layout.memory_part(state)
    return Sam3Engine(build_model(tracker, detector, converted, memory), dtype)


def from_transformers(
    config: Mapping[str, Any], state: Mapping[str, Tensor], dtype: torch.dtype
) -> Sam3Engine:
    """Build the engine from a transformers folder: its config.json and its state dict.

    Takes `sam3_video`, the published layout, whole; of `sam3_tracker` and `sam3_tracker_video`,
    which have no detector, points, boxes and masks. Raises CheckpointError for `sam3`, which has
    nothing but the detector.
    """
    if config["model_type"] == "sam3":
        raise CheckpointError(
            "SAM 3 folder: model type sam3 holds the text head alone; points, boxes and masks need "
            "the tracker too. Download the whole repository, whose model type is sam3_video, or "
            "the single file."
        )
    is_whole = config["model_type"] == "sam3_video"
    tracker = (config.get("tracker_config") or {}) if is_whole else config
    detector = classes().Sam3Config(**(config.get("detector_config") or {})) if is_whole else None
    parts = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    own = {part: tracker[part] for part in parts if part in tracker}
    if detector is not None:
        own["vision_config"] = detector.vision_config
    model = classes().Sam3TrackerConfig(**own)
    backbone = model.vision_config.backbone_config
    # transformers saves its default here, whatever the model.
    model.prompt_encoder_config.image_size = backbone.image_size
    for each in filter(None, (model, detector)):
        scales = sam3_layout.neck_scales(backbone.image_size // backbone.patch_size)
        for name, value in scales.items():
            setattr(each.vision_config, name, value)
    converted = sam3_layout.from_folder(state)
    memory = sam2_layout.memory_part(converted)
    return Sam3Engine(build_model(model, detector, sam2.image_part(converted), memory), dtype)


def classes() -> Any:
    """transformers, which has the model classes; CheckpointError where it is too old for them."""
    return weights.classes("SAM 3", "Sam3Model", "5.0")


def build_model(
    tracker: Any, detector: Any | None, state: Mapping[str, Tensor], memory: Mapping[str, Tensor]
) -> Sam3TrackerModel:
    """Instantiate on no device and adopt the tensors as they are.

    tracker: a `Sam3TrackerConfig`. detector: a `Sam3Config`, None for a model without text head.
    memory: the weights that only a clip uses, which may be too few to follow anything.
    Raises CheckpointError for missing weights and for other shapes. Further weights are left out
    and logged: ComfyUI, for which most of these files are made, ignores them as well.
    """
    with torch.device("meta"):
        model = classes().Sam3TrackerModel(tracker)
        if detector is not None:
            backbone = tracker.vision_config.backbone_config
            side = backbone.image_size // backbone.patch_size
            _attach(model, classes().Sam3Model(detector), side)
    expected = model.state_dict().keys()
    unknown = sorted(state.keys() - expected)
    if unknown:
        log.warning("SAM 3: %d weights are of no use here, such as %s", len(unknown), unknown[0])
    known = {key: tensor for key, tensor in state.items() if key in expected}
    weights.adopt_weights(model, known, "SAM 3")
    attach_memory(model, memory, "SAM 3")
    return model


def _attach(model: Sam3TrackerModel, detector: Sam3Model, side: int) -> None:
    """Give a tracker the heads of a detector, which will read the same trunk, of side x side."""
    model.vision_encoder.detector_neck = detector.vision_encoder.neck
    model.text_encoder = detector.text_encoder.text_model
    del detector.vision_encoder, detector.text_encoder
    # transformers keeps results of its own method in a cache, and with them the whole decoder.
    detector.detr_decoder._get_coords = partial(_grid_coordinates, side)
    model.detector = detector


def _text_head(model: Sam2Model | Sam3TrackerModel) -> TextHead | None:
    """What `_attach` gave the model, None where it gave nothing."""
    detector: Sam3Model | None = getattr(model, "detector", None)
    text_encoder: CLIPTextModel | None = getattr(model, "text_encoder", None)
    if detector is None or text_encoder is None:
        return None
    return TextHead(detector, model.vision_encoder.detector_neck, text_encoder)


def _grid_coordinates(
    side: int, height: Tensor, width: Tensor, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Rows and columns of a grid as fractions of its size: [side] and [side].

    height, width: both `side`, on the device, where asking for them would wait for all work.
    """
    places = torch.arange(side, device=device, dtype=dtype) / side
    return places, places


def _compute_tables(model: Sam3TrackerModel) -> None:
    """Fill in what no checkpoint holds: positions and rotary frequencies.

    In fp32 also where weights are in half precision: bf16 rounds positions by half their spacing.
    """
    trunk = model.vision_encoder.backbone
    for layer in trunk.layers:
        rotary = layer.rotary_emb
        layer.position_ids = layer.precompute_positions(trunk.config, layer.window_size)
        rotary.inv_freq, _ = rotary.compute_axial_rope_parameters(trunk.config)
        rotary.original_inv_freq = rotary.inv_freq.clone()
    head = _text_head(model)
    if head is not None:
        embeddings = head.text_encoder.embeddings
        length = embeddings.position_embedding.num_embeddings
        embeddings.register_buffer("position_ids", torch.arange(length)[None], persistent=False)
