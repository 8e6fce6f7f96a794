"""Builds graphs in the API format, with names for node ids."""

from __future__ import annotations

import json
from typing import Any

from .api import Graph

BUILT_IN = "grabcut (built in)"


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def point_segment(
    image: str | list,
    points: str | list | dict,
    model: str = BUILT_IN,
    precision: str = "fp32",
    mask_choice: str = "best",
    **sockets: list,
) -> Graph:
    """Load SAM and Point Segment ("segment"), with outputs for the mask and the boxes.

    image: an uploaded image's name, or a link to a node that the caller adds.
    """
    graph = {
        "sam": node("SegmentAnywhereLoadSAM", model=model, precision=precision),
        "segment": node(
            "SegmentAnywherePoint",
            model=["sam", 0],
            image=image if isinstance(image, list) else ["image", 0],
            points=points if isinstance(points, str) else json.dumps(points),
            mask_choice=mask_choice,
            **sockets,
        ),
        "mask": node("MaskToImage", mask=["segment", 0]),
        "mask image": node("PreviewImage", images=["mask", 0]),
        "boxes": node("PreviewAny", source=["segment", 2]),
        "overlay": node("PreviewImage", images=["segment", 3]),
    }
    if isinstance(image, str):
        graph["image"] = node("LoadImage", image=image)
    return graph
