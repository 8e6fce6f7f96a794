"""Save Segments: adds objects to a dataset on the disk."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..core.datasets.classes import parse_classes
from ..core.datasets.save import Format, Place, Saved, save
from ..core.errors import InputError
from ..core.pictures.thumbnails import object_pictures
from ..core.results.segments import Segments
from .host import folders
from .results import show
from .sockets import CATEGORY, SegmentsSocket


class SaveSegments(io.ComfyNode):
    """Writes masks, COCO, YOLO or LabelMe files below ComfyUI's output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereSave",
            display_name="Save Segments",
            category=CATEGORY,
            description="Saves objects, and their images, as a dataset: PNG masks, COCO, YOLO or "
            "LabelMe. Every run adds to it; a picture of the same name is replaced.",
            search_aliases=[
                *("save segments", "save masks", "export", "dataset", "annotations", "coco"),
                *("yolo", "labelme", "labels", "polygons", "training data", "instance masks"),
            ],
            inputs=[
                SegmentsSocket.Input("segments", tooltip="Objects of any segment node."),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="What the segments belong to; saved beside them as PNG. Without it the "
                    "dataset tells of pictures that you have.",
                ),
                io.Combo.Input(
                    "format",
                    options=Format,
                    default=Format.COCO,
                    tooltip="COCO: one annotations.json for all pictures. YOLO: labels, data.yaml. "
                    "LabelMe: a file beside each picture. PNG per object: grey masks with soft "
                    "edges. indexed PNG: the class in every pixel, 0 is background.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="dataset/image",
                    tooltip="The dataset's folder below the output folder, and how pictures "
                    "without a name begin. Takes the placeholders of Save Image.",
                ),
                *_settings(),
            ],
            outputs=[
                io.String.Output(
                    "paths", tooltip="The files written, one a line, the main one first."
                )
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, classes: str | None = None) -> bool | str:
        try:
            parse_classes(classes or "")
        except InputError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        segments: Segments,
        image: Tensor | None = None,
        format: str = Format.COCO,
        filename_prefix: str = "dataset/image",
        classes: str = "",
        simplify: float = 0.0,
        image_name: str = "",
    ) -> io.NodeOutput:
        size = segments.size if image is None else (image.shape[1], image.shape[2])
        name = folders.plain_file_name(image_name)
        place = Place(*folders.save_place(filename_prefix, size), name)
        saved = save(segments, image, place, Format(format), classes, simplify)
        shown = show(cls, _describe(saved, place), object_pictures(segments))
        files = [folders.output_file(path) for path in saved.paths]
        return io.NodeOutput(
            "\n".join(str(path) for path in saved.paths), ui={**shown, "dataset": files}
        )


def _settings() -> list[io.Input]:
    """What is written into the files, and under which name."""
    return [
        io.String.Input(
            "classes",
            default="",
            multiline=True,
            tooltip="The classes in the order of their numbers, one a line or with commas; other "
            "labels are refused. Empty: every label, in the order in which they appear. A single "
            "class is also that of objects without a name, such as clicked ones.",
        ),
        io.Float.Input(
            "simplify",
            default=0.0,
            min=0.0,
            max=100.0,
            step=0.5,
            tooltip="How far polygons may leave the true outline, in pixels. 0 is exact.",
        ),
        io.String.Input(
            "image_name",
            default="",
            tooltip="The picture's name in the dataset, such as dog.jpg; what is there of that "
            "name is replaced. Empty: the next number. %LoadImage.image% is Load Image's file.",
        ),
    ]


def _describe(saved: Saved, place: Place) -> str:
    """One line for the node: how many objects of how many images went where."""
    objects = "1 object" if saved.objects == 1 else f"{saved.objects} objects"
    images = "1 image" if saved.pictures == 1 else f"{saved.pictures} images"
    line = f"{objects} of {images} in {folders.below_output(place.folder).as_posix()}"
    return f"{line}; {saved.empty} without a pixel left out" if saved.empty else line
