"""Stitch Segments: what became of the crops of Crop Segments, put back into their images."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core.pictures.stitch import Stitch, divide_pictures, stitch_frames
from ..core.pictures.thumbnails import image_pictures
from .host import models, progress
from .results import ShownNode, show
from .sockets import CATEGORY, StitchSocket

_FEATHER = 8.0


class StitchSegments(ShownNode):
    """Blends crops that other nodes have worked on into the images that they come from.

    All inputs are lists: `stitch` has more than one entry where Crop Segments itself worked on a
    list of images.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereStitch",
            display_name="Stitch Segments",
            category=CATEGORY,
            description="Puts what other nodes made of the crops of Crop Segments back into the "
            "image. Only the objects change, with a soft edge.",
            search_aliases=[
                *("stitch segments", "inpaint stitch", "paste back", "composite", "detailer"),
                *("crop and stitch", "uncrop"),
            ],
            inputs=[
                StitchSocket.Input("stitch", tooltip="From Crop Segments."),
                io.Image.Input(
                    "image",
                    lazy=True,
                    tooltip="What became of the crops, one picture for each, in their order: a "
                    "list, or a batch. They may have another size than the crops.",
                ),
                io.Float.Input(
                    "feather",
                    default=_FEATHER,
                    min=0.0,
                    max=512.0,
                    step=0.5,
                    tooltip="How far outside of the mask the pictures fade out, in pixels of the "
                    "image. What is farther away does not change.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image", is_output_list=True, tooltip="The whole images, with what came back."
                )
            ],
            hidden=[io.Hidden.unique_id],
            is_input_list=True,
            has_intermediate_output=True,
        )

    @classmethod
    def check_lazy_status(
        cls, stitch: list[Stitch], image: object = None, feather: object = None
    ) -> list[str]:
        """Without an object nothing changes: the nodes between need not run at all."""
        return ["image"] if any(each.has_objects for each in stitch) else []

    @classmethod
    def execute(
        cls, stitch: list[Stitch], image: list[Tensor], feather: list[float]
    ) -> io.NodeOutput:
        if not any(each.has_objects for each in stitch):
            image = [crop for each in stitch for crop in each.crops]
        results = []
        for each, pictures in zip(stitch, divide_pictures(stitch, image), strict=True):
            out = torch.empty((each.batch, *each.image.shape[1:3], 3), device=each.image.device)
            frames = stitch_frames(each, pictures, feather[0], out)
            for _ in progress.counted(frames, each.batch):
                pass
            results.append(models.to_output(out))
        shown = (frame for result in results for frame in result)
        return io.NodeOutput(results, ui=show(cls, _describe(stitch), image_pictures(shown)))


def _describe(stitches: list[Stitch]) -> str:
    """One line for the node: how many crops went back."""
    count = sum(len(each.places) for each in stitches if each.has_objects)
    if not count:
        return "no objects: nothing has changed"
    return f"{count} crop{'s' if count > 1 else ''} put back"
