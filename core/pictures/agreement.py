"""The picture of agreement: what two results both selected, and what only one of them did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from ..results.compact_mask import CompactMask, compact
from ..results.segments import Instance, Segments, frame_masks, union_frame
from .render import (
    Drawing,
    draw_tag,
    frame_canvas,
    label_font,
    paint,
    palette_colour,
    tag_size,
)

# Green, yellow and vermilion: of the palette's threes with green, the one whose least distance is
# the largest for every kind of colour vision (CIELAB, simulated after Machado et al., 2009).
BOTH, ONLY_A, ONLY_B = 2, 4, 5
_OVER_IMAGE = Drawing(opacity=0.6, boxes=False, labels=False)
_ON_BLACK = Drawing(opacity=1.0, boxes=False, labels=False)
# A legend that takes more of the picture than this would hide what it explains.
_LEGEND_SHARE = 0.25


def draw_agreement(
    image: Tensor | None, a: Segments, b: Segments, names: tuple[str, str], out: Tensor
) -> Iterator[Tensor]:
    """Draw where two results on the same images agree, frame by frame.

    Pixels in both are green, in a alone yellow, in b alone vermilion, over the image, or on black
    without one; a legend in the corner says so, where there is room. image: IMAGE [B, H, W, C].
    names: of a and b in the legend. out: [B, H, W, 3] float32 on the CPU, into which the pictures
    are written, 0..1; they are given back one by one, as views of it.
    """
    legend = (("both", BOTH), (f"only {names[0]}", ONLY_A), (f"only {names[1]}", ONLY_B))
    for index, sides in enumerate(zip(frame_masks(a), frame_masks(b), strict=True)):
        if image is None:
            canvas, drawing = np.zeros((*a.size, 3), np.uint8), _ON_BLACK
        else:
            canvas, drawing = frame_canvas(image, index), _OVER_IMAGE
        painted = paint(canvas, _regions(*sides, a.size), drawing, palette_colour)
        torch.div(torch.from_numpy(_with_legend(painted, legend)), 255.0, out=out[index])
        yield out[index]


def _regions(
    a: Sequence[CompactMask], b: Sequence[CompactMask], size: tuple[int, int]
) -> list[Instance]:
    """What is in both, in a alone and in b alone, as objects with the ids of their colours."""
    in_a, in_b = (union_frame(masks, size) >= 0.5 for masks in (a, b))
    regions = ((BOTH, in_a & in_b), (ONLY_A, in_a & ~in_b), (ONLY_B, in_b & ~in_a))
    return [Instance(compact(region), 1.0, "", 0, number) for number, region in regions]


def _with_legend(canvas: NDArray[np.uint8], legend: Sequence[tuple[str, int]]) -> NDArray[np.uint8]:
    """The texts below each other in the top left corner, in the colours of their numbers."""
    picture = Image.fromarray(canvas)
    pen, font = ImageDraw.Draw(picture), label_font(max(picture.size))
    widths, heights = zip(*(tag_size(pen, text, font) for text, _ in legend), strict=True)
    if max(widths) * sum(heights) > _LEGEND_SHARE * picture.width * picture.height:
        return canvas
    top = 0
    for (text, number), height in zip(legend, heights, strict=True):
        draw_tag(pen, text, (0, top), palette_colour(number), font)
        top += height
    return np.array(picture)
