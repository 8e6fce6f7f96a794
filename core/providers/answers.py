"""Finds masks in answers: pictures in the body, Base64, data URIs, addresses, run lengths."""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..opencv import cv2
from ..results.rle import decode
from .wire import Answer, CallFailed, Drawn, Failure, FailureKind, Url, picture_format, shorten

_MAX_POLYGONS = 10_000
# Of JSON, which takes many times its size in memory: a mask of 3840 x 2160 in rows of numbers, and
# the points of large polygons.
_MAX_VALUES = 2**23
_MAX_LISTS = 2**21
# The most masks that are taken from one answer.
MAX_MASKS = 10_000


def unusable(detail: str) -> CallFailed:
    """The answer is not of the shape that the provider promises."""
    return CallFailed(Failure(FailureKind.ANSWER, detail))


def read_json(answer: Answer) -> Any:
    """The body as JSON; raises CallFailed where it is none."""
    if not answer.body:
        raise unusable("it is empty")
    values, lists = answer.body.count(b","), answer.body.count(b"[") + answer.body.count(b"{")
    if values > _MAX_VALUES or lists > _MAX_LISTS:
        raise unusable(f"JSON with {max(values, lists):,} values is more than is read")
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        start = shorten(answer.body[:80].decode("utf-8", "replace"))
        raise unusable(f"JSON is expected, found {answer.content_type} {start!r}") from error


def is_picture(answer: Answer) -> bool:
    """By the first bytes: providers label pictures as they please."""
    return picture_format(answer.body) is not None


def picture_content(value: Any) -> bytes | Url:
    """A picture written as an address, a data URI or Base64; {"url": ...} and the like included."""
    if isinstance(value, dict):
        for key in ("url", "image_url", "b64_json", "image", "data", "s3_link", "file_data"):
            if value.get(key):
                return picture_content(value[key])
        raise unusable(
            f"a picture is expected, found an object with {', '.join(value) or 'nothing'}"
        )
    if not isinstance(value, str) or not value.strip():
        raise unusable(f"a picture is expected, found {shorten(repr(value))}")
    text = value.strip()
    if text.startswith(("http://", "https://")):
        # Its line breaks, too, are for the check of addresses to see.
        return Url(value.strip(" "))
    return base64_bytes(text.partition(",")[2] if text.startswith("data:") else text)


def base64_bytes(text: str) -> bytes:
    """Base64, standard or URL-safe, with or without its padding."""
    compact = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise unusable(f"Base64 is expected, found {shorten(text[:60])!r}") from error


def run_length_mask(value: Any, size: tuple[int, int]) -> Drawn:
    """A mask [h, w] from {"size": [h, w], "counts": ...}.

    size: (H, W) of the picture that was sent. A size that is the picture's with height and width
    exchanged is taken for that mistake.
    """
    if not isinstance(value, dict) or "counts" not in value:
        raise unusable(f"run lengths are expected, found {shorten(repr(value))}")
    given = value.get("size", size)
    is_pair = isinstance(given, list | tuple) and len(given) == 2
    if not is_pair or not all(type(side) is int and side > 0 for side in given):
        raise unusable(f"a mask's size is [height, width], found {shorten(repr(given))}")
    height, width = size if tuple(given[::-1]) == size else given
    draw = functools.partial(_run_lengths, value["counts"], (height, width))
    return Drawn((height, width), draw)


def _run_lengths(counts: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        mask = decode(counts, size)
    except InputError as error:
        raise unusable(str(error).removeprefix("mask: ")) from error
    return np.multiply(mask, np.uint8(255), out=mask)


def listed_mask(values: list[Any], size: tuple[int, int]) -> Drawn | NDArray[np.uint8]:
    """A mask from a list: the rows of a picture, or polygons as `polygon_mask` takes them.

    size: (H, W) of the picture that was sent. Lists of numbers are rows where they have its shape.
    """
    if isinstance(values[0], list) and len(values[0]) > 2 and not isinstance(values[0][0], list):
        is_even = all(isinstance(row, list) and len(row) == len(values[0]) for row in values)
        is_flat = len(values[0]) % 2 == 0 and len(values[0]) >= 6
        height = len(values[0]) * size[0] / size[1]
        if not is_flat or (is_even and len(values) > 1 and abs(len(values) - height) <= 1):
            return rows_mask(values)
    return polygon_mask(values, size)


def polygon_mask(polygons: Any, size: tuple[int, int]) -> Drawn:
    """A mask [H, W] from one polygon or several, each a list of [x, y], or flat: x, y, x, y, ...

    Coordinates that all lie from 0 to 1, with fractions, are shares of the picture's sides.
    """
    try:
        rings = [polygons] if _is_ring(polygons) else list(polygons)
        outlines = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in rings]
        is_usable = all(map(_is_ring, rings)) and len(rings) <= _MAX_POLYGONS
        is_usable = is_usable and all((np.abs(ring) < 2**31).all() for ring in outlines)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        outlines, is_usable = [], False
    if not is_usable or not outlines:
        raise unusable(f"polygons of [x, y] are expected, found {shorten(repr(polygons)[:80])}")
    return Drawn(size, functools.partial(_fill_polygons, outlines, size))


def _is_ring(values: Any) -> bool:
    """Three points at least: six numbers, or pairs of numbers."""
    if np.ndim(values[0]) == 0:
        return len(values) >= 6 and len(values) % 2 == 0
    return len(values) >= 3 and all(np.shape(point) == (2,) for point in values)


def _fill_polygons(outlines: list[NDArray[np.float64]], size: tuple[int, int]) -> NDArray[np.uint8]:
    places = np.concatenate(outlines)
    is_share = bool((places >= 0).all() and (places <= 1).all() and (places % 1).any())
    scale = (size[1], size[0]) if is_share else (1, 1)
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.rint(ring * scale).astype(np.int32) for ring in outlines], (255,))
    return mask


def rows_mask(rows: Any) -> NDArray[np.uint8]:
    """A mask [h, w] uint8, 0 or 255, from rows of 0 and 1 (or of truth values)."""
    try:
        array = np.asarray(rows)
    except ValueError:
        array = np.zeros(0)
    if array.ndim != 2 or array.dtype.kind not in "buif":
        raise unusable("rows of numbers of equal length are expected")
    return np.where(array > 0.5, np.uint8(255), np.uint8(0))


def read_number(value: Any) -> float | None:
    """A number, or text that is one; None for anything else, also for what no float can hold."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def read_score(value: Any, default: float = 1.0) -> float:
    """A score, which some providers write as text; the default where there is none."""
    score = read_number(value)
    return default if score is None else min(1.0, max(0.0, score))


def read_whole(value: Any) -> int | None:
    """A whole number; None for anything else."""
    return value if type(value) is int else None


def read_text(value: Any) -> str:
    """Text without the space around it, such as a label; "" where there is none."""
    return value.strip() if isinstance(value, str) else ""
