"""Reading a result back from a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..results import rle
from ..results.compact_mask import compact
from ..results.segments import Instance, Segments
from . import coco, labelme
from .fields import Entry, entries, read_json, shown
from .pages import Page, choose, collect

# A clip of an hour and a half.
_MOST_FRAMES = 200_000
_ACCEPTED = (
    "a COCO file (images, annotations, categories), a LabelMe file (shapes) or a folder of these, "
    "and the json of Select Segments (a list of objects with frame, label and rle)"
)


def load(path: Path, image_name: str = "") -> Segments:
    """Read the objects of one, several or all pictures that a file or a folder of LabelMe's has.

    image_name: the picture's file name, with or without its suffix, or places from 0 such as
    `0, 2-4`; all pictures in the file's order where it is empty. They must have one size. Raises
    InputError for a file of another kind, a damaged one, and a picture that it does not have.
    """
    if path.is_dir():
        pages = labelme.read_folder(path)
        if not pages:
            raise InputError(
                f"file {path}: found a folder without LabelMe files in it; accepted is {_ACCEPTED}."
            )
        return collect(choose(pages, image_name), str(path))
    data = read_json(path)
    return collect(choose(_pages(path, data), image_name), str(path))


def _pages(path: Path, data: Any) -> list[Page]:
    if isinstance(data, list):
        return _listed(path, data)
    if isinstance(data, dict) and "annotations" in data:
        return coco.read(path, data)
    if isinstance(data, dict) and "shapes" in data:
        return labelme.read(path, data)
    found = f"an object with {shown(list(data)[:8])}" if isinstance(data, dict) else shown(data)
    raise InputError(f"file {path}: found {found}; accepted is {_ACCEPTED}.")


def _listed(path: Path, data: list) -> list[Page]:
    """The frames of our own JSON, which `results.coco.to_json` writes.

    It tells of no size and no frame without objects: an empty list cannot be read, and frames
    behind the last object are not there.
    """
    if not data:
        raise InputError(
            f"file {path}: found an empty list, which does not say how large the image is; "
            "accepted is at least one object."
        )
    frames: list[list[Entry]] = []
    for entry in entries(data, str(path)):
        frame = entry.whole("frame")
        if frame >= _MOST_FRAMES:
            entry.refuse("frame", f"a whole number below {_MOST_FRAMES:,}")
        frames += [[] for _ in range(frame + 1 - len(frames))]
        frames[frame].append(entry)
    size = _size(next(entry for members in frames for entry in members))
    return [
        Page(str(number), size, partial(_instances, members, size))
        for number, members in enumerate(frames)
    ]


def _instances(members: Sequence[Entry], size: tuple[int, int], frame: int) -> list[Instance]:
    return [_instance(entry, size, frame) for entry in members]


def _size(entry: Entry) -> tuple[int, int]:
    runs = entry.value.get("rle")
    found = runs.get("size") if isinstance(runs, dict) else None
    if not isinstance(found, list) or len(found) != 2:
        entry.refuse("rle", "an object of size [height, width] and counts")
    sides = Entry({"height": found[0], "width": found[1]}, f"{entry.place}: rle: size")
    return sides.size("height", "width")


def _instance(entry: Entry, size: tuple[int, int], frame: int) -> Instance:
    if _size(entry) != size:
        entry.refuse("rle", f"run lengths of the size of the others, {list(size)}")
    try:
        pixels = rle.decode(entry.value["rle"].get("counts", ""), size)
    except InputError as error:
        raise InputError(f"file {entry.place}: rle: {error}") from error
    mask = compact(torch.from_numpy(pixels != 0))
    number = entry.optional_whole("id", 0)
    return Instance(mask, entry.share("score"), entry.label("label"), frame, number)
