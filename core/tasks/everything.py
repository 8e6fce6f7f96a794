"""Segment everything: a grid of clicks over the image, and what is left of their masks.

Source: Kirillov et al., "Segment Anything" (2023), appendix B. The steps, their order and their
thresholds are those of the official `SAM2AutomaticMaskGenerator` (sam2 1.1.0), see tests/parity.
Masks are kept as the model's small logits until the duplicates are gone, so that memory does not
grow with the image's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..engines.base import Embedding, Engine
from ..engines.families import has_own_scores
from ..errors import InputError
from ..masks.parts import clean_masks
from ..prompts.prompts import ObjectPrompt, Point
from ..results.boxes import nms
from ..results.compact_mask import CompactMask, compact_all
from ..results.segments import Instance, Segments
from ..tensors import image_size, rgb_frame
from .segmenter import Segmenter, run_length
from .tiling import Crop, are_cut, make_crops

# Logits of the image's size that may exist at a time, in bytes.
_UPSAMPLED_BYTES = 2**27
# A mask this close to the edge of a crop, in pixels, is taken for one that the edge has cut.
_EDGE = 20.0


@dataclass(frozen=True)
class GridSettings:
    """What to ask and what to keep; the defaults are the official generator's.

    points_per_side: clicks along each side of the image. score_threshold: masks that the model
    itself scores higher are kept, 0..1. stability_threshold: least IoU, 0..1, of the masks at
    logits above +stability_offset and above -stability_offset. overlap_threshold: boxes that
    overlap more, as IoU, count as one region. min_area: holes and islands smaller than this, in
    pixels, are mended, and regions smaller than this left out. crop_layers: layer n repeats the
    search on 4 ** n overlapping crops. crop_points_divisor: layer n has points_per_side divided
    n times by this.
    """

    points_per_side: int = 32
    score_threshold: float = 0.8
    stability_threshold: float = 0.95
    stability_offset: float = 1.0
    overlap_threshold: float = 0.7
    min_area: int = 0
    crop_layers: int = 0
    crop_points_divisor: int = 1

    def points_in_layer(self, layer: int) -> int:
        return int(self.points_per_side / self.crop_points_divisor**layer)

    def check(self) -> None:
        """Raise InputError where a layer would have no points."""
        if self.points_in_layer(self.crop_layers) < 1:
            raise InputError(
                f"crop_points_divisor: {self.points_per_side} points a side, divided by "
                f"{self.crop_points_divisor} for each of {self.crop_layers} crop layers, leave "
                "none. Lower crop_points_divisor or crop_layers, or raise points_per_side."
            )


@dataclass(frozen=True)
class _Proposals:
    """Masks of one crop that passed the thresholds.

    logits: [K, h, w] float32 on the CPU, at the engine's resolution. scores: [K]. boxes: [K, 4]
    float32 xyxy in pixels, right and bottom inclusive, as the official generator compares them.
    """

    logits: Tensor
    scores: Tensor
    boxes: Tensor

    def take(self, rows: Tensor) -> _Proposals:
        return _Proposals(self.logits[rows], self.scores[rows], self.boxes[rows])


def no_progress() -> None:
    """The step of a caller that shows no progress."""


def segment_everything(
    segmenter: Segmenter,
    frame: Tensor,
    settings: GridSettings,
    index: int = 0,
    step: Callable[[], None] = no_progress,
) -> list[Instance]:
    """All regions of one frame ([H, W, 3] float32, 0..1), the best score first.

    The image is encoded once, and so is each crop. index: the frame's place in its batch. step is
    called after each of the `count_steps` calls of the decoder. Raises InputError where a layer
    has no points.
    """
    settings.check()
    size = (frame.shape[0], frame.shape[1])
    crops = make_crops(size, settings.crop_layers)
    length = run_length(segmenter.engine)
    device = torch.device("cpu")
    found = []
    parts = ((index, frame[crop.rows, crop.columns]) for index, crop in enumerate(crops))
    for part in segmenter.embed_all(parts):
        runs, crop = [], crops[part.index]
        # Once for all runs, from the cache on the CPU.
        embedding = segmenter.for_decoder(part.embedding)
        device = embedding.features[0].device
        for prompts in _runs(settings.points_in_layer(crop.layer), crop.size, length):
            runs.append(_propose(segmenter, embedding, prompts, crop, size, settings))
            step()
        found.append(_without_duplicates(_join(runs), settings.overlap_threshold))
    kept = _without_duplicates_between(found, crops, settings.overlap_threshold)
    masks = list(_masks(segmenter.engine, kept, crops, size, device))
    scores = torch.cat([each.scores for each in kept])
    if settings.min_area:
        masks, rows = clean_masks(masks, settings.min_area, settings.overlap_threshold)
        scores = scores[rows]
    # Ranked as estimated, reported as an IoU can be.
    order = scores.argsort(descending=True, stable=True).tolist()
    scores = scores.clamp(0.0, 1.0)
    filled = [row for row in order if masks[row]]
    is_estimate = has_own_scores(segmenter.engine.family)
    return [
        Instance(masks[row], float(scores[row]), f"region {number}", index, number, is_estimate)
        for number, row in enumerate(filled)
    ]


def segment_images(
    segmenter: Segmenter,
    image: Tensor,
    settings: GridSettings,
    step: Callable[[], None] = no_progress,
) -> Segments:
    """All regions of a batch of images, IMAGE [B, H, W, C]; step and errors as in
    `segment_everything`."""
    batch, height, width = image_size(image)
    segmenter.cache.begin_run()
    instances: list[Instance] = []
    for index in range(batch):
        instances += segment_everything(segmenter, rgb_frame(image, index), settings, index, step)
    return Segments.from_instances(instances, (height, width), batch)


def count_steps(engine: Engine, size: tuple[int, int], settings: GridSettings) -> int:
    """How often `segment_everything` calls the decoder for a frame of (H, W)."""
    crops = make_crops(size, settings.crop_layers)
    points = [settings.points_in_layer(crop.layer) ** 2 for crop in crops]
    return sum(math.ceil(count / run_length(engine)) for count in points)


def _runs(per_side: int, size: tuple[int, int], length: int) -> Iterator[list[ObjectPrompt]]:
    """One click at the centre of each cell of a grid, row by row, in groups of `length`."""
    height, width = size
    centres = [(number + 0.5) / per_side for number in range(per_side)]
    prompts = [
        ObjectPrompt("region", (Point(x * width, y * height),))
        for y, x in product(centres, centres)
    ]
    for start in range(0, len(prompts), length):
        yield prompts[start : start + length]


def _propose(
    segmenter: Segmenter,
    embedding: Embedding,
    prompts: list[ObjectPrompt],
    crop: Crop,
    size: tuple[int, int],
    settings: GridSettings,
) -> _Proposals:
    """Decode some clicks and keep the masks that pass the thresholds; boxes in the image."""
    candidates = segmenter.propose(embedding, prompts)
    logits = torch.cat([each.logits for each in candidates])
    scores = torch.cat([each.scores for each in candidates])
    # The scores come before the upsampling, which costs most of what is not the decoder.
    if settings.score_threshold > 0:
        good = (scores > settings.score_threshold).nonzero()[:, 0]
        logits, scores = logits[good], scores[good]
    kept, boxes = [], []
    for part in _parts(logits, crop.size):
        stable, found = _stable(segmenter.engine, part, crop.size, settings)
        found += found.new_tensor((crop.left, crop.top, crop.left, crop.top))
        kept.append(stable & ~are_cut(found, crop, size, _EDGE))
        boxes.append(found)
    if not kept:
        return _Proposals(logits[:0].cpu(), scores[:0].cpu(), torch.zeros(0, 4))
    # As numbers of rows, which a device looks for once and not for each tensor.
    rows, boxes = torch.cat(kept).nonzero()[:, 0], torch.cat(boxes)
    return _Proposals(logits[rows].cpu(), scores[rows].cpu(), boxes[rows].cpu())


def _parts(logits: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    """Split logits [K, h, w] into parts that fit the memory bound once they are of size (H, W)."""
    count = max(1, _UPSAMPLED_BYTES // (4 * size[0] * size[1]))
    return (logits[start : start + count] for start in range(0, len(logits), count))


def _stable(
    engine: Engine, logits: Tensor, size: tuple[int, int], settings: GridSettings
) -> tuple[Tensor, Tensor]:
    """Which of the masks [K, h, w] are stable: [K] bool; and their boxes: [K, 4] float32."""
    large = engine.to_logits(logits, size)
    boxes = _inclusive_boxes(large)
    if settings.stability_threshold <= 0:
        return torch.ones(len(logits), dtype=torch.bool, device=logits.device), boxes
    # One of the two masks always lies within the other.
    inner = _areas(large > settings.stability_offset)
    outer = _areas(large > -settings.stability_offset)
    return inner / outer >= settings.stability_threshold, boxes


def _areas(masks: Tensor) -> Tensor:
    """Pixels of each of [K, H, W] bool: [K] int64."""
    # One by one: a CPU takes seven times as long to sum them over two dimensions.
    return torch.stack([torch.count_nonzero(mask) for mask in masks])


def _inclusive_boxes(logits: Tensor) -> Tensor:
    """Boxes of what is above 0 in [K, H, W]: first and last column and row, [K, 4] float32.

    0 where nothing is.
    """
    edges = []
    for inside in (logits.amax(dim=1) > 0, logits.amax(dim=2) > 0):
        marks = inside.to(torch.uint8)
        first = marks.argmax(dim=1)
        last = marks.shape[1] - 1 - marks.flip(1).argmax(dim=1)
        filled = inside.any(dim=1)
        edges.append((first * filled, last * filled))
    (left, right), (top, bottom) = edges
    return torch.stack((left, top, right, bottom), dim=1).float()


def _join(runs: list[_Proposals]) -> _Proposals:
    return _Proposals(
        torch.cat([run.logits for run in runs]),
        torch.cat([run.scores for run in runs]),
        torch.cat([run.boxes for run in runs]),
    )


def _without_duplicates(proposals: _Proposals, overlap: float) -> _Proposals:
    return proposals.take(nms(proposals.boxes, proposals.scores, overlap))


def _without_duplicates_between(
    found: list[_Proposals], crops: list[Crop], overlap: float
) -> list[_Proposals]:
    """Of what several crops have found, keep what the smallest crop saw."""
    if len(found) == 1:
        return found
    areas = [crop.size[0] * crop.size[1] for crop in crops]
    owners = torch.cat([torch.full((len(each.scores),), row) for row, each in enumerate(found)])
    preference = 1 / torch.tensor(areas, dtype=torch.float32)[owners]
    kept = nms(torch.cat([each.boxes for each in found]), preference, overlap)
    is_kept = torch.zeros(len(owners), dtype=torch.bool)
    is_kept[kept] = True
    rows = is_kept.split([len(each.scores) for each in found])
    return [each.take(own.nonzero()[:, 0]) for each, own in zip(found, rows, strict=True)]


def _masks(
    engine: Engine,
    kept: list[_Proposals],
    crops: list[Crop],
    size: tuple[int, int],
    device: torch.device,
) -> Iterator[CompactMask]:
    """Masks of an image of (H, W), 0 outside their crop; device: the engine's."""
    for proposals, crop in zip(kept, crops, strict=True):
        for part in _parts(proposals.logits, crop.size):
            for mask in compact_all(engine.to_masks(part.to(device), crop.size)):
                yield mask.placed(crop.left, crop.top, size)
