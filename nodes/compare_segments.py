"""Compare Segments: where two results on the same images agree, and who missed what."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core.masks.inputs import MaskInputs, image_frames, match_image
from ..core.pictures.agreement import draw_agreement
from ..core.pictures.thumbnails import image_pictures
from ..core.results.compare import Comparison, compare_frames
from ..core.results.report import comparison_json, summary_line
from ..core.results.segments import Segments, match_segments
from .host import models, progress
from .results import ShownNode, show
from .sockets import CATEGORY, SegmentsSocket


class CompareSegments(ShownNode):
    """Measures how well two segment nodes agree, such as a local model and a provider's."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereCompare",
            display_name="Compare Segments",
            category=CATEGORY,
            description="Compares two results on the same images, such as a local model's and a "
            "provider's: which objects both found, how well their areas and contours fit, who "
            "missed what, and a picture of it.",
            search_aliases=[
                *("compare segments", "compare masks", "iou", "jaccard", "boundary f-score"),
                *("evaluate", "agreement", "difference", "benchmark"),
            ],
            inputs=[
                SegmentsSocket.Input("segments_a", tooltip="Objects of any segment node."),
                SegmentsSocket.Input(
                    "segments_b", tooltip="Objects of another one, on the same images."
                ),
                io.String.Input(
                    "name_a", default="a", tooltip="What to call the first result, such as local."
                ),
                io.String.Input(
                    "name_b", default="b", tooltip="What to call the second one, such as fal."
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="What to draw the picture over; without it, the ground is black.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "picture",
                    tooltip="Green: in both. Yellow: in a alone. Red: in b alone. One per image.",
                ),
                io.Float.Output(
                    "iou",
                    tooltip="The mean IoU over all objects, 0 for one that only one result has; 1 "
                    "where neither has any.",
                ),
                io.String.Output(
                    "json",
                    tooltip="Each pair of objects with IoU and boundary F-measure, who missed "
                    "what, and a summary.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        segments_a: Segments,
        segments_b: Segments,
        name_a: str = "a",
        name_b: str = "b",
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        names = (name_a.strip() or "a", name_b.strip() or "b")
        frames = compare_frames(segments_a, segments_b)
        pictures = _pictures(segments_a, segments_b, names, image)
        comparison = Comparison(tuple(progress.counted(frames, segments_a.batch, 1, 2)))
        return io.NodeOutput(
            models.to_output(pictures),
            comparison.iou,
            comparison_json(comparison, names),
            ui=show(cls, summary_line(comparison, names), image_pictures(pictures)),
        )


def _pictures(a: Segments, b: Segments, names: tuple[str, str], image: Tensor | None) -> Tensor:
    """The pictures of agreement, [B, H, W, 3] float32, of the image's size where there is one."""
    batch, size = match_image(MaskInputs(segments=a), image)
    a, b = match_segments(a, batch, size), match_segments(b, batch, size)
    ground = None if image is None else image_frames(image, batch)
    pictures = torch.empty((batch, *size, 3))
    for _ in progress.counted(draw_agreement(ground, a, b, names, pictures), batch, 0, 2):
        pass
    return pictures
