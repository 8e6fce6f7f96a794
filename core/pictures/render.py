"""Pictures of results: coloured masks with boxes and labels, outlines, label maps."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..opencv import cv2
from ..results.compact_mask import INSIDE, CompactMask
from ..results.segments import Instance, Segments
from ..tensors import rgb_frame

Colour = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Okabe and Ito's colours (2008), which people with any colour vision tell apart; black left out.
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
)
# Hues follow the golden section, which keeps neighbours apart (Knuth, TAOCP 3, 6.4); saturation and
# value take turns, so that hues that come close still differ.
_HUE_STEP = 0.618033988749895
_SATURATIONS, _VALUES = (0.85, 0.5, 0.7), (1.0, 0.85, 0.65, 0.95)
_LINE_SHARE = 1 / 400
_FONT_SHARE = 1 / 32
# An antialiased line of one pixel is hardly seen.
_MIN_CONTOUR = 2
_MIN_FONT = 11


class Style(str, Enum):
    """How objects are drawn: their areas, their outlines, or nothing but a colour for each."""

    FILL = "fill"
    CONTOUR = "contour"
    LABEL_MAP = "label map"


@dataclass(frozen=True)
class Drawing:
    """What to draw. opacity: of the colours of fill and contour, 0..1. boxes, labels: whether each
    object gets its box, and its `title`; a label map has neither.
    """

    style: Style = Style.FILL
    opacity: float = 0.45
    boxes: bool = True
    labels: bool = True


def draw(image: Tensor, segments: Segments, drawing: Drawing, out: Tensor) -> Iterator[Tensor]:
    """Draw all objects over their images, or a label map in place of them, frame by frame.

    image: IMAGE [B, H, W, C]. out: [B, H, W, 3] float32 on the CPU, into which the pictures are
    written, 0..1; they are given back one by one as they are done, as views of it. The colour
    follows the object's id. In a label map every object has a colour that no other has, on black,
    and the smaller one is on top; its values are whole 8-bit steps, so that they survive a PNG.
    """
    members = frame_members(segments)
    distinct = region_colours(int(segments.ids.max()) + 1 if len(segments) else 0)
    for index, objects in enumerate(members):
        if drawing.style is Style.LABEL_MAP:
            picture = _label_map(objects, segments.size, distinct)
            torch.div(torch.from_numpy(picture), 255.0, out=out[index])
        elif objects:
            picture = paint(frame_canvas(image, index), objects, drawing, palette_colour)
            torch.div(torch.from_numpy(picture), 255.0, out=out[index])
        else:
            out[index] = rgb_frame(image, index)
        yield out[index]


def frame_canvas(image: Tensor, index: int) -> NDArray[np.uint8]:
    """One frame of an IMAGE [B, H, W, C] to paint on: [H, W, 3] uint8; raises as `rgb_frame`."""
    return (rgb_frame(image, index) * 255.0).round_().to(torch.uint8).cpu().numpy()


def frame_members(segments: Segments) -> list[list[Instance]]:
    """The objects of each frame, in their order."""
    members: list[list[Instance]] = [[] for _ in range(segments.batch)]
    for instance in segments:
        members[instance.frame].append(instance)
    return members


def palette_colour(number: int) -> Colour:
    """The colour of an object by its id, in results, live preview and editor alike."""
    return PALETTE[number % len(PALETTE)]


def region_colours(count: int) -> list[Colour]:
    """RGB colours of 8 bits, no two equal and none black; the first ones depend on no later one."""
    colours: dict[Colour, None] = {}
    place = 0
    while len(colours) < count:
        saturation = _SATURATIONS[place % len(_SATURATIONS)]
        value = _VALUES[place % len(_VALUES)]
        red, green, blue = colorsys.hsv_to_rgb(place * _HUE_STEP % 1.0, saturation, value)
        colours[round(red * 255), round(green * 255), round(blue * 255)] = None
        place += 1
    return list(colours)


def paint(
    canvas: NDArray[np.uint8],
    objects: Sequence[Instance],
    drawing: Drawing,
    colour_of: Callable[[int], Colour],
) -> NDArray[np.uint8]:
    """Draw the objects of one frame on a picture [H, W, 3] of their masks' size.

    The canvas may be written into; what is returned is the picture. colour_of: the colour of an id.
    """
    long_side = max(canvas.shape[:2])
    width = max(1, round(long_side * _LINE_SHARE))
    for each in objects:
        if drawing.style is Style.CONTOUR:
            area, mask = _outline(each.mask, max(_MIN_CONTOUR, width))
        else:
            area, mask = each.mask.area, each.mask.crop().numpy()
        _blend(canvas[area], mask, colour_of(each.id), drawing.opacity)
    if not (drawing.boxes or drawing.labels):
        return canvas
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    if drawing.boxes:
        for each in objects:
            pen.rectangle(_inclusive(each.mask.box()), outline=colour_of(each.id), width=width)
    if drawing.labels:
        font = label_font(long_side)
        for each in objects:
            box, colour = each.mask.box(), colour_of(each.id)
            _draw_label(pen, each.title, box, colour, font, picture.size)
    return np.array(picture)


def _label_map(
    objects: Sequence[Instance], size: tuple[int, int], colours: Sequence[Colour]
) -> NDArray[np.uint8]:
    """[H, W, 3]: every object in its colour on black, the smaller one on top."""
    canvas = np.zeros((*size, 3), np.uint8)
    for each in sorted(objects, key=lambda each: -each.mask.pixel_count()):
        canvas[each.mask.area][each.mask.crop().numpy() >= INSIDE] = colours[each.id]
    return canvas


def _outline(mask: CompactMask, width: int) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
    """The contours of a mask as lines of a width in pixels, and the rows and columns they are in.

    The lines are 255 on 0, antialiased; what the image's border cuts off has no line there.
    """
    (height, across), (rows, columns) = mask.size, mask.area
    top, left = max(0, rows.start - width), max(0, columns.start - width)
    bottom, right = min(height, rows.stop + width), min(across, columns.stop + width)
    lines = np.zeros((bottom - top, right - left), np.uint8)
    inside = (mask.crop().numpy() >= INSIDE).view(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    offset = (columns.start - left, rows.start - top)
    cv2.drawContours(lines, contours, -1, 255, width, cv2.LINE_AA, offset=offset)
    return (slice(top, bottom), slice(left, right)), lines


def _blend(
    region: NDArray[np.uint8], mask: NDArray[np.uint8], colour: Colour, opacity: float
) -> None:
    """Tint a region [h, w, 3] uint8 in place where the mask [h, w] uint8 is set."""
    alpha = mask[..., None] * np.float32(opacity / 255.0)
    tint = np.array(colour, dtype=np.float32)
    region[:] = (region + (tint - region) * alpha + 0.5).astype(np.uint8)


def _inclusive(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Pillow's rectangles include their last row and column."""
    left, top, right, bottom = box
    return left, top, max(left, right - 1), max(top, bottom - 1)


