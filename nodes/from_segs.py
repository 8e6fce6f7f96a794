"""SEGS to Segments: what the Impact Pack's detectors found, as objects of this pack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.errors import InputError
from ..core.pictures.thumbnails import object_pictures
from ..core.results.segments import match_segments
from ..core.results.segs import from_segs
from ..core.tensors import common_batch, image_size
from .results import ShownNode, describe, segment_result
from .sockets import CATEGORY, segment_outputs


class SEGSToSegments(ShownNode):
    """Lets what a detector of another pack found be chosen, refined, followed and drawn."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereFromSEGS",
            display_name="SEGS to Segments",
            category=CATEGORY,
            description="Turns SEGS, of the Impact Pack's detectors for example, into segments: to "
            "be selected, refined, followed, drawn and cut out. Labels and scores are kept.",
            search_aliases=["segs", "impact pack", "detector", "segs to mask", "ultralytics"],
            # A list of SEGS, one per image, becomes the segments of one batch.
            is_input_list=True,
            inputs=[
                io.SEGS.Input("segs", tooltip="One SEGS, or a list of them with one per image."),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The images that the SEGS are of: objects are scaled to their size, "
                    "and those of one SEGS go to every image of a batch.",
                ),
            ],
            outputs=segment_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, segs: list[Any], image: list[Tensor] | None = None) -> io.NodeOutput:
        batch, size = _images(image or [])
        found = from_segs(segs, size)
        frames = common_batch({"segs": found.batch} | ({"image": batch} if batch else {}))
        segments = match_segments(found, frames, found.size)
        return segment_result(cls, segments, describe(segments, 0), object_pictures(segments))


def _images(images: Sequence[Tensor]) -> tuple[int, tuple[int, int] | None]:
    """The number of images and their size, (0, None) without any."""
    shapes = [image_size(image) for image in images]
    sizes = sorted({(height, width) for _, height, width in shapes})
    if len(sizes) > 1:
        found = " and ".join(f"{width} x {height}" for height, width in sizes)
        raise InputError(
            f"image: found images of {found}; accepted is one size for all. Resize them "
            "before this node."
        )
    return sum(batch for batch, _, _ in shapes), sizes[0] if sizes else None
