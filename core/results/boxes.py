"""Boxes in torch: overlap and non-maximum suppression."""

from __future__ import annotations

import torch
from torch import Tensor


def box_iou(box: Tensor, others: Tensor) -> Tensor:
    """IoU of one box [4] with others [N, 4], all xyxy: [N] float32, NaN where both are empty."""
    shared = intersections(box, others)
    return shared / (areas(box) + areas(others) - shared)


def intersections(box: Tensor, others: Tensor) -> Tensor:
    """Of one box [4] with others [N, 4], all xyxy: the areas that they share, [N] float32."""
    corner = torch.maximum(box[:2], others[:, :2])
    sides = (torch.minimum(box[2:], others[:, 2:]) - corner).clamp(min=0)
    return sides[:, 0] * sides[:, 1]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression: indices of the boxes to keep, best first, [K] int64.

    boxes: [N, 4] float32 xyxy. scores: [N]. A box goes where one with a better score overlaps it by
    more than the threshold; of equal scores, the earlier one counts as better. One row of overlaps
    is computed at a time, so that memory grows with N and not with its square.
    """
    order = scores.argsort(descending=True, stable=True)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[~(box_iou(boxes[best], boxes[order]) > iou_threshold)]
    return torch.stack(kept) if kept else order


def areas(boxes: Tensor) -> Tensor:
    """Of boxes [..., 4] xyxy: [...]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
