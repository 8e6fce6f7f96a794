"""A segmenter without weights, so that the servers' answers are about the picture they got."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Mask = NDArray[np.bool_]
_MIN_SHARE = 0.004


def open_image(data: bytes) -> Image.Image:
    """Raises ValueError for what is no picture."""
    try:
        image = Image.open(io.BytesIO(data))
        return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise ValueError(str(error)) from error


def find_objects(image: Image.Image) -> list[Mask]:
    """What differs in colour from the picture's edge, in connected parts, largest first."""
    pixels = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
    rim = max(1, min(pixels.shape[:2]) // 20)
    edge = np.concatenate(
        [pixels[:rim].reshape(-1, 3), pixels[-rim:].reshape(-1, 3)]
        + [pixels[:, :rim].reshape(-1, 3), pixels[:, -rim:].reshape(-1, 3)]
    )
    distance = np.linalg.norm(pixels - np.median(edge, axis=0), axis=2)
    if distance.max() < 8:
        return []
    levels = (distance * (255 / distance.max())).astype(np.uint8)
    _, rough = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    size = max(1, min(rough.shape) // 100)
    rough = cv2.morphologyEx(rough, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    return _parts(rough)


# By hue in OpenCV's degrees, 0..179.
_COLOURS = {"red": 0, "yellow": 30, "green": 60, "blue": 120}


def names_colour(words: str) -> bool:
    return any(name in words.lower().split() for name in _COLOURS)


def find_named(image: Image.Image, words: str) -> list[Mask]:
    """The objects whose colour the words name, all where they name none."""
    objects = find_objects(image)
    if not names_colour(words):
        return objects
    wanted = [hue for name, hue in _COLOURS.items() if name in words.lower().split()]
    hues = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2HSV)[..., 0].astype(int)
    medians = [float(np.median(hues[each])) for each in objects]
    return [
        each
        for each, hue in zip(objects, medians, strict=True)
        if any(min(abs(hue - one), 180 - abs(hue - one)) < 20 for one in wanted)
    ]


def named_or_nth(image: Image.Image, words: str, place: int) -> list[Mask]:
    """The objects that the words name by colour; else nobody knows a dog: the object of a place."""
    if names_colour(words):
        return find_named(image, words)
    return find_objects(image)[place : place + 1]


def _parts(rough: NDArray[np.uint8]) -> list[Mask]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(rough, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = [index + 1 for index in np.argsort(-areas) if areas[index] >= _MIN_SHARE * rough.size]
    return [_filled(labels == index) for index in order if index < count]


def _filled(mask: Mask) -> Mask:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(canvas, outlines, -1, 1, cv2.FILLED)
    return canvas > 0


def object_at(image: Image.Image, points: Sequence[Sequence[float]]) -> Mask:
    """The parts that lie under points, or all that is no part where none does."""
    parts = find_objects(image)
    chosen = np.zeros((image.height, image.width), bool)
    for x, y in points:
        under = [part for part in parts if part[int(y), int(x)]]
        ground = ~np.any(parts, axis=0) if parts else np.ones_like(chosen)
        chosen |= under[0] if under else ground
    return chosen


def object_in(image: Image.Image, box: Sequence[float]) -> Mask:
    """The largest part's piece inside a box, x1 y1 x2 y2."""
    x1, y1, x2, y2 = (max(0, round(value)) for value in box)
    inside = np.zeros((image.height, image.width), bool)
    inside[y1:y2, x1:x2] = True
    pieces = [part & inside for part in find_objects(image)]
    return max(pieces, key=np.sum, default=inside)


def picture(array: NDArray, file_format: str = "PNG", **options: object) -> bytes:
    """Encode [h, w] truth values or numbers, or [h, w, 3|4] uint8."""
    array = np.asarray(array)
    pixels = array.astype(np.uint8) * 255 if array.dtype == bool else array.astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, file_format, **options)
    return stream.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
