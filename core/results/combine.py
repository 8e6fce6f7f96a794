"""Set operations on two masks or two sets of objects, soft edges included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import Enum

import torch
from torch import Tensor

from .compact_mask import compact
from .segments import Instance, Segments, compact_soft, union_masks


class Operation(str, Enum):
    """What a pixel has to be in: either, both, the first alone, exactly one."""

    UNION = "union"
    INTERSECT = "intersect"
    SUBTRACT = "subtract"
    XOR = "xor"


def combine_masks(first: Tensor, second: Tensor, operation: Operation) -> Tensor:
    """Combine two masks of one shape, float, 0..1, as fuzzy sets (Zadeh, 1965).

    Union is the maximum, intersection the minimum, the complement 1 - m; on hard masks these are
    the ordinary set operations.
    """
    if operation is Operation.UNION:
        return torch.maximum(first, second)
    if operation is Operation.INTERSECT:
        return torch.minimum(first, second)
    rest = torch.minimum(first, 1.0 - second)
    if operation is Operation.SUBTRACT:
        return rest
    return torch.maximum(rest, torch.minimum(second, 1.0 - first))


def combine_segments(first: Segments, second: Segments, operation: Operation) -> Segments:
    """Combine the objects of two results on images of one size and number.

    union: the objects of both. intersect, subtract: the objects of the first, cut to or by all of
    the second's. xor: the objects of each without what the other covers. Labels and scores are
    kept, and the ids of the first; those of the second follow after them. An object of which
    nothing is left is left out.
    """
    if operation is Operation.UNION:
        instances = [*first, *_apart(second, first)]
    elif operation is Operation.XOR:
        instances = _cut(first, second, Operation.SUBTRACT)
        instances += _apart(_cut(second, first, Operation.SUBTRACT), first)
    else:
        instances = _cut(first, second, operation)
    filled = [instance for instance in instances if instance.mask]
    filled.sort(key=lambda instance: instance.frame)
    return Segments.from_instances(filled, first.size, first.batch)


def _cut(segments: Segments, other: Segments, operation: Operation) -> list[Instance]:
    union = union_masks(other)
    cut = []
    for each in segments:
        mask = combine_masks(each.mask.pixels() / 255.0, union[each.frame], operation)
        cut.append(replace(each, mask=compact_soft(mask)))
    return cut


def _apart(instances: Iterable[Instance], first: Segments) -> list[Instance]:
    """Instances with ids that the first result does not have, in the same order."""
    start = int(first.ids.max()) + 1 if len(first) else 0
    return [replace(each, id=start + each.id) for each in instances]


def remove_unwanted(
    instances: Sequence[Instance], unwanted: Sequence[Instance]
) -> tuple[list[Instance], list[Instance]]:
    """Take the pixels of unwanted objects out of others of the same frame.

    Returns those that are left, and as they were those that lost most of their area.
    """
    if not unwanted:
        return list(instances), []
    outside = torch.full(unwanted[0].mask.size, 255, dtype=torch.uint8)
    for other in unwanted:
        area = outside[other.mask.area]
        torch.minimum(area, 255 - other.mask.crop(), out=area)
    kept, gone = [], []
    for instance in instances:
        mask = compact(torch.minimum(instance.mask.pixels(), outside))
        if 2 * mask.pixel_count() >= max(1, instance.mask.pixel_count()):
            kept.append(replace(instance, mask=mask))
        else:
            gone.append(instance)
    return kept, gone
