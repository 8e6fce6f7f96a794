"""The calls of one run: which are sent when, how many at a time, and what becomes of them.

It works in the loop of `background`, so that what was sent ends in the journal whatever the host
does meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..results.segments import Instance
from . import background, slots
from .batch import BatchRequest
from .guard import guard
from .images import encode_picture, frame_pixels
from .jobs import Fetched, Payment
from .journal import Journal
from .options import check_limits
from .plan import PlannedCall, check_number, plan_frame, resumed
from .reading import ReadAnswer, choose, read_answer
from .redaction import Redactor
from .reports import CallRecord, RunProgress, Slot
from .transport import Limits, Transport
from .wire import CallFailed, CallInfo, Failure, FailureKind, Picture

_T = TypeVar("_T")
# Pictures read and encoded at a time; more would only keep the first one from being sent.
_ENCODERS = 2
# Seconds after which an answer that nobody waits for is not waited for in the background either:
# the connection is dead, and would keep an equal request from being sent.
_LATEST = 3600.0


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


class Scheduler:
    """The state of one run: slots, failures of each call, and what was paid.

    It works in the loop of `background`; `start`, and what `call` passes on, are for the host.
    """

    def __init__(
        self,
        image: Tensor,
        asked: BatchRequest,
        limits: RunLimits,
        journal: Journal,
        redactor: Redactor,
    ):
        self.failures: dict[Slot, Failure] = {}
        self.unsent: set[int] = set()
        self.calls: list[CallRecord] = []
        self.pictures: dict[int, NDArray[np.uint8]] = {}
        self.progress = RunProgress(asked.title, len(image))
        # Until the host has said how many calls there will be, none is sent.
        self.has_news = False
        self._image = image
        self._asked = asked
        self._limits = limits
        self._transport = Transport(asked.provider, asked.profile, limits.transport)
        self._journal = journal
        self._read_answer = guard(read_answer, redactor)
        self._notify: Callable[[], None] = lambda: None
        self._told = asyncio.Event()
        self._is_stopped = False
        self._frames_task: asyncio.Task[list[list[Instance]]] | None = None
        self._payments: dict[Slot, Payment] = {}
        # Frames in memory: those under way, and the next ones, which are encoded meanwhile.
        self._frame_slots = asyncio.Semaphore(2 * limits.concurrency)
        self._encoder_slots = asyncio.Semaphore(_ENCODERS)
        # A frame may need several calls.
        self._call_slots = asyncio.Semaphore(limits.concurrency)
        self._place = f"{asked.provider.key} {asked.profile.url}"

    def start(self, notify: Callable[[], None]) -> Future[list[list[Instance]]]:
        """Begin. The result is there once nothing more is sent and no answer more is waited for.

        notify: called, from another thread, when there is news for the host.
        """
        self._notify = notify
        result: Future[list[list[Instance]]] = Future()
        result.add_done_callback(lambda _: notify())
        background.submit(self._work(result))
        return result

    def call(self, what: Callable[[], None]) -> None:
        """Do something in the run's own thread."""
        background.loop().call_soon_threadsafe(what)

    def told(self) -> None:
        """The host has said what there was to say."""
        self.has_news = False
        self._told.set()

    def interrupt(self) -> None:
        """Send nothing more; what was sent is still waited for."""
        self._stop()
        count = sum(payment.is_under_way for payment in self._payments.values())
        if count:
            self.progress.headline = f"interrupted: {_waiting(count)}; once more gives them up"
        if self._frames_task is not None:
            self._frames_task.cancel()

    def give_up(self) -> None:
        """End all calls, and take back their jobs."""
        for payment in self._payments.values():
            payment.give_up()

    def _stop(self) -> None:
        self._is_stopped = True
        self._transport.stop()

    async def _work(self, result: Future[list[list[Instance]]]) -> None:
        try:
            await self._run(result)
        except BaseException as error:
            # Nobody would ever end the host's waiting for it.
            if not result.done():
                result.set_exception(error)
            raise
        if not result.done():
            result.set_result([])

    async def _run(self, result: Future[list[list[Instance]]]) -> None:
        with self._journal.run():
            async with self._transport:
                self._frames_task = asyncio.ensure_future(self._frames())
                if self._is_stopped:
                    self._frames_task.cancel()
                (found,) = await asyncio.gather(self._frames_task, return_exceptions=True)
                if not isinstance(found, BaseException):
                    result.set_result(found)
                elif not isinstance(found, asyncio.CancelledError):
                    result.set_exception(found)
                # What is still under way needs no image, and may take an hour.
                del self._image
                await self._end()

    async def _end(self) -> None:
        """Wait for what was sent, also where nobody waits for the run any more."""
        payments = list(self._payments.values())
        for payment in payments:
            if not payment.is_under_way:
                payment.task.cancel()
        await _wait(payments, self._limits.timeout)
        for payment in payments:
            # The next run can ask for the job's result.
            if payment.has_ticket:
                payment.task.cancel()
        await _wait(payments, _LATEST)
        for payment in payments:
            payment.task.cancel()
        await asyncio.gather(*(each.task for each in payments), return_exceptions=True)

    async def _frames(self) -> list[list[Instance]]:
        """The instances of each frame."""
        plans = await _gather([self._plan(index) for index in range(self.progress.total)])
        calls = resumed(self._asked, [call for plan in plans for call in plan])
        unpaid = check_number(self._asked, calls)
        if unpaid:
            self.progress.headline = _headline(unpaid, calls)
            self.has_news = True
            self._notify()
            await self._told.wait()
        by_frame: list[list[PlannedCall]] = [[] for _ in plans]
        for call in calls:
            by_frame[call.frame].append(call)
        return await _gather([self._frame(*each) for each in enumerate(by_frame)])

    async def _plan(self, index: int) -> list[PlannedCall]:
        async with self._encoder_slots:
            return await asyncio.to_thread(self._planned, index)

    def _planned(self, index: int) -> list[PlannedCall]:
        return plan_frame(self._asked, index, self._pixels(index), self._journal)

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        return frame_pixels(self._image, index)

    async def _picture(self, index: int) -> Picture:
        async with self._encoder_slots:
            return await asyncio.to_thread(
                lambda: encode_picture(self._pixels(index), self._asked.provider.limits)
            )

    async def _frame(self, index: int, calls: list[PlannedCall]) -> list[Instance]:
        if not calls:
            self.progress.done += 1
            return []
        async with self._frame_slots:
            encode = _Once(partial(self._picture, index))
            if not all(call.is_paid() for call in calls):
                # Before its turn comes, and while others wait for their answers.
                encode.begin()
            try:
                answers = await _gather([self._call(call, encode) for call in calls])
            finally:
                await encode.end()
            wanted, unwanted = [], []
            for call, answer in zip(calls, answers, strict=True):
                (unwanted if call.is_unwanted else wanted).extend(answer.instances)
                if answer.picture is not None and not call.is_unwanted:
                    self.pictures.setdefault(index, answer.picture)
            self.progress.done += 1
            return await background.read(partial(choose, wanted, unwanted, self._asked))

    async def _call(self, call: PlannedCall, encode: _Once) -> ReadAnswer:
        """One call and its masks; a failure is noted, so that the other calls go on."""
        async with self._call_slots, slots.one_of(self._limits.concurrency, self._place):
            if self._is_stopped or any(each.concerns_all for each in self.failures.values()):
                self.unsent.add(call.frame)
                return ReadAnswer([])
            try:
                fetched = await self._fetch(call, encode)
                if fetched is None:
                    return ReadAnswer([])
            except CallFailed as error:
                self._note_failure(call, error.failure)
                return ReadAnswer([])
            finally:
                self.progress.notes.pop(call.slot, None)
        try:
            with fetched.reading():
                frame = self._image[call.frame]
                return await background.read(partial(self._read, fetched, frame, call.frame))
        except CallFailed as error:
            self.failures[call.slot] = error.failure
            return ReadAnswer([])

    def _note_failure(self, call: PlannedCall, failure: Failure) -> None:
        if failure.kind is FailureKind.UNSENT:
            self.unsent.add(call.frame)
        else:
            self.failures[call.slot] = failure

    def _read(self, fetched: Fetched, frame: Tensor, index: int) -> ReadAnswer:
        return self._read_answer(fetched.parsed, fetched.request, frame, index, self._asked)

    async def _fetch(self, call: PlannedCall, encode: _Once) -> Fetched | None:
        """The call's answer, None for a job that is not waited for.

        Raises CallFailed; also where it takes too long, after which nothing more is sent.
        """

        def note(text: str) -> None:
            self.progress.notes[call.slot] = text

        started = time.monotonic()
        payment = Payment(self._asked, self._transport, call, encode, note)
        self._payments[call.slot] = payment
        await asyncio.wait({payment.task}, timeout=self._limits.timeout)
        seconds = time.monotonic() - started
        if not payment.task.done():
            raise CallFailed(await self._timed_out(payment))
        del self._payments[call.slot]
        fetched = payment.task.result()
        said = fetched.parsed.info if fetched else CallInfo()
        self.calls.append(
            CallRecord(
                call.frame,
                seconds,
                payment.is_new,
                said,
                call.place,
                call.request.prompt,
                payment.job,
                is_pending=fetched is None,
            )
        )
        return fetched

    async def _timed_out(self, payment: Payment) -> Failure:
        """Nothing more is sent; an answer that is still to come is for the journal."""
        self._stop()
        is_awaited = payment.is_under_way and not payment.has_ticket
        if not is_awaited:
            payment.task.cancel()
            await asyncio.gather(payment.task, return_exceptions=True)
        detail = f"no result within {self._limits.timeout:g} s"
        return Failure(
            FailureKind.TIMEOUT, detail, has_ticket=payment.has_ticket, is_awaited=is_awaited
        )


