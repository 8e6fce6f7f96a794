"""Reading JSON that others have written."""

from __future__ import annotations

import json
from typing import Any

MAX_LEVELS = 100
_TOO_DEEP = f"nested more than {MAX_LEVELS} levels deep"


def read_json(text: str | bytes) -> Any:
    """Decode JSON.

    Raises:
        ValueError: it is none, or has more than MAX_LEVELS levels.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # What one place can still read, another with more calls before it could no longer write.
    level = _containers([value])
    for _ in range(MAX_LEVELS):
        level = [each for outer in level for each in _containers(outer)]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


def _containers(outer: list | dict) -> list[list | dict]:
    values = outer.values() if isinstance(outer, dict) else outer
    return [each for each in values if isinstance(each, list | dict)]
