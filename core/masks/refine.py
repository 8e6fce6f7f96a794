"""Mask refinement: the stages of Mask Refine, in their one order, on masks and on segments."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import InputError
from ..results.compact_mask import CompactMask
from ..results.segments import Instance, Segments, compact_soft
from ..tensors import FrameArea, row_bands
from ..threads import in_threads
from .areas import Area, separate_areas, surroundings
from .distance import edge_width_map, is_soft, move_contour, move_levels
from .filters import gaussian_blur
from .matting import GuidedEdges
from .parts import fill_holes, remove_islands

Result = TypeVar("Result")


class Edge(str, Enum):
    """What the last stage aligns the contour with."""

    NONE = "none"
    GUIDED = "guided"
    MATTING = "matting"


class Aligner(Protocol):
    """A way to align the contour of a mask with its image, for the last stage."""

    @property
    def in_threads(self) -> bool:
        """Whether several masks may be aligned at a time."""
        ...

    def margin(self, size: tuple[int, int]) -> float:
        """How far outside of what is selected it selects or looks, in pixels, in an image of
        (H, W)."""
        ...

    def align(self, mask: Tensor, guide: FrameArea, size: tuple[int, int]) -> Tensor:
        """The aligned mask, [H, W] float32, 0..1, which may be the one that was given.

        mask: [H, W] float32, 0..1, only read; a part of an image of `size`, (H, W). guide: the same
        rectangle of the image.
        """
        ...


@dataclass(frozen=True)
class Refinement:
    """Settings of all stages, in the order in which they are applied; the defaults do nothing.

    threshold: 0..1; what is at least that becomes 1, the rest 0; 0 keeps the mask soft.
    fill_holes: holes of up to so many pixels are selected; -1 all. remove_islands: parts of fewer
    pixels are deselected. expand: pixels by which the contour moves outwards, negative inwards.
    smooth: details of up to about so many pixels are rounded off. feather: width in pixels of the
    ramp across the contour. edge: how the contour is made to follow the image. invert: 1 - mask.
    """

    threshold: float = 0.0
    fill_holes: int = 0
    remove_islands: int = 0
    expand: float = 0.0
    smooth: float = 0.0
    feather: float = 0.0
    edge: Edge = Edge.NONE
    invert: bool = False

    @property
    def is_neutral(self) -> bool:
        """Whether nothing is to be done."""
        return self == Refinement()


def refine(
    mask: Tensor,
    settings: Refinement,
    image: Tensor | None = None,
    matting: Aligner | None = None,
) -> Tensor:
    """Refine a batch of masks, several at a time.

    mask: [B, H, W] float32, 0..1. image: IMAGE [B, H, W, C], for an edge other than none. matting:
    a model at work, for edge = matting alone. Returns [B, H, W] float32, 0..1, on the mask's
    device. Raises InputError where the edge lacks its image, and as the aligner does.
    """
    out = torch.empty_like(mask, memory_format=torch.contiguous_format)
    for _ in refined_frames(mask.__getitem__, out, settings, image, matting):
        pass
    return out


def refined_frames(
    mask: Callable[[int], Tensor],
    out: Tensor,
    settings: Refinement,
    image: Tensor | None = None,
    matting: Aligner | None = None,
) -> Iterator[Tensor]:
    """The masks of `refine`, [H, W] each, in their order, as they are done.

    mask: gives the mask of a frame, [H, W] float32, 0..1, which is only read. out: [B, H, W]
    float32; the masks are written into it, and are views of it.
    """
    guide = _guide(settings, image, matting)

    def refined(index: int) -> Tensor:
        return _refine_frame(mask(index), out[index], settings, guide, index)

    return _each(refined, len(out), guide)


def refined_instances(
    segments: Segments,
    settings: Refinement,
    image: Tensor | None = None,
    matting: Aligner | None = None,
) -> Iterator[Instance]:
    """Every object of a result refined on its own, with its label, score and frame kept.

    An object of which nothing is left is passed on with an empty mask. image, matting: as in
    `refine`. An object costs what its own rectangle costs, unless it is inverted: that fills the
    image.
    """
    guide = _guide(settings, image, matting)
    instances = list(segments)

    def refined(index: int) -> Instance:
        each = instances[index]
        if settings.is_neutral:
            return each
        return replace(each, mask=_refine_object(each.mask, settings, guide, each.frame))

    return _each(refined, len(instances), guide)


@dataclass(frozen=True)
class _Guide:
    """What the last stage goes by: a part of a frame, and how it is aligned with it."""

    part: FrameArea
    aligner: Aligner

    def of_frame(self, index: int) -> _Guide:
        """The same part of another frame."""
        return replace(self, part=replace(self.part, index=index))

    def within(self, area: Area) -> _Guide:
        """A rectangle of the part."""
        return replace(self, part=FrameArea(self.part.part, self.part.index, area))


def _guide(settings: Refinement, image: Tensor | None, matting: Aligner | None) -> _Guide | None:
    """What the last stage goes by, with the image as a whole; None where it does nothing."""
    check_image(settings, image)
    aligners = {Edge.NONE: None, Edge.GUIDED: GuidedEdges(), Edge.MATTING: matting}
    aligner = aligners[settings.edge]
    if image is None or settings.edge is Edge.NONE:
        return None
    if aligner is None:
        raise ValueError("edge = matting needs a model")
    whole = slice(0, image.shape[1]), slice(0, image.shape[2])
    return _Guide(FrameArea(image, 0, whole), aligner)


def check_image(settings: Refinement, image: Tensor | None) -> None:
    """Raise InputError where the edge lacks the image to go by."""
    if settings.edge is not Edge.NONE and image is None:
        raise InputError(
            f"image: nothing is connected, and edge is {settings.edge.value}; accepted is the "
            "image that the mask belongs to. Connect it, or set edge to none."
        )


def _each(work: Callable[[int], Result], count: int, guide: _Guide | None) -> Iterator[Result]:
    """The results of work(0), work(1), ..., several at a time where the aligner allows it."""
    if guide is None or guide.aligner.in_threads:
        return in_threads(work, count)
    return map(work, range(count))


def _refine_object(
    mask: CompactMask, settings: Refinement, guide: _Guide | None, index: int
) -> CompactMask:
    """As `_refine_frame` for an object's mask, within its surroundings where they are enough."""
    size = mask.size
    around = slice(0, size[0]), slice(0, size[1])
    if not settings.invert:
        around = surroundings(mask.area, _margin(settings, guide, size), size)
    (top, bottom), (left, right) = ((axis.start, axis.stop) for axis in around)
    part = mask.placed(-left, -top, (bottom - top, right - left)).pixels() / 255.0
    inner = None if guide is None else guide.of_frame(index).within(around)
    refined = _refine_part(part, torch.empty_like(part), settings, inner, size)
    return compact_soft(refined).placed(left, top, size)


