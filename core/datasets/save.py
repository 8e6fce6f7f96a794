"""Adding a result to a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Protocol

from torch import Tensor

from ..errors import InputError
from ..results.segments import Instance, Segments, match_segments
from ..tensors import common_batch, image_size
from . import coco, labelme
from .classes import class_of, parse_classes, settle
from .files import IMAGES, Picture, frame_png, last_part, locked, plain_name, split_suffix, stems
from .masks import IndexedMasks, ObjectMasks
from .yolo import BOXES, SEGMENTATION


class Writer(Protocol):
    """A format. All three are called while no other program writes into the folder."""

    def known_stems(self, folder: Path) -> set[str]:
        """The names that pictures in the dataset have, without suffixes."""
        ...

    def known_classes(self, folder: Path) -> list[str]:
        """The classes of the dataset in the order of their numbers, none where it has no order."""
        ...

    def write(
        self, folder: Path, pictures: Sequence[Picture], classes: Sequence[str], simplify: float
    ) -> list[Path]:
        """Add pictures, or replace those of the same names; the paths written, the main one first.

        classes: all of the dataset, in order. simplify: as for `outlines.outlines`.
        """
        ...


class Format(str, Enum):
    """What a dataset is written as."""

    COCO = "COCO"
    YOLO = "YOLO segmentation"
    YOLO_BOXES = "YOLO boxes"
    LABELME = "LabelMe"
    OBJECTS = "PNG per object"
    INDEXED = "indexed PNG"


_WRITERS: dict[Format, Writer] = {
    Format.COCO: coco,
    Format.YOLO: SEGMENTATION,
    Format.YOLO_BOXES: BOXES,
    Format.LABELME: labelme,
    Format.OBJECTS: ObjectMasks(),
    Format.INDEXED: IndexedMasks(),
}


@dataclass(frozen=True)
class Place:
    """Where results go. folder: the dataset's. prefix: what pictures without a name are called,
    before their number. name: the picture's own name, with or without a suffix, empty for none.
    """

    folder: Path
    prefix: str
    name: str = ""


@dataclass(frozen=True)
class Saved:
    """What was written. paths: the main file first. pictures, objects: how many. empty: objects
    without a pixel, which no format can hold.
    """

    paths: tuple[Path, ...]
    pictures: int
    objects: int
    empty: int


def save(
    segments: Segments,
    image: Tensor | None,
    place: Place,
    format: Format = Format.COCO,
    classes: str = "",
    simplify: float = 0.0,
) -> Saved:
    """Add a result to the dataset in a folder, which is made where there is none.

    image: IMAGE [B, H, W, C] of the result, saved beside it; without one, the dataset tells of
    pictures that are somebody else's. A picture with a name replaces the one of that name; without
    one it gets the prefix and the next number. classes: see `classes.settle`. simplify: pixels, for
    outlines. Programs may add to one dataset at the same time; a file is there whole or not at
    all. Raises InputError where the inputs do not fit each other, the dataset is damaged or of
    other classes, or the folder cannot be written to.
    """
    wanted = parse_classes(classes)
    matched = _matched(segments, image)
    objects = _objects(matched, wanted)
    writer = _WRITERS[format]
    # Most of the work, which other programs need not wait for.
    contents = [None if image is None else frame_png(image, at) for at in range(matched.batch)]
    try:
        with locked(place.folder):
            names = _names(place, writer, matched.batch)
            pictures = _pictures(names, place.name, objects, matched.size, contents)
            known = writer.known_classes(place.folder)
            settled = settle(wanted, known, pictures, place.folder)
            paths = writer.write(place.folder, pictures, settled, simplify)
    except OSError as error:
        raise InputError(
            f"filename_prefix: {error.filename or place.folder} cannot be written "
            f"({error.strerror or error}). Make room there, or choose another folder."
        ) from error
    count = sum(len(each) for each in objects)
    return Saved(tuple(paths), len(pictures), count, len(matched) - count)


def _matched(segments: Segments, image: Tensor | None) -> Segments:
    """The result for the images, which decide the size."""
    if image is None:
        return segments
    batch, height, width = image_size(image)
    common_batch({"image": batch, "segments": segments.batch})
    if batch < segments.batch:
        raise InputError(
            f"image: found {batch} for segments of {segments.batch} images; accepted are as many. "
            "Connect the images that the segments were made of."
        )
    return match_segments(segments, batch, (height, width))


def _objects(segments: Segments, wanted: Sequence[str]) -> list[list[Instance]]:
    """The objects of each frame that have a pixel inside, labelled with their class."""
    frames: list[list[Instance]] = [[] for _ in range(segments.batch)]
    for each in segments:
        if each.mask.pixel_count():
            frames[each.frame].append(replace(each, label=class_of(each.label, wanted)))
    return frames


def _names(place: Place, writer: Writer, count: int) -> list[str]:
    """The names of so many pictures, without suffixes."""
    own = plain_name(split_suffix(last_part(place.name))[0])
    if place.name and not own:
        raise InputError(
            f"image_name: found {place.name!r}; accepted is a name that files can have. Leave it "
            "empty for a number."
        )
    if own:
        return [own] if count == 1 else [f"{own}_{frame:05}" for frame in range(count)]
    prefix = plain_name(place.prefix) or "image"
    taken = writer.known_stems(place.folder) | stems(place.folder / IMAGES)
    start = 1 + max((_number(name, prefix) for name in taken), default=0)
    return [f"{prefix}_{number:05}" for number in range(start, start + count)]


def _number(name: str, prefix: str) -> int:
    """The number of a name that begins so, 0 where it has none."""
    tail = name.removeprefix(f"{prefix}_")
    return int(tail) if tail != name and tail.isdecimal() else 0


def _pictures(
    names: Sequence[str],
    given: str,
    objects: Sequence[Sequence[Instance]],
    size: tuple[int, int],
    contents: Sequence[bytes | None],
) -> list[Picture]:
    # The name of a file that is there already is as it was given.
    suffix = split_suffix(given)[1] or ".png"
    return [
        Picture(
            name,
            f"{name}{suffix if content is None else '.png'}",
            size,
            tuple(objects[frame]),
            content,
        )
        for frame, (name, content) in enumerate(zip(names, contents, strict=True))
    ]