class _Once:
    """A frame's picture, encoded once for all of its calls."""

    def __init__(self, encode: Callable[[], Coroutine[Any, Any, Picture]]):
        self._encode = encode
        self._task: asyncio.Task[Picture] | None = None

    def begin(self) -> asyncio.Task[Picture]:
        """Start to encode, unless that is done already."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._encode())
        return self._task

    async def end(self) -> None:
        """Nobody needs the picture any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def __call__(self) -> Picture:
        # The calls share it: one that is cancelled must not end it for the others.
        return await asyncio.shield(self.begin())


async def _wait(payments: list[Payment], seconds: float) -> None:
    if payments:
        await asyncio.wait({payment.task for payment in payments}, timeout=seconds)


async def _gather(work: list[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Results in order; when cancelled, all that was begun is cleaned up before this returns."""
    results = await asyncio.gather(*work, return_exceptions=True)
    done: list[_T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done


def _headline(unpaid: int, calls: list[PlannedCall]) -> str:
    """How many calls will be paid for, said before the first is sent."""
    paid = sum(call.is_paid() for call in calls)
    sent = "1 call" if unpaid == 1 else f"{unpaid} calls"
    return f"{sent} to send" + (f", {paid} answered already" if paid else "")


def _waiting(count: int) -> str:
    if count == 1:
        return "waiting for 1 call that was sent, so that its answer is kept"
    return f"waiting for {count} calls that were sent, so that their answers are kept"
