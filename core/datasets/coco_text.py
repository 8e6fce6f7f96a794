"""The text of a COCO file as this pack writes it, taken apart without reading its objects.

Most of such a file are outlines, and every picture is added to all of those before it: reading and
writing them anew would take longer with each.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Items = Sequence[dict[str, Any]]
INFO: dict[str, Any] = {"description": "Segment Anywhere"}
# No text inside of a file's strings is like one of these: there a quotation mark has a backslash.
_START = f'{{"info": {json.dumps(INFO)}, "licenses": [], "images": ['
_ANNOTATIONS, _CATEGORIES, _END = '], "annotations": [', '], "categories": [', "]}\n"
_ID = '{"id": '


@dataclass(frozen=True)
class Parts:
    """A file. annotations: their text, without brackets; those added last have the highest ids."""

    images: Items
    annotations: str
    categories: Items

    @property
    def last_annotation_id(self) -> int:
        """0 where there is none."""
        _, found, last = self.annotations.rpartition(_ID)
        return int(last.partition(",")[0]) if found else 0

    def with_more(self, images: Items, annotations: Items, categories: Items) -> str:
        """The text with more images and objects, and these categories in place of its own."""
        texts = [text for text in (self.annotations, _dumped(annotations)) if text]
        return "".join(
            [
                _START + _dumped([*self.images, *images]),
                _ANNOTATIONS + ", ".join(texts),
                _CATEGORIES + _dumped(categories) + _END,
            ]
        )


def take_apart(text: str) -> Parts | None:
    """The parts of a text; None where it has more than this pack writes, or is damaged."""
    if not (text.startswith(_START) and text.endswith(_END)):
        return None
    images, found, rest = text[len(_START) : -len(_END)].partition(_ANNOTATIONS)
    annotations, found_too, categories = rest.rpartition(_CATEGORIES)
    if not (found and found_too) or _ANNOTATIONS in rest or _CATEGORIES in annotations:
        return None
    try:
        parts = Parts(json.loads(f"[{images}]"), annotations, json.loads(f"[{categories}]"))
        is_sound = parts.last_annotation_id > 0 or not annotations
    except (ValueError, RecursionError):
        return None
    is_sound = is_sound and _have(parts.images, "file_name") and _have(parts.categories, "name")
    return parts if is_sound else None


def _have(items: Sequence[Any], name: str) -> bool:
    """Whether all are objects with an id and a name."""
    return all(
        isinstance(each, dict) and type(each.get("id")) is int and isinstance(each.get(name), str)
        for each in items
    )


def _dumped(items: Items) -> str:
    return json.dumps(list(items), ensure_ascii=False)[1:-1]