def _refine_frame(
    mask: Tensor, out: Tensor, settings: Refinement, guide: _Guide | None, index: int
) -> Tensor:
    """Apply all stages to the mask of the frame of that index, [H, W], and write the result into
    out."""
    if settings.is_neutral:
        return out.copy_(mask)
    whole = None if guide is None else guide.of_frame(index)
    return _refine_part(mask, out, settings, whole, (mask.shape[0], mask.shape[1]))


def _refine_part(
    mask: Tensor, out: Tensor, settings: Refinement, guide: _Guide | None, size: tuple[int, int]
) -> Tensor:
    """Refine the part of a frame of that size outside of which nothing is or becomes selected.

    guide: for the same part. Only the rectangles around what is selected are worked on: all else is
    0 and stays so.
    """
    out.zero_()
    for area in separate_areas(mask, _margin(settings, guide, size)):
        inner = None if guide is None else guide.within(area)
        out[area] = _apply_stages(mask[area], settings, inner, size)
    return torch.sub(out.new_ones(()), out, out=out) if settings.invert else out


def _apply_stages(
    mask: Tensor, settings: Refinement, guide: _Guide | None, size: tuple[int, int]
) -> Tensor:
    """All stages but the last; mask and guide are a part of a frame of that size."""
    if settings.threshold > 0:
        mask = mask.clone().ge_(settings.threshold)
    if settings.fill_holes:
        mask = fill_holes(mask, settings.fill_holes)
    if settings.remove_islands > 1:
        mask = remove_islands(mask, settings.remove_islands)
    soft = settings.threshold == 0 and is_soft(mask)
    move = move_levels if soft else move_contour
    if settings.expand:
        mask = move(mask, settings.expand)
    if settings.smooth > 0:
        mask = smooth(mask, settings.smooth, soft)
    if settings.feather > 1:
        mask = move(mask, 0.0, settings.feather)
    return mask if guide is None else guide.aligner.align(mask, guide.part, size)


def smooth(mask: Tensor, size: float, soft: bool) -> Tensor:
    """Round off details of up to about `size` pixels; straight edges stay where they are.

    mask: [H, W] float32, 0..1. soft: whether its edges are wider than antialiased ones. The mask is
    blurred, and the slope of its edges restored: a blur makes of a straight edge of width w one
    whose slope is erf(w / (sqrt(8) sigma)) / w.
    """
    sigma = size / 2.0
    widths = edge_width_map(mask, max(2, round(size))) if soft else mask.new_ones(())
    slope = torch.erf(widths / (math.sqrt(8.0) * sigma)).expand(mask.shape)
    blurred = gaussian_blur(mask, sigma)
    for rows in row_bands(blurred):
        blurred[rows].sub_(0.5).div_(slope[rows]).add_(0.5).clamp_(0.0, 1.0)
    return blurred


def _margin(settings: Refinement, guide: _Guide | None, size: tuple[int, int]) -> float:
    """How far outside of what is selected any stage may select, in pixels."""
    margin = 1.0 + max(0.0, settings.expand) + 2.0 * settings.smooth + settings.feather
    return margin if guide is None else margin + guide.aligner.margin(size)
