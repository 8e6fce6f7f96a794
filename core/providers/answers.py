"""Finds masks in answers: pictures in the body, Base64, data URIs, addresses, run lengths."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..results.rle import MAX_PIXELS, decode
from .masks import picture_format
from .wire import Answer, CallFailed, Failure, FailureKind, Url, shorten

_MAX_POLYGONS = 10_000


def unusable(detail: str) -> CallFailed:
    """The answer is not of the shape that the provider promises."""
    return CallFailed(Failure(FailureKind.ANSWER, detail))


def read_json(answer: Answer) -> Any:
    """The body as JSON; raises CallFailed where it is none."""
    if not answer.body:
        raise unusable("it is empty")
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


def run_length_mask(value: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask [h, w] uint8, 0 or 255, from {"size": [h, w], "counts": ...}.

    size: (H, W) of the picture that was sent. A size that is the picture's with height and width
    exchanged is taken for that mistake.
    """
    if not isinstance(value, dict) or "counts" not in value:
        raise unusable(f"run lengths are expected, found {shorten(repr(value))}")
    given = value.get("size", size)
    is_pair = isinstance(given, list | tuple) and len(given) == 2
    if not is_pair or not all(type(side) is int for side in given):
        raise unusable(f"a mask's size is [height, width], found {shorten(repr(given))}")
    given = tuple(given)
    if given != size and given[::-1] == size:
        given = size
    try:
        return decode(value["counts"], given) * np.uint8(255)
    except InputError as error:
        raise unusable(str(error).removeprefix("mask: ")) from error


def polygon_mask(polygons: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask [H, W] uint8, 0 or 255, from one polygon or several, each a list of [x, y]."""
    import cv2

    outlines: list[NDArray[np.int32]] = []
    try:
        rings = [polygons] if np.ndim(polygons[0]) == 1 else list(polygons)
        outlines = [np.rint(np.asarray(ring, np.float64)) for ring in rings]
        is_usable = all(ring.ndim == 2 and ring.shape[1] == 2 for ring in outlines)
        is_usable = is_usable and all((np.abs(ring) < 2**31).all() for ring in outlines)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        is_usable = False
    if not is_usable or len(outlines) > _MAX_POLYGONS:
        raise unusable(f"polygons of [x, y] are expected, found {shorten(repr(polygons)[:80])}")
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [ring.astype(np.int32) for ring in outlines], 255)
    return mask


def rows_mask(rows: Any) -> NDArray[np.uint8]:
    """A mask [h, w] uint8, 0 or 255, from rows of 0 and 1 (or of truth values)."""
    try:
        array = np.asarray(rows)
    except ValueError:
        array = np.zeros(0)
    if array.ndim != 2 or array.dtype.kind not in "buif" or array.size > MAX_PIXELS:
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
