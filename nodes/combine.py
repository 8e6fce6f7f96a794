"""Combine Segments: union, intersection, difference of two masks or two sets of objects."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..core.masks.inputs import MaskInputs
from ..core.results.combine import Operation, combine_masks, combine_segments
from ..core.results.segments import Segments, mask_segments
from ..core.tensors import common_batch
from .results import ShownNode, describe, mask_result
from .sockets import CATEGORY, SegmentsSocket


class Combine(ShownNode):
    """Combines two masks, two sets of objects, or one with the other, frame by frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereCombine",
            display_name="Combine Segments",
            category=CATEGORY,
            description="Combines two masks or the objects of two segment nodes. Soft edges stay "
            "soft, a single mask serves a whole batch, and objects keep labels and scores.",
            search_aliases=[
                *("combine segments", "combine masks", "merge masks", "mask composite", "union"),
                *("mask union", "subtract mask", "intersect", "xor"),
            ],
            inputs=[
                io.Combo.Input(
                    "operation",
                    options=Operation,
                    default=Operation.UNION,
                    tooltip="union: in a or b. intersect: in both. subtract: in a and not in b. "
                    "xor: in one of them only.",
                ),
                *_side("a", "The first mask. Connect this, segments_a, or both."),
                *_side(
                    "b",
                    "The second mask. Connect this, segments_b, or both. A mask of "
                    "another size is resized to the first.",
                ),
            ],
            outputs=[
                io.Mask.Output("mask", tooltip="The combined mask, one per frame."),
                SegmentsSocket.Output(
                    "segments",
                    tooltip="The objects of a, cut by those of b; with union and xor "
                    "those of b too. One object per mask where no segments are connected.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        operation: str,
        mask_a: Tensor | None = None,
        segments_a: Segments | None = None,
        mask_b: Tensor | None = None,
        segments_b: Segments | None = None,
    ) -> io.NodeOutput:
        first = MaskInputs(mask_a, segments_a, "_a")
        second = MaskInputs(mask_b, segments_b, "_b")
        batch = common_batch(first.counts() | second.counts())
        one, objects = _matched(first, batch, first.size())
        other, other_objects = _matched(second, batch, first.size())
        mask = combine_masks(one, other.to(one.device), Operation(operation))
        if objects is None and other_objects is None:
            segments = mask_segments(mask, "mask")
        else:
            segments = combine_segments(
                mask_segments(one, "mask") if objects is None else objects,
                mask_segments(other, "mask") if other_objects is None else other_objects,
                Operation(operation),
            )
        return mask_result(cls, mask, segments, describe(segments, len(segments)))


def _matched(
    inputs: MaskInputs, batch: int, size: tuple[int, int]
) -> tuple[Tensor, Segments | None]:
    return inputs.matched_mask(batch, size), inputs.matched_segments(batch, size)


def _side(letter: str, tooltip: str) -> list[io.Input]:
    return [
        io.Mask.Input(f"mask_{letter}", optional=True, tooltip=tooltip),
        SegmentsSocket.Input(
            f"segments_{letter}", optional=True, tooltip="Objects of a segment node, kept apart."
        ),
    ]
