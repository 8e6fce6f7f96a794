"""Pictures on their way to a provider: encoded, and scaled down where they are too large."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..opencv import cv2
from ..prompts.prompts import Box, ObjectPrompt, Point
from ..tensors import rgb_frame
from .contract import ImageLimits
from .wire import Picture

# OpenCV's own names for these came with 4.11; one that is older passes them over.
_PNG_FILTER, _PNG_FILTER_UP = 19, 32
_ROWS = 32
_QUALITIES = (95, 88, 80)
_MIMES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def frame_pixels(image: Tensor, index: int = 0) -> NDArray[np.uint8]:
    """One frame of an IMAGE in eight bits, as `tensors.rgb_frame` has it: [H, W, 3] uint8.

    Raises InputError as that does.
    """
    frame = image[index]
    if not (frame.is_cpu and frame.shape[-1] == 3 and frame.dtype is torch.float32):
        frame = rgb_frame(image, index)
    values = np.ascontiguousarray(frame.detach().cpu().numpy())
    pixels = np.empty(values.shape, np.uint8)
    # A row is a row of numbers here, and so many of them stay in the processor's cache.
    rows, out = values.reshape(len(values), -1), pixels.reshape(len(values), -1)
    scratch = np.empty((_ROWS, rows.shape[1]), np.float32)
    for start in range(0, len(rows), _ROWS):
        band = rows[start : start + _ROWS]
        if np.isnan(band.sum()):
            rgb_frame(image, index)
        # Without what is below black, of which the conversion would take the absolute value.
        cv2.threshold(band, 0.0, 0.0, cv2.THRESH_TOZERO, dst=scratch[: len(band)])
        # Rounds to even like PyTorch, at a fifth of the time.
        cv2.convertScaleAbs(scratch[: len(band)], dst=out[start : start + _ROWS], alpha=255.0)
    return pixels


def largest_size(size: tuple[int, int], limits: ImageLimits) -> tuple[int, int]:
    """The size in which an image of (H, W) is sent, unless its file turns out too large."""
    return _scaled_size(size, min(1.0, limits.max_side / max(size)))


def encode_picture(pixels: NDArray[np.uint8], limits: ImageLimits) -> Picture:
    """Encode a frame ([H, W, 3] uint8) within a provider's limits.

    PNG where it fits, so that no mask suffers; else the provider's lossy format in falling quality,
    and in the end smaller.
    """
    image = _scaled(Image.fromarray(pixels), largest_size(pixels.shape[:2], limits))
    picture = _png(image)
    while len(picture.data) > limits.max_bytes:
        for quality in _QUALITIES:
            picture = _lossy(image, limits.lossy_format, quality)
            if len(picture.data) <= limits.max_bytes:
                return picture
        factor = 0.9 * (limits.max_bytes / len(picture.data)) ** 0.5
        image = _scaled(image, _scaled_size((image.height, image.width), factor))
    return picture


def own_pictures(image: Tensor, pictures: Mapping[int, NDArray[np.uint8]]) -> Tensor:
    """A provider's pictures as an IMAGE [B, H, W, 3] float32, and the image where it sent none.

    pictures: [H, W, 3] uint8 by frame. Without any the image itself is returned.
    """
    if not pictures:
        return image
    frames = torch.empty((*image.shape[:3], 3))
    for index, frame in enumerate(frames):
        if index in pictures:
            frame.copy_(torch.from_numpy(pictures[index])).div_(255.0)
        else:
            frame.copy_(rgb_frame(image, index))
    return frames


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


def _scaled_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    height, width = size
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _png(image: Image.Image) -> Picture:
    """Without loss, by OpenCV: as small as Pillow's level 1, in a third of its time."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    options += [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
    options += [_PNG_FILTER, _PNG_FILTER_UP]
    _, data = cv2.imencode(".png", cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR), options)
    return Picture(data.tobytes(), _MIMES["PNG"], (image.height, image.width))


def _lossy(image: Image.Image, file_format: str, quality: int) -> Picture:
    stream = io.BytesIO()
    image.save(stream, file_format, quality=quality)
    return Picture(stream.getvalue(), _MIMES[file_format], (image.height, image.width))


def _scaled_point(point: Point, sx: float, sy: float, size: tuple[int, int]) -> Point:
    x = min(point.x * sx, np.nextafter(size[1], 0))
    y = min(point.y * sy, np.nextafter(size[0], 0))
    return replace(point, x=float(x), y=float(y))


def _scaled_box(box: Box, sx: float, sy: float) -> Box:
    return replace(box, x1=box.x1 * sx, y1=box.y1 * sy, x2=box.x2 * sx, y2=box.y2 * sy)
