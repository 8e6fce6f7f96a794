"""Segments: the one result type of every engine and provider, and pure functions on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .tensors import resize_mask


@dataclass(frozen=True)
class Instance:
    """One object found in one frame.

    mask: [H, W] uint8 on the CPU, 255 = fully inside. score: 0..1. frame: index into the batch.
    """

    mask: Tensor
    score: float
    label: str
    frame: int


@dataclass(frozen=True)
class Segments:
    """All objects found in a batch of images; N may be 0.

    masks: [N, H, W] uint8 on the CPU, 255 = fully inside, soft edges allowed.
    boxes: [N, 4] float32, xyxy in pixels, right and bottom exclusive, tight around the mask.
    scores: [N] float32, 0..1. labels: N strings. frames: [N] int64, index into the batch.
    size: (H, W) of the images. batch: number of images.
    """

    masks: Tensor
    boxes: Tensor
    scores: Tensor
    labels: list[str]
    frames: Tensor
    size: tuple[int, int]
    batch: int

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Instance]:
        """The objects one by one, in their order."""
        columns = (self.masks, self.scores.tolist(), self.labels, self.frames.tolist())
        return (Instance(*row) for row in zip(*columns, strict=True))

    @classmethod
    def from_instances(
        cls, instances: Sequence[Instance], size: tuple[int, int], batch: int
    ) -> Segments:
        """Collect instances, in their order, for a batch of images of one size."""
        masks = [instance.mask for instance in instances]
        stacked = torch.stack(masks) if masks else torch.zeros((0, *size), dtype=torch.uint8)
        return cls(
            masks=stacked,
            boxes=mask_boxes(stacked),
            scores=torch.tensor([instance.score for instance in instances], dtype=torch.float32),
            labels=[instance.label for instance in instances],
            frames=torch.tensor([instance.frame for instance in instances], dtype=torch.int64),
            size=size,
            batch=batch,
        )


def mask_boxes(masks: Tensor) -> Tensor:
    """Tight boxes of [N, H, W] uint8 masks: [N, 4] float32 xyxy, right and bottom exclusive.

    A pixel counts from 128 up, so that soft edges do not widen the box; where no pixel does, from
    1 up. An empty mask has the box (0, 0, 0, 0).
    """
    boxes = torch.zeros((masks.shape[0], 4), dtype=torch.float32)
    for index, mask in enumerate(masks):
        inside = mask >= 128
        if not inside.any():
            inside = mask > 0
        rows = inside.any(dim=1).nonzero()
        columns = inside.any(dim=0).nonzero()
        if len(rows):
            corners = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            boxes[index] = torch.tensor([int(corner) for corner in corners])
    return boxes


def mask_areas(masks: Tensor) -> Tensor:
    """Areas of [N, H, W] uint8 masks in pixels, counted from 128 up: [N] int64."""
    areas = [int(torch.count_nonzero(mask >= 128)) for mask in masks]
    return torch.tensor(areas, dtype=torch.int64)


def take(segments: Segments, rows: Sequence[int]) -> Segments:
    """The objects of these rows, in this order; the images stay, also those left without any."""
    return replace(
        segments,
        masks=segments.masks[list(rows)],
        boxes=segments.boxes[list(rows)],
        scores=segments.scores[list(rows)],
        labels=[segments.labels[row] for row in rows],
        frames=segments.frames[list(rows)],
    )


def union_masks(segments: Segments) -> Tensor:
    """The union (maximum) of each frame's masks: [B, H, W] float32, 0..1, on the CPU."""
    union = torch.zeros((segments.batch, *segments.size), dtype=torch.uint8)
    for mask, frame in zip(segments.masks, segments.frames.tolist(), strict=True):
        torch.maximum(union[frame], mask, out=union[frame])
    return union.float().div_(255.0)


def match_segments(segments: Segments, batch: int, size: tuple[int, int]) -> Segments:
    """Objects for a batch of images of (H, W): masks of another size are resized, and the objects
    of a single image are repeated for every image of a batch.
    """
    if segments.batch == batch and segments.size == tuple(size):
        return segments
    masks = segments.masks
    if segments.size != tuple(size) and len(segments):
        masks = resize_mask(masks.float(), size).round_().clamp_(0, 255).to(torch.uint8)
    pairs = zip(segments, masks, strict=True)
    instances = [replace(each, mask=mask) for each, mask in pairs]
    if segments.batch != batch:
        instances = [replace(each, frame=frame) for frame in range(batch) for each in instances]
    return Segments.from_instances(instances, tuple(size), batch)


def mask_segments(mask: Tensor, label: str) -> Segments:
    """One object per frame of a mask [B, H, W] float, 0..1, with score 1; none where it is 0."""
    pixels = (mask * 255.0).round().to(torch.uint8).cpu()
    instances = [Instance(each, 1.0, label, frame) for frame, each in enumerate(pixels)]
    filled = [instance for instance in instances if instance.mask.any()]
    return Segments.from_instances(filled, tuple(mask.shape[1:]), len(mask))


def bounding_boxes(segments: Segments) -> list[list[dict]]:
    """ComfyUI's BOUNDING_BOX: per frame, a list of {x, y, width, height, score, label}.

    Coordinates are whole pixels of the image, origin top-left.
    """
    frames: list[list[dict]] = [[] for _ in range(segments.batch)]
    rows = zip(
        segments.boxes.round().int().tolist(),
        segments.scores.tolist(),
        segments.labels,
        segments.frames.tolist(),
        strict=True,
    )
    for (left, top, right, bottom), score, label, frame in rows:
        frames[frame].append(
            {
                "x": left,
                "y": top,
                "width": right - left,
                "height": bottom - top,
                "score": round(score, 4),
                "label": label,
            }
        )
    return frames
