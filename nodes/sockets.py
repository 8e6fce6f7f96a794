"""Socket types, and the inputs and outputs that all segment nodes share."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core import render
from ..core.segments import Segments, bounding_boxes, union_masks
from . import host

CATEGORY = "segment anywhere"

# A SegmentModel (nodes/host.py): `.patcher` for ComfyUI, `.engine` once it is loaded.
SegmentModelSocket = io.Custom("SEGMENT_MODEL")
# A Segments (core/segments.py).
SegmentsSocket = io.Custom("SEGMENTS")


def prompt_sockets() -> list[io.Input]:
    """Points and boxes from other nodes; `PromptInputs` reads them."""
    return [
        io.String.Input(
            "positive_coords",
            optional=True,
            force_input=True,
            tooltip="Points on the object, as KJNodes' Points Editor sends them.",
        ),
        io.String.Input(
            "negative_coords",
            optional=True,
            force_input=True,
            tooltip="Points off the object, as KJNodes' Points Editor sends them.",
        ),
        io.BoundingBox.Input(
            "bboxes",
            optional=True,
            force_input=True,
            tooltip="Boxes around objects: one, a list for all images, or one per image.",
        ),
    ]


def segment_outputs() -> list[io.Output]:
    """The four outputs of every segment node."""
    return [
        io.Mask.Output("mask", tooltip="The union of all objects, one mask per image."),
        SegmentsSocket.Output(
            "segments", tooltip="Every object on its own, with label, score and frame."
        ),
        io.BoundingBox.Output(
            "bboxes", tooltip="A box around each object, one list per image, with score and label."
        ),
        io.Image.Output("overlay", tooltip="The image with coloured masks, boxes and labels."),
    ]


def segment_result(
    cls: type[io.ComfyNode],
    image: Tensor,
    segments: Segments,
    text: str,
    *further: Any,
    ui: dict[str, Any] | None = None,
) -> io.NodeOutput:
    """Make the four outputs, the preview and the node's line of text from a result.

    further: the values of the outputs that a node has besides the four. ui: what an editor on the
    node shows, in place of the preview and of a line below the node.
    """
    return _result(cls, segments, text, render.overlay(image, segments), *further, ui=ui)


def region_outputs() -> list[io.Output]:
    """The outputs of a node that finds regions rather than objects: the four and a label map."""
    label_map = io.Image.Output(
        "label_map",
        tooltip="Every region in a colour of its own on black, the smaller one on top.",
    )
    return [*segment_outputs(), label_map]


def region_result(
    cls: type[io.ComfyNode], image: Tensor, segments: Segments, text: str
) -> io.NodeOutput:
    """As `segment_result`, with the label map, and an overlay without boxes and labels."""
    label_map = render.label_map(segments)
    overlay = render.tint(image, label_map)
    return _result(cls, segments, text, overlay, host.to_output(label_map))


def _result(
    cls: type[io.ComfyNode],
    segments: Segments,
    text: str,
    overlay: Tensor,
    *further: Any,
    ui: dict[str, Any] | None = None,
) -> io.NodeOutput:
    if ui is None:
        host.show_text(cls, text)
    return io.NodeOutput(
        host.to_output(union_masks(segments)),
        segments,
        bounding_boxes(segments),
        host.to_output(overlay),
        *further,
        ui={"text": [text], **ui} if ui is not None else host.preview(overlay, text, cls),
    )


def describe(segments: Segments, asked: int) -> str:
    """One line for the node: how many objects in how many images, of how many asked for."""
    count = len(segments)
    text = "1 object" if count == 1 else f"{count} objects"
    if count < asked:
        text += f" of {asked} asked for"
    return text if segments.batch == 1 else f"{text}, in {segments.batch} images"
