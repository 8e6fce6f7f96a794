"""The classes of a dataset: their order, which makes their numbers, and what may join them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import InputError
from ..prompts.phrases import split_names
from .files import Picture, write_whole

CLASSES_FILE = "classes.txt"
_UNNAMED = "object"
# What is clicked has a number for a name (`core/prompts/inputs.py`).
_NUMBERED = re.compile(rf"{_UNNAMED} \d+")


def class_of(label: str, wanted: Sequence[str] = ()) -> str:
    """The class of an object: its label, on one line.

    What has no name, as what was clicked, is of the one class that the user has fixed, else
    `object`.
    """
    name = " ".join(label.split())
    if name and not _NUMBERED.fullmatch(name):
        return name
    return wanted[0] if len(wanted) == 1 else _UNNAMED


def parse_classes(text: str) -> tuple[str, ...]:
    """Classes between commas and line ends, in their order.

    Raises InputError for one that is there twice.
    """
    names = split_names(text)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"classes: {', '.join(twice)} is there more than once; accepted is every class once, "
            "for its place is its number. Remove the repeated ones."
        )
    return names


def settle(
    wanted: Sequence[str], known: Sequence[str], pictures: Iterable[Picture], place: Path
) -> list[str]:
    """The classes of a dataset once these pictures are in it, in their order.

    wanted: what the user has fixed, empty for whatever comes. known: what the dataset has. A class
    keeps its place: new ones go behind the known ones, as they appear. Raises InputError for a
    label that is not among the wanted, and for wanted ones that have other places already.
    """
    labels = dict.fromkeys(each.label for picture in pictures for each in picture.objects)
    if not wanted:
        return list(dict.fromkeys([*known, *labels]))
    strange = [label for label in labels if label not in wanted]
    if strange:
        raise InputError(
            f"classes: found objects labelled {', '.join(strange)}; accepted are the classes "
            f"{', '.join(wanted)}. Add them at the end of classes, take the objects out with "
            "Select Segments, or leave classes empty."
        )
    common = min(len(wanted), len(known))
    if list(wanted[:common]) != list(known[:common]):
        raise InputError(
            f"classes: found {', '.join(wanted)}, but {place} has {', '.join(known)}, in this "
            "order, and its numbers follow it. Begin with the same ones, or save into another "
            "folder."
        )
    return list(wanted) if len(wanted) >= len(known) else list(known)


def read_class_file(folder: Path) -> list[str]:
    """The classes in a dataset's list, one a line; empty where there is no list."""
    path = folder / CLASSES_FILE
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def write_class_file(folder: Path, classes: Sequence[str]) -> Path:
    """Write the list that `read_class_file` reads."""
    return write_whole(folder / CLASSES_FILE, "".join(f"{name}\n" for name in classes).encode())
