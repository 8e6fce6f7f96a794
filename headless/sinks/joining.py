"""Clips whose frames were several units of work: one video of the pictures that each output made.

The pictures stay, for they are what a later run need not do again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from ..errors import WorkflowError
from ..sources.clips import look_into
from ..sources.files import at_hand
from ..sources.naming import FRAME_DIGITS, IMAGE_SUFFIXES
from ..sources.units import Job
from .files import Plan, file_name, read_record, save
from .videos import is_one_size, joined


def cut_clips(jobs: Iterable[Job]) -> Iterator[tuple[Job, list[Job]]]:
    """Yield every clip that was cut into units, as a job of its own, with these.

    Args:
        jobs: of a task, those of a clip beside each other.
    """
    cut = (job for job in jobs if job.source is not None and job.source.frames)
    for clip, units in groupby(cut, _clip_of):
        yield clip, list(units)


def _clip_of(unit: Job) -> Job:
    source = replace(unit.source, frames=None) if unit.source else None
    return Job(unit.stem.rpartition("_")[0], source)


def join(plan: Plan, clip: Job, units: Sequence[Job], digest: str) -> list[Path]:
    """Write the videos of a clip; of an output that did not make a picture for each frame, none.

    Args:
        plan: folder and names.
        clip: from `cut_clips`.
        units: its own, all of them done.
        digest: from `signature`, of the clip.

    Returns:
        The paths written.

    Raises:
        WorkflowError: PyAV is missing or cannot encode, a picture cannot be read again, or the
            folder cannot be written to.
    """
    pictures = {node_id: _pictures(plan, clip, units, name) for node_id, name in plan.names.items()}
    try:
        wanted = {key: paths for key, paths in pictures.items() if is_one_size(paths)}
        if not wanted or clip.source is None:
            return []
        rate = look_into(at_hand(clip.source)).rate
        results = [joined(node_id, paths, rate) for node_id, paths in wanted.items()]
    except WorkflowError as error:
        raise WorkflowError(f"{clip.source}: {error}") from error
    except OSError as error:
        raise WorkflowError(
            f"{clip.source}: a result cannot be read again ({error}). Remove it, and run again."
        ) from error
    return save(plan, clip, results, digest)


def _pictures(plan: Plan, clip: Job, units: Sequence[Job], name: str) -> list[Path]:
    """What an output made of the frames, in their order; empty where it is no frame of a video."""
    found: list[Path] = []
    for unit in units:
        record = read_record(plan.folder, unit.stem)
        places = {Path(place).stem: place for place in record["outputs"]} if record else {}
        frames = unit.source.frames if unit.source else None
        for frame in frames or ():
            body = f"{clip.stem}_{frame.number:0{FRAME_DIGITS}}_{name}"
            place = places.get(Path(file_name(body, ".png")).stem)
            if place is None or Path(place).suffix not in IMAGE_SUFFIXES:
                return []
            found.append(plan.folder / place)
    return found
