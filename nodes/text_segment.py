"""Text Segment: words in, the instances they name out, each with its label and score."""

from __future__ import annotations

from functools import partial
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.engines.families import Family, check_examples
from ..core.pictures.thumbnails import result_pictures
from ..core.prompts.examples import ExampleInputs, read_examples
from ..core.prompts.phrases import read_query, split_phrases
from ..core.results.segments import Segments
from ..core.tasks.across import read_reference, segment_across
from ..core.tasks.closely import Closeness, check_wholly_seen, segment_closely
from ..core.tasks.words import FoundWords, Refine, is_redrawn, segment_words
from ..core.tensors import image_size
from . import model_choices
from .editor_state import unpreviewed_state
from .host import models, progress, ui
from .model_choices import AUTO, DETECTOR_MODELS, and_list
from .results import ShownNode, by_engine, describe, log_line, segment_result
from .sockets import CATEGORY, SegmentModelSocket, example_inputs, segment_outputs

NO_PROMPT = "no prompt: write what to find, such as: dog, red car"


class TextSegment(ShownNode):
    """Finds and segments everything that words name, in every image of a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereText",
            display_name="Text Segment",
            category=CATEGORY,
            description="Segments every object that the prompt names, each with its phrase as "
            "label, and with SAM 3 whatever looks like the boxes drawn on the image. An image is "
            "encoded once, whatever the number of phrases.",
            search_aliases=[
                *("text segment", "segment by text", "text to mask", "prompt to mask", "detect"),
                *("grounding dino", "groundingdino", "grounded sam", "clipseg", "owlv2"),
                *("sam", "sam3", "sam 3.1", "segment anything", "segment anything 3"),
                *("open vocabulary", "object detection", "yolo", "florence2"),
                *("detr", "rt-detr", "d-fine", "rf-detr", "segformer", "face", "clothes", "person"),
            ],
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
                    "dog, red car. Each object carries its phrase as label. A detector of "
                    "models/detection knows its own classes alone: name some, or none for all.",
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
                    display_name="threshold (0: auto)",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Lowest score that counts; 0 takes the one that fits the detector: 0.2 "
                    "for OWLv2, 0.5 for RT-DETR, D-FINE and RF-DETR, 0.4 for the others. Lower it "
                    "to find more; when nothing is found, the node names the best score it saw.",
                ),
                io.Int.Input(
                    "max_objects",
                    display_name="max_objects (0: all)",
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
                    f"models/{and_list(DETECTOR_MODELS.folders)}.",
                ),
                io.Combo.Input(
                    "refine",
                    options=Refine,
                    default=Refine.AUTO,
                    optional=True,
                    tooltip="Whether the model draws anew what the detector has masks for. auto: a "
                    "SAM redraws what CLIPSeg and RF-DETR find roughly; the own masks of SAM 3 and "
                    "SegFormer stay. on redraws these too, those of SAM 3 without encoding the "
                    "image again; off leaves all. Detectors that find boxes alone always need the "
                    "model.",
                ),
                io.Int.Input(
                    "tiles",
                    display_name="tiles (0: off)",
                    default=0,
                    min=0,
                    max=4,
                    optional=True,
                    tooltip="Finds small things in large images: the whole image and so many by so "
                    "many overlapping parts of it are searched, 5, 10 or 17 encodings in place of "
                    "1. 0 is off, and 1 the same.",
                ),
                io.Boolean.Input(
                    "zoom",
                    default=False,
                    optional=True,
                    tooltip="Draws every object anew with the model from Load SAM, on a crop of "
                    "1.5 times its box: finer outlines, for an encoding of each object.",
                ),
                *example_inputs(),
            ],
            outputs=segment_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, detector: str | None = AUTO) -> bool | str:
        return model_choices.check(detector, DETECTOR_MODELS)

    @classmethod
    def fingerprint_inputs(cls, detector: str | None = AUTO, **others: Any) -> tuple:
        # The host compares the other inputs itself, but hands over all of them.
        return (ui.has_viewer(), *model_choices.fingerprint(detector or AUTO, DETECTOR_MODELS))

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
        tiles: int = 0,
        zoom: bool = False,
        bboxes: Any = None,
        negative_bboxes: Any = None,
        points: str = "",
        reference: Tensor | None = None,
        reference_bboxes: Any = None,
    ) -> io.NodeOutput:
        # All of this before a detector is fetched.
        batch, height, width = image_size(image)
        inputs = ExampleInputs(bboxes, negative_bboxes, points)
        examples = read_examples(inputs, batch, (height, width))
        other = read_reference(reference, reference_bboxes, (height, width))
        # A box for all images is one box.
        count = len({box for frame in examples for box in frame})
        check_examples(model.family, detector == AUTO, count, "bboxes")
        if other is not None:
            check_examples(model.family, detector == AUTO, len(other.boxes), "reference_bboxes")
            examples = [other.examples(own) for own in examples]
        closeness = Closeness(tiles, zoom)
        check_wholly_seen(closeness, examples)
        labels = model_choices.known_labels(detector)
        if not labels and not split_phrases(prompt) and not any(examples):
            nothing = Segments.from_instances([], (height, width), batch)
            log_line("Text Segment", NO_PROMPT, is_idle=True)
            return _result(cls, image, points, nothing, NO_PROMPT)
        query = read_query(prompt, negative_prompt, threshold, max_objects, examples, labels)
        finder = model.finder(model_choices.fetch_detector(detector, model.family, cls))
        asked = (image, query, finder, model.family, model.segmenter)
        shown: dict[str, Any] = {"refine": Refine(refine), "counted": progress.counted}
        tell = partial(_tell, cls)
        if other is not None:
            found = segment_across(other, *asked, **shown, zoom=zoom, tell=tell)
        elif closeness:
            found = segment_closely(*asked, closeness, **shown, tell=tell)
        else:
            found = segment_words(*asked, **shown)
        is_drawn = zoom or is_redrawn(finder.detector, model.family, Refine(refine))
        text = _text(found, is_drawn, model.family)
        log_line("Text Segment", text, is_idle=False)
        return _result(cls, image, points, found.segments, text)


def _result(
    cls: type[io.ComfyNode], image: Tensor, points: str, segments: Segments, text: str
) -> io.NodeOutput:
    """The node's outputs, and what its editor shows."""
    pictures = result_pictures(image, segments)
    editor = unpreviewed_state(image, points, segments, pictures)
    # The editor has a line of its own, for what was drawn on it.
    progress.show_text(cls, text)
    return segment_result(cls, segments, text, pictures, editor=editor)


def _tell(cls: type[io.ComfyNode], text: str) -> None:
    """Say what is about to be done, on the node and in the log."""
    log_line("Text Segment", text, is_idle=False)
    progress.show_text(cls, text)


def _text(found: FoundWords, is_drawn: bool, family: Family) -> str:
    """The node's lines: how many objects, what was removed, what was not found.

    is_drawn: whether the masks are by a model of this family, and not the detector's own.
    """
    is_told = len(found.segments) or not found.missed
    lines = [describe(found.segments, 0)] if is_told else []
    if len(found.segments) and is_drawn and not family.has_own_scores:
        lines = [by_engine(lines[0], family)]
    if found.removed:
        lines.append(f"{len(found.removed)} removed by negative_prompt")
    return "\n".join([*lines, *found.missed])
