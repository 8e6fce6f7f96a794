"""Results as JSON with COCO run lengths, for other programs."""

from __future__ import annotations

import json
from typing import Any

from . import rle
from .compact_mask import INSIDE
from .segments import Segments, bounding_boxes


def to_json(segments: Segments) -> str:
    """All objects as a JSON list, in the order of the segments.

    Each has `frame`, `id` (which object it is, equal over the frames), `label`, `score`, `box` (x,
    y, width, height in pixels), `area` in pixels, and `rle`, the mask in COCO's run lengths as
    pycocotools and COCO files have it.
    """
    areas = segments.areas().tolist()
    boxes = [iter(frame) for frame in bounding_boxes(segments)]
    entries: list[dict[str, Any]] = []
    for instance, area in zip(segments, areas, strict=True):
        box = next(boxes[instance.frame])
        inside = instance.mask.pixels().numpy() >= INSIDE
        entries.append(
            {
                "frame": instance.frame,
                "id": instance.id,
                "label": box["label"],
                "score": box["score"],
                "box": {key: box[key] for key in ("x", "y", "width", "height")},
                "area": area,
                "rle": {"size": list(segments.size), "counts": rle.encode(inside)},
            }
        )
    return json.dumps(entries)
