"""Frames made ready for the encoder in groups: read, told apart, and prepared on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TypeVar

from torch import Tensor

from ..engines.base import Embedding, Prepared

Item = TypeVar("Item")

# Pixels of a group on their way to the encoder, in bytes: two frames of 4K.
_GROUP_BYTES = 2**28


@dataclass(frozen=True)
class Waiting:
    """A frame before its turn: its place, its pixels ([H, W, 3] float32, 0..1), its key.

    ready: its embedding where that is known, else what the encoder takes of it.
    """

    index: int
    pixels: Tensor
    key: str
    ready: Embedding | Prepared

    @property
    def nbytes(self) -> int:
        """Of what waits for the encoder."""
        return self.ready.pixels.nbytes if isinstance(self.ready, Prepared) else 0


def peeked(items: Iterable[Item], count: int) -> tuple[int, Iterator[Item]]:
    """How many items there are, counted up to so many, and all of them."""
    rest = iter(items)
    first = list(islice(rest, count))
    return len(first), chain(first, rest)


def grouped(waiting: Iterable[Waiting], most: int) -> Iterator[list[Waiting]]:
    """Neighbours of one size, at most so many together, and no more than fit the bytes of a group
    unless one alone does not."""
    group: list[Waiting] = []
    for each in waiting:
        if group and not _belongs(each, group, most):
            yield group
            group = []
        group.append(each)
    if group:
        yield group


def _belongs(each: Waiting, group: list[Waiting], most: int) -> bool:
    fits = each.nbytes + sum(other.nbytes for other in group) <= _GROUP_BYTES
    return fits and len(group) < most and each.ready.size == group[0].ready.size


def prepare_pinned(prepare: Callable[[Tensor], Prepared], frame: Tensor) -> Prepared:
    """What an encoder takes of a frame, in memory that a GPU reads by itself where there is one."""
    prepared = prepare(frame)
    try:
        return replace(prepared, pixels=prepared.pixels.pin_memory())
    except RuntimeError:
        # No such device, or no such memory left: then the host waits for the copy.
        return prepared
