"""Segment Everything: all regions of an image, without a prompt."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..core.pictures.thumbnails import region_pictures
from ..core.results.segments import Segments
from ..core.tasks.everything import GridSettings, count_steps, segment_images
from ..core.tensors import image_size
from .host import models, progress
from .results import ShownNode, by_engine, segment_result
from .sockets import CATEGORY, SegmentModelSocket, segment_outputs


class SegmentEverything(ShownNode):
    """Clicks on every point of a grid and keeps the masks that are good and differ."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereEverything",
            display_name="Segment Everything",
            category=CATEGORY,
            description="Finds all regions of an image without a prompt: a grid of clicks on one "
            "encoded image. Draw Segments makes a label map of them.",
            search_aliases=[
                *("segment everything", "automatic mask", "auto mask", "mask generator", "amg"),
                *("sam grid", "sam", "segment anything", "segment all", "regions", "label map"),
            ],
            inputs=[
                SegmentModelSocket.Input("model", tooltip="From Load SAM."),
                io.Image.Input("image", tooltip="One image or a batch."),
                *_search_inputs(),
                *_rare_inputs(),
            ],
            outputs=segment_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        model: models.SegmentModel,
        image: Tensor,
        points_per_side: int = 0,
        score_threshold: float = GridSettings.score_threshold,
        stability_threshold: float = GridSettings.stability_threshold,
        min_area: int = GridSettings.min_area,
        crop_layers: int = GridSettings.crop_layers,
        crop_points_divisor: int = GridSettings.crop_points_divisor,
        stability_offset: float = GridSettings.stability_offset,
        overlap_threshold: float = GridSettings.overlap_threshold,
    ) -> io.NodeOutput:
        batch, height, width = image_size(image)
        settings = GridSettings(
            points_per_side=points_per_side or model.family.grid_side,
            score_threshold=score_threshold,
            stability_threshold=stability_threshold,
            stability_offset=stability_offset,
            overlap_threshold=overlap_threshold,
            min_area=min_area,
            crop_layers=crop_layers,
            crop_points_divisor=crop_points_divisor,
        )
        settings.check()
        segmenter = model.segmenter()
        steps = batch * count_steps(segmenter.engine, (height, width), settings)
        side = settings.points_per_side
        step = progress.Forecast(cls, f"{side} x {side} clicks with {model.family.title}", steps)
        segments = segment_images(segmenter, image, settings, step)
        text = _describe(segments, settings)
        if len(segments):
            text = by_engine(text, model.family)
        return segment_result(cls, segments, text, region_pictures(image, segments))


def _search_inputs() -> list[io.Input]:
    """What to ask and what to keep."""
    return [
        io.Int.Input(
            "points_per_side",
            display_name="points_per_side (0: auto)",
            default=0,
            min=0,
            max=128,
            tooltip="Clicks along each side of the image; more find smaller regions and "
            "take longer by their square. 0 suits the model: 32, or 6 for the built-in "
            "engine, which takes a good part of a second for each click. The node says how long it "
            "will be.",
        ),
        io.Float.Input(
            "score_threshold",
            default=GridSettings.score_threshold,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Keep masks that the model scores above this. Lower finds more.",
        ),
        io.Float.Input(
            "stability_threshold",
            default=GridSettings.stability_threshold,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Keep masks whose outline hardly moves when it is drawn a little "
            "tighter or wider (an IoU). Lower finds more, with vaguer outlines.",
        ),
        io.Int.Input(
            "min_area",
            display_name="min_area (0: off)",
            default=0,
            min=0,
            max=2**31 - 1,
            tooltip="Fill holes, remove islands and leave out regions of fewer pixels. 0 is off.",
        ),
        io.Int.Input(
            "crop_layers",
            default=0,
            min=0,
            max=4,
            tooltip="Search again in 4 overlapping parts of the image, with 2 in 16 more, "
            "and so on: finds small things in large images and takes that much longer.",
        ),
    ]


def _rare_inputs() -> list[io.Input]:
    """Settings that few people change; the editor folds them away."""
    return [
        io.Int.Input(
            "crop_points_divisor",
            default=GridSettings.crop_points_divisor,
            min=1,
            max=8,
            advanced=True,
            tooltip="Each crop layer has this many times fewer points per side than the "
            "one before.",
        ),
        io.Float.Input(
            "stability_offset",
            default=GridSettings.stability_offset,
            min=0.0,
            max=10.0,
            step=0.05,
            advanced=True,
            tooltip="How much tighter and wider the outline is drawn for the stability, in logits.",
        ),
        io.Float.Input(
            "overlap_threshold",
            default=GridSettings.overlap_threshold,
            min=0.0,
            max=1.0,
            step=0.01,
            advanced=True,
            tooltip="Regions whose boxes overlap more than this (an IoU) count as one; the "
            "best score stays.",
        ),
    ]


def _describe(segments: Segments, settings: GridSettings) -> str:
    """One line for the node: how many regions, from how many clicks; where none, what to do."""
    side = settings.points_per_side
    if not len(segments):
        return (
            f"no region passed, of {side} x {side} clicks: lower score_threshold or "
            "stability_threshold"
        )
    count = len(segments)
    text = "1 region" if count == 1 else f"{count} regions"
    text += f" from {side} x {side} clicks"
    return text if segments.batch == 1 else f"{text}, in {segments.batch} images"
