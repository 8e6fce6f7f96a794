"""Nodes executed as ComfyUI executes them, and what the tests give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.model_management
import pytest
import torch
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments
from segment_anywhere.nodes.host.folders import model_folder_paths
from segment_anywhere.nodes.host.models import SegmentModel
from segment_anywhere.nodes.load_sam import LoadSAM
from segment_anywhere.nodes.point_segment import PointSegment
from segment_anywhere.nodes.text_segment import TextSegment
from torch import Tensor

BUILT_IN = "grabcut (built in)"
SAM2 = "sam2/tiny"
CLICK = "[[30, 20]]"
SIZE = (48, 64)


def load(model: str = SAM2, precision: str = "fp32") -> SegmentModel:
    """Load SAM's output."""
    return LoadSAM.execute(model, precision).args[0]


@torch.inference_mode()
def segment_points(model: SegmentModel, image: Tensor, points: str = CLICK, **inputs: Any):
    """Point Segment's output."""
    return PointSegment.execute(model, image, points, inputs.pop("mask_choice", "best"), **inputs)


@torch.inference_mode()
def segment_words(
    model: SegmentModel,
    image: Tensor,
    prompt: str,
    detector: str = "clipseg/trained",
    **inputs: Any,
):
    """Text Segment's output."""
    values = {"negative_prompt": "", "threshold": 0.4, "max_objects": 0, **inputs}
    return TextSegment.execute(model, image, prompt, detector=detector, **values)


def random_detector(name: str) -> str:
    """Text Segment's choice for one of word_models.MAKERS; both Grounding DINOs share a folder."""
    return f"{name.removeprefix('mm-')}/random-{name}"


def detector_folder(detector: str) -> Path:
    """Where a detector of Text Segment's list lies."""
    folder, name = detector.split("/")
    return model_folder_paths(folder)[0] / name


def interrupt_at(look: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the host's interrupt come when a node looks for it for the so-manyth time.

    Returns the numbers of all looks, to which each adds its own.
    """
    looks: list[int] = []

    def throw() -> None:
        looks.append(len(looks) + 1)
        if len(looks) == look:
            raise comfy.model_management.InterruptProcessingException

    monkeypatch.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", throw)
    return looks


def noise(batch: int = 1, seed: int = 0) -> Tensor:
    """An IMAGE of random pixels, [batch, *SIZE, 3]."""
    return torch.rand(batch, *SIZE, 3, generator=torch.Generator().manual_seed(seed))


def box_mask(batch: int = 1) -> Tensor:
    """A MASK with one box, [batch, *SIZE]."""
    mask = torch.zeros(batch, *SIZE)
    mask[:, 10:30, 10:40] = 1
    return mask


def two_objects() -> Segments:
    """Two objects beside each other in one frame."""
    left, right = torch.zeros(SIZE, dtype=torch.uint8), torch.zeros(SIZE, dtype=torch.uint8)
    left[10:30, 5:20] = 255
    right[10:30, 30:33] = 255
    instances = [Instance(compact(left), 0.75, "cat", 0), Instance(compact(right), 0.5, "dog", 0)]
    return Segments.from_instances(instances, SIZE, 1)


def one_object(batch: int = 1, size: tuple[int, int] = SIZE) -> Segments:
    """An object with number 3 in every frame."""
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[10:30, 20:40] = 255
    instances = [Instance(compact(mask), 0.5, "cat", frame, 3) for frame in range(batch)]
    return Segments.from_instances(instances, size, batch)
