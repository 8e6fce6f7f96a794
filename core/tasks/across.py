"""From one picture to others: what is marked in a reference is found in the images beside it.

SAM 3 reads example boxes on the image that it searches. Its authors' advice for examples of another
picture is to join the two into one image (facebookresearch/sam3, issue 183), which is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..engines.families import Family
from ..errors import InputError
from ..pictures.crops import resize
from ..prompts.fitting import rescale
from ..prompts.formats import parse_boxes
from ..prompts.phrases import TextQuery
from ..prompts.prompts import Box
from ..results.compact_mask import compact
from ..results.segments import Instance, Segments, numbered
from ..results.select import best_per_label
from ..tensors import image_size, rgb_frame, rgb_frames
from .segmenter import Finder, Segmenter
from .shown import Counted, Tell, drawing, uncounted, untold
from .words import FoundWords, Refine, find_words, with_threshold
from .zoom import object_crops, zoom_instance


@dataclass(frozen=True)
class Reference:
    """A picture with marked boxes, brought to the images that it is joined to.

    picture: [h, w, 3] float32, 0..1. boxes: in its pixels, around what is to be found elsewhere.
    image: (H, W) of the images, which keep their pixels. is_beside: the reference is left of the
    image, as high as it is; else above, as wide.
    """

    picture: Tensor
    boxes: tuple[Box, ...]
    image: tuple[int, int]
    is_beside: bool

    @property
    def origin(self) -> tuple[int, int]:
        """(top, left) of the image in the joined picture."""
        return (0, self.picture.shape[1]) if self.is_beside else (self.picture.shape[0], 0)

    def examples(self, own: Sequence[Box]) -> tuple[Box, ...]:
        """All boxes of the joined picture, in its pixels; own: those on the image, in its own."""
        top, left = self.origin
        moved = (
            replace(box, x1=box.x1 + left, y1=box.y1 + top, x2=box.x2 + left, y2=box.y2 + top)
            for box in own
        )
        return (*moved, *self.boxes)

    def join(self, frame: Tensor) -> Tensor:
        """The reference and an image, [H, W, 3] float32, 0..1, in one picture of that kind."""
        return torch.cat((self.picture, frame), dim=int(self.is_beside))

    def cut_all(self, instances: Iterable[Instance]) -> list[Instance]:
        """Those objects of the joined picture that are in the image, as `cut` gives them."""
        return [each for each in map(self.cut, instances) if each is not None]

    def cut(self, instance: Instance) -> Instance | None:
        """An object of the joined picture in the image alone, None where most of it is outside."""
        (top, left), (height, width) = self.origin, self.image
        inside = instance.mask.pixels()[top : top + height, left : left + width]
        mask = compact(inside)
        is_here = mask and 2 * mask.pixel_count() >= instance.mask.pixel_count()
        return replace(instance, mask=mask) if is_here else None


def read_reference(
    reference: Tensor | None, bboxes: Any, image: tuple[int, int]
) -> Reference | None:
    """The two inputs of a reference, an IMAGE of one picture and its boxes; None without them.

    image: (H, W) of the images that it is joined to, in the way that is nearer to a square, to
    which SAM 3 squeezes every picture. Raises InputError for the one input without the other, for
    several pictures, for boxes of which none is around what is wanted, and like `parse_boxes`.
    """
    if reference is None and bboxes is None:
        return None
    if reference is None:
        raise InputError(
            "reference_bboxes: there is no reference that they are on. Connect its image to "
            "reference, or boxes on the image itself to bboxes."
        )
    count, *size = image_size(reference)
    if count > 1:
        raise InputError(
            f"reference: found {count} images; accepted is one. Connect one of them alone."
        )
    (marked,) = parse_boxes(bboxes, 1, (size[0], size[1]), "reference_bboxes")
    if not any(box.positive for box in marked.boxes):
        raise InputError(
            "reference_bboxes: nothing on the reference is marked. Connect boxes around what is to "
            "be found, or remove the reference."
        )
    shown, is_beside = _fitted((size[0], size[1]), image)
    picture = resize(rgb_frame(reference, 0), shown)
    return Reference(picture, rescale(marked, (size[0], size[1]), shown).boxes, image, is_beside)


def _fitted(reference: tuple[int, int], image: tuple[int, int]) -> tuple[tuple[int, int], bool]:
    """The size (H, W) that a reference takes beside an image or above it, and whether beside."""
    (own_height, own_width), (height, width) = reference, image
    beside = (height, max(1, round(own_width * height / own_height)))
    above = (max(1, round(own_height * width / own_width)), width)
    is_beside = _excess(height, width + beside[1]) <= _excess(height + above[0], width)
    return (beside if is_beside else above), is_beside


def segment_across(
    reference: Reference,
    image: Tensor,
    query: TextQuery,
    finder: Finder,
    family: Family,
    load_segmenter: Callable[[], Segmenter],
    refine: Refine = Refine.AUTO,
    counted: Counted = uncounted,
    zoom: bool = False,
    tell: Tell = untold,
) -> FoundWords:
    """`segment_words` with a reference joined to every image of a batch.

    query: its examples are those of `Reference.examples`. What is found in the reference itself is
    left out. zoom: as of `Closeness`; tell: how many crops there are to encode for it.
    """
    batch, height, width = image_size(image)
    query = with_threshold(query, finder)
    instances: list[Instance] = []
    removed: list[Instance] = []
    finder.embedder.cache.begin_run()
    for index, frame in counted(rgb_frames(image), batch, 0, 1 + zoom):
        # Of the best so many, some may be the reference's.
        own = replace(query, examples=(query.examples[index],), max_objects=0)
        picture = reference.join(frame)[None]
        found = find_words(picture, own, finder, family, load_segmenter, refine)
        kept = best_per_label(reference.cut_all(found.segments), query.max_objects)
        instances += [replace(each, frame=index) for each in kept]
        removed += reference.cut_all(found.removed)
    if zoom and instances:
        tell(drawing(len(object_crops(instances)), len(instances)))
        segmenter = load_segmenter()
        instances = [
            zoom_instance(segmenter, rgb_frame(image, each.frame), each)
            for each in counted(instances, len(instances), 1, 2)
        ]
    segments = Segments.from_instances(numbered(instances, query.phrases), (height, width), batch)
    return FoundWords(segments, removed, _misses([*instances, *removed], query))


def _misses(instances: Iterable[Instance], query: TextQuery) -> list[str]:
    """A line for each phrase of which the images show nothing, removed or not."""
    found = {each.label for each in instances}
    return [
        f'nothing >= {query.threshold:.2f} for "{phrase}" outside of the reference'
        for phrase in query.phrases
        if phrase not in found
    ]


def _excess(height: int, width: int) -> float:
    """How far from a square a picture is, 1 for a square."""
    return max(height, width) / min(height, width)
