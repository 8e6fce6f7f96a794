"""Objects as SEGS, and SEGS as objects; the format is in `core/segs.py`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..prompts.names import numbered_label
from ..segs import Seg, corners, read_segs, seg_box
from ..tensors import mask_frame, mask_size, rgb_frame
from .compact_mask import CompactMask
from .segments import Instance, Segments, compact_soft, match_segments, numbered

_NAME = "segs"
_MASK = f"{_NAME}.cropped_mask"
_NO_ID = -1
Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class Cropping:
    """How objects are cropped for a detailer.

    factor: sides of the crop by those of the object's box, from 1. min_size: objects whose box is
    narrower or lower than this, in pixels, are left out.
    """

    factor: float = 3.0
    min_size: int = 0


def to_segs(
    segments: Segments, frames: Sequence[int], cropping: Cropping, image: Tensor | None = None
) -> list[tuple[tuple[int, int], list[Seg]]]:
    """The objects of some frames as SEGS, one for each frame; [] of them where it has none.

    image: IMAGE [B, H, W, C] of the size of the segments, B of 1 or their batch; without one no SEG
    has a cropped image. Raises InputError where one of the frames holds NaN.
    """
    found: dict[int, list[Seg]] = {frame: [] for frame in frames}
    for one in segments:
        if one.frame in found and _is_large(one.mask, cropping.min_size):
            found[one.frame].append(_seg(one, cropping.factor, image))
    return [(segments.size, found[frame]) for frame in frames]


def _is_large(mask: CompactMask, min_size: int) -> bool:
    left, top, right, bottom = mask.box()
    return bool(mask) and min(right - left, bottom - top) >= min_size


def _seg(instance: Instance, factor: float, image: Tensor | None) -> Seg:
    region = crop_region(instance.mask, factor)
    seg = Seg(
        None if image is None else _cropped_image(image, instance.frame, region),
        _cropped_mask(instance.mask, region),
        instance.score,
        region,
        instance.mask.box(),
        instance.label,
        None,
    )
    seg.id = instance.id
    return seg


def crop_region(mask: CompactMask, factor: float) -> Region:
    """The box of a mask, enlarged by a factor about its centre and moved into the image: xyxy.

    Soft edges, which the box leaves out, lie inside all the same.
    """
    height, width = mask.size
    left, top, right, bottom = mask.box()
    x1, x2 = _enlarged(left, right, factor, width)
    y1, y2 = _enlarged(top, bottom, factor, height)
    return min(x1, mask.left), min(y1, mask.top), max(x2, mask.right), max(y2, mask.bottom)


def _enlarged(start: int, stop: int, factor: float, limit: int) -> tuple[int, int]:
    length = min(round((stop - start) * factor), limit)
    first = math.floor((start + stop - length) / 2)
    first = min(max(first, 0), limit - length)
    return first, first + length


def _cropped_mask(mask: CompactMask, region: Region) -> NDArray[np.float32]:
    x1, y1, x2, y2 = region
    cropped = np.zeros((y2 - y1, x2 - x1), np.float32)
    rows, columns = mask.area
    inside = cropped[rows.start - y1 : rows.stop - y1, columns.start - x1 : columns.stop - x1]
    inside[...] = mask.crop().numpy() / np.float32(255)
    return cropped


def _cropped_image(image: Tensor, frame: int, region: Region) -> NDArray[np.float32]:
    x1, y1, x2, y2 = region
    part = rgb_frame(image[:, y1:y2, x1:x2], frame if len(image) > 1 else 0)
    # A copy: detailers write into it, and the image is the host's.
    return part[None].cpu().numpy().copy()


def from_segs(values: Sequence[Any], size: tuple[int, int] | None = None) -> Segments:
    """The objects of SEGS, one image after the other, those of a clip's SEGS on each of its frames.

    size: (H, W) of the images, to which masks are scaled; without it, the SEGS' own. A
    cropped_mask may be of numpy or torch, [h, w] or [T, h, w] for T frames, and of another size
    than its crop_region; where it is missing, the box is the mask. What lies outside the image is
    cut off, and what then is empty is left out. An object without id, or with one that its frame
    has already, gets one by label and place, as `numbered` does. Raises InputError for what is no
    SEGS, for sizes that differ where none is given, and for boxes, masks and confidences that
    cannot be read.
    """
    size = size or _common_size(values)
    instances: list[Instance] = []
    batch = 0
    for value in values:
        (height, width), found = read_segs(value, _NAME)
        # The Impact Pack's empty SEGS are of no size.
        own = (height, width) if height and width else size
        frames = _frame_count(found)
        read = [one for place, seg in enumerate(found) for one in _read(seg, place, own, frames)]
        scaled = match_segments(Segments.from_instances(read, own, frames), frames, size)
        instances += [replace(one, frame=one.frame + batch) for one in scaled]
        batch += frames
    return Segments.from_instances(_with_ids(instances), size, batch)


def _common_size(values: Iterable[Any]) -> tuple[int, int]:
    sizes = {read_segs(value, _NAME)[0] for value in values}
    sizes = {size for size in sizes if 0 not in size}
    if len(sizes) == 1:
        return sizes.pop()
    found = " and ".join(f"{width} x {height}" for height, width in sorted(sizes)) or "none"
    raise InputError(
        f"{_NAME}: found {found} as the size of the images; accepted is one size for all. Connect "
        "the images, to whose size the objects are then scaled."
    )


def _frame_count(found: Iterable[Any]) -> int:
    """For how many frames SEGS are: as many as any of their masks has."""
    masks = [mask for mask in map(_mask, found) if mask is not None]
    many = {mask_size(mask, _MASK)[0] for mask in masks} - {1}
    if len(many) > 1:
        raise InputError(
            f"{_NAME}: found masks of {min(many)} and of {max(many)} frames in one SEGS; accepted "
            "is one number of frames. Keep SEGS of different clips apart."
        )
    return many.pop() if many else 1


def _mask(seg: Any) -> Tensor | None:
    """A cropped mask as [h, w] or [T, h, w] float, None where there is none."""
    if seg.cropped_mask is None:
        return None
    given = seg.cropped_mask
    # A copy: torch refuses what numpy has flipped, and warns of what it may not write into.
    mask = given.detach() if isinstance(given, Tensor) else torch.from_numpy(np.array(given))
    # Bytes go to 255, where anything is above 1.
    is_bytes = mask.dtype == torch.uint8 and bool((mask > 1).any())
    return mask / 255.0 if is_bytes else mask.float()


def _read(seg: Any, place: int, size: tuple[int, int], frames: int) -> list[Instance]:
    """An object on each frame that it is seen on."""
    mask = _mask(seg)
    region = _region(seg, mask, size)
    if mask is None:
        mask = _box_mask(seg, region)
    number = getattr(seg, "id", None)
    label = str(getattr(seg, "label", None) or "").strip() or numbered_label(place)
    score = _confidence(getattr(seg, "confidence", None))
    placed = [_placed(mask, frame, region, size) for frame in range(frames)]
    identity = _NO_ID if number is None else int(number)
    return [
        Instance(each, score, label, frame, identity) for frame, each in enumerate(placed) if each
    ]


def _region(seg: Any, mask: Tensor | None, size: tuple[int, int]) -> Region:
    """Where the mask lies: the crop region, else the whole image where it has its size, else the
    box."""
    if seg.crop_region is None and mask is not None and tuple(mask.shape[-2:]) == size:
        return 0, 0, size[1], size[0]
    x1, y1, x2, y2 = corners(seg.crop_region) or seg_box(seg)
    return round(x1), round(y1), round(x2), round(y2)


def _box_mask(seg: Any, region: Region) -> Tensor:
    """1 inside the box, [h, w] of a crop region."""
    x1, y1, x2, y2 = region
    left, top, right, bottom = (round(side) for side in seg_box(seg))
    mask = torch.zeros((max(y2 - y1, 1), max(x2 - x1, 1)))
    mask[max(top - y1, 0) : max(bottom - y1, 0), max(left - x1, 0) : max(right - x1, 0)] = 1.0
    return mask


def _placed(mask: Tensor, frame: int, region: Region, size: tuple[int, int]) -> CompactMask:
    """A cropped mask in its image of (H, W), what lies outside cut off; empty where all does."""
    x1, y1, x2, y2 = region
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, size[1]), min(y2, size[0])
    if right <= left or bottom <= top:
        return compact_soft(torch.zeros(size))
    cropped = mask_frame(mask, frame, (y2 - y1, x2 - x1), _MASK)
    inside = cropped[top - y1 : bottom - y1, left - x1 : right - x1]
    return compact_soft(inside).placed(left, top, size)


def _confidence(value: Any) -> float:
    """A confidence, also as an array of one number, as a score, 0..1; 1 where nobody gave one."""
    numbers = [] if value is None else torch.as_tensor(value).flatten().tolist()
    score = float(numbers[0]) if numbers else 1.0
    if math.isnan(score):
        raise InputError(
            f"{_NAME}: found NaN as the confidence of an object; accepted are numbers, 0..1. Mend "
            "the node that made the SEGS."
        )
    return min(max(score, 0.0), 1.0)


def _with_ids(instances: Sequence[Instance]) -> list[Instance]:
    """Ids for those that have none, after those that are known.

    SEGS of several results may be joined: an id that its frame has already is none.
    """
    start = max((one.id for one in instances), default=_NO_ID) + 1
    taken: set[tuple[int, int]] = set()
    nameless: set[int] = set()
    for row, one in enumerate(instances):
        if one.id == _NO_ID or (one.frame, one.id) in taken:
            nameless.add(row)
        taken.add((one.frame, one.id))
    named = iter(numbered([instances[row] for row in sorted(nameless)]))
    return [
        replace(one, id=next(named).id + start) if row in nameless else one
        for row, one in enumerate(instances)
    ]
