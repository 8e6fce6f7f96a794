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
    cut_out_objects,
    read_background,
    selected_area,
)
from ..core.pictures.thumbnails import image_pictures
from ..core.results.segments import Segments, mask_segments
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
                io.Boolean.Input(
                    "each",
                    default=False,
                    optional=True,
                    tooltip="One picture per object of segments, in their order, as a list; with "
                    "crop each has its own size. Without segments, one per image of the mask.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image",
                    is_output_list=True,
                    tooltip="The cut-out, with alpha where transparent. With each a list: what "
                    "follows runs once for every object.",
                ),
                io.Mask.Output(
                    "mask",
                    is_output_list=True,
                    tooltip="What was cut out, cropped as the image is. A list where that is one.",
                ),
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
        each: bool = False,
    ) -> io.NodeOutput:
        settings = CutOutSettings(clean_edges, read_background(background))
        inputs = MaskInputs(mask, segments)
        batch, size = match_image(inputs, image)
        frames = image_frames(image, batch)
        objects = _objects(inputs, batch, size) if each else ()
        if objects:
            cuts = cut_out_objects(frames, objects, settings, crop)
            pictures, masks = zip(*progress.counted(cuts, len(objects)), strict=True)
            text = "1 picture" if len(objects) == 1 else f"{len(objects)} pictures"
        else:
            alpha = inputs.matched_mask(batch, size)
            picture, kept = _cut_out_all(frames, alpha, settings, crop)
            pictures, masks = (picture,), (kept,)
            text = f"{kept.shape[2]} x {kept.shape[1]} pixels" if alpha.any() else NO_MASK
        return io.NodeOutput(
            [models.to_output(picture) for picture in pictures],
            [models.to_output(kept) for kept in masks],
            ui=show(cls, text, (small for one in pictures for small in image_pictures(one))),
        )


def _objects(inputs: MaskInputs, batch: int, size: tuple[int, int]) -> Segments:
    """What gets a picture of its own: the objects, or the mask of each image that holds anything.

    There is none where nothing is selected.
    """
    segments = inputs.matched_segments(batch, size)
    if segments is None:
        segments = mask_segments(inputs.matched_mask(batch, size), "mask")
    filled = [instance for instance in segments if instance.mask]
    return Segments.from_instances(filled, size, batch)


def _cut_out_all(
    frames: Tensor, alpha: Tensor, settings: CutOutSettings, crop: bool
) -> tuple[Tensor, Tensor]:
    """The pictures [B, h, w, 3 or 4] of a whole batch, and their masks [B, h, w]."""
    area = selected_area(alpha) if crop else (slice(None), slice(None))
    kept = alpha[:, area[0], area[1]].contiguous()
    pictures = torch.empty((*kept.shape, settings.channels), device=alpha.device)
    cuts = cut_out(frames, alpha, area, settings, pictures)
    for _ in progress.counted(cuts, len(alpha)):
        pass
    return pictures, kept
