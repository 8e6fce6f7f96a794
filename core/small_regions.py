"""Small holes and islands of masks, removed as the official automatic mask generators do.

Source: `postprocess_small_regions` and `remove_small_regions` of sam2 1.1.0.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .boxes import nms
from .segments import mask_areas, mask_boxes


def clean_masks(masks: Tensor, min_area: int, overlap: float) -> tuple[Tensor, Tensor]:
    """Mend masks and drop what became, or always was, superfluous.

    masks: [N, H, W] uint8, 0 or 255, on the CPU. min_area: holes and islands of fewer pixels are
    filled and removed, and masks of fewer pixels dropped. overlap: of masks whose boxes overlap by
    more than this IoU one stays, rather one that needed no mending. Returns the masks that are
    left, [K, H, W], and the rows they had, [K] int64.
    """
    cleaned = masks.clone()
    untouched = torch.ones(len(masks))
    for row, mask in enumerate(masks.numpy()):
        mended = remove_islands(fill_holes(mask > 0, min_area), min_area)
        if not np.array_equal(mended, mask > 0):
            cleaned[row] = torch.from_numpy(mended).to(torch.uint8) * 255
            untouched[row] = 0.0
    large = (mask_areas(cleaned) >= min_area).nonzero()[:, 0]
    # The official generator compares boxes whose right and bottom are inclusive.
    boxes = mask_boxes(cleaned[large]) - torch.tensor((0.0, 0.0, 1.0, 1.0))
    rows = large[nms(boxes, untouched[large], overlap)]
    return cleaned[rows], rows


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
