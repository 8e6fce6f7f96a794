"""Select Segments: takes objects out of a result by label, place, score or area."""

from __future__ import annotations

from itertools import islice

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core.errors import InputError
from ..core.pictures.thumbnails import mask_pictures
from ..core.prompts.phrases import split_phrases
from ..core.results.coco import to_json
from ..core.results.segments import Segments, bounding_boxes, union_masks
from ..core.results.select import Selection, SortBy, parse_indices, select
from .host import models
from .results import ShownNode, show
from .sockets import CATEGORY, SegmentsSocket

_NO_LIMIT = 2**31 - 1
_LISTED = 6


class SelectSegments(ShownNode):
    """Chooses among the objects of a segment node and gives them as masks, boxes and JSON."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereSelect",
            display_name="Select Segments",
            category=CATEGORY,
            description="Keeps the objects with certain labels, scores or sizes, sorts them, and "
            "gives them together, one by one, as boxes and as JSON. Every image stays.",
            search_aliases=[
                *("select segments", "filter masks", "filter segments", "pick mask", "sort"),
                *("instances", "instance masks", "largest", "by label"),
            ],
            inputs=[
                SegmentsSocket.Input("segments", tooltip="From a segment node."),
                io.String.Input(
                    "labels",
                    default="",
                    tooltip="Keep objects with these labels, separated by commas; capitals make no "
                    "difference. Empty keeps all.",
                ),
                io.String.Input(
                    "indices",
                    default="",
                    tooltip="Places in each image's list after filtering and sorting, from 0: "
                    "0, 2-4 takes the first and the third to fifth. Empty takes all.",
                ),
                io.Combo.Input(
                    "sort_by",
                    options=SortBy,
                    default=SortBy.AS_GIVEN,
                    tooltip="The order within each image: what is named comes first. Positions are "
                    "those of the boxes' centres.",
                ),
                io.Boolean.Input(
                    "reverse", default=False, tooltip="The other way round: smallest area first."
                ),
                *_limits(),
            ],
            outputs=_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, indices: str | None = None) -> bool | str:
        try:
            parse_indices(indices or "")
        except InputError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        segments: Segments,
        labels: str = "",
        indices: str = "",
        sort_by: str = SortBy.AS_GIVEN,
        reverse: bool = False,
        min_score: float = 0.0,
        max_score: float = 1.0,
        min_area: int = 0,
        max_area: int = 0,
    ) -> io.NodeOutput:
        selection = Selection(
            labels=split_phrases(labels),
            indices=parse_indices(indices),
            min_score=min_score,
            max_score=max_score,
            min_area=min_area,
            max_area=max_area,
            sort_by=SortBy(sort_by),
            reverse=reverse,
        )
        chosen = select(segments, selection)
        mask = union_masks(chosen)
        return io.NodeOutput(
            models.to_output(mask),
            chosen,
            models.to_output(_instances(chosen)),
            bounding_boxes(chosen),
            len(chosen),
            to_json(chosen),
            ui=show(cls, _describe(chosen, segments), mask_pictures(mask)),
        )


def _limits() -> list[io.Input]:
    """The inputs that filter by number, limits included."""
    return [
        io.Float.Input(
            "min_score",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Drop objects that the model scored lower.",
        ),
        io.Float.Input(
            "max_score",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Drop objects that the model scored higher.",
        ),
        io.Int.Input(
            "min_area",
            default=0,
            min=0,
            max=_NO_LIMIT,
            tooltip="Drop objects with fewer pixels.",
        ),
        io.Int.Input(
            "max_area",
            display_name="max_area (0: any)",
            default=0,
            min=0,
            max=_NO_LIMIT,
            tooltip="Drop objects with more pixels; 0 is no limit.",
        ),
    ]


def _outputs() -> list[io.Output]:
    """What other nodes and other programs can use of the chosen."""
    return [
        io.Mask.Output("mask", tooltip="The union of the chosen, one mask per image."),
        SegmentsSocket.Output("segments", tooltip="The chosen, for further nodes."),
        io.Mask.Output(
            "instances",
            tooltip="One mask for each of the chosen, image by image; one empty mask where "
            "nothing was chosen.",
        ),
        io.BoundingBox.Output(
            "bboxes", tooltip="A box around each, one list per image, with score and label."
        ),
        io.Int.Output("count", tooltip="How many were chosen, in all images together."),
        io.String.Output(
            "json",
            tooltip="A list of frame, label, score, box, area and mask (COCO run lengths).",
        ),
    ]


def _instances(chosen: Segments) -> Tensor:
    """One mask per object, [N, H, W] float32; [1, H, W] of zeros where there is none.

    Nodes downstream cannot work on a batch of zero.
    """
    if not len(chosen):
        return torch.zeros((1, *chosen.size))
    return chosen.full_masks().float().div_(255.0)


def _describe(chosen: Segments, given: Segments) -> str:
    """One line for the node: how many were chosen, and which; where none, what there was."""
    if len(chosen):
        listed, start = chosen, f"{len(chosen)} of {len(given)}"
    elif len(given):
        listed, start = given, f"none of {len(given)}; there are"
    else:
        return "nothing to choose from: no objects came in"
    names = ", ".join(each.title for each in islice(listed, _LISTED))
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return f"{start}: {names}{more}"
