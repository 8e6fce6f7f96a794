"""One call from its request to an answer in the journal: send or submit, poll, fetch, download."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from . import slots
from .answers import unusable
from .batch import BatchRequest
from .contract import Queue, SegmentRequest
from .journal import DOUBTED, Entry, Kept, Kind
from .plan import PlannedCall
from .transport import Transport
from .wire import (
    Answer,
    CallFailed,
    FailureKind,
    HttpRequest,
    JobFacts,
    JobStatus,
    ParsedAnswer,
    Picture,
    Ticket,
    Url,
)

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# Free questions whose answer is unreadable or missing are asked so often.
_ATTEMPTS = 3
# Telling the provider must not keep the user waiting for more than a second in all.
_CANCEL_SECONDS = 0.7
# The addresses of results expire, and what is refused there has nothing to do with the key.
_GONE = {FailureKind.KEY, FailureKind.CREDITS, FailureKind.NOT_FOUND}
# What a provider delivered is kept, though it cannot be read; what it refused to deliver is not.
_DELIVERED = {FailureKind.ANSWER, FailureKind.UNCLEAR}
# The pictures that one answer names: so many are fetched at a time, and so large may all be.
_FILES_AT_ONCE = 8
_MOST_FILE_BYTES = 256 * 2**20
# A job whose result cannot be used may be asked for it once more.
_MAY_HEAL = {FailureKind.ANSWER, FailureKind.GONE}
# An answer to a question that costs nothing may be better a moment later.
_MAY_COME = {FailureKind.ANSWER, FailureKind.NOT_FOUND}

Note = Callable[[str], None]
"""Called with what a call is doing at the moment."""
Encode = Callable[[], Awaitable[Picture]]
"""Encodes the call's picture, which only a call that is sent needs."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Fetched:
    """A paid answer at hand.

    parsed: its masks, with the pictures that it names. request: what it answers.
    """

    parsed: ParsedAnswer
    request: SegmentRequest
    entry: Entry

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Its masks are read within it: pictures that turn out to be broken are fetched again."""
        with self.entry.marking():
            try:
                yield
            except CallFailed as error:
                if error.failure.kind is FailureKind.ANSWER:
                    self.entry.doubt_files()
                raise


class Payment:
    """One call, as a task of its own that ends with its answer in the journal.

    Who waits for it may stop waiting: once the request is out, it is worth the answer.
    `task` returns the answer, or None for a job that is not waited for; it raises CallFailed, with
    what is kept of the call.
    """

    def __init__(
        self,
        asked: BatchRequest,
        transport: Transport,
        call: PlannedCall,
        encode: Encode,
        note: Note,
    ):
        self.job = call.job
        # Whether the provider was asked for it now, and not in an earlier run.
        self.is_new = False
        # From the request on until its answer is kept, the provider may bill for it.
        self.is_under_way = False
        self._asked = asked
        self._transport = transport
        self._call = call
        self._entry = call.entry
        self._encode = encode
        self._note = note
        self._is_given_up = False
        self.task = asyncio.ensure_future(self._run())

    @property
    def has_ticket(self) -> bool:
        """Whether a later run can ask for its result."""
        return self._entry.has(Kind.TICKET)

    def give_up(self) -> None:
        """Stop it, and take its job back. Without a job, what was sent may be billed."""
        # Once: a second time would end what takes the job back.
        if not self._is_given_up:
            self._is_given_up = True
            self.task.cancel()

    async def _run(self) -> Fetched | None:
        async with self._entry.lock(), slots.alone_with(self._entry.key):
            with self._entry.marking():
                kept = await asyncio.to_thread(self._entry.get)
                if kept is None:
                    return await self._obtain()
                try:
                    return await self._usable(kept)
                except CallFailed as error:
                    may_heal = error.failure.kind in _MAY_HEAL and self._entry.has(Kind.TICKET)
                    if not may_heal:
                        raise
                return await self._obtain()

    async def _obtain(self) -> Fetched | None:
        queue = self._asked.provider.queue
        if queue is not None:
            return await self._job_result(queue)
        kept = await self._send(Kind.RESULT)
        self.is_under_way = False
        return await self._usable(kept)

    async def _send(self, kind: Kind) -> Kept:
        """The paid request; its answer is in the journal when this returns."""
        picture = await self._encode()
        http = await self._request(picture)
        self._note("sent")
        self.is_new = self.is_under_way = True
        submission = asyncio.ensure_future(self._submit(http, picture.size, kind))
        try:
            return await asyncio.shield(submission)
        except asyncio.CancelledError:
            queue = self._asked.provider.queue
            if queue is not None and self._is_given_up:
                await self._within_a_second(self._take_back_new(queue, submission))
            submission.cancel()
            raise

    async def _request(self, picture: Picture) -> HttpRequest:
        provider, profile = self._asked.provider, self._asked.profile
        request = self._call.with_picture(picture)
        upload = None if request.picture_url else provider.upload
        if upload and len(picture.data) > upload.above:
            self._note("uploading")
            start = upload.start_request(picture, profile)
            place, address = upload.read_place(await self._transport.call(start))
            await self._transport.put(place.address, picture.data, picture.mime)
            request = replace(request, picture_url=address.address)
        return await asyncio.to_thread(_built, provider.build_request, request, profile)

    async def _submit(self, http: HttpRequest, size: tuple[int, int], kind: Kind) -> Kept:
        kept = Kept(await self._transport.call(http), size)
        # An empty one would only keep the request from being sent again.
        if kept.answer.body:
            await asyncio.to_thread(self._entry.put, kept, kind)
        return kept

    async def _job_result(self, queue: Queue) -> Fetched | None:
        """Find or submit the job, wait for it, and fetch its result."""
        kept, ticket = await self._ticket(queue)
        self.job = ticket.request_id
        self.is_under_way = True
        try:
            return await self._collect(queue, ticket, kept.size)
        except CallFailed as error:
            # One that an earlier run submitted is unknown by now, and not for a moment only.
            is_lost = error.failure.kind is FailureKind.NOT_FOUND and not self.is_new
            if error.failure.kind is FailureKind.REFUSED or is_lost:
                self._entry.drop(Kind.TICKET)
            raise CallFailed(replace(error.failure, of_result=True)) from error
        except asyncio.CancelledError:
            if self._is_given_up:
                await self._within_a_second(self._take_back(queue, ticket))
            raise

    async def _ticket(self, queue: Queue) -> tuple[Kept, Ticket]:
        """The answer to the submission, made now or in an earlier run, and the ticket in it."""
        if self._call.job:
            size = self._call.request.picture.size
            ticket = queue.ticket_of(self._call.job, self._asked.options, self._asked.profile)
            return Kept(Answer(200, {}, b""), size), ticket
        kept = await asyncio.to_thread(self._entry.get, Kind.TICKET)
        if kept is None:
            kept = await self._send(Kind.TICKET)
        return kept, queue.read_ticket(kept.answer)

    async def _collect(self, queue: Queue, ticket: Ticket, size: tuple[int, int]) -> Fetched | None:
        ask = partial(self._ask, queue.status_request(ticket), queue.read_status)
        lines: tuple[str, ...] = ()
        while not (status := await ask()).is_done:
            lines = status.logs or lines
            if not self._asked.waits:
                return None
            self._note(_describe(status))
            await asyncio.sleep(POLL_SECONDS)
        if status.failure is not None:
            self._entry.drop(Kind.TICKET)
            raise CallFailed(status.failure)
        facts = JobFacts(ticket.request_id, status.logs or lines)
        fetched = await _patiently(partial(self._result, queue, ticket, facts, size), _MAY_HEAL)
        self._entry.drop(Kind.TICKET)
        return fetched

    async def _result(
        self, queue: Queue, ticket: Ticket, facts: JobFacts, size: tuple[int, int]
    ) -> Fetched:
        answer = await self._ask(queue.result_request(ticket), _as_is)
        kept = Kept(replace(answer, job=facts), size)
        await asyncio.to_thread(self._entry.put, kept)
        self.is_under_way = False
        return await self._usable(kept)

    async def _ask(self, request: HttpRequest, read: Callable[[Answer], _T]) -> _T:
        """Ask a question that costs nothing, again where the answer is unreadable or missing."""

        async def ask() -> _T:
            return read(await self._transport.call(request))

        return await _patiently(ask, _MAY_COME)

    async def _usable(self, kept: Kept) -> Fetched:
        """The answer read, with its pictures; in a thread, for it may be megabytes long."""
        request = self._call.with_picture(Picture(b"", "", kept.size))
        read = self._asked.provider.parse_answer
        try:
            parsed = await asyncio.to_thread(read, kept.answer, request, self._asked.profile)
        except CallFailed as error:
            if error.failure.kind not in _DELIVERED:
                self._entry.drop()
            raise
        parsed = await self._with_files(kept, parsed)
        return Fetched(parsed, request, self._entry)

    async def _with_files(self, kept: Kept, parsed: ParsedAnswer) -> ParsedAnswer:
        """The answer with the pictures that it names; those that are missing are downloaded."""
        named = {mask.content.address for mask in parsed.masks if isinstance(mask.content, Url)}
        missing = sorted(named - kept.files.keys())
        if not missing:
            return parsed.with_files(kept.files)
        files = dict(kept.files)
        for start in range(0, len(missing), _FILES_AT_ONCE):
            some = missing[start : start + _FILES_AT_ONCE]
            fetch = (self._file(address, kept.files.get(DOUBTED + address)) for address in some)
            files |= zip(some, await asyncio.gather(*fetch), strict=True)
            if sum(map(len, files.values())) > _MOST_FILE_BYTES:
                raise unusable(f"its pictures have more than {_MOST_FILE_BYTES / 2**20:.0f} MiB")
        files = {name: data for name, data in files.items() if not name.startswith(DOUBTED)}
        kept = replace(kept, files=files)
        await asyncio.to_thread(self._entry.put, kept)
        return parsed.with_files(kept.files)

    async def _file(self, address: str, doubted: bytes | None) -> bytes:
        """Download a picture; one that could not be read is better than none.

        Raises CallFailed, about it alone, where the store does not have it any more.
        """
        try:
            return await self._transport.download(address)
        except CallFailed as error:
            if doubted is not None:
                return doubted
            failure = replace(error.failure, of_result=True)
            if failure.kind in _GONE:
                failure = replace(failure, kind=FailureKind.GONE)
            raise CallFailed(failure) from error

    async def _within_a_second(self, work: Awaitable[None]) -> None:
        """Tell the provider that nobody waits for a job any more; best effort."""
        try:
            await asyncio.wait_for(work, _CANCEL_SECONDS)
        except (CallFailed, asyncio.TimeoutError):
            name = self.job or "that was just submitted"
            log.warning("the job %s could not be cancelled and may still run", name)

    async def _take_back_new(self, queue: Queue, submission: asyncio.Future[Kept]) -> None:
        if submission.done() and submission.exception():
            return
        await self._take_back(queue, queue.read_ticket((await submission).answer))

    async def _take_back(self, queue: Queue, ticket: Ticket) -> None:
        await self._transport.call(queue.cancel_request(ticket))
        self._entry.drop(Kind.TICKET)


async def _patiently(work: Callable[[], Awaitable[_T]], may_heal: set[FailureKind]) -> _T:
    """What work returns, tried again for failures that may heal by themselves."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await work()
        except CallFailed as error:
            if error.failure.kind not in may_heal:
                raise
        await asyncio.sleep(POLL_SECONDS)
    return await work()


def _built(build: Callable[..., HttpRequest], *arguments: object) -> HttpRequest:
    """The request with its body encoded, which takes as long as building it."""
    http = build(*arguments)
    if http.json is not None:
        _ = http.json_body
    return http


def _as_is(answer: Answer) -> Answer:
    return answer


def _describe(status: JobStatus) -> str:
    if status.log:
        return status.log
    return "running" if status.position is None else f"queue position {status.position}"
