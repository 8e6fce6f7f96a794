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

# Of a box: so much of it, and it shows the same.
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

    An object goes that others cover for the most part, which other parts show: of what several
    tiles show whole, the largest box stays, and what the whole image shows gives way to tiles,
    which see it larger; where small things are one spot to it, they have them one by one. Pieces
    that edges have cut give way to what any part shows whole; those left over become one.
    whole: the crop that is the whole image.
    """
    boxes, parts = _boxes(found), _part_numbers(found)
    is_entire = torch.tensor([not each.is_cut for each in found], dtype=torch.bool)
    is_tile = torch.tensor([each.crop.layer > 0 for each in found], dtype=torch.bool)
    is_kept = torch.zeros(len(found), dtype=torch.bool)
    tiles = (is_entire & is_tile).nonzero()[:, 0].tolist()
    sizes = areas(boxes).tolist()
    for row in sorted(tiles, key=lambda row: (-sizes[row], -found[row].score)):
        is_kept[row] = not _is_covered(boxes[row], boxes[is_kept & (parts != parts[row])])
    pieces = [
        found[row]
        for row in (~is_entire).nonzero()[:, 0].tolist()
        if not _is_covered(boxes[row], boxes[is_entire & (parts != parts[row])])
    ]
    joined = [_joined(group, whole) for group in _groups(pieces)]
    shown = torch.cat([boxes[is_kept], _boxes(joined)])
    for row in (is_entire & ~is_tile).nonzero()[:, 0].tolist():
        is_kept[row] = not _is_covered(boxes[row], shown)
    kept = [found[row] for row in is_kept.nonzero()[:, 0].tolist()]
    return sorted([*kept, *joined], key=lambda each: each.score, reverse=True)


def _is_covered(box: Tensor, others: Tensor) -> bool:
    """Whether others [N, 4] cover a box [4] for the most part."""
    return bool(intersections(box, others).sum() >= _MOST * areas(box))


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
    rows = [numbers.setdefault(each.crop, len(numbers)) for each in sightings]
    return torch.tensor(rows, dtype=torch.int64)


def _boxes(sightings: Sequence[Sighting]) -> Tensor:
    """[N, 4] float32, xyxy in pixels of the image."""
    return torch.stack([each.corners for each in sightings] or [torch.zeros(0, 4)]).reshape(-1, 4)
