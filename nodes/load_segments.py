"""Load Segments: reads objects back from a file."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..core.datasets.load import load
from ..core.errors import InputError
from ..core.pictures.thumbnails import object_pictures
from .host import folders, ui
from .results import ShownNode, describe, segment_result
from .sockets import CATEGORY, segment_outputs


class LoadSegments(ShownNode):
    """Reads COCO, LabelMe and the JSON of Select Segments from ComfyUI's folders."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereLoad",
            display_name="Load Segments",
            category=CATEGORY,
            description="Reads objects from a COCO or LabelMe file, a folder of LabelMe files, or "
            "the json of Select Segments, for every node that takes segments.",
            search_aliases=[
                *("load segments", "import", "dataset", "annotations", "coco", "labelme"),
                *("json", "polygons", "ground truth", "load masks"),
            ],
            inputs=[
                io.String.Input(
                    "file",
                    default="dataset/annotations.json [output]",
                    tooltip="A file in ComfyUI's input, output or temp folder, or a folder of "
                    "LabelMe files. Without [input], [output] or [temp] all three are searched.",
                ),
                io.String.Input(
                    "image_name",
                    default="",
                    tooltip="Which picture of the file: its name, or places from 0, such as 0, "
                    "2-4. Empty: all, one frame each, where they have one size.",
                ),
            ],
            outputs=segment_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, file: str | None = None, **inputs: Any) -> Any:
        if file is None:
            # Linked: which file it is shows when it runs.
            return float("nan")
        path = folders.find_file(file)
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        states = [(str(each), each.stat().st_size, each.stat().st_mtime_ns) for each in files]
        return [ui.has_viewer(), states]

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        try:
            if file is not None:
                folders.find_file(file)
        except InputError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, file: str, image_name: str = "") -> io.NodeOutput:
        segments = load(folders.find_file(file), image_name)
        return segment_result(cls, segments, describe(segments, 0), object_pictures(segments))
