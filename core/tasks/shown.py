"""What a caller may show of a long task: a line on what is about to be done, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")

Tell = Callable[[str], None]
"""Shows a line on what is about to be done."""


def untold(text: str) -> None:
    """The `Tell` of a caller that shows nothing."""


def encodings(images: int) -> str:
    """What is said before images are encoded: how many."""
    return f"{_number(images, 'image')} to encode"


def drawing(images: int, objects: int) -> str:
    """What is said before objects are drawn: how many images there are to encode for them."""
    return f"{encodings(images)}, to draw {_number(objects, 'object')}"


def _number(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


class Counted(Protocol):
    """Shows how far a pass over the frames of a batch is, one of several passes."""

    def __call__(
        self, items: Iterable[Item], total: int, step: int = 0, steps: int = 1
    ) -> Iterator[Item]:
        """The same items, of which each frame gives one. step, steps: which pass of how many."""
        ...


def uncounted(items: Iterable[Item], total: int, step: int = 0, steps: int = 1) -> Iterator[Item]:
    """The `Counted` of a caller that shows no progress."""
    return iter(items)
