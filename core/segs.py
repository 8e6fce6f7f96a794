"""SEGS, what the Impact Pack's detectors find and its detailers take: ((H, W), [SEG, ...]).

Source: `SEG` in `modules/impact/core.py` of the ComfyUI Impact Pack. Nothing of it is imported:
whatever has the fields of `Seg` is a SEG.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

from .errors import InputError

_ACCEPTED = (
    "accepted is SEGS, the size of an image and a list of what was found on it. Connect a SEGS "
    "output, such as those of the Impact Pack's detectors"
)


class _Fields(NamedTuple):
    cropped_image: Any
    cropped_mask: Any
    confidence: Any
    crop_region: Any
    bbox: Any
    label: Any
    control_net_wrapper: Any


class Seg(_Fields):
    """One object, as the Impact Pack knows it.

    cropped_image: [1, h, w, 3] float32 of numpy, 0..1, or None. cropped_mask: [h, w] float32 of
    numpy, 0..1. confidence: 0..1. crop_region, bbox: (x1, y1, x2, y2) in whole pixels of the image,
    right and bottom exclusive; h and w are the sides of crop_region. label: its name.
    control_net_wrapper: None. id: which object it is in a `Segments`, None where nobody said; it
    is no field, and lost where another node makes a new SEG of this one.
    """

    id: int | None = None


def is_segs(value: Any) -> bool:
    """Whether this looks like SEGS, be it from this pack or another."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    size, found = value
    is_size = isinstance(size, Sequence) and len(size) >= 2 and all(map(_is_number, size))
    return is_size and isinstance(found, list | tuple) and all(map(_is_seg, found))


def read_segs(value: Any, name: str = "segs") -> tuple[tuple[int, int], Sequence[Any]]:
    """The size (H, W) that SEGS name, and their SEG; raises InputError for anything else."""
    if not is_segs(value):
        raise InputError(f"{name}: found a {type(value).__name__}; {_ACCEPTED}.")
    size, found = value
    return (int(size[0]), int(size[1])), found


def seg_box(seg: Any, name: str = "segs") -> tuple[float, float, float, float]:
    """The box around an object, xyxy in pixels of its image: its bbox, else its crop_region.

    Raises InputError where it has neither, and as `corners`.
    """
    found = corners(getattr(seg, "bbox", None), name) or corners(seg.crop_region, name)
    if found is None:
        raise InputError(
            f"{name}: found an object without crop_region and bbox; accepted are objects with one "
            "of them. Mend the node that made the SEGS."
        )
    return found


def corners(value: Any, name: str = "segs") -> tuple[float, float, float, float] | None:
    """A crop_region or bbox, four numbers of any kind, as xyxy; None where there is none.

    Raises InputError for anything else.
    """
    if value is None:
        return None
    listed = value.tolist() if hasattr(value, "tolist") else list(value)
    if len(listed) != 4 or not all(map(_is_number, listed)):
        raise InputError(
            f"{name}: found {listed} as the box of an object; accepted are x1, y1, x2, y2 in "
            "pixels. Mend the node that made the SEGS."
        )
    x1, y1, x2, y2 = (float(side) for side in listed)
    return x1, y1, x2, y2


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_seg(value: Any) -> bool:
    return hasattr(value, "cropped_mask") and hasattr(value, "crop_region")
