"""Graphs of this pack's nodes and those of others."""

from __future__ import annotations

import json

from ..api import Graph
from ..graphs import BUILT_IN, node

SIZE = (160, 120)
SQUARES = ((10, 10, 50, 60), (50, 10, 90, 60), (100, 70, 150, 110))
MASK_TO_SEGS = {
    "combined": False,
    "crop_factor": 2.0,
    "bbox_fill": False,
    "drop_size": 1,
    "contour_fill": False,
}


def shown(name: str, mask: list) -> Graph:
    """Nodes that show a mask as `NAME image`."""
    return {
        name: node("MaskToImage", mask=mask),
        f"{name} image": node("PreviewImage", images=[name, 0]),
    }


def clicked(photograph: str) -> Graph:
    """Two flowers of the photograph, clicked."""
    points = json.dumps([[[310, 215]], [[410, 410]]])
    return {
        "image": node("LoadImage", image=photograph),
        "sam": node("SegmentAnywhereLoadSAM", model=BUILT_IN, precision="fp32"),
        "segment": node(
            "SegmentAnywherePoint",
            model=["sam", 0],
            image=["image", 0],
            points=points,
            mask_choice="best",
        ),
    }


def masked(squares: str) -> Graph:
    """The three squares as the mask of Load Image."""
    return {"image": node("LoadImage", image=squares)}


def to_segs(segments: list, **inputs: object) -> dict:
    values = {"crop_factor": 2.0, "min_size": 0, "frame": -1, **inputs}
    return node("SegmentAnywhereToSEGS", segments=segments, **values)


def refine(segments: list, **inputs: object) -> dict:
    steps = dict.fromkeys(("fill_holes", "remove_islands", "smooth", "feather", "threshold"), 0)
    values = {**steps, "expand": 0, "edge": "none", "invert": False, **inputs}
    return node("SegmentAnywhereMaskRefine", segments=segments, **values)


def select(segments: list, **inputs: object) -> dict:
    values = {"labels": "", "indices": "", "sort_by": "as given", "reverse": False}
    limits = {"min_score": 0, "max_score": 1, "min_area": 0, "max_area": 0}
    return node("SegmentAnywhereSelect", segments=segments, **{**values, **limits, **inputs})


def points_editor(size: tuple[int, int], normalize: bool, box: tuple[int, ...]) -> dict:
    corners = dict(zip(("startX", "startY", "endX", "endY"), box, strict=True))
    return node(
        "PointsEditor",
        points_store="",
        bbox_store="",
        coordinates=json.dumps([{"x": 310, "y": 215}]),
        neg_coordinates=json.dumps([{"x": 20, "y": 20}]),
        bboxes=json.dumps([corners]),
        bbox_format="xyxy",
        width=size[0],
        height=size[1],
        normalize=normalize,
    )
