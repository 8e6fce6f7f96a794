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
    """Load SAM and Point Segment ("segment"), with outputs for the mask, the boxes and an overlay.

    image: an uploaded image's name, or a link to a node that the caller adds.
    """
    segment = node(
        "SegmentAnywherePoint",
        points=points if isinstance(points, str) else json.dumps(points),
        mask_choice=mask_choice,
        **sockets,
    )
    return _around(segment, image, model, precision)


def text_segment(image: str | list, prompt: str, model: str = BUILT_IN, **inputs: Any) -> Graph:
    """Load SAM and Text Segment ("segment"), with the same outputs as `point_segment`."""
    values = {"negative_prompt": "", "threshold": 0.4, "max_objects": 0, **inputs}
    segment = node("SegmentAnywhereText", prompt=prompt, **values)
    return _around(segment, image, model, "fp32")


def draw(image: list, segments: list, **inputs: Any) -> dict[str, Any]:
    """Draw Segments, with its own values where none are given."""
    values = {"style": "fill", "opacity": 0.45, "boxes": True, "labels": True, **inputs}
    return node("SegmentAnywhereDraw", image=image, segments=segments, **values)


def cut_out(image: list, **inputs: Any) -> dict[str, Any]:
    """Cut Out, with its own values where none are given."""
    values = {"clean_edges": True, "background": "transparent", "crop": False, **inputs}
    return node("SegmentAnywhereCutOut", image=image, **values)


def _around(segment: dict[str, Any], image: str | list, model: str, precision: str) -> Graph:
    """A segment node between its model and image and what shows its outputs."""
    source = image if isinstance(image, list) else ["image", 0]
    segment["inputs"] |= {"model": ["sam", 0], "image": source}
    graph = {
        "sam": node("SegmentAnywhereLoadSAM", model=model, precision=precision),
        "segment": segment,
        "mask": node("MaskToImage", mask=["segment", 0]),
        "mask image": node("PreviewImage", images=["mask", 0]),
        "boxes": node("PreviewAny", source=["segment", 2]),
        "drawing": draw(source, ["segment", 1]),
        "overlay": node("PreviewImage", images=["drawing", 0]),
    }
    if isinstance(image, str):
        graph["image"] = node("LoadImage", image=image)
    return graph
