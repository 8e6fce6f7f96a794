"""Small pictures of images, masks and results, for the eye: at most 1024 pixels on a side."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..masks.filters import shrink
from ..results.compact_mask import INSIDE, CompactMask
from ..results.segments import Instance, Segments
from .render import PALETTE, Drawing, frame_members, paint, palette_colour, region_colours

MAX_SIDE = 1024
# Regions cover the image: boxes and labels would cover the regions.
_REGIONS = Drawing(opacity=0.55, boxes=False, labels=False)
# Side and greys of the squares that stand for transparency.
_SQUARE, _GREYS = 8, (102, 153)


def shrink_factor(size: tuple[int, int], side: int = MAX_SIDE) -> int:
    """By how much an image of (H, W) is shrunk for a picture of at most `side` pixels a side: a
    whole number, so that pixels are averaged."""
    return -(-max(size) // side)


def result_pictures(image: Tensor, segments: Segments) -> Iterator[bytes]:
    """Each frame of an IMAGE under its objects, in the colours of their ids, as JPEG."""
    for frame, objects in zip(image, _small_members(segments), strict=True):
        yield jpeg(paint(small_frame(frame), objects, Drawing(), palette_colour))


def object_pictures(segments: Segments) -> Iterator[bytes]:
    """The objects of each frame on black, in the colours of their ids, as JPEG."""
    height, width = (-(-side // shrink_factor(segments.size)) for side in segments.size)
    for objects in _small_members(segments):
        ground = np.zeros((height, width, 3), np.uint8)
        yield jpeg(paint(ground, objects, Drawing(opacity=1.0), palette_colour))


def region_pictures(image: Tensor, segments: Segments) -> Iterator[bytes]:
    """Each frame of an IMAGE under its regions, every one in a colour of its own, as JPEG."""
    colours = region_colours(int(segments.ids.max()) + 1 if len(segments) else 0)
    for frame, objects in zip(image, _small_members(segments), strict=True):
        yield jpeg(paint(small_frame(frame), objects, _REGIONS, colours.__getitem__))


def image_pictures(images: Iterable[Tensor]) -> Iterator[bytes]:
    """Each picture, [H, W, 3 or 4] float, 0..1, as JPEG; transparency as grey squares."""
    for image in images:
        picture = _small(image)
        yield jpeg(_on_squares(picture) if picture.shape[-1] == 4 else _rgb(picture))


def mask_pictures(mask: Tensor) -> Iterator[bytes]:
    """Each mask of [B, H, W] float, 0..1, as an 8-bit grey PNG."""
    for pixels in mask:
        picture = Image.fromarray(_small(pixels[..., None])[..., 0])
        yield _encoded(picture, "PNG", compress_level=1)


def prompt_picture(
    layers: Iterable[tuple[int, CompactMask]], size: tuple[int, int], factor: int = 1
) -> bytes:
    """Masks in their objects' colours as an 8-bit indexed PNG, transparent where there is none.

    layers: (object number, mask), later ones on top. size: (H, W) of the masks. factor: by which
    they are shrunk. Index 0 is empty; 1 + number % len(PALETTE) is an object.
    """
    indices = np.zeros([-(-side // factor) for side in size], np.uint8)
    for number, mask in layers:
        small = mask.shrunk(factor)
        indices[small.area][small.crop().numpy() >= INSIDE] = 1 + number % len(PALETTE)
    picture = Image.fromarray(indices)
    picture.putpalette([0, 0, 0, *(value for colour in PALETTE for value in colour)])
    return _encoded(picture, "PNG", transparency=0, compress_level=1)


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A picture [H, W, 3] uint8 as a JPEG file."""
    return _encoded(Image.fromarray(picture), "JPEG", quality=88)


def small_frame(frame: Tensor, side: int = MAX_SIDE) -> NDArray[np.uint8]:
    """A frame [H, W, C] float, 0..1, C of 1, 3 or 4, on any device, as [h, w, 3] uint8.

    side: the longest side is at most so many pixels. Gray becomes three equal channels, alpha is
    left out.
    """
    return _rgb(_small(frame, side))


def _small(frame: Tensor, side: int = MAX_SIDE) -> NDArray[np.uint8]:
    """[H, W, C] float, 0..1 -> [h, w, C] uint8."""
    whole = frame.detach().float()
    factor = shrink_factor((whole.shape[0], whole.shape[1]), side)
    small = shrink(whole, factor).cpu().numpy()
    # With NumPy: for so few pixels PyTorch would wait longer for its threads than they work.
    levels = np.rint(small * np.float32(255.0))
    return np.clip(levels, 0.0, 255.0, out=levels).astype(np.uint8)


def _rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pillow wants three channels, and the painting memory of its own."""
    channels = [0, 0, 0] if picture.shape[-1] == 1 else [0, 1, 2]
    return picture if picture.shape[-1] == 3 else picture[..., channels]


def _small_members(segments: Segments) -> list[list[Instance]]:
    factor = shrink_factor(segments.size)
    return [_shrunk(objects, factor) for objects in frame_members(segments)]


def _shrunk(objects: Sequence[Instance], factor: int) -> list[Instance]:
    return [replace(each, mask=each.mask.shrunk(factor)) for each in objects]


def _on_squares(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Show a picture [H, W, 4] with alpha over grey squares: [H, W, 3]."""
    rows, columns = (np.arange(side) // _SQUARE % 2 for side in picture.shape[:2])
    squares = np.array(_GREYS, np.uint8)[rows[:, None] ^ columns]
    shown = Image.fromarray(squares).convert("RGB")
    cut = Image.fromarray(picture)
    shown.paste(cut, mask=cut.getchannel("A"))
    return np.asarray(shown)


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
