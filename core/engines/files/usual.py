"""Which SAM of those on a machine is the usual one: the best that its device is quick enough for.

A file's name tells which it is, in whatever form people have it, or else its folder: lists are made
often, and opening each file for them would take seconds. What neither tells of is for its owner to
choose.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

# Models that the patterns below would take for one of theirs, by a word or by their folder, and
# that nothing here can run: those of `strangers`, HQ-SAM on SAM 2, SAM 3D, and SAM 3 LiteText.
_OTHERS = re.compile(
    r"efficient_?(vit_?)?[st]am|hq.*vit_?t|evf_?sam|hq.*sam_?2|sam_?2.*hq_hiera|sam_?3d|lite_?text"
)
# The best outlines first, each with its family, and how long one image takes on a CPU: 0 some
# seconds, 1 ten and more, 2 about a minute.
_BEST_FIRST = tuple(
    (re.compile(pattern), family, slowness)
    for pattern, family, slowness in (
        (r"sam_?3", "sam3", 2),
        (r"sam_?2\.?1.*large", "sam2", 1),
        (r"sam_?2\.?1.*(base|b\+)", "sam2", 0),
        (r"sam_?2\.?1.*small", "sam2", 0),
        (r"sam_?2\.?1.*tiny", "sam2", 0),
        (r"sam_?2.*large", "sam2", 1),
        (r"sam_?2.*(base|b\+)", "sam2", 0),
        (r"sam_?2.*small", "sam2", 0),
        (r"sam_?2.*tiny", "sam2", 0),
        (r"hq.*vit_?h", "sam_hq", 2),
        (r"vit_?h", "sam", 2),
        (r"hq.*vit_?l", "sam_hq", 1),
        (r"vit_?l", "sam", 1),
        (r"hq.*vit_?b", "sam_hq", 1),
        (r"vit_?b", "sam", 1),
        (r"edge_?tam", "edgetam", 0),
        (r"mobile_?sam", "mobile_sam", 0),
    )
)


def usual_sam(names: Iterable[str], on_cpu: bool, families: Container[str]) -> str | None:
    """The model to start with of "folder/name" on this machine, None where no name tells of one.

    on_cpu: whether there is nothing faster. There what takes some seconds for an image comes before
    what takes longer. families: those that can run, as `families_that_run` gives them; no other
    model is started with.
    """
    places = [
        (place, name) for name in names if (place := _place(name, on_cpu, families)) is not None
    ]
    return min(places)[1] if places else None


@lru_cache(maxsize=1)
def families_that_run() -> frozenset[str]:
    """The names of the families that the installed libraries have models for; none is imported."""
    release = _transformers_release()
    since_4 = {"sam", "sam_hq", "sam2", "edgetam"} if release >= (4, 57) else set()
    mobile = {"mobile_sam"} if since_4 and _is_installed("timm") else set()
    return frozenset(since_4 | mobile | ({"sam3"} if release >= (5, 0) else set()))


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ValueError:
        # Another pack has put a module of that name in its place.
        return False


def _transformers_release() -> tuple[int, ...]:
    """Its first two numbers, () where it is not installed."""
    try:
        return tuple(int(part) for part in version("transformers").split(".")[:2])
    except PackageNotFoundError:
        return ()


def _place(name: str, on_cpu: bool, families: Container[str]) -> tuple[int, int] | None:
    """What a model is sorted by, None for one that is not recognised or cannot run."""
    plain = re.sub(r"[-\s]", "_", name.lower())
    if _OTHERS.search(plain):
        return None
    for text in (plain.rsplit("/", 1)[-1], plain):
        for order, (pattern, family, slowness) in enumerate(_BEST_FIRST):
            if pattern.search(text):
                return (slowness if on_cpu else 0, order) if family in families else None
    return None
