"""Which images and clips to run, and the name that the results of each begin with."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

from ..errors import WorkflowError
from . import addresses
from .clips import CLIP_SUFFIXES, windows
from .files import at_hand
from .units import SCHEME, Job, Sampling, Source

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif", ".avif"}
)
SUFFIXES = IMAGE_SUFFIXES | CLIP_SUFFIXES
_FRAME = re.compile(r"_\d+$")
# The number of a frame of a clip, in the name of a file: results of "clip" are "clip_000016_mask".
FRAME_DIGITS = 6
_NUMBERED = re.compile(rf"_\d{{{FRAME_DIGITS},}}(?=_|$)")


def expand_sources(
    arguments: Iterable[str], skip: Collection[Path] = (), sampling: Sampling | None = None
) -> list[Source]:
    """Return what --image names: files, images and clips of a folder, matches of a pattern.

    Args:
        arguments: paths, addresses and patterns; `**` in a pattern goes into sub-folders.
        skip: resolved paths to leave out of folders and patterns (earlier results, when they
            lie beside the images); a file that is named outright always counts.
        sampling: which frames of clips are wanted, None for all.

    Returns:
        Every file once, in the order given; folders and patterns sorted by name.

    Raises:
        WorkflowError: something does not exist, or holds neither image nor clip.
    """
    found: dict[str, Source] = {}
    for argument in arguments:
        for each in _expand_one(argument, skip):
            if each.suffix.lower() in CLIP_SUFFIXES:
                each = replace(each, sampling=sampling or Sampling())
            found.setdefault(each.identity(), each)
    has_clips = any(each.is_clip for each in found.values())
    if sampling is not None and not sampling.is_all and not has_clips:
        raise WorkflowError("--fps and --range are for clips, and --image names none.")
    return list(found.values())


def _expand_one(argument: str, skip: Collection[Path]) -> list[Source]:
    if SCHEME in argument:
        found = addresses.find(argument, SUFFIXES)
        if not found:
            raise _nothing(f"{argument} has")
        return found
    path = Path(argument).expanduser()
    # A name with brackets is a file first and a pattern second.
    if path.is_file():
        return [Source(str(path))]
    if path.is_dir():
        candidates = sorted(path.iterdir())
        place = f"folder {argument} holds"
    elif glob.has_magic(argument):
        candidates = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        place = f"pattern {argument} matches"
    else:
        raise WorkflowError(f"--image {argument}: no such file or folder. Check the path.")
    counted = [each for each in candidates if _counts(each) and each.resolve() not in skip]
    if not counted:
        raise _nothing(place)
    return [Source(str(each)) for each in counted]


def _nothing(place: str) -> WorkflowError:
    images, clips = (" ".join(sorted(each)) for each in (IMAGE_SUFFIXES, CLIP_SUFFIXES))
    return WorkflowError(
        f"--image: {place} no image or clip to run on. Images end in {images}, clips in {clips}."
    )


def _counts(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def plan_jobs(
    sources: Sequence[Source], names: Collection[str], *, whole_clips: bool = True
) -> list[Job]:
    """Give every run a stem such that no two runs write a file of the same name.

    An image keeps its own stem unless another one needs it; then both take their folders below
    the common one (`a_x`, `b_x`), then the extension as well (`x_jpg`, `x_png`), then a hash of
    the path. The outcome depends on the set of sources alone, not on what is on the disk. The
    units of a clip have the number of their first frame besides (`clip_000032`).

    Args:
        sources: the images and clips.
        names: what the outputs of the graph are called (see `sinks.files.output_names`).
        whole_clips: a clip is one unit, as for a graph that follows objects; otherwise a few
            frames are.
    """
    jobs: list[Job] = []
    for stem, source in zip(_unique_stems(sources, names), sources, strict=True):
        is_cut = source.is_clip and not whole_clips
        jobs += _units(stem, source) if is_cut else [Job(stem, source)]
    return jobs


def _units(stem: str, clip: Source) -> list[Job]:
    """The jobs of a clip; a single one where it cannot be read, which then says why."""
    parts: list[Source] = []
    with suppress(WorkflowError):
        parts = windows(at_hand(clip))
    frames = [part.frames for part in parts if part.frames]
    return [
        Job(f"{stem}_{some[0].number:0{FRAME_DIGITS}}", replace(clip, frames=some))
        for some in frames
    ] or [Job(stem, clip)]


def _unique_stems(sources: Sequence[Source], names: Collection[str]) -> list[str]:
    common = _common_folder(sources)
    choices = [_stems(source, common) for source in sources]
    level = [0] * len(sources)
    while True:
        stems = [
            choice[min(at, len(choice) - 1)] for choice, at in zip(choices, level, strict=True)
        ]
        clashing = {*_clashing(stems, names), *_like_frames(stems, sources)}
        raised = [i for i in clashing if level[i] < len(choices[i]) - 1]
        if not raised:
            return stems
        for i in raised:
            level[i] += 1


def _path(source: Source) -> PurePath:
    if source.is_elsewhere:
        return PurePosixPath("/", source.place.replace(SCHEME, "/", 1))
    return Path(os.path.abspath(source.place))


def _common_folder(sources: Sequence[Source]) -> PurePath:
    folders = {str(_path(source).parent) for source in sources}
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # No images, or images on several drives.
        return Path()


def _stems(source: Source, common: PurePath) -> list[str]:
    whole = _path(source)
    below = whole.parent.relative_to(common).parts if whole.is_relative_to(common) else ()
    long = "_".join([*below, whole.stem])
    extension = whole.suffix.lstrip(".").lower() or "file"
    digest = hashlib.sha256(source.identity().encode()).hexdigest()[:8]
    return [whole.stem, long, f"{long}_{extension}", f"{long}_{extension}_{digest}"]


def _clashing(stems: Sequence[str], names: Collection[str]) -> list[int]:
    # Compared without case, because some file systems do; and also without a trailing number,
    # because the frames of a batch get one.
    files = []
    for stem in stems:
        written = [f"{stem}_{name}".casefold() for name in names]
        files.append(
            {f"{stem}.json".casefold(), *written, *(_FRAME.sub("", each) for each in written)}
        )
    count = Counter(name for group in files for name in group)
    return [i for i, group in enumerate(files) if any(count[name] > 1 for name in group)]


def _like_frames(stems: Sequence[str], sources: Sequence[Source]) -> set[int]:
    """The places of stems that could be a frame of a clip, and of these clips."""
    clips = {
        stem.casefold(): place
        for place, (stem, source) in enumerate(zip(stems, sources, strict=True))
        if source.is_clip
    }
    found: set[int] = set()
    for place, stem in enumerate(stems):
        for match in _NUMBERED.finditer(stem):
            clip = clips.get(stem[: match.start()].casefold())
            if clip is not None:
                found |= {place, clip}
    return found
