"""Results as text that other programs read."""

from __future__ import annotations

import json
from typing import Any

from . import rle
from .segments import Segments, bounding_boxes, mask_areas


def to_json(segments: Segments) -> str:
    """All objects as a JSON list, in the order of the segments.

    Each has `frame`, `label`, `score`, `box` (x, y, width, height in pixels), `area` in pixels, and
    `rle`, the mask in COCO's run lengths as pycocotools and COCO files have it.
    """
    areas = mask_areas(segments.masks).tolist()
    boxes = [iter(frame) for frame in bounding_boxes(segments)]
    entries: list[dict[str, Any]] = []
    for mask, frame, area in zip(segments.masks, segments.frames.tolist(), areas, strict=True):
        box = next(boxes[frame])
        entries.append(
            {
                "frame": frame,
                "label": box["label"],
                "score": box["score"],
                "box": {key: box[key] for key in ("x", "y", "width", "height")},
                "area": area,
                "rle": {"size": list(segments.size), "counts": rle.encode(mask.numpy() >= 128)},
            }
        )
    return json.dumps(entries)
