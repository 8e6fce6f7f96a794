"""Example boxes: around what is to be found, and around what looks like it but is not wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError
from .fitting import check_frames
from .formats import parse_boxes, parse_points
from .prompts import Box

VISUAL = "visual"
"""SAM 3's word for boxes that come without words (`Sam3Processor`, sam3 0.1.4)."""


@dataclass(frozen=True)
class ExampleInputs:
    """The inputs of a node that hold example boxes, as they arrive; "" and None mean not given."""

    bboxes: Any = None
    negative_bboxes: Any = None
    points: str = ""


def read_examples(
    inputs: ExampleInputs, batch: int, size: tuple[int, int]
) -> list[tuple[Box, ...]]:
    """The example boxes of each frame of a batch of images of size (H, W).

    Boxes of sockets are for all frames, or there is a list for each. Drawn boxes are for the frame
    they name, and for every frame where they name none. Raises InputError for whatever the parsers
    refuse, for a frame that the batch does not have, and for points or painted masks among the
    drawn boxes.
    """
    drawn = parse_points(inputs.points, size)
    check_frames(drawn, batch)
    if drawn.points:
        raise InputError(
            f"points: found {len(drawn.points)} points among the example boxes; accepted are boxes "
            "alone. Remove the points, or use Point Segment, which takes clicks."
        )
    if drawn.masks:
        raise InputError(
            f"points: found {len(drawn.masks)} painted masks among the example boxes; accepted are "
            "boxes alone. Remove them, or use Point Segment, which takes painted masks."
        )
    like = parse_boxes(inputs.bboxes, batch, size)
    unlike = parse_boxes(inputs.negative_bboxes, batch, size, "negative_bboxes")
    return [
        (
            *like[frame].boxes,
            *(replace(box, positive=False) for box in unlike[frame].boxes),
            *drawn.on_frame(frame).boxes,
        )
        for frame in range(batch)
    ]
