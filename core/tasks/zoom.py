"""Objects drawn anew on crops around them, on which a model sees their outlines larger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from ..prompts.prompts import ObjectPrompt
from ..results.segments import Instance
from .everything import no_progress
from .segmenter import MaskChoice, SegmentedFrame, Segmenter
from .tiling import box_around, crop_around, in_crop


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


def _zoomed(
    segmenter: Segmenter,
    pixels: Tensor,
    prompt: ObjectPrompt,
    instance: Instance,
    step: Callable[[], None],
) -> Instance:
    """An object as its prompt draws it on the crop around it, outside of which it is empty.

    A prompt without a box is given that of the mask, which says what of the candidates was chosen.
    An object whose crop is the whole image stays as it is, and so does one of which the crop shows
    nothing.
    """
    step()
    size = instance.mask.size
    box = prompt.box or box_around(instance.mask)
    crop = crop_around(box, size)
    if not crop.layer:
        return instance
    embedding = segmenter.embed(pixels[crop.rows, crop.columns])
    asked = in_crop(replace(prompt, box=box), crop)
    (found,) = segmenter.find(embedding, [asked], MaskChoice.BEST, instance.frame)
    if not found:
        return instance
    return replace(found[0], mask=found[0].mask.placed(crop.left, crop.top, size))
