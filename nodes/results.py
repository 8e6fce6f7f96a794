"""From a result to what a node gives and shows: its outputs, its pictures and its line of text."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.engines.families import Family
from ..core.pictures.thumbnails import mask_pictures
from ..core.prompts.inputs import same_everywhere
from ..core.prompts.prompts import ObjectPrompt
from ..core.results.segments import Segments, bounding_boxes, union_masks
from .host import models, progress, ui

log = logging.getLogger(__name__)


class ShownNode(io.ComfyNode):
    """A node that shows its result inside itself, as long as a browser looks on.

    What a run that nobody watched has left in the host's cache has no pictures, and no key for the
    editor: such a result is none for a browser.
    """

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> Any:
        return ui.has_viewer()


def segment_result(
    cls: type[io.ComfyNode],
    segments: Segments,
    text: str,
    pictures: Iterable[bytes] = (),
    further: Sequence[Any] = (),
    editor: dict[str, Any] | None = None,
) -> io.NodeOutput:
    """The four outputs of a segment node, its pictures and its line of text.

    pictures: of the result, drawn only where somebody looks. further: the values of the outputs
    that a node has besides the four. editor: what the node's editor shows, in place of the pictures
    and of a line below the node.
    """
    shown = {"text": [text], **editor} if editor is not None else show(cls, text, pictures)
    return io.NodeOutput(
        models.to_output(union_masks(segments)),
        segments,
        bounding_boxes(segments),
        len(segments),
        *further,
        ui=shown,
    )


def mask_result(
    cls: type[io.ComfyNode], mask: Tensor, segments: Segments, text: str
) -> io.NodeOutput:
    """The two outputs of a node that works on masks, with their pictures and a line of text."""
    shown = show(cls, text, mask_pictures(mask))
    return io.NodeOutput(models.to_output(mask), segments, ui=shown)


def show(cls: type[io.ComfyNode], text: str, pictures: Iterable[bytes]) -> dict[str, Any]:
    """The `ui` value of a node: a line of text, and pictures where somebody looks at them."""
    progress.show_text(cls, text)
    return {"text": [text], **ui.preview(pictures)}


def log_line(node: str, text: str, *, is_idle: bool) -> None:
    """A node's line in the log, for whoever runs it without a browser.

    is_idle: whether it was given nothing to do, which is said louder.
    """
    log.log(logging.WARNING if is_idle else logging.INFO, "%s: %s", node, text.replace("\n", ", "))


def with_note(text: str, prompts: Sequence[Sequence[ObjectPrompt]]) -> str:
    """A node's line, with a word on clicks that are the same on every image of a batch."""
    if not same_everywhere(prompts):
        return text
    return f"{text}, the same clicks on each: Track Segments follows what moves"


def describe(segments: Segments, asked: int) -> str:
    """One line for the node: how many objects in how many images, of how many asked for."""
    count = len(segments)
    text = "1 object" if count == 1 else f"{count} objects"
    if count < asked:
        text += f" of {asked} asked for"
    return text if segments.batch == 1 else f"{text}, in {segments.batch} images"


def by_engine(text: str, family: Family, segments: Segments | None = None) -> str:
    """A node's line with the model that drew the masks.

    segments: whose scores are said too, where they are the model's own estimates.
    """
    if not family.has_own_scores:
        return f"{text}. {family.title}, rough: choose a SAM in Load SAM for photographs"
    return f"{text}. {family.title}{_scores(segments) if segments else ''}"


def _scores(segments: Segments) -> str:
    if not len(segments):
        return ""
    low, high = (f"{float(each):.2f}" for each in segments.scores.aminmax())
    if len(segments) == 1:
        return f", score {high}"
    return f", scores {low} to {high}" if low != high else f", scores {high}"
