"""How well two masks agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def iou(one: ArrayLike, other: ArrayLike) -> float:
    """Intersection over union of two masks of one shape: bool, 0..1 float, or 0..255 uint8.

    1 where both are empty.
    """
    first, second = _inside(one), _inside(other)
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def _inside(mask: ArrayLike) -> NDArray[np.bool_]:
    pixels = np.asarray(mask)
    return pixels > (127 if pixels.dtype == np.uint8 else 0.5)
