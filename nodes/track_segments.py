"""Track Segments: objects marked on any frame, followed through the whole clip."""

from __future__ import annotations

from functools import partial
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.engines.families import check_prompts
from ..core.prompts.formats import parse_points
from ..core.prompts.inputs import PromptInputs, read_clip_sockets, read_key_frames
from ..core.prompts.phrases import read_query
from ..core.results.segments import Segments
from ..core.tasks.key_frames import read_subjects
from ..core.tasks.track_report import track_json, track_line
from ..core.tasks.tracking import Direction, Sharing, TrackSettings, Words, follow
from ..core.tasks.words import segment_words_on
from ..core.tensors import image_size
from . import model_choices
from .editor_state import Clicked, editor_state
from .host import models, progress, ui
from .model_choices import AUTO, DETECTOR_MODELS
from .results import ShownNode, by_engine, log_line, segment_result
from .sockets import (
    CATEGORY,
    SegmentModelSocket,
    SegmentsSocket,
    prompt_sockets,
    segment_outputs,
)


class TrackSegments(ShownNode):
    """Follows objects through a clip, from whatever shows them on one or more of its frames."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereTrack",
            display_name="Track Segments",
            category=CATEGORY,
            description="Follows objects through a clip: mark an object once, on any frame, and "
            "get its mask on every frame. A click on a later frame corrects it.",
            search_aliases=[
                *(
                    "track segments",
                    "track objects",
                    "video segmentation",
                    "sam2 video",
                    "sam 2 video",
                ),
                *("sam3 video", "edgetam", "follow object", "propagate", "rotoscope"),
                *("mask tracking", "video object segmentation", "vos", "optical flow"),
                *("sam", "sam2", "sam3", "sam 3 video", "segment anything", "video mask"),
            ],
            inputs=[
                SegmentModelSocket.Input(
                    "model",
                    tooltip="From Load SAM. SAM 2, EdgeTAM and SAM 3 remember what an object looks "
                    "like; every other model is led by optical flow.",
                ),
                io.Image.Input("images", tooltip="The frames of the clip, in their order."),
                io.String.Input(
                    "points",
                    default="",
                    multiline=True,
                    tooltip="Points and boxes as JSON, in pixels from the top-left corner, as in "
                    'Point Segment. "frame" says on which frame, the first being 0; without it, '
                    "the first. Prompts of one object on several frames correct it.",
                ),
                io.Combo.Input(
                    "direction",
                    options=Direction,
                    default=Direction.BOTH,
                    tooltip="Where to follow an object: both ways from the first frame that shows "
                    "it, forward from there, or backward from the last one.",
                ),
                io.Combo.Input(
                    "overlap",
                    options=Sharing,
                    default=Sharing.KEEP,
                    tooltip="What becomes of pixels that belong to several objects: keep leaves "
                    "them to all, best gives them to the one that is surest of them.",
                ),
                io.Int.Input(
                    "max_objects",
                    display_name="max_objects (0: all)",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="Follow only the first so many objects; 0 for all.",
                ),
                *_sources(),
                *_words_inputs(),
            ],
            outputs=[
                *segment_outputs(),
                io.String.Output(
                    "info",
                    tooltip="JSON: for each object its label, the first and last frame it is seen "
                    "on, how many it is lost on in between, and its lowest score.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, detector: str | None = AUTO) -> bool | str:
        return model_choices.check(detector, DETECTOR_MODELS)

    @classmethod
    def fingerprint_inputs(cls, detector: str | None = AUTO, **others: Any) -> tuple:
        return (ui.has_viewer(), *model_choices.fingerprint(detector or AUTO, DETECTOR_MODELS))

    @classmethod
    def execute(
        cls,
        model: models.SegmentModel,
        images: Tensor,
        points: str,
        direction: str,
        overlap: str,
        max_objects: int,
        segments: Segments | None = None,
        mask: Tensor | None = None,
        positive_coords: str = "",
        negative_coords: str = "",
        bboxes: Any = None,
        prompt: str = "",
        redetect_every: int = 0,
        threshold: float = 0.0,
        detector: str = AUTO,
    ) -> io.NodeOutput:
        batch, height, width = image_size(images)
        inputs = PromptInputs(points, positive_coords, negative_coords, bboxes, mask)
        shown = set() if segments is None else set(segments.ids.tolist())
        prompts = read_key_frames(inputs, batch, (height, width), shown)
        check_prompts(model.family, list(prompts.values()))
        subjects = read_subjects(prompts, segments, batch, (height, width))
        words = None
        if prompt.strip():
            labels = model_choices.known_labels(detector)
            query = read_query(prompt, "", threshold, max_objects, labels=labels)
            finder = model.finder(model_choices.fetch_detector(detector, model.family, cls))
            find = partial(segment_words_on, images, query, finder, model.family, model.segmenter)
            words = Words(find, redetect_every)
        settings = TrackSettings(Direction(direction), Sharing(overlap), max_objects, words)
        found = follow(model.segmenter(), images, subjects, settings, progress.stepper)
        text = track_line(found)
        if not model.family.has_own_scores:
            text = by_engine(text, model.family)
        log_line("Track Segments", text, is_idle=not found.records)
        editor: dict[str, Any] = {}
        if ui.has_viewer():
            given = parse_points(points, (height, width))
            sockets = read_clip_sockets(inputs, batch, (height, width))
            clicked = Clicked(points, given, sockets)
            editor = editor_state(model, images, found.keys, clicked, found.segments)
        return segment_result(
            cls, found.segments, text, further=(track_json(found),), editor=editor
        )


def _sources() -> list[io.Input]:
    """What shows objects, beside `points`."""
    return [
        SegmentsSocket.Input(
            "segments",
            optional=True,
            tooltip="Objects to follow, of any segment node: the frames they are on are key "
            "frames. Those of a single image are on the first frame.",
        ),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="The first object's mask on the first frame, or one mask per frame: those "
            "that hold something are key frames.",
        ),
        *prompt_sockets(),
    ]


def _words_inputs() -> list[io.Input]:
    """What looks for objects by itself."""
    return [
        io.String.Input(
            "prompt",
            default="",
            multiline=True,
            optional=True,
            tooltip="What to look for and follow, as in Text Segment: phrases, separated by "
            "commas. Empty: only what the other inputs show is followed.",
        ),
        io.Int.Input(
            "redetect_every",
            display_name="redetect_every (0: once)",
            default=0,
            min=0,
            max=10000,
            optional=True,
            tooltip="Look for the prompt again every so many frames, and follow what is new. 0 "
            "looks once, where the way begins.",
        ),
        io.Float.Input(
            "threshold",
            display_name="threshold (0: auto)",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            optional=True,
            tooltip="Lowest score of what the prompt finds; 0 takes the one that fits the "
            "detector: 0.2 for OWLv2, 0.5 for RT-DETR, D-FINE and RF-DETR, 0.4 for the others.",
        ),
        io.Combo.Input(
            "detector",
            options=model_choices.options(DETECTOR_MODELS),
            default=AUTO,
            optional=True,
            tooltip="What understands the prompt, as in Text Segment. auto: SAM 3 by itself, "
            "Grounding DINO with any other SAM, CLIPSeg with the built-in engine.",
        ),
    ]
