"""Objects drawn anew on crops around them, on which a model sees their outlines larger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from ..prompts.prompts import Box, ObjectPrompt, Point
from ..results.segments import Instance
from .everything import no_progress
from .segmenter import MaskChoice, SegmentedFrame, Segmenter
from .tiling import Crop, box_around, crop_around, in_crop

# A SAM's decoder proposes so many masks of an object.
_MOST_CANDIDATES = 3


def most_crops(prompts: Iterable[Sequence[ObjectPrompt]], choice: MaskChoice) -> int:
    """The most crops that `zoom_frames` encodes for the objects of all frames."""
    objects = sum(map(len, prompts))
    return objects * (_MOST_CANDIDATES if choice is MaskChoice.ALL else 1)


def zoom_frames(
    segmenter: Segmenter,
    frames: Iterable[SegmentedFrame],
    prompts: Sequence[Sequence[ObjectPrompt]],
    step: Callable[[], None] = no_progress,
) -> Iterator[SegmentedFrame]:
    """Frames with each of their objects drawn anew, on a crop that is encoded for it.

    prompts: of every frame, as for `segment_frames`. step is called before each object.
    """
    for frame in frames:
        found = [
            [_zoomed(segmenter, frame.pixels, prompt, each, step) for each in instances]
            for prompt, instances in zip(prompts[frame.index], frame.found, strict=True)
        ]
        yield replace(frame, found=found)


def object_crops(instances: Iterable[Instance]) -> set[tuple[int, Crop]]:
    """The crops that `zoom_instance` encodes for objects, each with the place of its image."""
    crops = ((each.frame, _crop_of(each)) for each in instances)
    return {(frame, crop) for frame, crop in crops if crop.layer}


def zoom_instance(segmenter: Segmenter, pixels: Tensor, instance: Instance) -> Instance:
    """An object of an image, [H, W, 3] float32, 0..1, with the mask that its box gives on a crop
    around it; what it is called and how sure of that a detector was stays."""
    drawn = _zoomed(segmenter, pixels, ObjectPrompt(instance.label), instance, no_progress)
    return replace(instance, mask=drawn.mask)


def _crop_of(instance: Instance) -> Crop:
    return crop_around(box_around(instance.mask), instance.mask.size)


def _zoomed(
    segmenter: Segmenter,
    pixels: Tensor,
    prompt: ObjectPrompt,
    instance: Instance,
    step: Callable[[], None],
) -> Instance:
    """An object as its prompt draws it on the crop around it, outside of which it is empty.

    A prompt without a box is given that of the mask, which says what of the candidates was chosen,
    and of the clicks on the object, which may lie on parts that the mask left out. An object whose
    crop is the whole image stays as it is, and so does one of which the crop shows nothing.
    """
    step()
    size = instance.mask.size
    clicks = [point for point in prompt.points if point.positive]
    box = prompt.box or _with_clicks(box_around(instance.mask), clicks)
    crop = crop_around(_with_clicks(box, clicks), size)
    if not crop.layer:
        return instance
    embedding = segmenter.embed(pixels[crop.rows, crop.columns])
    asked = in_crop(replace(prompt, box=box), crop)
    (found,) = segmenter.find(embedding, [asked], MaskChoice.BEST, instance.frame)
    if not found:
        return instance
    return replace(found[0], mask=found[0].mask.placed(crop.left, crop.top, size))


def _with_clicks(box: Box, clicks: Sequence[Point]) -> Box:
    """The smallest box around a box and clicks."""
    xs, ys = [each.x for each in clicks], [each.y for each in clicks]
    return replace(
        box,
        x1=min([box.x1, *xs]),
        y1=min([box.y1, *ys]),
        x2=max([box.x2, *xs]),
        y2=max([box.y2, *ys]),
    )
