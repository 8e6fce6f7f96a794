"""Text Segment: words in, the instances they name out, each with its label and score."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.engines.base import Detections
from ..core.engines.files.catalogue import CLIPSEG, GROUNDING_DINO
from ..core.errors import InputError
from ..core.pictures.thumbnails import result_pictures
from ..core.results.segments import Segments, numbered
from ..core.tasks.segmenter import Finder
from ..core.tasks.words import (
    FrameObjects,
    Refine,
    TextQuery,
    draw_frame,
    draw_from_boxes,
    draw_own,
    draw_refined,
    is_redrawn,
    misses,
    read_query,
)
from ..core.tensors import image_size
from . import model_choices
from .host import models, progress
from .model_choices import AUTO, DETECTOR_MODELS, ModelSource
from .results import describe, segment_result
from .sockets import CATEGORY, SegmentModelSocket, segment_outputs

log = logging.getLogger(__name__)


class TextSegment(io.ComfyNode):
    """Finds and segments everything that words name, in every image of a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereText",
            display_name="Text Segment",
            category=CATEGORY,
            description="Segments every object that the prompt names, each with its phrase as "
            "label. An image is encoded once, whatever the number of phrases.",
            search_aliases=["text segment", "grounding dino", "clipseg", "owlv2", "prompt to mask"],
            inputs=[
                SegmentModelSocket.Input("model", tooltip="From Load SAM. It draws the masks."),
                io.Image.Input(
                    "image", tooltip="One image or a batch; the prompt applies to each."
                ),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="What to find: phrases, separated by commas or line ends, such as: "
                    "dog, red car. Each object carries its phrase as label.",
                ),
                io.String.Input(
                    "negative_prompt",
                    default="",
                    multiline=True,
                    tooltip="What to leave out: its pixels are removed from every object, and an "
                    "object that loses most of its area goes entirely.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.4,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Lowest score that counts. Lower it to find more; when nothing is "
                    "found, the node names the best score it saw. OWLv2 scores low: try 0.2.",
                ),
                io.Int.Input(
                    "max_objects",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="Most objects per phrase and image, the best first; 0 for all. Objects "
                    "come out image by image, in each by score, the best first.",
                ),
                io.Combo.Input(
                    "detector",
                    options=model_choices.options(DETECTOR_MODELS),
                    default=AUTO,
                    optional=True,
                    tooltip="What understands the words. auto: SAM 3 by itself, Grounding DINO "
                    "with any other SAM, CLIPSeg with the built-in engine, from this machine or "
                    "else downloaded (0.6 to 0.7 GB, Apache-2.0). Folders come from "
                    "models/grounding-dino, owlv2 and clipseg.",
                ),
                io.Combo.Input(
                    "refine",
                    options=Refine,
                    default=Refine.AUTO,
                    optional=True,
                    tooltip="Whether the model draws anew what the detector has masks for. auto: a "
                    "SAM redraws CLIPSeg's rough areas; SAM 3's own masks stay. on redraws these "
                    "too, without encoding the image again; off leaves all. Detectors that find "
                    "boxes alone always need the model.",
                ),
            ],
            outputs=segment_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, detector: str | None = AUTO) -> bool | str:
        # As in Load SAM: marks come and go with files, and a linked value is None here.
        try:
            model_choices.resolve(detector or AUTO, DETECTOR_MODELS)
        except InputError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, detector: str | None = AUTO, **others: Any) -> tuple:
        # The host compares the other inputs itself, but hands over all of them.
        return model_choices.fingerprint(detector or AUTO, DETECTOR_MODELS)

    @classmethod
    def execute(
        cls,
        model: models.SegmentModel,
        image: Tensor,
        prompt: str,
        negative_prompt: str,
        threshold: float,
        max_objects: int,
        detector: str = AUTO,
        refine: str = Refine.AUTO,
    ) -> io.NodeOutput:
        batch, height, width = image_size(image)
        query = read_query(prompt, negative_prompt, threshold, max_objects)
        finder = model.finder(_detector_path(model, detector, cls))
        frames = list(_draw_frames(model, finder, image, query, Refine(refine)))
        instances = [instance for frame in frames for instance in frame.instances]
        instances = numbered(instances, query.phrases)
        segments = Segments.from_instances(instances, (height, width), batch)
        text = _text(segments, sum(frame.removed for frame in frames), misses(frames, query))
        log.info("Text Segment: %s", text.replace("\n", ", "))
        return segment_result(cls, segments, text, result_pictures(image, segments))


def _draw_frames(
    model: models.SegmentModel, finder: Finder, image: Tensor, query: TextQuery, refine: Refine
) -> Iterator[FrameObjects]:
    """The objects of each image, in their order."""
    is_redrawn_here = is_redrawn(finder.detector, model.family, refine)
    is_own_head = finder.embedder.engine is model.engine
    if is_redrawn_here and not is_own_head:
        found = [
            _find(finder, frame, query) for _, frame in progress.frames(image, step=0, steps=2)
        ]
        # The engine after the detector: a small GPU may have room for one of the two.
        draw = partial(draw_from_boxes, model.segmenter())
        for index, frame in progress.frames(image, step=1, steps=2):
            yield draw_frame(found[index], query, frame, index, draw)
        return
    draw = partial(draw_refined, finder) if is_redrawn_here else draw_own
    for index, frame in progress.frames(image):
        yield draw_frame(_find(finder, frame, query), query, frame, index, draw)


def _find(finder: Finder, frame: Tensor, query: TextQuery) -> list[Detections]:
    return finder.find(frame, query.all_phrases, query.threshold)


def _detector_path(model: models.SegmentModel, choice: str, cls: type[io.ComfyNode]) -> Path | None:
    """The detector's folder, downloaded if need be; None for SAM 3's own text head."""
    if choice != AUTO:
        return model_choices.fetch(model_choices.resolve(choice, DETECTOR_MODELS), cls)
    if model.family.capabilities.words:
        return None
    return model_choices.fetch(_usual_detector(model), cls)


def _usual_detector(model: models.SegmentModel) -> ModelSource:
    """The usual one where it is there, else the first of its kind, else its download."""
    entry = CLIPSEG if model.family.name == "grabcut" else GROUNDING_DINO
    folder = f"{entry.folder}/"
    local = model_choices.local_models(DETECTOR_MODELS)
    paths = [path for name, path in local.items() if name.startswith(folder)]
    usual = local.get(f"{folder}{entry.file}", paths[0] if paths else None)
    return ModelSource(path=usual) if usual else ModelSource(entry=entry)


def _text(segments: Segments, removed: int, missed: list[str]) -> str:
    """The node's lines: how many objects, what was removed, what was not found."""
    lines = [describe(segments, 0)] if len(segments) or not missed else []
    if removed:
        lines.append(f"{removed} removed by negative_prompt")
    return "\n".join([*lines, *missed])
