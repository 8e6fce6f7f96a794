"""Crop Segments: objects one by one, at a size that suits a sampler, and the way back."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io
from torch import Tensor

from ..core.masks.inputs import MaskInputs, image_frames, match_image
from ..core.pictures.crops import Aspect, CropSettings, Together, crop, plan_crops
from ..core.pictures.stitch import Stitch
from ..core.pictures.thumbnails import image_pictures
from ..core.results.segments import Segments, match_segments
from .host import models, progress
from .results import ShownNode, show
from .sockets import CATEGORY, SegmentsSocket, StitchSocket

_LARGEST = 8192


class CropSegments(ShownNode):
    """Cuts objects with their surroundings out of images, as a list for other nodes to work on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereCrop",
            display_name="Crop Segments",
            category=CATEGORY,
            description="Cuts each object with its surroundings out of the image, at the size that "
            "a sampler works best at. Stitch Segments puts back what becomes of the crops.",
            search_aliases=[
                *("crop segments", "crop to mask", "inpaint crop", "detailer", "seg detailer"),
                *("crop and stitch", "bounding box crop", "split objects"),
            ],
            inputs=[
                io.Image.Input("image", tooltip="What to crop; one image or a batch."),
                SegmentsSocket.Input("segments", tooltip="Objects of any segment node."),
                *_settings(),
            ],
            outputs=_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        segments: Segments,
        together: str = Together.OBJECT,
        padding: int = 30,
        size: int = CropSettings.size,
        multiple_of: int = CropSettings.multiple_of,
        aspect: str = Aspect.OBJECT,
    ) -> io.NodeOutput:
        settings = CropSettings(Together(together), padding, size, multiple_of, Aspect(aspect))
        batch, image_size = match_image(MaskInputs(segments=segments), image)
        places = plan_crops(match_segments(segments, batch, image_size), settings)
        frames = image_frames(image, batch)
        cut = (crop(frames, place) for place in places)
        pairs = list(progress.counted(cut, len(places)))
        crops = [models.to_output(pixels[None]) for pixels, _ in pairs]
        stitch = Stitch(image, batch, tuple(places), tuple(crops))
        return io.NodeOutput(
            crops,
            [models.to_output(mask[None]) for _, mask in pairs],
            [place.label for place in places],
            stitch,
            ui=show(cls, _describe(stitch), image_pictures([each[0] for each in crops])),
        )


def _settings() -> Sequence[io.Input]:
    """What shares a crop, and how large the crops are."""
    return [
        io.Combo.Input(
            "together",
            options=Together,
            default=Together.OBJECT,
            tooltip="each object: a crop of its own for every object. each label: the objects of a "
            "label share one. all together: one crop for each image.",
        ),
        io.Int.Input(
            "padding",
            default=30,
            min=0,
            max=500,
            tooltip="What is kept around the box of the object, on each side, in percent of the "
            "box's width and height.",
        ),
        io.Int.Input(
            "size",
            display_name="size (0: as it is)",
            default=CropSettings.size,
            min=0,
            max=_LARGEST,
            step=8,
            tooltip="Scale every crop so that its longer side has so many pixels, such as 1024 for "
            "SDXL. 0 leaves the image's own pixels.",
        ),
        io.Int.Input(
            "multiple_of",
            default=CropSettings.multiple_of,
            min=1,
            max=256,
            tooltip="Both sides of a crop are multiples of this; a little more is kept around the "
            "object for it. Samplers want 8, some models more.",
        ),
        io.Combo.Input(
            "aspect",
            options=Aspect,
            default=Aspect.OBJECT,
            tooltip="object: the shape of the box. square: both sides are equal.",
        ),
    ]


def _outputs() -> list[io.Output]:
    """Three lists with an entry for each crop, and what all of them go back with."""
    return [
        io.Image.Output(
            "crop",
            is_output_list=True,
            tooltip="A list of crops: the nodes that follow work on one after the other.",
        ),
        io.Mask.Output("mask", is_output_list=True, tooltip="The objects' mask within each crop."),
        io.String.Output(
            "label", is_output_list=True, tooltip="The label of each crop, such as for a prompt."
        ),
        StitchSocket.Output(
            "stitch", tooltip="For Stitch Segments: the image, and where its crops lie."
        ),
    ]


def _describe(stitch: Stitch) -> str:
    """One line for the node: how many crops, and how large they are."""
    if not stitch.has_objects:
        return "no objects: an empty crop stands in, and nothing will change"
    sides = sorted({(place.size[1], place.size[0]) for place in stitch.places})
    sizes = [f"{width} x {height}" for width, height in sides]
    shown = sizes[0] if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    count = len(stitch.places)
    return f"{count} crop{'s' if count > 1 else ''}, {shown} pixels"
