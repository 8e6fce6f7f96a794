"""Which SAM of those on a machine is the usual one: the best that its device is quick enough for.

A file's name tells which it is, in whatever form people have it: lists are made often, and opening
each file for them would take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

_SAM3 = r"sam_?3"
# The best outlines first, and for each how long one image takes on a CPU: 0 some seconds, 1 ten
# and more, 2 about a minute. What is not recognised may be any of them.
_BEST_FIRST = tuple(
    (re.compile(pattern), slowness)
    for pattern, slowness in (
        (_SAM3, 2),
        (r"sam_?2\.?1.*large", 1),
        (r"sam_?2\.?1.*(base|b\+)", 0),
        (r"sam_?2\.?1.*small", 0),
        (r"sam_?2\.?1.*tiny", 0),
        (r"sam_?2.*large", 1),
        (r"sam_?2.*(base|b\+)", 0),
        (r"sam_?2.*small", 0),
        (r"sam_?2.*tiny", 0),
        (r"hq.*vit_?h", 2),
        (r"vit_?h", 2),
        (r"hq.*vit_?l", 1),
        (r"vit_?l", 1),
        (r"hq.*vit_?b", 1),
        (r"vit_?b", 1),
        (r"edge_?tam", 0),
        (r"mobile_?sam", 0),
        (r"", 3),
    )
)


def usual_sam(names: Iterable[str], on_cpu: bool, runs_sam3: bool) -> str | None:
    """The model to start with of "folder/name" on this machine, None where there are none.

    on_cpu: whether there is nothing faster. There what takes some seconds for an image comes before
    what takes longer, and SAM 3 last of those that are recognised. runs_sam3: as `has_sam3_classes`
    says; where it cannot run, it comes after all others.
    """
    return min(names, key=lambda name: _place(name, on_cpu, runs_sam3), default=None)


@lru_cache(maxsize=1)
def has_sam3_classes() -> bool:
    """Whether the transformers that is installed has SAM 3. It is not imported for that."""
    try:
        return int(version("transformers").split(".")[0]) >= 5
    except PackageNotFoundError:
        return False


def _place(name: str, on_cpu: bool, runs_sam3: bool) -> tuple[bool, int, int, str]:
    plain = re.sub(r"[-\s]", "_", name.lower())
    order, slowness = next(
        (order, slowness)
        for order, (pattern, slowness) in enumerate(_BEST_FIRST)
        if pattern.search(plain)
    )
    cannot_run = not runs_sam3 and _BEST_FIRST[order][0].pattern == _SAM3
    return (cannot_run, slowness if on_cpu else 0, order, name)
