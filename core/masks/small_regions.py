"""Small holes and islands of masks, removed as the official automatic mask generators do.

Source: `postprocess_small_regions` and `remove_small_regions` of sam2 1.1.0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..results.boxes import nms
from ..results.compact_mask import CompactMask, compact


def clean_masks(
    masks: Sequence[CompactMask], min_area: int, overlap: float
) -> tuple[list[CompactMask], Tensor]:
    """Mend hard masks and drop what became, or always was, superfluous.

    min_area: holes and islands of fewer pixels are filled and removed, and masks of fewer pixels
    dropped. overlap: of masks whose boxes overlap by more than this IoU one stays, rather one that
    needed no mending. Returns the masks that are left, and the rows they had, [K] int64.
    """
    cleaned = list(masks)
    untouched = torch.ones(len(masks))
    for row, mask in enumerate(masks):
        inside = mask.pixels().numpy() > 0
        mended = remove_islands(fill_holes(inside, min_area), min_area)
        if not np.array_equal(mended, inside):
            cleaned[row] = compact(torch.from_numpy(mended))
            untouched[row] = 0.0
    large = [row for row, mask in enumerate(cleaned) if mask.pixel_count() >= min_area]
    boxes = torch.tensor([cleaned[row].box() for row in large], dtype=torch.float32).reshape(-1, 4)
    # The official generator compares boxes whose right and bottom are inclusive.
    boxes -= torch.tensor((0.0, 0.0, 1.0, 1.0))
    rows = torch.tensor(large, dtype=torch.int64)[nms(boxes, untouched[large], overlap)]
    return [cleaned[row] for row in rows.tolist()], rows


def fill_holes(mask: NDArray[np.bool_], min_area: int) -> NDArray[np.bool_]:
    """Select what is not selected in pieces of fewer than `min_area` pixels, at the border too."""
    pieces, areas = _pieces(~mask)
    return mask | (areas < min_area)[pieces]


def remove_islands(mask: NDArray[np.bool_], min_area: int) -> NDArray[np.bool_]:
    """Deselect pieces of fewer than `min_area` pixels, but for the largest where all are."""
    pieces, areas = _pieces(mask)
    if len(areas) == 1:
        return mask
    small = areas < min_area
    if small[1:].all():
        small[1 + areas[1:].argmax()] = False
    return mask & ~small[pieces]


def _pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Connected pieces (corners connect): the number of each pixel's piece, 0 outside of all
    [H, W], and the pieces' areas, that of number 0 as if it were endless."""
    import cv2

    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    areas[0] = mask.size + 1
    return pieces, areas
