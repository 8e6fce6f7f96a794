"""Socket types, and the inputs and outputs that several nodes share."""

from __future__ import annotations

from comfy_api.latest import io

# As ComfyUI files what other people make: what it works on, then the name as they write it.
CATEGORY = "image/Segment Anywhere"

# A SegmentModel (nodes/host/models.py): `.patcher` for ComfyUI, `.engine` once it is loaded.
SegmentModelSocket = io.Custom("SEGMENT_MODEL")
# A Segments (core/results/segments.py).
SegmentsSocket = io.Custom("SEGMENTS")
# A Stitch (core/pictures/stitch.py).
StitchSocket = io.Custom("SEGMENT_STITCH")


def prompt_sockets() -> list[io.Input]:
    """Points and boxes from other nodes; `PromptInputs` reads them."""
    return [
        io.String.Input(
            "positive_coords",
            optional=True,
            force_input=True,
            tooltip="Points on the object, as KJNodes' Points Editor sends them.",
        ),
        io.String.Input(
            "negative_coords",
            optional=True,
            force_input=True,
            tooltip="Points off the object, as KJNodes' Points Editor sends them.",
        ),
        _boxes(
            "bboxes",
            "Boxes around objects: one, a list for all images, or one per image. Boxes of other "
            "packs (BBOX: x1, y1, x2, y2) and of SEGS fit too.",
        ),
    ]


def example_inputs() -> list[io.Input]:
    """Example boxes beside words; `ExampleInputs` holds them."""
    return [
        _boxes(
            "bboxes",
            "Like this: boxes around examples of what to find, one list for all images or "
            "one per image. They go with every phrase; with an empty prompt everything that looks "
            "like them is found. SAM 3 reads them.",
        ),
        _boxes(
            "negative_bboxes",
            "Not like this: boxes around what is found wrongly. SAM 3 reads them.",
        ),
        io.String.Input(
            "points",
            default="",
            multiline=True,
            optional=True,
            tooltip="Example boxes drawn on the image, as JSON: drag around what to find, right "
            "drag around what is not wanted. SAM 3 reads them.",
        ),
        io.Image.Input(
            "reference",
            optional=True,
            tooltip="Another picture: what reference_bboxes mark there is found in the image. The "
            "two are joined into one picture for SAM 3, so objects are seen smaller.",
        ),
        _boxes(
            "reference_bboxes",
            "Boxes on the reference, around what to find in the image.",
        ),
    ]


def _boxes(name: str, tooltip: str) -> io.Input:
    """Boxes of ComfyUI itself, of KJNodes and Florence2, and of the Impact Pack."""
    return io.MultiType.Input(
        name, [io.BoundingBox, io.BBOX, io.SEGS], optional=True, tooltip=tooltip
    )


def segment_outputs() -> list[io.Output]:
    """The four outputs of every segment node."""
    return [
        io.Mask.Output("mask", tooltip="The union of all objects, one mask per image."),
        SegmentsSocket.Output(
            "segments", tooltip="Every object on its own, with label, score and frame."
        ),
        io.BoundingBox.Output(
            "bboxes", tooltip="A box around each object, one list per image, with score and label."
        ),
        io.Int.Output("count", tooltip="How many objects, in all images together."),
    ]
