"""Segments: the one result type of every engine and provider, and pure functions on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError
from ..opencv import cv2
from ..tensors import resize_mask, uses_opencv
from ..threads import in_threads
from .compact_mask import CompactMask, compact


@dataclass(frozen=True)
class Instance:
    """One object found in one frame.

    score: 0..1. frame: index into the batch. id: which object it is, see `Segments`. is_estimate:
    whether the score is somebody's estimate of how good the mask is; one that is not is good for
    comparing alone, and nobody is shown it.
    """

    mask: CompactMask
    score: float
    label: str
    frame: int
    id: int = 0
    is_estimate: bool = True

    @property
    def title(self) -> str:
        """The label with the score that people are shown."""
        return f"{self.label} {self.score:.2f}" if self.is_estimate else self.label


@dataclass(frozen=True)
class Segments:
    """All objects found in a batch of images; N may be 0.

    masks: N compact masks, soft edges allowed; `mask` and `full_masks` give their pixels.
    boxes: [N, 4] float32, xyxy in pixels, right and bottom exclusive, tight around the mask.
    scores: [N] float32, 0..1. labels: N strings. frames: [N] int64, index into the batch.
    ids: [N] int64, which object it is: equal over the frames of one result, and what its colour
    follows. size: (H, W) of the images. batch: number of images. estimates: N truths, whether
    a score is an estimate, see `Instance`; none at all where every one is.

    Raises InputError where the fields do not fit each other.
    """

    masks: tuple[CompactMask, ...]
    boxes: Tensor
    scores: Tensor
    labels: tuple[str, ...]
    frames: Tensor
    ids: Tensor
    size: tuple[int, int]
    batch: int
    estimates: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    def __len__(self) -> int:
        return len(self.masks)

    def __iter__(self) -> Iterator[Instance]:
        """The objects one by one, in their order."""
        numbers = (self.scores.tolist(), self.labels, self.frames.tolist(), self.ids.tolist())
        estimates = self.estimates or (True,) * len(self)
        return (Instance(*row) for row in zip(self.masks, *numbers, estimates, strict=True))

    def mask(self, row: int) -> Tensor:
        """The mask of one object: [H, W] uint8 on the CPU, 255 = fully inside."""
        return self.masks[row].pixels()

    def full_masks(self) -> Tensor:
        """All masks at full size, N x H x W bytes: [N, H, W] uint8 on the CPU."""
        full = torch.zeros((len(self), *self.size), dtype=torch.uint8)
        for row, mask in enumerate(self.masks):
            full[row][mask.area] = mask.crop()
        return full

    def areas(self) -> Tensor:
        """Pixels inside each mask, counted from 128 up: [N] int64."""
        return torch.tensor([mask.pixel_count() for mask in self.masks], dtype=torch.int64)

    @classmethod
    def from_instances(
        cls, instances: Sequence[Instance], size: tuple[int, int], batch: int
    ) -> Segments:
        """Collect instances, in their order, for a batch of images of one size."""
        boxes = [instance.mask.box() for instance in instances]
        return cls(
            masks=tuple(instance.mask for instance in instances),
            boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor([instance.score for instance in instances], dtype=torch.float32),
            labels=tuple(instance.label for instance in instances),
            frames=torch.tensor([instance.frame for instance in instances], dtype=torch.int64),
            ids=torch.tensor([instance.id for instance in instances], dtype=torch.int64),
            size=size,
            batch=batch,
            estimates=tuple(instance.is_estimate for instance in instances),
        )


def _check(segments: Segments) -> None:
    count = len(segments.masks)
    expected = {"boxes": [count, 4], "scores": [count], "frames": [count], "ids": [count]}
    found = {name: list(getattr(segments, name).shape) for name in expected}
    expected["labels"], found["labels"] = [count], [len(segments.labels)]
    if segments.estimates:
        expected["estimates"], found["estimates"] = [count], [len(segments.estimates)]
    for name, shape in expected.items():
        if found[name] != shape:
            raise InputError(
                f"segments: {name} has shape {found[name]}; expected is {shape}, for there are "
                f"{count} masks. Build segments with Segments.from_instances."
            )
    for row, mask in enumerate(segments.masks):
        if mask.size != segments.size:
            raise InputError(
                f"segments: mask {row} has shape {list(mask.size)}; expected is "
                f"{list(segments.size)}, the images' height and width. Resize the mask first."
            )
    outside = (segments.frames < 0) | (segments.frames >= segments.batch)
    if outside.any():
        raise InputError(
            f"segments: frames holds {int(segments.frames[outside][0])}; expected is 0 to "
            f"{segments.batch - 1}, a place in the batch of {segments.batch}."
        )


def numbered(instances: Sequence[Instance], labels: Sequence[str] = ()) -> list[Instance]:
    """Instances with ids by label and place: the nth of a label has the same id in every frame.

    labels: those that come first, in this order; the others follow as they appear.
    """
    order = {label: rank for rank, label in enumerate(dict.fromkeys(labels))}
    places: Counter[tuple[str, int]] = Counter()
    keys = []
    for instance in instances:
        rank = order.setdefault(instance.label, len(order))
        keys.append((rank, places[instance.label, instance.frame]))
        places[instance.label, instance.frame] += 1
    ids = {key: number for number, key in enumerate(sorted(set(keys)))}
    return [replace(each, id=ids[key]) for each, key in zip(instances, keys, strict=True)]


def take(segments: Segments, rows: Sequence[int]) -> Segments:
    """The objects of these rows, in this order; the images stay, also those left without any."""
    return replace(
        segments,
        masks=tuple(segments.masks[row] for row in rows),
        boxes=segments.boxes[list(rows)],
        scores=segments.scores[list(rows)],
        labels=tuple(segments.labels[row] for row in rows),
        frames=segments.frames[list(rows)],
        ids=segments.ids[list(rows)],
        estimates=tuple(segments.estimates[row] for row in rows) if segments.estimates else (),
    )


def frame_masks(segments: Segments) -> list[list[CompactMask]]:
    """The masks of the objects of each frame, in their order."""
    masks: list[list[CompactMask]] = [[] for _ in range(segments.batch)]
    for mask, frame in zip(segments.masks, segments.frames.tolist(), strict=True):
        masks[frame].append(mask)
    return masks


def union_masks(segments: Segments) -> Tensor:
    """The union (maximum) of each frame's masks: [B, H, W] float32, 0..1, on the CPU."""
    union = torch.zeros((segments.batch, *segments.size))
    for masks, frame in zip(frame_masks(segments), union, strict=True):
        _add_union(masks, frame)
    return union


