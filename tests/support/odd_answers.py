"""Answers that nobody promised, for the tests of what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tests.support.asks import SIZE, SQUARE, square_mask
from tests.support.servers import faults
from tests.support.servers.vision import b64, picture

PNG = picture(square_mask())
# JSON reads it as an integer, which no float can hold.
HUGE = 10**400


def answer(value: Any, code: int = 200) -> faults.Fault:
    """A JSON answer; NaN and Infinity as Python writes them."""
    text = value if isinstance(value, str) else json.dumps(value)
    return faults.status(code, text)


def cropped(origin: Any, part: np.ndarray | None = None) -> dict[str, Any]:
    """A mask of the square that was cut to its box."""
    left, top, right, bottom = SQUARE
    part = square_mask()[top:bottom, left:right] if part is None else part
    return {"data": [{"mask": {"encoding": "png", "origin": origin, "data": b64(picture(part))}}]}


def counts() -> dict[str, Any]:
    """The square as COCO run lengths, column by column."""
    left, top, right, bottom = SQUARE
    height, width = SIZE
    runs = [left * height + top]
    runs += [bottom - top, height - bottom + top] * (right - left)
    runs[-1] += (width - right) * height - top
    return {"size": list(SIZE), "counts": runs}
