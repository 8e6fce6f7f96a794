"""What several overlapping parts of an image have shown of one phrase, each object once.

Two things that one part shows beside each other stay two, however much their boxes overlap, unless
they are nearly one box. As in SAHI (Akyon et al., "Slicing Aided Hyper Inference and Fine-tuning",
2022) the whole image is searched beside its tiles, and counts for what no tile holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..prompts.prompts import Box, ObjectPrompt
from ..results.boxes import areas, intersections, nms
from ..results.compact_mask import CompactMask
from ..results.segments import compact_soft, union_frame
from .tiling import Crop

# Of a box: so much of it, and it shows the same.
_MOST = 0.5
# The IoU above which two boxes are of one thing. Below it a box may be a fragment of the thing,
# which says nothing of what else there is.
_LIKE = 0.7


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


@dataclass(frozen=True)
class _Evidence:
    """What is known of N sightings.

    boxes: [N, 4] float32, xyxy in pixels of the image. parts: [N] int64, a number for the part that
    each was seen in. likes: [N, P] int64, which sighting is what a part shows of the same object;
    -1 where it shows nothing like it.
    """

    boxes: Tensor
    parts: Tensor
    likes: Tensor

    def may_be(self, row: int, others: Tensor) -> Tensor:
        """Which of others, [K] int64, may show the same object as a sighting: [K] bool.

        Not those of its own part, and none where some part shows the two as different things.
        """
        own, likes = self.likes[row], self.likes[others]
        are_apart = (own >= 0) & (likes >= 0) & (own != likes)
        return (self.parts[others] != self.parts[row]) & ~are_apart.any(dim=1)

    def rivals(self, row: int, among: Tensor) -> Tensor:
        """The boxes over a sighting of those, [N] bool, that may show the same object: [K, 4]."""
        others = ((intersections(self.boxes[row], self.boxes) > 0) & among).nonzero()[:, 0]
        return self.boxes[others[self.may_be(row, others)]]


def merge_sightings(found: Sequence[Sighting], whole: Crop) -> list[Sighting]:
    """Each object of one phrase in an image once, best first.

    An object goes that others cover for the most part, which other parts show, unless some part
    shows it beside them: of what several tiles show whole, the largest box stays, and what the
    whole image shows gives way to tiles, which see it larger; where small things are one spot to
    it, they have them one by one. Pieces that edges have cut give way to what any part shows whole;
    those left over become one. whole: the crop that is the whole image.
    """
    parts: dict[Crop, list[Sighting]] = {}
    for each in found:
        parts.setdefault(each.crop, []).append(each)
    if len(parts) < 2:
        return sorted(found, key=lambda each: each.score, reverse=True)
    found = [each for part in parts.values() for each in _once_in(part)]
    evidence = _gather(found)
    is_entire = torch.tensor([not each.is_cut for each in found], dtype=torch.bool)
    is_tile = torch.tensor([each.crop.layer > 0 for each in found], dtype=torch.bool)
    is_shown = _entire_in_tiles(found, evidence, is_entire & is_tile)
    pieces = [
        row
        for row in _rows(~is_entire)
        if not _is_covered(evidence.boxes[row], evidence.rivals(row, is_entire))
    ]
    groups = _groups(found, evidence, pieces)
    joined = [_joined([found[row] for row in group], whole) for group in groups]
    kept = [found[row] for row in _rows(is_shown)] + joined
    for row in _rows(is_entire & ~is_tile):
        beside = [
            each
            for each, group in zip(joined, groups, strict=True)
            if evidence.may_be(row, torch.tensor(group)).all()
        ]
        boxes = torch.cat([evidence.rivals(row, is_shown), _boxes(beside)])
        if not _is_covered(evidence.boxes[row], boxes):
            kept.append(found[row])
    return sorted(kept, key=lambda each: each.score, reverse=True)


def _once_in(part: Sequence[Sighting]) -> list[Sighting]:
    """What one part shows, each thing once: not every model drops its own repetitions."""
    scores = torch.tensor([each.score for each in part])
    return [part[row] for row in nms(_boxes(part), scores, _LIKE).tolist()]


def _entire_in_tiles(found: Sequence[Sighting], evidence: _Evidence, is_entire: Tensor) -> Tensor:
    """Of what tiles show whole, each object once: [N] bool."""
    is_kept = torch.zeros(len(found), dtype=torch.bool)
    sizes = areas(evidence.boxes)
    for row in sorted(_rows(is_entire), key=lambda row: (-sizes[row].item(), -found[row].score)):
        # One that is the same, and not several neighbours that share a little of it each.
        shared = intersections(evidence.boxes[row], evidence.rivals(row, is_kept))
        is_kept[row] = not (shared >= _MOST * sizes[row]).any()
    return is_kept


def _gather(found: Sequence[Sighting]) -> _Evidence:
    """What N sightings say of each other."""
    boxes = _boxes(found)
    crops = list(dict.fromkeys(each.crop for each in found))
    numbers = {crop: number for number, crop in enumerate(crops)}
    parts = torch.tensor([numbers[each.crop] for each in found], dtype=torch.int64)
    # How much of each box every part has in it.
    within = torch.zeros(len(found), len(crops))
    for number, crop in enumerate(crops):
        edges = boxes.new_tensor((crop.left, crop.top, crop.right, crop.bottom))
        within[:, number] = intersections(edges, boxes)
    best = torch.full_like(within, _LIKE)
    likes = torch.full(within.shape, -1)
    for row, part in enumerate(parts.tolist()):
        shared = intersections(boxes[row], boxes)
        # IoU in what both parts have of the image; of boxes without an area NaN, which is no more.
        fit = shared / (within[:, part] + within[row, parts] - shared)
        is_better = fit > best[:, part]
        best[is_better, part] = fit[is_better]
        likes[is_better, part] = row
    return _Evidence(boxes, parts, likes)


def _is_covered(box: Tensor, others: Tensor) -> bool:
    """Whether others [N, 4] together cover a box [4] for the most part."""
    corners = torch.maximum(box[:2], others[:, :2]), torch.minimum(box[2:], others[:, 2:])
    inside = torch.cat(corners, dim=1)[intersections(box, others) > 0]
    if not len(inside):
        return False
    # A grid of all their edges: each of its cells is within a box or outside of it. The sums of
    # what begins and ends at the corners before a cell count the boxes that it is in.
    xs, columns = inside[:, ::2].unique(return_inverse=True)
    ys, rows = inside[:, 1::2].unique(return_inverse=True)
    corners_at = torch.zeros(len(ys), len(xs), dtype=torch.int64)
    for row, column, step in ((0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)):
        steps = torch.full((len(inside),), step)
        corners_at.index_put_((rows[:, row], columns[:, column]), steps, accumulate=True)
    is_filled = corners_at.cumsum(0).cumsum(1)[:-1, :-1] > 0
    cells = ys.diff()[:, None] * xs.diff()
    return bool(cells[is_filled].sum() >= _MOST * areas(box))


def _groups(
    found: Sequence[Sighting], evidence: _Evidence, pieces: Sequence[int]
) -> list[list[int]]:
    """Pieces that are of one object, together: their rows."""
    groups: list[list[int]] = []
    for piece in pieces:
        apart, joined = [], [piece]
        for group in groups:
            may_be = evidence.may_be(piece, torch.tensor(group)).tolist()
            others = (row for row, is_one in zip(group, may_be, strict=True) if is_one)
            if any(_continue(found[piece], found[row]) for row in others):
                joined += group
            else:
                apart.append(group)
        groups = [*apart, joined]
    return groups


def _continue(one: Sighting, other: Sighting) -> bool:
    """Whether two pieces are of one object: in what both parts show, they lie in the same place."""
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


def _rows(chosen: Tensor) -> list[int]:
    """Where [N] bool is true."""
    return chosen.nonzero()[:, 0].tolist()


def _boxes(sightings: Sequence[Sighting]) -> Tensor:
    """[N, 4] float32, xyxy in pixels of the image."""
    return torch.stack([each.corners for each in sightings] or [torch.zeros(0, 4)]).reshape(-1, 4)