def union_frame(masks: Sequence[CompactMask], size: tuple[int, int]) -> Tensor:
    """The union of the masks of one frame of (H, W): [H, W] float32, 0..1, on the CPU."""
    return _add_union(masks, torch.zeros(size))


def _add_union(masks: Sequence[CompactMask], frame: Tensor) -> Tensor:
    """Write the union of masks into a frame of zeros, [H, W] float32."""
    filled = [mask for mask in masks if mask]
    if not filled:
        return frame
    top, left = min(mask.top for mask in filled), min(mask.left for mask in filled)
    bottom, right = max(mask.bottom for mask in filled), max(mask.right for mask in filled)
    # In bytes, and only where there is anything: a fourth of the memory to go through.
    union = torch.zeros((bottom - top, right - left), dtype=torch.uint8)
    for mask in filled:
        inside = union[mask.top - top : mask.bottom - top, mask.left - left : mask.right - left]
        torch.maximum(inside, mask.crop(), out=inside)
    torch.div(union, 255.0, out=frame[top:bottom, left:right])
    return frame


def match_segments(segments: Segments, batch: int, size: tuple[int, int]) -> Segments:
    """Objects for a batch of images of (H, W): masks of another size are resized, and the objects
    of a single image are repeated for every image of a batch.
    """
    if segments.batch == batch and segments.size == tuple(size):
        return segments
    instances = list(segments)
    if segments.size != tuple(size):
        instances = [replace(each, mask=_resized(each.mask, size)) for each in instances]
    if segments.batch != batch:
        instances = [replace(each, frame=frame) for frame in range(batch) for each in instances]
    return Segments.from_instances(instances, size, batch)


def _resized(mask: CompactMask, size: tuple[int, int]) -> CompactMask:
    resized = resize_mask(mask.pixels()[None].float(), size)[0]
    return compact(resized.round_().clamp_(0, 255).to(torch.uint8))


def mask_segments(mask: Tensor, label: str) -> Segments:
    """One object per frame of a mask [B, H, W] float, 0..1, with score 1; none where it is 0."""
    masks = in_threads(lambda frame: compact_soft(mask[frame]), len(mask))
    instances = [Instance(each, 1.0, label, frame) for frame, each in enumerate(masks) if each]
    return Segments.from_instances(instances, (mask.shape[1], mask.shape[2]), len(mask))


def compact_soft(mask: Tensor) -> CompactMask:
    """Store a mask [H, W] float, 0..1, on any device, compactly, in steps of 1 / 255."""
    if not uses_opencv(mask):
        return compact((mask * 255.0).round_().to(torch.uint8))
    # The same, rounded half to even too, in one pass.
    return compact(torch.from_numpy(cv2.convertScaleAbs(mask.contiguous().numpy(), alpha=255.0)))


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
