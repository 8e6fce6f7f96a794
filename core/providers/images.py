"""Pictures on their way to a provider: encoded, and scaled down where they are too large."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image
from torch import Tensor

from ..prompts.prompts import Box, ObjectPrompt, Point
from .contract import ImageLimits
from .wire import Picture

# Level 4 takes half as long again for files a tenth smaller, level 9 many times as long.
_PNG_LEVEL = 1
_QUALITIES = (95, 88, 80)
_MIMES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def encode_picture(frame: Tensor, limits: ImageLimits) -> Picture:
    """Encode a frame ([H, W, 3] float32, 0..1) within a provider's limits.

    PNG where it fits; else the provider's lossy format in falling quality, and in the end smaller.
    """
    pixels = (frame.detach().cpu() * 255.0).round().byte().numpy()
    image = Image.fromarray(pixels)
    image = _scaled(image, min(1.0, limits.max_side / max(image.size)))
    picture = _encode(image, "PNG", compress_level=_PNG_LEVEL)
    while len(picture.data) > limits.max_bytes:
        for quality in _QUALITIES:
            picture = _encode(image, limits.lossy_format, quality=quality)
            if len(picture.data) <= limits.max_bytes:
                return picture
        image = _scaled(image, 0.9 * (limits.max_bytes / len(picture.data)) ** 0.5)
    return picture


def scale_objects(
    objects: Sequence[ObjectPrompt], source: tuple[int, int], target: tuple[int, int]
) -> tuple[ObjectPrompt, ...]:
    """Carry prompts from an image of one size (H, W) to another."""
    if source == target:
        return tuple(objects)
    sy, sx = target[0] / source[0], target[1] / source[1]
    return tuple(
        replace(
            each,
            points=tuple(_scaled_point(point, sx, sy, target) for point in each.points),
            box=_scaled_box(each.box, sx, sy) if each.box else None,
            negative_boxes=tuple(_scaled_box(box, sx, sy) for box in each.negative_boxes),
        )
        for each in objects
    )


def pixel(point: Point, size: tuple[int, int]) -> list[int]:
    """A point as whole pixels [x, y] inside an image of size (H, W)."""
    return [min(round(point.x), size[1] - 1), min(round(point.y), size[0] - 1)]


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    if factor >= 1.0:
        return image
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _encode(image: Image.Image, file_format: str, **options: int) -> Picture:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return Picture(stream.getvalue(), _MIMES[file_format], (image.height, image.width))


def _scaled_point(point: Point, sx: float, sy: float, size: tuple[int, int]) -> Point:
    x = min(point.x * sx, np.nextafter(size[1], 0))
    y = min(point.y * sy, np.nextafter(size[0], 0))
    return replace(point, x=float(x), y=float(y))


def _scaled_box(box: Box, sx: float, sy: float) -> Box:
    return replace(box, x1=box.x1 * sx, y1=box.y1 * sy, x2=box.x2 * sx, y2=box.y2 * sy)
