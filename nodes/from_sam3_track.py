"""Segments from SAM3 Track: what ComfyUI's own tracker found, as objects of this pack."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..core.pictures.thumbnails import object_pictures
from ..core.prompts.phrases import split_names
from ..core.results.sam3_track import read_track, track_instances
from ..core.results.segments import Segments
from .host import progress
from .results import ShownNode, describe, segment_result
from .sockets import CATEGORY, segment_outputs


class SegmentsFromSAM3Track(ShownNode):
    """Lets the objects of the host's tracker be chosen, refined, drawn and saved like any other."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereFromSAM3Track",
            display_name="Segments from SAM3 Track",
            category=CATEGORY,
            description="Turns what ComfyUI's Run SAM3 Video Track found into segments, so that "
            "its objects can be selected, refined, drawn and cut out.",
            search_aliases=["sam3 track", "track to segments", "video track", "convert track"],
            inputs=[
                io.Custom("SAM3_TRACK_DATA").Input(
                    "track_data", tooltip="From ComfyUI's Run SAM3 Video Track."
                ),
                io.String.Input(
                    "labels",
                    default="",
                    tooltip="What to call the objects, in their order, separated by commas. The "
                    "others are called by their number.",
                ),
            ],
            outputs=segment_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, track_data: Any, labels: str = "") -> io.NodeOutput:
        track = read_track(track_data)
        frames = progress.counted(track_instances(track, split_names(labels)), len(track))
        instances = [instance for frame in frames for instance in frame]
        segments = Segments.from_instances(instances, track.size, len(track))
        return segment_result(cls, segments, describe(segments, 0), object_pictures(segments))
