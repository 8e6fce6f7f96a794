"""A whole run: a batch of images to one provider, several at a time, and none paid twice.

Whatever was paid stays in `PaidAnswers`: when some images fail, the next run sends only those.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from torch import Tensor

from ..prompts.prompts import ObjectPrompt
from ..results.compact_mask import INSIDE, compact
from ..results.segments import Instance, Segments, numbered
from ..tensors import image_size, rgb_frame
from .batch import BatchRequest, check_request, plan_calls
from .contract import ProviderError, SegmentRequest
from .failures import explain
from .guard import guard, guarded
from .images import encode_picture
from .jobs import fetch
from .masks import read_masks
from .options import check_limits
from .paid import PaidAnswers
from .transport import Limits, Transport
from .wire import CallFailed, CallInfo, Failure, FailureKind, ParsedAnswer

_T = TypeVar("_T")
# How often the user's interrupt is looked for, and how often the text on the node changes.
_SLICE = 0.1
_REPORT_SECONDS = 0.5
# Pictures encoded at a time; more would only keep the first one from being sent.
_ENCODERS = 2
_PACKAGES = ("tenacity", "pycocotools")


@dataclass(frozen=True)
class Hooks:
    """The host's side of a run.

    pause is called many times a second and raises to stop the run; report gets (done, total, text).
    """

    pause: Callable[[], None]
    report: Callable[[int, int, str], None]


@dataclass(frozen=True)
class RunLimits:
    """concurrency: calls at a time. timeout: seconds for one call with all that belongs to it.

    Raises InputError for numbers under which no run would end.
    """

    concurrency: int = 4
    timeout: float = 300.0
    transport: Limits = Limits()

    def __post_init__(self) -> None:
        check_limits(self.concurrency, self.timeout)


@dataclass(frozen=True)
class CallRecord:
    """One call: for which frame, how long it took, whether it was sent, what the answer said."""

    frame: int
    seconds: float
    is_new: bool
    info: CallInfo


@dataclass(frozen=True)
class RunResult:
    segments: Segments
    calls: tuple[CallRecord, ...]
    seconds: float


@dataclass
class _RunProgress:
    """What is going on at the moment, for the line of text on the node."""

    title: str
    total: int
    done: int = 0
    notes: dict[tuple[int, int], str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def line(self) -> str:
        parts = [f"{self.title}: {self.done} of {self.total} images"]
        parts += [note for _, note in sorted(self.notes.items())][:1]
        return f"{', '.join(parts)}, {time.monotonic() - self.started:.0f} s"


async def segment(
    image: Tensor, asked: BatchRequest, limits: RunLimits, hooks: Hooks, paid_answers: PaidAnswers
) -> RunResult:
    """Segment a batch of images, IMAGE [B, H, W, C], with a provider.

    Raises InputError for prompts that the provider cannot take, before anything is sent, and
    ProviderError, with what failed for which image and why, once all other images are done.
    """
    batch, height, width = image_size(image)
    _check_packages()
    check_request(asked)
    asked = replace(asked, provider=guarded(asked.provider))
    progress = _RunProgress(asked.title, batch)
    async with Transport(asked.provider, asked.profile, limits.transport) as transport:
        run = _Run(image, asked, limits, transport, paid_answers, progress)
        frames = await _watched(run.frames(), hooks, progress)
    if run.failures:
        raise ProviderError(_explain_all(run, asked, batch))
    instances = [instance for frame in frames for instance in frame]
    if not any(asked.objects):
        instances = numbered(instances)
    segments = Segments.from_instances(instances, (height, width), batch)
    calls = tuple(sorted(run.calls, key=lambda call: call.frame))
    return RunResult(segments, calls, time.monotonic() - progress.started)


def summary(asked: BatchRequest, result: RunResult) -> dict[str, Any]:
    """What the `info` output says, as JSON values; neither key nor address is in it."""
    labels: dict[str, int] = {}
    for label in result.segments.labels:
        labels[label] = labels.get(label, 0) + 1
    calls = []
    for call in result.calls:
        said = {name: value for name, value in asdict(call.info).items() if value is not None}
        entry = {"frame": call.frame, "seconds": round(call.seconds, 3), "sent": call.is_new}
        calls.append(entry | said)
    return {
        "provider": asked.provider.key,
        "variant": asked.provider.variant(asked.options, asked.profile),
        "seconds": round(result.seconds, 3),
        "objects": len(result.segments),
        "labels": labels,
        "calls": calls,
    }


class _Run:
    """The state of one run: slots, failures of each call (frame, place), and what was paid."""

    def __init__(
        self,
        image: Tensor,
        asked: BatchRequest,
        limits: RunLimits,
        transport: Transport,
        paid_answers: PaidAnswers,
        progress: _RunProgress,
    ):
        self.failures: dict[tuple[int, int], Failure] = {}
        self.unsent: set[int] = set()
        self.calls: list[CallRecord] = []
        self._image = image
        self._asked = asked
        self._limits = limits
        self._transport = transport
        self._paid = paid_answers
        self._progress = progress
        # Frames in memory: those under way, and the next ones, which are encoded meanwhile.
        self._frame_slots = asyncio.Semaphore(2 * limits.concurrency)
        self._encoder_slots = asyncio.Semaphore(_ENCODERS)
        # A frame may need several calls.
        self._call_slots = asyncio.Semaphore(limits.concurrency)

    @property
    def failed(self) -> set[int]:
        """The frames of which at least one call failed."""
        return {index for index, _ in self.failures}

    async def frames(self) -> list[list[Instance]]:
        return await _gather([self._frame(index) for index in range(self._progress.total)])

    async def _frame(self, index: int) -> list[Instance]:
        async with self._frame_slots:
            has_prompt = self._asked.objects[index] or self._asked.prompt
            if not has_prompt and not self._asked.features.everything:
                self._progress.done += 1
                return []
            async with self._encoder_slots:
                frame = await asyncio.to_thread(rgb_frame, self._image, index)
                limits = self._asked.provider.limits
                picture = await asyncio.to_thread(encode_picture, frame, limits)
            size = (frame.shape[0], frame.shape[1])
            calls = plan_calls(self._asked, index, picture, size)
            found = await _gather(
                [self._call(index, place, call, frame) for place, call in enumerate(calls)]
            )
            self._progress.done += 1
        return [instance for instances in found for instance in instances]

    async def _call(
        self, index: int, place: int, request: SegmentRequest, frame: Tensor
    ) -> list[Instance]:
        """One call and its masks; a failure is noted, so that the other calls go on."""
        slot = (index, place)
        async with self._call_slots:
            if any(failure.concerns_all for failure in self.failures.values()):
                self.unsent.add(index)
                return []
            try:
                work = self._fetch_and_read(slot, request, frame)
                return await asyncio.wait_for(work, self._limits.timeout)
            except CallFailed as error:
                self.failures[slot] = error.failure
            except asyncio.TimeoutError:
                detail = f"no result within {self._limits.timeout:g} s"
                self.failures[slot] = Failure(FailureKind.TIMEOUT, detail)
            finally:
                self._progress.notes.pop(slot, None)
        return []

    async def _fetch_and_read(
        self, slot: tuple[int, int], request: SegmentRequest, frame: Tensor
    ) -> list[Instance]:
        def note(text: str) -> None:
            self._progress.notes[slot] = text

        started = time.monotonic()
        fetched = await fetch(self._asked, self._transport, request, self._paid, note)
        seconds = time.monotonic() - started
        self.calls.append(CallRecord(slot[0], seconds, fetched.is_new, fetched.parsed.info))
        with fetched.reading():
            return await asyncio.to_thread(_read, fetched.parsed, request, frame, slot[0])


@guard
def _read(
    parsed: ParsedAnswer, request: SegmentRequest, frame: Tensor, index: int
) -> list[Instance]:
    instances: list[Instance] = []
    first_free = 1 + max((each.number for each in request.objects), default=-1)
    for found in parsed.masks:
        for mask in read_masks(found, frame):
            shown = _shown_object(mask, request)
            label = found.label or (shown.label if shown else request.label)
            number = shown.number if shown else first_free + len(instances)
            instances.append(Instance(compact(mask), found.score, label, index, number))
    return instances


def _shown_object(mask: Tensor, request: SegmentRequest) -> ObjectPrompt | None:
    """The object that a mask is of: the only one, or the one whose click lies in it."""
    if len(request.objects) == 1:
        return request.objects[0]
    sy, sx = mask.shape[0] / request.picture.size[0], mask.shape[1] / request.picture.size[1]

    def is_clicked(each: ObjectPrompt) -> bool:
        return any(
            mask[int(point.y * sy), int(point.x * sx)] >= INSIDE
            for point in each.points
            if point.positive
        )

    return next((each for each in request.objects if is_clicked(each)), None)


async def _gather(work: list[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Results in order; when cancelled, all that was begun is cleaned up before this returns."""
    results = await asyncio.gather(*work, return_exceptions=True)
    done: list[_T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done


async def _watched(work: Coroutine[Any, Any, _T], hooks: Hooks, progress: _RunProgress) -> _T:
    """Run work, and look for the user's interrupt meanwhile."""
    task = asyncio.ensure_future(work)
    reported = 0.0
    try:
        while not task.done():
            hooks.pause()
            if time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                hooks.report(progress.done, progress.total, progress.line())
            await asyncio.wait({task}, timeout=_SLICE)
        hooks.report(progress.done, progress.total, progress.line())
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def _explain_all(run: _Run, asked: BatchRequest, batch: int) -> str:
    """One message for all failures, equal ones together."""
    by_reason: dict[str, dict[int, None]] = {}
    for (index, _), failure in sorted(run.failures.items(), key=lambda item: item[0]):
        by_reason.setdefault(explain(failure, asked.provider), {})[index] = None
    if batch == 1:
        return f"{asked.title}: {' Also: '.join(by_reason)}"
    reasons = [f"Image {_ranges(found)}: {reason}" for reason, found in by_reason.items()]
    failed = f"{len(run.failed)} of {batch} images failed."
    return " ".join([f"{asked.title}: {failed}", *reasons, *_what_else(run)])


def _what_else(run: _Run) -> list[str]:
    """What became of the images that did not fail."""
    unsent = run.unsent - run.failed
    done = {call.frame for call in run.calls} - run.failed - unsent
    texts = []
    if unsent:
        texts.append(f"{len(unsent)} were not sent, for they would have failed too.")
    if done:
        texts.append(f"The results of {len(done)} are kept: run again to send what is missing.")
    return texts


def _ranges(numbers: Iterable[int]) -> str:
    """0, 3-5 for [0, 3, 4, 5]."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _check_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ProviderError(
            f"Remote providers need {' and '.join(missing)}. Run `pip install "
            f"{' '.join(missing)}` with the Python that runs ComfyUI, and restart it."
        )
