"""Reads rough masks that were painted in the editor: run lengths on a coarse grid over the image.

The runs are COCO's, as everywhere in the pack: counts of cells off and on the object in turn, the
first of them off, down the columns from the left. `tests/vectors/points.json` has examples.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, NoReturn

from ..errors import InputError
from .names import LAST_NUMBER
from .prompts import Painted

MAX_SIDE = 256
_ACCEPTED = (
    'Accepted: {"object": 0, "size": [rows, columns], "counts": [12, 3, ...]}, cells off and on '
    "the object in turn, column by column. Paint it in the editor, or remove the entry"
)


def read_masks(value: Any, size: tuple[int, int], name: str) -> tuple[Painted, ...]:
    """The painted masks of a `points` text for an image of size (H, W).

    A mask on which nothing is painted says nothing, and is left out. Raises InputError, naming the
    entry, for anything but a list of grids of 1 to MAX_SIDE rows and columns with runs that cover
    them, and for an object or a frame that is no whole number from 0.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        _fail(name, value, "a list of painted masks is expected")
    masks = [_painted(each, size, f"{name}[{index}]") for index, each in enumerate(value)]
    return tuple(mask for mask in masks if any(mask.counts[1::2]))


def _painted(value: Any, size: tuple[int, int], name: str) -> Painted:
    if not isinstance(value, dict) or not {"size", "counts"} <= value.keys():
        _fail(name, value, "a painted mask is an object with size and counts")
    frame = value.get("frame")
    return Painted(
        _grid(value["size"], f"{name}.size"),
        _counts(value, f"{name}.counts"),
        size,
        _number(value.get("object", 0), f"{name}.object"),
        None if frame is None else _number(frame, f"{name}.frame"),
    )


def _grid(value: Any, name: str) -> tuple[int, int]:
    is_pair = isinstance(value, list) and len(value) == 2 and all(map(_is_whole, value))
    if not is_pair or not all(1 <= side <= MAX_SIDE for side in value):
        _fail(name, value, f"the size is [rows, columns], from 1 to {MAX_SIDE}")
    return int(value[0]), int(value[1])


def _counts(value: dict, name: str) -> tuple[int, ...]:
    counts = value["counts"]
    if not isinstance(counts, list) or not all(_is_whole(n) and n >= 0 for n in counts):
        _fail(name, counts, "the counts are a list of whole numbers from 0")
    rows, columns = value["size"]
    if sum(counts) != rows * columns:
        wanted = f"the counts add up to {rows} x {columns} = {rows * columns}"
        _fail(name, sum(counts), wanted)
    return tuple(map(int, counts))


def _number(value: Any, name: str) -> int:
    if not _is_whole(value) or not 0 <= value <= LAST_NUMBER:
        what = name.rpartition(".")[2]
        _fail(name, value, f"the {what} is a whole number from 0")
    return int(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _fail(name: str, found: Any, wanted: str) -> NoReturn:
    shown = f"a {type(found).__name__}" if isinstance(found, list | dict) else f"{found!r:.40}"
    raise InputError(f"{name}: found {shown}, {wanted}. {_ACCEPTED}.")
