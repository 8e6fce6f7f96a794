"""The pictures that a file tells of, and which of them are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..results.segments import Instance, Segments
from ..results.select import parse_indices
from .files import last_part, split_suffix

_LISTED = 6


@dataclass(frozen=True)
class Page:
    """One picture of a file. name: its file's. size: (H, W). objects: its objects, for a frame."""

    name: str
    size: tuple[int, int]
    objects: Callable[[int], list[Instance]]


def choose(pages: Sequence[Page], wanted: str) -> list[Page]:
    """The pictures of a name, with or without its suffix, or of places from 0; all where empty.

    Raises InputError where none has that name and it names no places that there are.
    """
    wanted = wanted.strip()
    if not wanted:
        return list(pages)
    named = [page for page in pages if wanted in (page.name, last_part(page.name))]
    named = named or [page for page in pages if split_suffix(last_part(page.name))[0] == wanted]
    if named:
        return named
    try:
        places = [place for each in parse_indices(wanted) for place in each if place < len(pages)]
    except InputError:
        places = []
    if not places:
        listed = ", ".join(page.name for page in pages[:_LISTED])
        more = f" and {len(pages) - _LISTED} more" if len(pages) > _LISTED else ""
        raise InputError(
            f"image_name: found {wanted!r}; accepted are the names {listed}{more}, or places such "
            f"as 0, 2-4 of the {len(pages)} pictures. Leave it empty for all."
        )
    return [pages[place] for place in places]


def collect(pages: Sequence[Page], place: str) -> Segments:
    """The objects of pictures of one size, one frame for each picture.

    Raises InputError where there is no picture, or their sizes differ.
    """
    if not pages:
        raise InputError(f"file {place}: found no picture in it; accepted is at least one.")
    sizes = dict.fromkeys(page.size for page in pages)
    if len(sizes) > 1:
        listed = ", ".join(f"{width}x{height}" for height, width in list(sizes)[:_LISTED])
        raise InputError(
            f"file {place}: found pictures of {len(sizes)} sizes, {listed}; a result has one. "
            "Name the picture in image_name."
        )
    instances = [each for frame, page in enumerate(pages) for each in page.objects(frame)]
    return Segments.from_instances(instances, pages[0].size, len(pages))
