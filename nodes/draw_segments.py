"""Draw Segments: pictures of a result, drawn when somebody asks for them."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core.masks.inputs import MaskInputs, image_frames, match_image
from ..core.pictures.render import Drawing, Style, draw
from ..core.pictures.thumbnails import image_pictures
from ..core.results.segments import Segments, match_segments
from .host import models, progress
from .results import ShownNode, describe, show
from .sockets import CATEGORY, SegmentsSocket


class DrawSegments(ShownNode):
    """Draws objects over their images, or a label map, in the colours of their ids."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereDraw",
            display_name="Draw Segments",
            category=CATEGORY,
            description="Draws the objects of a result over their images: filled, as outlines, or "
            "as a label map. An object keeps its colour in every frame and in the editor.",
            search_aliases=[
                *("draw segments", "overlay", "mask overlay", "contour", "outline"),
                *("label map", "draw boxes", "annotate", "visualize"),
            ],
            inputs=[
                io.Image.Input("image", tooltip="What the segments belong to; one or a batch."),
                SegmentsSocket.Input("segments", tooltip="Objects of any segment node."),
                io.Combo.Input(
                    "style",
                    options=Style,
                    default=Style.FILL,
                    tooltip="fill: coloured areas. contour: outlines. label map: every object in a "
                    "colour of its own on black, the smaller one on top, without boxes and labels.",
                ),
                io.Float.Input(
                    "opacity",
                    default=Drawing.opacity,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Of the colours of fill and contour; 1 hides what is below.",
                ),
                io.Boolean.Input("boxes", default=True, tooltip="A box around each object."),
                io.Boolean.Input(
                    "labels", default=True, tooltip="The object's label and score beside it."
                ),
            ],
            outputs=[io.Image.Output("image", tooltip="The drawn pictures, one per image.")],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        segments: Segments,
        style: str = Style.FILL,
        opacity: float = Drawing.opacity,
        boxes: bool = True,
        labels: bool = True,
    ) -> io.NodeOutput:
        batch, size = match_image(MaskInputs(segments=segments), image)
        objects = match_segments(segments, batch, size)
        drawing = Drawing(Style(style), opacity, boxes, labels)
        pictures = torch.empty((batch, *size, 3))
        drawn = draw(image_frames(image, batch), objects, drawing, pictures)
        for _ in progress.counted(drawn, batch):
            pass
        text = describe(objects, len(objects))
        shown = show(cls, text, image_pictures(pictures))
        return io.NodeOutput(models.to_output(pictures), ui=shown)
