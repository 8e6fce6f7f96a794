"""COCO run lengths: masks as counts of alternating background and foreground, column by column.

Providers wrap them in several ways, which `decode` tells apart: a list of runs, COCO's own compact
string (see pycocotools' maskApi.c), and either of them in Base64, with or without gzip or zlib.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import opencv
from ..errors import InputError
from ..opencv import cv2

# No mask of any use needs more text or runs than this, which take up to twenty times as much memory
# while they are read; a decompression bomb would.
_MAX_TEXT = 8 * 2**20
_MAX_RUNS = 2**21
MAX_PIXELS = 2**26
_GZIP_OR_ZLIB = 47
# Runs of up to 2**45 pixels; a longer group can only be damage.
_MAX_GROUP = 9


def decode(counts: str | bytes | Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode run lengths of any wrapping into a mask: [H, W] uint8 of 0 and 1.

    size: (H, W). Raises InputError where no reading of `counts` gives runs that are not negative
    and add up to H x W, or where the size is no picture's.
    """
    height, width = size
    if not (0 < height and 0 < width and height * width <= MAX_PIXELS):
        raise InputError(
            f"mask: found run lengths for a size of {height} x {width}; accepted are sides from 1, "
            f"and up to {MAX_PIXELS:,} pixels. The answer is damaged: send the request again."
        )
    total = height * width
    found = []
    for runs in _readings(counts):
        if (runs >= 0).all() and runs.sum() == total and runs.size <= _MAX_RUNS:
            return _fill(runs, size)
        found += [runs] if runs.size else []
    raise InputError(_complaint(found, size))


def encode(mask: NDArray) -> str:
    """Encode a mask [H, W] (any type, non-zero = inside) as COCO's compact string."""
    from pycocotools import mask as coco

    counts: Any = coco.encode(np.asfortranarray(mask != 0, dtype=np.uint8))["counts"]
    return counts.decode("ascii")


def _fill(runs: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8]:
    from pycocotools import mask as coco

    height, width = size
    packed = coco.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
    mask = coco.decode(packed)
    # Column by column in memory; OpenCV turns that five times as fast as NumPy.
    return cv2.transpose(mask.T) if opencv.is_there() else np.ascontiguousarray(mask)


def _readings(counts: str | bytes | Sequence[int]) -> Iterator[NDArray[np.int64]]:
    """All ways to read `counts` as runs, the likeliest first."""
    if not isinstance(counts, str | bytes):
        yield _integers(counts)
        return
    text = counts.encode("utf-8", "replace") if isinstance(counts, str) else counts
    if len(text) > _MAX_TEXT:
        return
    unwrapped = _unwrap(text)
    for candidate in (unwrapped, text):
        # "[" is a letter of COCO's alphabet too, so a failed reading proves nothing: try the next.
        yield _json_runs(candidate)
        yield _spaced_runs(candidate)
        yield _coco_runs(candidate)


def _unwrap(text: bytes) -> bytes:
    """Base64, and what is inflated from it where it was compressed; b"" where it is not Base64."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        inflated = inflater.decompress(raw, _MAX_TEXT)
    except zlib.error:
        return raw
    # COCO's letters can look like the first bytes of zlib.
    return inflated if inflater.eof else raw


def _integers(values: object) -> NDArray[np.int64]:
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        return _NONE
    is_list = array.ndim == 1 and array.dtype.kind in "iu"
    return array.astype(np.int64) if is_list else _NONE


def _json_runs(text: bytes) -> NDArray[np.int64]:
    if not text.lstrip().startswith(b"["):
        return _NONE
    try:
        return _integers(json.loads(text))
    except (ValueError, RecursionError):
        return _NONE


def _spaced_runs(text: bytes) -> NDArray[np.int64]:
    words = text.replace(b",", b" ").split()
    if not words or not all(word.lstrip(b"-").isdigit() for word in words):
        return _NONE
    return _integers([int(word[:20]) for word in words]) if len(words) > 1 else _NONE


def _coco_runs(text: bytes) -> NDArray[np.int64]:
    """Runs of COCO's compact string, not yet checked.

    Each letter carries five bits, a mark that more follow, and in the last one the sign; from the
    fourth run on, the difference to the run two before is stored. pycocotools reads damaged strings
    without a word, so they are read here first.
    """
    # What is below the alphabet ends up above it.
    letters = np.frombuffer(text.strip(), np.uint8) - np.uint8(48)
    if not letters.size or letters.max() > 63 or letters[-1] & 32:
        return _NONE
    last = np.flatnonzero((letters & 32) == 0)
    first = np.concatenate(([0], last[:-1] + 1))
    if (last - first).max() >= _MAX_GROUP:
        return _NONE
    place = np.arange(letters.size, dtype=np.int32)
    place -= np.repeat(first.astype(np.int32), last - first + 1)
    place *= 5
    runs = np.add.reduceat((letters & 31).astype(np.int64) << place, first)
    negative = (letters[last] & 16) != 0
    runs[negative] -= np.int64(1) << (place[last][negative].astype(np.int64) + 5)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _complaint(found: list[NDArray[np.int64]], size: tuple[int, int]) -> str:
    wanted = f"{size[0]} x {size[1]} = {size[0] * size[1]:,} pixels"
    if not found:
        what = "text that is none of the known encodings"
    elif any(runs.size > _MAX_RUNS for runs in found):
        what = f"more than {_MAX_RUNS:,} runs"
    elif any((runs >= 0).all() for runs in found):
        totals = {int(runs.sum()) for runs in found if (runs >= 0).all()}
        what = f"runs that add up to {', '.join(f'{total:,}' for total in sorted(totals))}"
    else:
        what = "negative runs"
    return (
        f"mask: found {what} for a size of {wanted}; accepted are COCO run lengths (a list, the "
        "compact string, or either in Base64, also gzipped) that add up to that. The answer is "
        "damaged or of another format: send the request again."
    )


_NONE: NDArray[np.int64] = np.zeros(0, np.int64)
