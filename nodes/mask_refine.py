"""Mask Refine: clean, move, soften and align the edges of masks and segments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core.masks.inputs import NO_MASK, MaskInputs, image_frames, match_image
from ..core.masks.presets import AS_SET
from ..core.masks.refine import (
    Aligner,
    Edge,
    Refinement,
    check_image,
    refined_frames,
    refined_instances,
)
from ..core.results.segments import Segments, mask_segments
from . import model_choices
from .host import models, progress, ui
from .model_choices import AUTO, MATTING_MODELS, and_list
from .preset_input import preset_input
from .results import ShownNode, describe, mask_result
from .sockets import CATEGORY, SegmentsSocket

_LARGEST_AREA = 1 << 24
_LONGEST = 4096.0


class MaskRefine(ShownNode):
    """Refines a mask and every object of a result."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereMaskRefine",
            display_name="Mask Refine",
            category=CATEGORY,
            description="Cleans masks and gives them good edges. The order is fixed: threshold, "
            "fill holes, remove islands, expand, smooth, feather, edge, invert. At its default "
            "every step leaves the mask alone.",
            search_aliases=[
                *("mask refine", "grow mask", "expand mask", "shrink mask", "feather", "blur mask"),
                *("fill holes", "matting", "invert mask", "smooth mask", "vitmatte", "hair"),
            ],
            inputs=[
                *_sockets(),
                *_contour_widgets(),
                *_edge_widgets(),
                *_matting_widgets(),
                preset_input(),
            ],
            outputs=[
                io.Mask.Output("mask", tooltip="The refined mask, one per image."),
                SegmentsSocket.Output(
                    "segments",
                    tooltip="Every object refined on its own; the mask as one object "
                    "where no segments are connected.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, matting_model: str | None = AUTO) -> bool | str:
        return model_choices.check(matting_model, MATTING_MODELS)

    @classmethod
    def fingerprint_inputs(cls, matting_model: str | None = AUTO, **others: Any) -> tuple:
        # The host compares the other inputs itself, but hands over all of them.
        return (ui.has_viewer(), *model_choices.fingerprint(matting_model or AUTO, MATTING_MODELS))

    @classmethod
    def execute(
        cls,
        fill_holes: int,
        remove_islands: int,
        expand: float,
        smooth: float,
        feather: float,
        edge: str,
        threshold: float,
        invert: bool,
        mask: Tensor | None = None,
        segments: Segments | None = None,
        image: Tensor | None = None,
        matting_model: str = AUTO,
        band: float = 0.0,
        preset: str = AS_SET,
    ) -> io.NodeOutput:
        settings = Refinement(
            threshold, fill_holes, remove_islands, expand, smooth, feather, Edge(edge), invert
        )
        inputs = MaskInputs(mask, segments)
        batch, size = match_image(inputs, image)
        inputs = replace(inputs, segments=inputs.matched_segments(batch, size))
        # Before a model is fetched.
        check_image(settings, image)
        matting = _matting(matting_model, band, cls) if settings.edge is Edge.MATTING else None
        guide = None if image is None else image_frames(image, batch)
        refined = torch.empty((batch, *size), device=inputs.device)
        masks = inputs.matched_frames(batch, size)
        frames = refined_frames(masks, refined, settings, guide, matting)
        for _ in progress.counted(frames, batch):
            pass
        objects = _refined_objects(inputs.segments, refined, settings, guide, matting)
        selected = len(objects) > 0 or inputs.select_anything()
        text = _describe(inputs.segments, objects) if selected else NO_MASK
        return mask_result(cls, refined, objects, text)


def _sockets() -> list[io.Input]:
    return [
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="A mask, or one per image. Connect this, segments, or both.",
        ),
        SegmentsSocket.Input(
            "segments",
            optional=True,
            tooltip="Objects of a segment node. Each is refined on its own; without a mask, their "
            "union is the mask.",
        ),
        io.Image.Input(
            "image",
            optional=True,
            tooltip="What the mask belongs to, for edges that follow it. A mask of another size is "
            "resized to it.",
        ),
    ]


def _contour_widgets() -> list[io.Input]:
    """All in pixels."""
    pixels = {"min": 0.0, "step": 0.5, "default": 0.0}
    return [
        io.Int.Input(
            "fill_holes",
            default=0,
            min=-1,
            max=_LARGEST_AREA,
            tooltip="Holes of up to so many pixels are filled. 0 none, -1 all.",
        ),
        io.Int.Input(
            "remove_islands",
            default=0,
            min=0,
            max=_LARGEST_AREA,
            tooltip="Separate parts of fewer pixels than this are removed. 0 none.",
        ),
        io.Float.Input(
            "expand",
            default=0.0,
            min=-_LONGEST,
            max=_LONGEST,
            step=0.5,
            tooltip="Moves the contour outwards by so many pixels in every direction; negative "
            "moves it inwards. Fractions count.",
        ),
        io.Float.Input(
            "smooth",
            max=32.0,
            tooltip="Rounds off details of up to about so many pixels. Straight edges stay.",
            **pixels,
        ),
        io.Float.Input(
            "feather",
            max=_LONGEST,
            tooltip="Width in pixels of a soft ramp, half of it inside and half outside of the "
            "contour.",
            **pixels,
        ),
    ]


def _edge_widgets() -> list[io.Input]:
    return [
        io.Combo.Input(
            "edge",
            options=Edge,
            default=Edge.NONE,
            tooltip="guided lets the contour follow the edges in the image, at once and without a "
            "model. matting lets a model find hair and fur in the band around the contour. Both "
            "need image.",
        ),
        io.Float.Input(
            "threshold",
            display_name="threshold (0: off)",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Comes first: pixels selected at least this much become fully selected, the "
            "rest not at all. 0 keeps soft masks soft.",
        ),
        io.Boolean.Input(
            "invert", default=False, tooltip="Comes last: selects what was not selected."
        ),
    ]


def _matting_widgets() -> list[io.Input]:
    """For edge = matting alone."""
    return [
        io.Combo.Input(
            "matting_model",
            options=model_choices.options(MATTING_MODELS),
            default=AUTO,
            optional=True,
            tooltip="For edge = matting. auto: the largest on this machine, or else downloaded: "
            f"{model_choices.downloads(MATTING_MODELS)}. Folders with config.json and "
            f"model.safetensors come from models/{and_list(MATTING_MODELS.folders)}.",
        ),
        io.Float.Input(
            "band",
            display_name="band (0: auto)",
            optional=True,
            default=0.0,
            min=0.0,
            max=_LONGEST,
            step=0.5,
            tooltip="For edge = matting: the width in pixels of what is uncertain, half of it on "
            "either side of the contour. Make it more than twice as wide as hairs are long. 0 "
            "takes it from the mask: its soft pixels, and a 48th of the image's longer side.",
        ),
    ]


def _matting(choice: str, band: float, cls: type[io.ComfyNode]) -> Aligner:
    """The chosen model at work on bands of that width; it is fetched if need be."""
    path = model_choices.fetch_matting(choice, cls)
    return models.matting_model(path).ready().edges(band, progress.stop_if_interrupted)


def _refined_objects(
    segments: Segments | None,
    mask: Tensor,
    settings: Refinement,
    guide: Tensor | None,
    matting: Aligner | None,
) -> Segments:
    """Refined segments, without those of which nothing is left; else the mask as one object."""
    if segments is None:
        return mask_segments(mask, "mask")
    instances = refined_instances(segments, settings, guide, matting)
    refined = progress.counted(instances, len(segments))
    filled = [instance for instance in refined if instance.mask]
    return Segments.from_instances(filled, segments.size, segments.batch)


def _describe(segments: Segments | None, objects: Segments) -> str:
    gone = 0 if segments is None else len(segments) - len(objects)
    text = describe(objects, len(objects))
    return f"{text}; nothing is left of {gone}" if gone else text
