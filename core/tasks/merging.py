"""What several overlapping parts of an image have shown of one phrase, each object once.

A detector has kept its own boxes apart in each part, so that only those of different parts are
compared. As in SAHI (Akyon et al., "Slicing Aided Hyper Inference and Fine-tuning", 2022) the whole
image is searched beside its tiles, and counts for what no tile holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..prompts.prompts import Box, ObjectPrompt
from ..results.boxes import areas, intersections
from ..results.compact_mask import CompactMask
from ..results.segments import compact_soft, union_frame
from .tiling import Crop

# Of a box, covered by others that show the same.
_MOST = 0.5


@dataclass(frozen=True)
class Sighting:
    """An object as a part of the image shows it.

    prompt: its box and what else a detector knows, in pixels of the image, its phrase as label.
    score: 0..1. crop: the part. is_cut: whether an edge of the part may have cut it. mask: the
    detector's own, of the image's size; None where an engine is to draw it.
    """

    prompt: ObjectPrompt
    score: float
    crop: Crop
    is_cut: bool
    mask: CompactMask | None

    @property
    def box(self) -> Box:
        """Its box, in pixels of the image."""
        if self.prompt.box is None:
            raise ValueError("a detector gives every object a box")
        return self.prompt.box

    @property
    def corners(self) -> Tensor:
        """The same, xyxy: [4] float32."""
        return torch.tensor((self.box.x1, self.box.y1, self.box.x2, self.box.y2))


def merge_sightings(found: Sequence[Sighting], whole: Crop) -> list[Sighting]:
    """Each object of one phrase in an image once, best first.

    Of an object that several parts show whole, a tile's sighting stays: it was seen larger. A piece
    goes where another part shows what it is of; pieces that no part shows whole become one.
    whole: the crop that is the whole image.
    """
    entire = [each for each in found if not each.is_cut]
    kept = _without_doubles(entire)
    pieces = [each for each in found if each.is_cut and not _is_shown(each, entire)]
    merged = kept + [_joined(group, whole) for group in _groups(pieces)]
    return sorted(merged, key=lambda each: each.score, reverse=True)


def _without_doubles(found: Sequence[Sighting]) -> list[Sighting]:
    """Of those that show the same, the best of a tile, else the whole image's.

    What others lie in for the most part, and are together most of, shows the same as they: where
    small things are one spot to the whole image, the tiles have them one by one.
    """
    order = sorted(found, key=lambda each: (each.crop.layer == 0, -each.score))
    boxes, parts = _boxes(order), _part_numbers(order)
    is_kept = torch.zeros(len(order), dtype=torch.bool)
    for row, box in enumerate(boxes):
        others = boxes[is_kept & (parts != parts[row])]
        shared = intersections(box, others)
        shared = shared[shared >= _MOST * areas(others)]
        is_kept[row] = not len(shared) or bool(shared.sum() < _MOST * areas(box))
    return [each for each, keep in zip(order, is_kept.tolist(), strict=True) if keep]


def _is_shown(piece: Sighting, entire: Sequence[Sighting]) -> bool:
    """Whether another part shows whole what a piece lies in for the most part."""
    others = _boxes([other for other in entire if other.crop != piece.crop])
    (box,) = _boxes([piece])
    return bool((intersections(box, others) >= _MOST * areas(box)).any())


def _groups(pieces: Sequence[Sighting]) -> list[list[Sighting]]:
    """Pieces that are of one object, together."""
    groups: list[list[Sighting]] = []
    for piece in pieces:
        apart, joined = [], [piece]
        for group in groups:
            if any(_continue(piece, other) for other in group):
                joined += group
            else:
                apart.append(group)
        groups = [*apart, joined]
    return groups


def _continue(one: Sighting, other: Sighting) -> bool:
    """Whether two pieces are of one object: in what both parts show, they lie in the same place."""
    if one.crop == other.crop:
        return False
    left, top = max(one.crop.left, other.crop.left), max(one.crop.top, other.crop.top)
    right, bottom = min(one.crop.right, other.crop.right), min(one.crop.bottom, other.crop.bottom)
    boxes = _boxes([one, other]).clamp(min=0)
    low, high = boxes.new_tensor((left, top)).repeat(2), boxes.new_tensor((right, bottom)).repeat(2)
    first, second = torch.minimum(torch.maximum(boxes, low), high)
    smaller = torch.minimum(areas(first), areas(second))
    return bool(smaller > 0 and intersections(first, second[None])[0] >= _MOST * smaller)


def _joined(group: Sequence[Sighting], whole: Crop) -> Sighting:
    """Pieces of one object as what the whole image shows of it."""
    best = max(group, key=lambda each: each.score)
    if len(group) == 1:
        return best
    boxes = _boxes(group)
    x1, y1 = boxes[:, :2].amin(dim=0).tolist()
    x2, y2 = boxes[:, 2:].amax(dim=0).tolist()
    masks = [each.mask for each in group if each.mask is not None]
    mask = compact_soft(union_frame(masks, whole.size)) if masks else None
    prompt = replace(best.prompt, box=Box(x1, y1, x2, y2))
    return Sighting(prompt, best.score, whole, False, mask)


def _part_numbers(sightings: Sequence[Sighting]) -> Tensor:
    """A number for the part that each was seen in: [N] int64."""
    numbers: dict[Crop, int] = {}
    return torch.tensor([numbers.setdefault(each.crop, len(numbers)) for each in sightings])


def _boxes(sightings: Sequence[Sighting]) -> Tensor:
    """[N, 4] float32, xyxy in pixels of the image."""
    return torch.stack([each.corners for each in sightings] or [torch.zeros(0, 4)]).reshape(-1, 4)
