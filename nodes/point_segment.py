"""Point Segment: clicks, boxes and a rough mask in, masks out."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.engines.families import check_prompts
from ..core.prompt_inputs import PromptInputs, read_prompts
from ..core.segmenter import MaskChoice
from ..core.segments import Instance, Segments
from ..core.tensors import image_size
from . import host
from .sockets import (
    CATEGORY,
    SegmentModelSocket,
    describe,
    prompt_sockets,
    segment_outputs,
    segment_result,
)

NO_PROMPT = "no prompt: add a point, a box or a mask"


class PointSegment(io.ComfyNode):
    """Segments the objects that points, boxes or a rough mask show, in every image of a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywherePoint",
            display_name="Point Segment",
            category=CATEGORY,
            description="Segments what points, boxes or a rough mask show. An image is encoded "
            "once; every further point costs a fraction of that.",
            search_aliases=["point segment", "click", "sam", "box", "segment", "mask", "cutout"],
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
                    "mark what is not wanted. Empty means no prompt: the mask stays empty.",
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
            ],
            outputs=segment_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        model: host.SegmentModel,
        image: Tensor,
        points: str,
        mask_choice: str,
        positive_coords: str = "",
        negative_coords: str = "",
        bboxes: Any = None,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        batch, height, width = image_size(image)
        inputs = PromptInputs(points, positive_coords, negative_coords, bboxes, mask)
        prompts = read_prompts(inputs, batch, (height, width))
        check_prompts(model.family, prompts)
        segmenter = model.segmenter()
        instances: list[Instance] = []
        for index, frame in host.frames(image):
            instances += segmenter.segment(frame, prompts[index], MaskChoice(mask_choice), index)
        segments = Segments.from_instances(instances, (height, width), batch)
        asked = sum(len(objects) for objects in prompts)
        text = describe(segments, asked) if asked else NO_PROMPT
        return segment_result(cls, image, segments, text)
