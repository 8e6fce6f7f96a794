"""Segments to SEGS: objects for the detailers of the Impact Pack."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io
from torch import Tensor

from ..core.errors import InputError
from ..core.masks.inputs import MaskInputs, image_frames, match_image
from ..core.results.segments import Segments, match_segments
from ..core.results.segs import Cropping, to_segs
from .host import progress
from .sockets import CATEGORY, SegmentsSocket

_LARGEST = 2**31 - 1


class SegmentsToSEGS(io.ComfyNode):
    """Gives a detailer every object on its own, where the union's mask would join what touches."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereToSEGS",
            display_name="Segments to SEGS",
            category=CATEGORY,
            description="Turns segments into SEGS for the Impact Pack's detailers. Objects that "
            "touch stay apart, and labels and scores are kept.",
            search_aliases=["segs", "impact pack", "detailer", "face detailer", "mask to segs"],
            inputs=[
                SegmentsSocket.Input("segments", tooltip="From a segment node."),
                io.Float.Input(
                    "crop_factor",
                    default=3.0,
                    min=1.0,
                    max=100.0,
                    step=0.1,
                    tooltip="How much of the image a detailer sees: the sides of the crop by those "
                    "of the object's box.",
                ),
                io.Int.Input(
                    "min_size",
                    default=0,
                    min=0,
                    max=_LARGEST,
                    tooltip="Leave out objects whose box is narrower or lower than this, in "
                    "pixels; 0 keeps all.",
                ),
                io.Int.Input(
                    "frame",
                    default=-1,
                    min=-1,
                    max=_LARGEST,
                    tooltip="Which image of a batch, the first being 0; -1 gives one SEGS for "
                    "each, as a list.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Its crops go with the objects, for nodes that need them. It decides "
                    "the size, too.",
                ),
            ],
            outputs=[
                io.SEGS.Output(
                    "segs", is_output_list=True, tooltip="The objects, one SEGS per image."
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        segments: Segments,
        crop_factor: float = 3.0,
        min_size: int = 0,
        frame: int = -1,
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        batch, size = match_image(MaskInputs(segments=segments), image)
        matched = match_segments(segments, batch, size)
        frames = _chosen(frame, batch)
        pictures = None if image is None else image_frames(image, batch)
        segs = to_segs(matched, frames, Cropping(crop_factor, min_size), pictures)
        given = sum(number in frames for number in matched.frames.tolist())
        kept = sum(len(found) for _, found in segs)
        text = _describe(kept, given, min_size, len(frames))
        progress.show_text(cls, text)
        return io.NodeOutput(segs, ui={"text": [text]})


def _chosen(frame: int, batch: int) -> Sequence[int]:
    if frame >= batch:
        raise InputError(
            f"frame: found {frame}, the images are {batch}; accepted is 0 to {batch - 1}, or -1 "
            "for all. Choose an image of the batch."
        )
    return range(batch) if frame < 0 else [frame]


def _describe(kept: int, given: int, min_size: int, frames: int) -> str:
    """One line for the node: how many objects in how many images, and what was left out."""
    text = "1 object" if kept == 1 else f"{kept} objects"
    if frames > 1:
        text += f", in {frames} images"
    return text if kept == given else f"{text}; {given - kept} smaller than {min_size} px left out"
