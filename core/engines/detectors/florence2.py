"""Florence-2 on transformers' model class: a sentence to boxes, or to the outline of what it means.

Source: Xiao et al., "Florence-2: Advancing a Unified Representation for a Variety of Vision Tasks"
(2023). It answers in text, with places as words of their own; boxes and outlines equal those of
transformers' own processor and its `generate`, see tests/core/engines/detectors.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import CheckpointError
from ...opencv import cv2
from ..base import Detections, Embedding, MaskDetail
from ..image_model import FRAME_BYTES
from .base import DetectorFolder, FolderDetector, inside

if TYPE_CHECKING:
    from transformers import Florence2ForConditionalGeneration

# The two tasks, as the model was trained to be asked for them.
_BOXES, _OUTLINE = "Locate {} in the image.", "Locate {} in the image with mask"
# How transformers' processor calls reading their answers.
_BOX_ANSWER, _OUTLINE_ANSWER = "description_with_bboxes_or_polygons", "polygons"
# As in the official examples.
_MOST_WORDS = 1024
# How the released models choose an answer, which their folders' generation_config.json says too.
_RELEASED = {"num_beams": 3, "no_repeat_ngram_size": 3, "early_stopping": True}
# A sentence has a few dozen words. What is much longer is no description of a thing.
_MOST_ASKED = 128
# Of its own masks, on the longer side; places are told apart in a thousand steps.
_MASK_SIDE = 1000
_SIDE = 768
# Maps of the first stage's width, at 1/4 of the input, that are there at a time.
_WIDE_MAPS = 12


class Florence2Detector(FolderDetector):
    """A Florence-2: the image encoder in `dtype`, text encoder and decoder in fp32.

    It says where things are and not how sure it is: every score is 1, and 0 where it finds nothing.
    Boxes are asked for, and outlines only of a detector that `drawing` gave.
    """

    family = "florence2"
    module: Florence2ForConditionalGeneration
    model_classes = {"florence2": "Florence2ForConditionalGeneration"}
    mask_detail = MaskDetail.ROUGH

    def __init__(self, folder: DetectorFolder, dtype: torch.dtype):
        super().__init__(folder, dtype)
        # transformers' wrapper of Module.to is typed as a plain function, not as a method.
        self.module.model.vision_tower.to(dtype)  # pyright: ignore[reportArgumentType]
        self._own_generation = folder.generation
        self._draws = False

    @classmethod
    def model_class(cls, path: Path, config: Mapping[str, Any]) -> tuple[str, str]:
        """As of FolderDetector; refuses a folder in the layout of the first release, whose model is
        code in the folder.

        Raises CheckpointError naming a repository with the same weights.
        """
        if "auto_map" in config:
            raise CheckpointError(
                f"{path}: this is Florence-2 in the layout of its first release, which needs code "
                "from its folder, and such code is never run. Download the same weights from "
                "florence-community/Florence-2-base (or -large, -base-ft, -large-ft) instead."
            )
        return super().model_class(path, config)

    def drawing(self) -> Florence2Detector:
        """The same model, asked for the outline of what a sentence means."""
        other = copy.copy(self)
        other._draws = True
        return other

    def _host_pixels(self, frame: Tensor) -> Tensor:
        """Resize to the model's square as the official processor does: [S, S, 3] uint8 on the CPU.

        With Pillow, as 8 bits; PyTorch's results differ, and some devices have no such function.
        """
        picture = Image.fromarray((frame * 255).round().to(torch.uint8).cpu().numpy())
        height, width = self._input_size((frame.shape[0], frame.shape[1]))
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(picture))

    def _pixels(self, frame: Tensor) -> Tensor:
        pixels = frame.to(self._device, non_blocking=True).float() / 255
        return self.statistics.normalise(pixels.permute(2, 0, 1)[None]).to(self._dtype)

    def _input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The model's square, whatever the image's sides."""
        sides = self._image.get("size", {})
        return sides.get("height", _SIDE), sides.get("width", _SIDE)

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The image as the words that the text encoder reads, [B, T, C] in the encoder's dtype."""
        output: Any = self.module.model.vision_tower(pixels)
        # Only newer releases of transformers wrap it.
        maps = getattr(output, "last_hidden_state", output)
        return (self.module.model.multi_modal_projector(maps.float()).to(self._dtype),)

    @torch.inference_mode()
    def detect(
        self, embedding: Embedding, phrases: Sequence[str], threshold: float
    ) -> Iterator[Detections]:
        """Find the boxes of what each phrase names, or the outline of what it means.

        Raises InputError for a phrase without words or too long for the model.
        """
        image = embedding.features[0].to(self._device).float()
        asked = [self._words(phrase) for phrase in phrases]
        return map(partial(self._find, image, embedding.size), asked)

    def _words(self, phrase: str) -> Tensor:
        """The request for a phrase as the text encoder reads it, [1, T] on the CPU."""
        tokens = self._tokenizer(phrase, add_special_tokens=False).input_ids
        self._check_length(phrase, len(tokens), _MOST_ASKED)
        request = (_OUTLINE if self._draws else _BOXES).format(phrase)
        words = self._tokenizer(request, add_special_tokens=False).input_ids
        ends = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        return torch.tensor([[ends[0], *words, ends[1]]])

    @torch.inference_mode()
    def _find(self, image: Tensor, size: tuple[int, int], words: Tensor) -> Detections:
        """What a request is answered with, in an image of (H, W); image: its features, in fp32."""
        kind = _OUTLINE_ANSWER if self._draws else _BOX_ANSWER
        answer = self._answer(image, words)
        width_first = (size[1], size[0])
        parsed = self._reader(sequence=answer, image_size=width_first, parse_tasks=kind)[kind]
        boxes = torch.tensor([_box(one) for one in parsed]).reshape(-1, 4)
        boxes = inside(boxes.float(), size)
        is_box = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        outlines = [one for one, is_kept in zip(parsed, is_box.tolist(), strict=True) if is_kept]
        logits = _filled(outlines, size) if self._draws else None
        count = len(outlines)
        return Detections(torch.ones(count), boxes[is_box], logits, float(count > 0))

    def _answer(self, image: Tensor, words: Tensor) -> list[int]:
        """The words of the model's answer to a request, behind the one that all begin with."""
        from transformers.modeling_outputs import BaseModelOutput

        model: Any = self.module
        read = model.get_input_embeddings()(words.to(self._device))
        encoded = model.model.language_model.encoder(inputs_embeds=torch.cat([image, read], dim=1))
        answer = model.generate(
            encoder_outputs=BaseModelOutput(encoded[0]), generation_config=self._generation
        )
        return answer[0, 1:].tolist()

    @cached_property
    def _generation(self) -> Any:
        """How an answer is chosen: always the same one."""
        from transformers import GenerationConfig

        first, last = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        own = {key: self._own_generation.get(key, value) for key, value in _RELEASED.items()}
        most = self._own_generation.get("max_new_tokens") or _MOST_WORDS
        return GenerationConfig(
            **own,
            bos_token_id=first,
            forced_bos_token_id=first,
            eos_token_id=last,
            forced_eos_token_id=last,
            decoder_start_token_id=last,
            pad_token_id=self._tokenizer.pad_token_id,
            do_sample=False,
            max_new_tokens=min(most, _MOST_WORDS),
        )

    @cached_property
    def _reader(self) -> Any:
        """transformers' own reading of answers."""
        from transformers.models.florence2.processing_florence2 import Florence2PostProcessor

        return Florence2PostProcessor({_BOX_ANSWER: {}, _OUTLINE_ANSWER: {}}, self._tokenizer)

    def activation_bytes(self) -> int:
        """The first stage of the image encoder, at a quarter of the input's sides."""
        height, width = self._input_size((0, 0))
        channels: int = self._config.vision_config.embed_dim[0]
        maps = _WIDE_MAPS * channels * (height // 4) * (width // 4) * self._dtype.itemsize
        return maps + FRAME_BYTES


def _box(found: Mapping[str, Any]) -> list[float]:
    """The box [x1, y1, x2, y2] of a part of an answer, around all of its polygons."""
    if "polygons" not in found:
        return found["bbox"]
    points = np.concatenate([np.empty((0, 2)), *_polygons(found)])
    if not len(points):
        return [0.0] * 4
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def _polygons(found: Mapping[str, Any]) -> list[np.ndarray]:
    """The polygons of a part of an answer, [N, 2] in pixels each, of at least three corners."""
    polygons = [np.array(each, dtype=np.float64).reshape(-1, 2) for each in found["polygons"]]
    return [polygon for polygon in polygons if len(polygon) > 2]


def _filled(outlines: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> Tensor:
    """1 inside of an outline's polygons and -1 outside, for each: [N, h, w] of an image (H, W)."""
    scale = min(1.0, _MASK_SIDE / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    masks = np.zeros((len(outlines), height, width), np.uint8)
    for mask, outline in zip(masks, outlines, strict=True):
        for polygon in _polygons(outline):
            # One by one: together, what two have in common would be a hole.
            cv2.fillPoly(mask, [np.floor(polygon * scale).astype(np.int32)], 1)
    return torch.from_numpy(masks).float() * 2 - 1


DETECTOR = Florence2Detector
