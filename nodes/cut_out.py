"""Cut Out: what a mask or a result selects, on transparency or on a colour."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core.errors import InputError
from ..core.masks.inputs import NO_MASK, MaskInputs, image_frames, match_image
from ..core.pictures.cutout import (
    TRANSPARENT,
    CutOutSettings,
    cut_out,
    read_background,
    selected_area,
)
from ..core.pictures.thumbnails import image_pictures
from ..core.results.segments import Segments
from .host import models, progress
from .results import ShownNode, show
from .sockets import CATEGORY, SegmentsSocket


class CutOut(ShownNode):
    """Cuts out of images what a mask selects, without a rim of the old background."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereCutOut",
            display_name="Cut Out",
            category=CATEGORY,
            description="Cuts out what a mask or the objects of a result select, with "
            "transparency or on a colour. Edges keep no colour of the old background.",
            search_aliases=[
                *("cut out", "cutout", "remove background", "transparent", "rgba", "matte"),
                *("extract object", "crop to mask", "sticker"),
            ],
            inputs=[
                io.Image.Input("image", tooltip="What to cut from; one image or a batch."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="A mask, or one per image. Connect this or segments.",
                ),
                SegmentsSocket.Input(
                    "segments",
                    optional=True,
                    tooltip="Objects of a segment node; without a mask, all of them are cut out.",
                ),
                io.Boolean.Input(
                    "clean_edges",
                    default=True,
                    tooltip="Free the edges of the colours of the old background. Off keeps the "
                    "image's own colours, and is faster.",
                ),
                io.String.Input(
                    "background",
                    default=TRANSPARENT,
                    tooltip="transparent gives a picture with alpha. A colour, such as white, "
                    "#00ff00 or rgb(0, 255, 0), is put behind what is cut out.",
                ),
                io.Boolean.Input(
                    "crop",
                    default=False,
                    tooltip="Crop to what is selected; in a batch, to what is selected in any "
                    "image of it, so that the pictures stay of one size and in place.",
                ),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The cut-out; with alpha where transparent."),
                io.Mask.Output("mask", tooltip="What was cut out, cropped as the image is."),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, background: str | None = None) -> bool | str:
        try:
            read_background(background or "")
        except InputError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        image: Tensor,
        mask: Tensor | None = None,
        segments: Segments | None = None,
        clean_edges: bool = True,
        background: str = TRANSPARENT,
        crop: bool = False,
    ) -> io.NodeOutput:
        settings = CutOutSettings(clean_edges, read_background(background))
        inputs = MaskInputs(mask, segments)
        batch, size = match_image(inputs, image)
        alpha = inputs.matched_mask(batch, size)
        area = selected_area(alpha) if crop else (slice(0, size[0]), slice(0, size[1]))
        kept = alpha[:, area[0], area[1]]
        pictures = torch.empty((*kept.shape, settings.channels), device=alpha.device)
        cuts = cut_out(image_frames(image, batch), alpha, area, settings, pictures)
        for _ in progress.counted(cuts, batch):
            pass
        height, width = kept.shape[1:]
        text = f"{width} x {height} pixels" if alpha.any() else NO_MASK
        return io.NodeOutput(
            models.to_output(pictures),
            models.to_output(kept.contiguous()),
            ui=show(cls, text, image_pictures(pictures)),
        )
