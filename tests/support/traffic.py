"""What goes between a host and its device, and which line of the pack asks for it."""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from dataclasses import astuple, dataclass, field
from enum import Enum
from pathlib import Path

import torch

from tests.support.paths import ROOT

_CORE = str(ROOT / "core")
_TORCH = Path(torch.__file__ or "").parent
_LIBRARIES = str(_TORCH.parent)


class Kind(Enum):
    """What costs time between a host and its device."""

    H2D = "copied to the device"
    D2H = "copied to the host"
    SYNC = "waited for"


@dataclass(frozen=True)
class Event:
    """A copy, with its bytes on the device, or a wait, with none. where: the line that asks for it,
    see `line_of_pack`."""

    kind: Kind
    nbytes: int
    op: str
    where: str


@dataclass(frozen=True)
class Counts:
    """Copies to the device (h2d) and to the host (d2h), and waits for a number or a shape (syncs).

    A copy to the host makes the host wait too, and is not among `syncs`.
    """

    h2d: int = 0
    h2d_bytes: int = 0
    d2h: int = 0
    d2h_bytes: int = 0
    syncs: int = 0

    def __le__(self, most: Counts) -> bool:
        """Whether none of them is larger."""
        return all(own <= other for own, other in zip(astuple(self), astuple(most), strict=True))


@dataclass
class Traffic:
    """What went on between host and device, in its order."""

    events: list[Event] = field(default_factory=list)

    @property
    def counts(self) -> Counts:
        up, down, waits = ([e.nbytes for e in self.events if e.kind is kind] for kind in Kind)
        return Counts(len(up), sum(up), len(down), sum(down), len(waits))

    def __str__(self) -> str:
        """What happened how often and where, the most frequent first."""
        return "\n".join(
            f"{times:4d} x {each.nbytes} bytes {each.kind.value}: {each.op} at {each.where}"
            for each, times in Counter(self.events).most_common()
        )


def line_of_pack() -> str:
    """The innermost line of the pack on the stack, and that of the library it called, if any."""
    library = ""
    for frame, line in traceback.walk_stack(sys._getframe()):
        file = frame.f_code.co_filename
        if file.startswith(_CORE):
            return f"{Path(file).relative_to(ROOT)}:{line}{library}"
        if not library and file.startswith(_LIBRARIES) and not file.startswith(str(_TORCH)):
            library = f" in {Path(file).relative_to(_LIBRARIES)}:{line}"
    return "a test"
