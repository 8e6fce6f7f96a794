"""Reading files of others: errors name the file, the field, what was found and is accepted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..results.rle import MAX_PIXELS

_SHOWN = 60
# How far outside of its image, in image sizes, a corner may lie before it is damage.
_FARTHEST = 2.0


@dataclass(frozen=True)
class Entry:
    """A JSON object of a file. place: where it is, for messages, such as `a.json: images[3]`."""

    value: Mapping[str, Any]
    place: str

    def text(self, key: str) -> str:
        """A text that is not empty."""
        found = self.value.get(key)
        return found if isinstance(found, str) and found else self.refuse(key, "a text")

    def label(self, key: str) -> str:
        """A text, which may be empty."""
        found = self.value.get(key)
        return found if isinstance(found, str) else self.refuse(key, "a text")

    def whole(self, key: str, least: int = 0) -> int:
        """A whole number, not below `least`."""
        found = self.value.get(key)
        if isinstance(found, int) and not isinstance(found, bool) and found >= least:
            return found
        return self.refuse(key, f"a whole number from {least}")

    def optional_whole(self, key: str, missing: int) -> int:
        """A whole number from 0, another one where there is none."""
        return missing if self.value.get(key) is None else self.whole(key)

    def share(self, key: str) -> float:
        """A number of 0..1, 1 where there is none."""
        found = self.value.get(key)
        if found is None:
            return 1.0
        is_share = (
            isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found <= 1
        )
        return float(found) if is_share else self.refuse(key, "a number from 0 to 1")

    def size(self, height: str, width: str) -> tuple[int, int]:
        """(H, W) of an image from its two fields."""
        found = self.whole(height, least=1), self.whole(width, least=1)
        if found[0] * found[1] > MAX_PIXELS:
            self.refuse(height, f"no more than {MAX_PIXELS:,} pixels together with {width}")
        return found

    def entries(self, key: str) -> list[Entry]:
        """A list of objects."""
        found = self.value.get(key)
        if not isinstance(found, list):
            self.refuse(key, "a list")
        return entries(found, f"{self.place}: {key}")

    def refuse(self, key: str, accepted: str) -> NoReturn:
        """Raise InputError for what the field holds."""
        found = shown(self.value[key]) if key in self.value else "nothing"
        raise InputError(f"file {self.place}: {key}: found {found}; accepted is {accepted}.")


def entries(values: list, place: str) -> list[Entry]:
    """The objects of a list. Raises InputError for anything else in it."""
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            raise InputError(
                f"file {place}[{number}]: found {shown(value)}; accepted is an object."
            )
    return [Entry(value, f"{place}[{number}]") for number, value in enumerate(values)]


def points(entry: Entry, key: str, value: Any, size: tuple[int, int]) -> NDArray[np.float64]:
    """Points [N, 2] of a nested or a flat list x, y, x, y.

    Raises InputError for anything else, and for what lies far outside of the image.
    """
    accepted = "a list of points x, y in pixels, in the image or near it"
    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        entry.refuse(key, accepted)
    far = _FARTHEST * max(size)
    if found.size % 2 or found.ndim not in (1, 2) or not (np.abs(found) <= far).all():
        entry.refuse(key, accepted)
    if found.ndim == 2 and found.shape[1] != 2:
        entry.refuse(key, accepted)
    return found.reshape(-1, 2)


def read_json(path: Path) -> Any:
    """Decode a JSON file. Raises InputError where it cannot be read or is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"file {path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"file {path}: found no JSON ({str(error)[:_SHOWN]}); accepted are COCO and LabelMe "
            "files and the json of Select Segments."
        ) from error


def shown(value: Any) -> str:
    """A value for a message, cut where it is long."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
