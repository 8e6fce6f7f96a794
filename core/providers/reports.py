"""What a run says of itself: the line on the node while it lasts, its summary, its failures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..results.segments import Segments
from .batch import BatchRequest
from .failures import explain
from .wire import CallInfo, Failure

Slot = tuple[int, int]
"""A call: its frame, and which of the frame's calls."""


@dataclass(frozen=True)
class CallRecord:
    """One call: for which frame, how long it took, whether it was sent, what the answer said.

    place: which of the frame's calls. prompt: its words. job: the id of its job. is_pending:
    whether the job is still under way.
    """

    frame: int
    seconds: float
    is_new: bool
    info: CallInfo
    place: int = 0
    prompt: str = ""
    job: str = ""
    is_pending: bool = False

    @property
    def slot(self) -> Slot:
        return self.frame, self.place


@dataclass(frozen=True)
class RunResult:
    """What a run brought.

    calls: in the order of their frames. pictures: the provider's own, [H, W, 3] uint8, by frame.
    """

    segments: Segments
    calls: tuple[CallRecord, ...]
    seconds: float
    pictures: dict[int, NDArray[np.uint8]]


@dataclass
class RunProgress:
    """What is going on at the moment, for the line of text on the node."""

    title: str
    total: int
    done: int = 0
    headline: str = ""
    notes: dict[Slot, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def line(self) -> str:
        images = "1 image" if self.total == 1 else f"{self.total} images"
        parts = [f"{self.title}: {self.done} of {images}", self.headline]
        parts += [note for _, note in sorted(self.notes.items())][:1]
        return f"{', '.join(filter(None, parts))}, {self.seconds:.0f} s"


def summary(asked: BatchRequest, result: RunResult) -> dict[str, Any]:
    """What the `info` output says, as JSON values; neither key nor address is in it."""
    labels: dict[str, int] = {}
    for label in result.segments.labels:
        labels[label] = labels.get(label, 0) + 1
    told: dict[str, Any] = {
        "provider": asked.provider.key,
        "variant": asked.provider.variant(asked.options, asked.profile),
        "seconds": round(result.seconds, 3),
        "objects": len(result.segments),
        "labels": labels,
        "calls": [_entry(call) for call in result.calls],
    }
    pending = [call.job for call in result.calls if call.is_pending]
    return told | ({"pending": pending} if pending else {})


def _entry(call: CallRecord) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "frame": call.frame,
        "seconds": round(call.seconds, 3),
        "sent": call.is_new,
    }
    if call.prompt:
        entry["prompt"] = call.prompt
    if call.job:
        entry["job"] = call.job
    if call.is_pending:
        entry["pending"] = True
    return entry | {name: value for name, value in asdict(call.info).items() if value is not None}


def explain_all(
    asked: BatchRequest,
    batch: int,
    failures: Mapping[Slot, Failure],
    unsent: set[int],
    calls: Iterable[CallRecord],
) -> str:
    """One message for all failures, equal ones together, and what became of the other calls."""
    by_reason: dict[str, dict[int, None]] = {}
    for (index, _), failure in sorted(failures.items(), key=lambda item: item[0]):
        by_reason.setdefault(explain(failure, asked.provider), {})[index] = None
    if batch == 1:
        texts = [f"{asked.title}: {' Also: '.join(by_reason)}"]
    else:
        reasons = [f"Image {_ranges(found)}: {reason}" for reason, found in by_reason.items()]
        failed = {index for index, _ in failures}
        texts = [f"{asked.title}: {len(failed)} of {batch} images failed.", *reasons]
        if unsent - failed:
            texts.append(f"{len(unsent - failed)} were not sent, for they would have failed too.")
    return " ".join([*texts, *_kept_of([call for call in calls if call.slot not in failures])])


def _kept_of(calls: Sequence[CallRecord]) -> Iterator[str]:
    """What the next run need not pay for."""
    jobs = sum(call.is_pending for call in calls)
    results = len(calls) - jobs
    of_each = " other calls" if any(call.place for call in calls) else ""
    if results:
        yield f"The results of {results}{of_each} are kept: run again to send what is missing."
    if jobs:
        yield f"The tickets of {jobs} are kept: run again to collect the jobs that are done."


def _ranges(numbers: Iterable[int]) -> str:
    """0, 3-5 for [0, 3, 4, 5]."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
