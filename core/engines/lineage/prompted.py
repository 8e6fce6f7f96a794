"""What the engines of the SAM lineage share: groups of prompts, number types, the final masks."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...prompts.prompts import Box, ObjectPrompt
from ...results.compact_mask import INSIDE, tight_box
from ..base import Candidates, Embedding, Engine, TrackCache, TrackSession
from ..image_model import ImageModel

# A mask prompt stands for the logits of an earlier prediction; this far from 0 it is decided.
MASK_LOGIT = 10.0
# Objects in one decoder run. A CPU gets slower per object beyond a few, since they leave its cache.
_CPU_OBJECTS, _GPU_OBJECTS = 4, 16
# Beside a model's own: a mask of 4K from the decoder.
_MASK_BYTES = 2**26
# The parts of the models that decode prompts.
_DECODER_PARTS = ("shared_image_embedding", "prompt_encoder", "mask_decoder")
# The corners of a box among the labels of points; clicks are 0 and 1.
BOX_LABELS = (2, 3)


@dataclass(frozen=True)
class ModelPrompts:
    """The prompts of N objects of the same kinds and number, as a model takes them.

    points: [N, P, 2] float32 in pixels of the model's square, P may be 0. labels: [N, P] int, 1 and
    0 for clicks, 2 and 3 for the corners of a box, which come first. mask_logits: [N, 1, S/4, S/4]
    float32, None for objects without masks. has_boxes: whether the labels are known to begin with
    those of a box.
    """

    points: Tensor
    labels: Tensor
    mask_logits: Tensor | None
    has_boxes: bool

    def __len__(self) -> int:
        return len(self.points)


class PromptedEngine(ImageModel):
    """A model of encoders, in `dtype`, and of prompt encoder and mask decoder, in fp32.

    Subclasses say how an image is encoded, how it lies in the model's square of S x S pixels
    (`_scale`, `_low_resolution`) and what a decoder run is (`predict`).
    """

    encoders: tuple[str, ...] = ("vision_encoder",)
    """The parts of the model that run in `dtype`."""
    decoder_numbers: int
    """Numbers in fp32 that decoding an object holds at a time, for each pixel of its mask as the
    model draws it."""

    def __init__(self, model: nn.Module, dtype: torch.dtype):
        super().__init__(model, dtype)
        for name, part in self.module.named_children():
            part.to(dtype if name in self.encoders else torch.float32)
        for parameter in self.module.parameters(recurse=False):
            parameter.data = parameter.data.float()

    @property
    def decoder(self) -> nn.Module:
        """The parts that decode prompts: these may be on another device than the encoders, as long
        as nothing is encoded."""
        parts = self.module.named_children()
        return nn.ModuleDict({name: part for name, part in parts if name in _DECODER_PARTS})

    def decoder_bytes(self, objects: int) -> int:
        """An estimate of the memory that decoding so many objects takes beside the weights."""
        numbers = min(objects, _GPU_OBJECTS) * self.decoder_numbers * self._mask_side**2
        return 4 * numbers + _MASK_BYTES

    @property
    def _mask_side(self) -> int:
        """Of the model's own masks, in pixels."""
        raise NotImplementedError

    @property
    def _decoder_device(self) -> torch.device:
        return next(self.module.mask_decoder.parameters()).device

    def for_decoder(self, embedding: Embedding) -> Embedding:
        """What decoding reads of an embedding, on the model's device."""
        return embedding.to(self._decoder_device)

    @torch.inference_mode()
    def decode(
        self, embedding: Embedding, prompts: Sequence[ObjectPrompt], multimask: bool
    ) -> list[Candidates]:
        """Propose masks for each object: several for multimask, else one.

        Objects with the same number of points share one decoder run: padding them to a common
        number would change the attention's result. A mask alone is given the box around it: in
        training, masks came with other prompts.
        """
        embedding = self.for_decoder(embedding)
        prompts = [_with_box(prompt) for prompt in prompts]
        groups: dict[Hashable, list[int]] = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault(self._group_key(prompt), []).append(index)
        results: dict[int, Candidates] = {}
        limit = _CPU_OBJECTS if self._decoder_device.type == "cpu" else _GPU_OBJECTS
        for group in groups.values():
            for members in (group[i : i + limit] for i in range(0, len(group), limit)):
                chosen = self.model_prompts([prompts[i] for i in members], embedding.size)
                logits, scores = self.predict(embedding, chosen, multimask)
                for row, index in enumerate(members):
                    results[index] = Candidates(logits[row], scores[row])
        return [results[index] for index in range(len(prompts))]

    def _group_key(self, prompt: ObjectPrompt) -> Hashable:
        """Objects with equal keys have prompts of the same kinds and number."""
        return len(prompt.points) + 2 * (prompt.box is not None), prompt.mask is not None

    def predict(
        self, embedding: Embedding, prompts: ModelPrompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Decode N objects: logits [N, K, S/4, S/4] and scores [N, K], both float32."""
        raise NotImplementedError

    def model_prompts(self, prompts: Sequence[ObjectPrompt], size: tuple[int, int]) -> ModelPrompts:
        """The prompts of objects that have the same kinds and number, in pixels of an image of
        (H, W)."""
        has_boxes = all(prompt.box is not None for prompt in prompts)
        return ModelPrompts(*self._points(prompts, size), self._mask_logits(prompts), has_boxes)

    def _points(
        self, prompts: Sequence[ObjectPrompt], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Points in pixels of the model's square [N, P, 2] float32 and labels [N, P] int32.

        A box is two points, its corners, before the clicks.
        """
        rows, labels = [], []
        for prompt in prompts:
            row = [(point.x, point.y) for point in prompt.points]
            label = [int(point.positive) for point in prompt.points]
            if prompt.box is not None:
                box = prompt.box
                row = [(box.x1, box.y1), (box.x2, box.y2), *row]
                label = [*BOX_LABELS, *label]
            rows.append(row)
            labels.append(label)
        scale = torch.tensor(self._scale(size), dtype=torch.float64)
        points = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), -1, 2) * scale
        return (
            points.float().to(self._decoder_device),
            torch.tensor(labels, dtype=torch.int32).to(self._decoder_device),
        )

    def _scale(self, size: tuple[int, int]) -> tuple[float, float]:
        """Factors (x, y) from pixels of an image of size (H, W) to those of the model's square."""
        raise NotImplementedError

    def _mask_logits(self, prompts: Sequence[ObjectPrompt]) -> Tensor | None:
        """Mask prompts as low-resolution logits [N, 1, S/4, S/4] float32, None without masks."""
        masks = [
            prompt.mask.to(self._decoder_device) for prompt in prompts if prompt.mask is not None
        ]
        if not masks:
            return None
        return (self._low_resolution(torch.stack(masks))[:, None] * 2.0 - 1.0) * MASK_LOGIT

    def _low_resolution(self, masks: Tensor) -> Tensor:
        """Masks of an image [N, H, W] float32, brought to a quarter of the model's square."""
        raise NotImplementedError

    def to_masks(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Upsample logits [K, h, w] to (H, W), then threshold at 0: [K, H, W] bool."""
        return self.to_logits(logits, size) > 0

    def to_logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Upsample logits [K, h, w] to the image's size, bilinear: [K, H, W] float32."""
        return F.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]

    def cpu_decoder(self) -> Engine:
        """The prompt encoder and the mask decoder on the CPU, for a thread of its own."""
        decoder = copy.copy(self)
        decoder.module = _decoder_copy(self.module)
        return decoder

    def track(self, frames: int, known: TrackCache | None = None) -> TrackSession:
        """Follow objects by optical flow: what a model without a memory of its own can do."""
        from ..flow.session import FlowSession

        return FlowSession(self)


def _decoder_copy(module: nn.Module) -> nn.Module:
    """A copy of a model on the CPU that has nothing but what decodes prompts.

    Weights that are on the CPU already are shared, not copied.
    """
    memo: dict[int, Any] = {}
    weights = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    for name, part in module.named_children():
        if name in _DECODER_PARTS:
            weights += [*part.parameters(), *part.buffers()]
        else:
            memo[id(part)] = nn.Identity()
    for weight in weights:
        there = weight.detach().cpu()
        is_parameter = isinstance(weight, nn.Parameter)
        memo[id(weight)] = nn.Parameter(there, requires_grad=False) if is_parameter else there
    return copy.deepcopy(module, memo)


def _with_box(prompt: ObjectPrompt) -> ObjectPrompt:
    if prompt.mask is None or prompt.points or prompt.box is not None:
        return prompt
    mask = (prompt.mask * 255).to(torch.uint8)
    x1, y1, x2, y2 = tight_box(mask >= INSIDE).tolist()
    if not x2:
        # Where nothing is half inside, what is inside at all.
        x1, y1, x2, y2 = tight_box(mask > 0).tolist()
    return replace(prompt, box=Box(float(x1), float(y1), float(x2), float(y2)))
