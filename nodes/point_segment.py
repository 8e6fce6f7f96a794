"""Point Segment: clicks, boxes and a rough mask in, masks out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.engines.families import Family, check_prompts
from ..core.prompts.formats import box_dicts, coords_text, parse_points
from ..core.prompts.inputs import PromptInputs, join_frames, read_sockets
from ..core.prompts.prompts import ObjectPrompt, Prompts
from ..core.results.segments import Instance, Segments
from ..core.tasks.segmenter import MaskChoice, segment_frames
from ..core.tasks.zoom import most_crops, zoom_frames
from ..core.tensors import image_size
from .editor_state import Clicked, editor_state
from .host import models, progress, ui
from .results import ShownNode, by_engine, describe, log_line, segment_result, with_note
from .sockets import CATEGORY, SegmentModelSocket, prompt_sockets, segment_outputs

NO_PROMPT = "no prompt: add a point, a box or a mask"


class PointSegment(ShownNode):
    """Segments the objects that points, boxes or a rough mask show, in every image of a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywherePoint",
            display_name="Point Segment",
            category=CATEGORY,
            description="Segments what points, boxes or a rough mask show. An image is encoded "
            "once; every further point costs a fraction of that.",
            search_aliases=[
                *("point segment", "click", "points editor", "box", "bounding box", "segment"),
                *("sam", "sam2", "sam3", "segment anything", "interactive", "mask", "cutout"),
            ],
            inputs=[
                SegmentModelSocket.Input("model", tooltip="From Load SAM."),
                io.Image.Input("image", tooltip="One image or a batch; prompts apply to each."),
                io.String.Input(
                    "points",
                    default="",
                    multiline=True,
                    tooltip="Points and boxes as JSON, in pixels from the top-left corner. "
                    "[[450, 300]] is one click; [[450, 300], [20, 40]] are two on one object; a "
                    "list of such lists is one object each. Points written with x, y and label 0 "
                    "mark what is not wanted. With frame they are for that image of a batch alone, "
                    "the first being 0. Empty means no prompt: the mask stays empty.",
                ),
                io.Combo.Input(
                    "mask_choice",
                    options=MaskChoice,
                    default=MaskChoice.BEST,
                    tooltip="Which of the candidates to keep: the one the model scores best, the "
                    "largest, the smallest, or all of them, best first. The built-in engine has "
                    "one.",
                ),
                *prompt_sockets(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="A rough mask of the first object, for the model to make exact.",
                ),
                io.Boolean.Input(
                    "zoom",
                    default=False,
                    optional=True,
                    tooltip="Draws every object anew on a crop of 1.5 times its box: finer "
                    "outlines of small things, for an encoding of each object. The live preview "
                    "shows masks without it.",
                ),
            ],
            outputs=[*segment_outputs(), *_prompt_outputs()],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        model: models.SegmentModel,
        image: Tensor,
        points: str,
        mask_choice: str,
        positive_coords: str = "",
        negative_coords: str = "",
        bboxes: Any = None,
        mask: Tensor | None = None,
        zoom: bool = False,
    ) -> io.NodeOutput:
        batch, height, width = image_size(image)
        inputs = PromptInputs(points, positive_coords, negative_coords, bboxes, mask)
        given = parse_points(points, (height, width))
        sockets = read_sockets(inputs, batch, (height, width))
        prompts = join_frames(given, sockets)
        check_prompts(model.family, prompts)
        segmenter = model.segmenter()
        asked = sum(len(objects) for objects in prompts)
        choice = MaskChoice(mask_choice)
        frames = segment_frames(segmenter, image, prompts, choice)
        if zoom and asked:
            most = batch + most_crops(prompts, choice)
            progress.show_text(cls, f"up to {most} images to encode, with object crops")
            frames = zoom_frames(segmenter, frames, prompts, progress.stop_if_interrupted)
        keys: dict[int, str] = {}
        instances: list[Instance] = []
        for index, frame in enumerate(progress.counted(frames, batch)):
            keys[index] = frame.key
            instances += frame.instances
        segments = Segments.from_instances(instances, (height, width), batch)
        editor: dict[str, Any] = {}
        if ui.has_viewer():
            editor = editor_state(model, image, keys, Clicked(points, given, sockets), segments)
        text = _line(segments, prompts, model.family)
        log_line("Point Segment", text, is_idle=not asked)
        return segment_result(cls, segments, text, further=_prompt_values(given), editor=editor)


def _line(segments: Segments, prompts: Sequence[Sequence[ObjectPrompt]], family: Family) -> str:
    """What the node says, with the objects that were asked for in each image."""
    asked = sum(len(objects) for objects in prompts)
    if not asked:
        return NO_PROMPT
    return by_engine(with_note(describe(segments, asked), prompts), family, segments)


def _prompt_outputs() -> list[io.Output]:
    """What the editor made, for nodes of other packs and of ComfyUI itself."""
    return [
        io.String.Output("positive_coords", tooltip="The points on objects, as JSON, in pixels."),
        io.String.Output("negative_coords", tooltip="The points off objects, as JSON, in pixels."),
        io.BoundingBox.Output("prompt_boxes", tooltip="The boxes drawn around objects."),
    ]


def _prompt_values(given: Prompts) -> tuple[str, str, list[dict]]:
    return (
        coords_text(point for point in given.points if point.positive),
        coords_text(point for point in given.points if not point.positive),
        box_dicts(box for box in given.boxes if box.positive),
    )
