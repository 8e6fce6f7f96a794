"""Masks to Segments: the masks of any node as objects."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..core.pictures.thumbnails import object_pictures
from ..core.prompts.phrases import split_names
from ..core.results.masks import MaskBatch, masks_to_segments
from ..core.results.segments import Segments, match_segments
from ..core.tensors import image_size, mask_size
from .results import ShownNode, describe, segment_result
from .sockets import CATEGORY, segment_outputs


class MasksToSegments(ShownNode):
    """Lets masks that another node made be chosen, refined, drawn and saved as objects."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereFromMasks",
            display_name="Masks to Segments",
            category=CATEGORY,
            description="Turns a batch of masks of any node into segments: to be selected, "
            "refined, drawn, cut out and saved as objects. Empty masks are left out.",
            search_aliases=["mask to segments", "mask batch", "split masks", "convert masks"],
            inputs=[
                io.Mask.Input("masks", tooltip="One mask or a batch; soft edges are kept."),
                io.Combo.Input(
                    "masks_are",
                    options=MaskBatch,
                    default=MaskBatch.OBJECTS,
                    tooltip="What the batch holds: every mask another object of one image, as a "
                    "segmenter gives them; or one object on image after image, as of a video.",
                ),
                io.String.Input(
                    "labels",
                    default="",
                    tooltip="What to call the objects, in their order, separated by commas. The "
                    "others are called by their number.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The images that the masks are of: masks are resized to them, and "
                    "objects of one image go to every image of a batch.",
                ),
            ],
            outputs=segment_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        masks: Tensor,
        masks_are: str = MaskBatch.OBJECTS,
        labels: str = "",
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        images = None
        if image is not None:
            batch, height, width = image_size(image)
            images = batch, (height, width)
        kind = MaskBatch(masks_are)
        found = masks_to_segments(masks, kind, split_names(labels), images)
        segments = match_segments(found, *images) if images else found
        text = _describe(segments, max(mask_size(masks)[0] - len(found), 0))
        return segment_result(cls, segments, text, object_pictures(segments))


def _describe(segments: Segments, empty: int) -> str:
    """One line for the node: how many objects, and how many masks were empty."""
    text = describe(segments, 0)
    if not empty:
        return text
    return f"{text}; {empty} empty {'mask' if empty == 1 else 'masks'} left out"
