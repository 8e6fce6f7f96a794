"""The boxes of SEGS as prompts."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..segs import read_segs, seg_box
from .fitting import fit, rescale
from .prompts import Box, Prompts


def segs_boxes(value: Any, size: tuple[int, int], name: str) -> Prompts:
    """A box around each object of SEGS, scaled from the size that it names to an image of (H, W).

    Labels become the boxes' names. Raises InputError for what is no SEGS, and for a box without
    area or outside the image.
    """
    source, found = read_segs(value, name)
    if not found:
        return Prompts()
    boxes = tuple(_box(seg, f"{name}[{index}]") for index, seg in enumerate(found))
    return rescale(fit(Prompts(boxes=boxes), source, name), source, size)


def _box(seg: Any, name: str) -> Box:
    x1, y1, x2, y2 = seg_box(seg, name)
    if x2 <= x1 or y2 <= y1:
        raise InputError(
            f"{name}: found the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}); a box needs a width and "
            "height above 0. Leave out small objects where the SEGS are made."
        )
    label = getattr(seg, "label", None)
    return Box(x1, y1, x2, y2, name="" if label is None else str(label))
