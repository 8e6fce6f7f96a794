"""Which images to run, and the name that the results of each begin with."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import WorkflowError

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif", ".avif"}
)
_FRAME = re.compile(r"_\d+$")


@dataclass(frozen=True)
class Job:
    """One run of the graph.

    `stem` begins the name of every file that the run writes; `image` is None when the graph runs
    as it is.
    """

    stem: str
    image: Path | None = None


def expand_images(arguments: Iterable[str], skip: Collection[Path] = ()) -> list[Path]:
    """Return the files that --image names: files, the images of a folder, matches of a pattern.

    Args:
        arguments: paths and patterns; `**` in a pattern goes into sub-folders.
        skip: resolved paths to leave out of folders and patterns (earlier results, when they
            lie beside the images); a file that is named outright always counts.

    Returns:
        Every file once, in the order given; folders and patterns sorted by name.

    Raises:
        WorkflowError: something does not exist, or holds no image.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        for path in _expand_one(argument, skip):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _expand_one(argument: str, skip: Collection[Path]) -> list[Path]:
    path = Path(argument).expanduser()
    # A name with brackets is a file first and a pattern second.
    if path.is_file():
        return [path]
    if path.is_dir():
        candidates = sorted(path.iterdir())
        place = f"folder {argument} holds"
    elif glob.has_magic(argument):
        candidates = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        place = f"pattern {argument} matches"
    else:
        raise WorkflowError(f"--image {argument}: no such file or folder. Check the path.")
    images = [each for each in candidates if _is_image(each) and each.resolve() not in skip]
    if not images:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise WorkflowError(f"--image: {place} no image to run on. Images end in {known}.")
    return images


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def plan_jobs(paths: Sequence[Path], names: Collection[str]) -> list[Job]:
    """Give every image a stem such that no two runs write a file of the same name.

    An image keeps its own stem unless another one needs it; then both take their folders below
    the common one (`a_x`, `b_x`), then the extension as well (`x_jpg`, `x_png`), then a hash of
    the path. The outcome depends on the set of paths alone, not on what is on the disk.

    Args:
        paths: the images.
        names: what the outputs of the graph are called (see `results.output_names`).
    """
    common = _common_folder(paths)
    choices = [_stems(path, common) for path in paths]
    level = [0] * len(paths)
    while True:
        stems = [
            choice[min(at, len(choice) - 1)] for choice, at in zip(choices, level, strict=True)
        ]
        clashing = _clashing(stems, names)
        raised = [i for i in clashing if level[i] < len(choices[i]) - 1]
        if not raised:
            return [Job(stem, path) for stem, path in zip(stems, paths, strict=True)]
        for i in raised:
            level[i] += 1


def _common_folder(paths: Sequence[Path]) -> Path:
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # No images, or images on several drives.
        return Path()


def _stems(path: Path, common: Path) -> list[str]:
    whole = Path(os.path.abspath(path))
    below = whole.parent.relative_to(common).parts if whole.is_relative_to(common) else ()
    long = "_".join([*below, path.stem])
    extension = path.suffix.lstrip(".").lower() or "file"
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    return [path.stem, long, f"{long}_{extension}", f"{long}_{extension}_{digest}"]


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
