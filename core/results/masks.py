"""Masks that other nodes made, as objects."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from torch import Tensor

from ..errors import InputError
from ..prompts.names import numbered_label
from ..tensors import mask_frame, mask_frames, mask_size
from .segments import Instance, Segments, compact_soft, mask_segments

_NAME = "masks"


class MaskBatch(str, Enum):
    """What a batch of masks is: all objects of one image, or one object on image after image."""

    OBJECTS = "objects of one image"
    FRAMES = "one object, image by image"


def masks_to_segments(
    masks: Tensor,
    kind: MaskBatch,
    labels: Sequence[str] = (),
    images: tuple[int, tuple[int, int]] | None = None,
) -> Segments:
    """A batch of masks, [N, H, W] float, 0..1, as objects with score 1; empty ones are left out.

    labels: of the objects in their order; the others are called by their number, which is the
    mask's place and the object's id. images: how many and of what (H, W), to which the masks are
    resized; without them, their own. Raises InputError for more labels than objects, as `mask_size`
    and `mask_frame`, and where there is one object for a number of images that the masks do not
    have.
    """
    count, height, width = mask_size(masks, _NAME)
    batch, size = images or (count, (height, width))
    objects = count if kind is MaskBatch.OBJECTS else 1
    if len(labels) > objects:
        raise InputError(
            f"labels: found {len(labels)} for {objects} object{'s' if objects > 1 else ''}; "
            "accepted are as many as there are objects, or fewer. Remove some, or see whether "
            f'{_NAME} are "{MaskBatch.OBJECTS.value}".'
        )
    names = [*labels, *(numbered_label(place) for place in range(len(labels), objects))]
    if kind is MaskBatch.FRAMES:
        return mask_segments(mask_frames(masks, batch, size, _NAME), names[0])
    packed = [compact_soft(mask_frame(masks, place, size, _NAME)) for place in range(count)]
    instances = [
        Instance(mask, 1.0, names[place], 0, place) for place, mask in enumerate(packed) if mask
    ]
    return Segments.from_instances(instances, size, 1)