def label_font(long_side: int) -> Font:
    """The font of labels on a picture whose longer side has so many pixels."""
    return ImageFont.load_default(max(_MIN_FONT, round(long_side * _FONT_SHARE)))


def _draw_label(
    pen: ImageDraw.ImageDraw,
    text: str,
    box: tuple[int, int, int, int],
    colour: Colour,
    font: Font,
    size: tuple[int, int],
) -> None:
    """Write above the box, or inside it where there is no room, moved into the image."""
    width, height = tag_size(pen, text, font)
    x = max(0, min(box[0], size[0] - width))
    y = box[1] - height if box[1] >= height else min(box[1], max(0, size[1] - height))
    draw_tag(pen, text, (x, y), colour, font)


def tag_size(pen: ImageDraw.ImageDraw, text: str, font: Font) -> tuple[int, int]:
    """Width and height in pixels of what `draw_tag` draws."""
    left, top, right, bottom = _text_box(pen, text, font)
    pad = _padding(top, bottom)
    return right - left + 2 * pad, bottom - top + 2 * pad


def draw_tag(
    pen: ImageDraw.ImageDraw, text: str, corner: tuple[int, int], colour: Colour, font: Font
) -> None:
    """Write on a rectangle of a colour, whose top left corner is given."""
    left, top, _, bottom = _text_box(pen, text, font)
    (x, y), (width, height), pad = corner, tag_size(pen, text, font), _padding(top, bottom)
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    ink = (0, 0, 0) if _luminance(colour) > 110 else (255, 255, 255)
    pen.text((x + pad - left, y + pad - top), text, font=font, fill=ink)


def _text_box(pen: ImageDraw.ImageDraw, text: str, font: Font) -> tuple[int, int, int, int]:
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    return int(left), int(top), int(right), int(bottom)


def _padding(top: int, bottom: int) -> int:
    return max(2, (bottom - top) // 4)


def _luminance(colour: Colour) -> float:
    """Rec. 601 luma, 0..255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
