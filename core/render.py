"""Pictures of results: coloured overlays with boxes and labels, cut-outs."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .matting import foreground_colours
from .segments import Segments, mask_areas
from .tensors import FrameArea, rgb_frame

# Okabe and Ito's colours (2008), which people with any colour vision tell apart; black left out.
PALETTE = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
)
_OPACITY = 0.45
_REGION_OPACITY = 0.55
# Hues follow the golden section, which keeps neighbours apart (Knuth, TAOCP 3, 6.4); saturation and
# value take turns, so that hues that come close still differ.
_HUE_STEP = 0.618033988749895
_SATURATIONS, _VALUES = (0.85, 0.5, 0.7), (1.0, 0.85, 0.65, 0.95)
_LINE_SHARE = 1 / 400
_FONT_SHARE = 1 / 32
_MIN_FONT = 11


def overlay(image: Tensor, segments: Segments, opacity: float = _OPACITY) -> Tensor:
    """Draw all objects over their images: masks in colour, boxes, labels with scores.

    image: IMAGE [B, H, W, C]. Returns [B, H, W, 3] float32 on the CPU; the colour goes with the
    object's place in its frame, so that equal prompts keep equal colours through a batch.
    """
    drawn = torch.empty((segments.batch, *segments.size, 3))
    for index in range(segments.batch):
        frame = rgb_frame(image, index).cpu()
        members = (segments.frames == index).nonzero()[:, 0].tolist()
        drawn[index] = _draw_frame(frame, segments, members, opacity) if members else frame
    return drawn


def cutout(image: Tensor, mask: Tensor) -> Tensor:
    """What a mask selects, with transparency: the mask as alpha, without a halo of background.

    image: IMAGE [B, H, W, C]. mask: [B, H, W] float32, 0..1, on any device. Returns [B, H, W, 4]
    float32 on the mask's device, not premultiplied; for the colours see `foreground_colours`.
    """
    batch, height, width = mask.shape
    whole = (slice(0, height), slice(0, width))
    cut = torch.empty((batch, height, width, 4), device=mask.device)
    for index in range(batch):
        for rows, colours in foreground_colours(FrameArea(image, index, whole), mask[index]):
            cut[index, rows, :, :3] = colours
        cut[index, ..., 3] = mask[index]
    return cut


def label_map(segments: Segments) -> Tensor:
    """Every region in a colour of its own, on black: [B, H, W, 3] float32 on the CPU.

    Colours go with the object's place in its frame, see `region_colours`; where objects overlap,
    the smaller one is on top. The values are whole 8-bit steps, so that they survive a PNG.
    """
    maps = torch.zeros((segments.batch, *segments.size, 3), dtype=torch.uint8)
    areas = mask_areas(segments.masks)
    for frame in range(segments.batch):
        members = (segments.frames == frame).nonzero()[:, 0]
        colours = torch.tensor(region_colours(len(members)), dtype=torch.uint8)
        for place in areas[members].argsort(descending=True, stable=True).tolist():
            maps[frame][segments.masks[members[place]] >= 128] = colours[place]
    return maps.float().div_(255.0)


def region_colours(count: int) -> list[tuple[int, int, int]]:
    """RGB colours of 8 bits, no two equal and none black; the first ones depend on no later one."""
    colours: dict[tuple[int, int, int], None] = {}
    place = 0
    while len(colours) < count:
        saturation = _SATURATIONS[place % len(_SATURATIONS)]
        value = _VALUES[place % len(_VALUES)]
        rgb = colorsys.hsv_to_rgb(place * _HUE_STEP % 1.0, saturation, value)
        colours[tuple(round(channel * 255) for channel in rgb)] = None
        place += 1
    return list(colours)


def tint(image: Tensor, label_map: Tensor, opacity: float = _REGION_OPACITY) -> Tensor:
    """Images under the colours of their label map: [B, H, W, 3] float32 on the CPU.

    For results of so many regions that boxes and labels would cover the picture.
    """
    drawn = torch.empty(label_map.shape)
    for index, colours in enumerate(label_map):
        frame = rgb_frame(image, index).cpu()
        inside = colours.any(dim=-1, keepdim=True)
        drawn[index] = torch.where(inside, frame.lerp(colours, opacity), frame)
    return drawn


def mask_picture(layers: Iterable[tuple[int, Tensor]], size: tuple[int, int]) -> bytes:
    """Masks in their objects' colours as an 8-bit indexed PNG, transparent where there is none.

    layers: (object number, [H, W] uint8 mask, of which 128 up counts), later ones on top.
    size: (H, W). Index 0 is empty; 1 + number % len(PALETTE) is an object.
    """
    indices = np.zeros(size, np.uint8)
    for number, mask in layers:
        indices[mask.numpy() >= 128] = 1 + number % len(PALETTE)
    picture = Image.fromarray(indices)
    picture.putpalette([0, 0, 0, *(value for colour in PALETTE for value in colour)])
    return _encoded(picture, "PNG", transparency=0, compress_level=1)


def jpeg(frame: Tensor, side: int) -> bytes:
    """A frame, [H, W, 3] float32, 0..1, as a JPEG to look at, no side longer than `side` pixels."""
    picture = Image.fromarray((frame.cpu() * 255.0).round().to(torch.uint8).numpy())
    picture.thumbnail((side, side))
    return _encoded(picture, "JPEG", quality=92, subsampling=0)


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _draw_frame(frame: Tensor, segments: Segments, members: list[int], opacity: float) -> Tensor:
    canvas = (frame * 255.0).round().to(torch.uint8).numpy()
    boxes = segments.boxes.round().int().tolist()
    for place, index in enumerate(members):
        left, top, right, bottom = boxes[index]
        area = (slice(top, bottom), slice(left, right))
        _blend(canvas[area], segments.masks[index][area].numpy(), _colour(place), opacity)
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    long_side = max(segments.size)
    font = ImageFont.load_default(max(_MIN_FONT, round(long_side * _FONT_SHARE)))
    width = max(1, round(long_side * _LINE_SHARE))
    for place, index in enumerate(members):
        draw.rectangle(_inclusive(boxes[index]), outline=_colour(place), width=width)
    for place, index in enumerate(members):
        text = f"{segments.labels[index]} {segments.scores[index]:.2f}"
        _draw_label(draw, text, boxes[index], _colour(place), font, picture.size)
    return torch.from_numpy(np.array(picture)).float().div_(255.0)


def _blend(region: np.ndarray, mask: np.ndarray, colour: tuple, opacity: float) -> None:
    """Tint a region [h, w, 3] uint8 in place where the mask [h, w] uint8 is set."""
    alpha = mask[..., None] * np.float32(opacity / 255.0)
    tint = np.array(colour, dtype=np.float32)
    region[:] = (region + (tint - region) * alpha + 0.5).astype(np.uint8)


def _colour(place: int) -> tuple[int, int, int]:
    return PALETTE[place % len(PALETTE)]


def _inclusive(box: list[int]) -> tuple[int, int, int, int]:
    """Pillow's rectangles include their last row and column."""
    left, top, right, bottom = box
    return left, top, max(left, right - 1), max(top, bottom - 1)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: list[int],
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> None:
    """Write above the box, or inside it where there is no room, moved into the image."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = max(2, (bottom - top) // 4)
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = max(0, min(box[0], size[0] - width))
    y = box[1] - height if box[1] >= height else min(box[1], max(0, size[1] - height))
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    ink = (0, 0, 0) if _luminance(colour) > 110 else (255, 255, 255)
    draw.text((x + pad - left, y + pad - top), text, font=font, fill=ink)


def _luminance(colour: tuple[int, int, int]) -> float:
    """Rec. 601 luma, 0..255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
