"""The options --fps and --range: which frames of clips are wanted."""

from __future__ import annotations

import math

from ..errors import WorkflowError
from .units import Sampling


def read_sampling(fps: str | None, span: str | None) -> Sampling:
    """Read the two options, None where one is not given.

    Args:
        fps: a number above 0.
        span: "START:END" in seconds; either may be empty.

    Raises:
        WorkflowError: one is something else.
    """
    rate = None if fps is None else _number(fps)
    if fps is not None and not rate:
        raise WorkflowError(f"--fps {fps}: accepted is a number above 0, such as 5 or 0.5.")
    if span is None:
        return Sampling(rate)
    start, colon, end = span.partition(":")
    first, last = _number(start or "0"), _number(end) if end else math.inf
    if not colon or first is None or last is None or first >= last:
        raise WorkflowError(
            f"--range {span}: accepted are two times in seconds, the first before the second, such "
            "as 2:5.5; either may be left out, as in 2: or :5.5."
        )
    return Sampling(rate, first, None if math.isinf(last) else last)


def _number(text: str) -> float | None:
    """A finite number from 0, None for anything else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
