"""One call from request to paid answer: submit, poll, fetch, download, and cancel in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from .batch import BatchRequest
from .contract import Queue, SegmentRequest
from .paid import Entry, PaidAnswer, PaidAnswers
from .transport import Transport
from .wire import Answer, CallFailed, FailureKind, HttpRequest, JobStatus, ParsedAnswer, Ticket, Url

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# Telling the provider must not keep the user waiting for more than a second in all.
_CANCEL_SECONDS = 0.7
# The addresses of results expire, and what is refused there has nothing to do with the key.
_GONE = {FailureKind.KEY, FailureKind.CREDITS, FailureKind.NOT_FOUND}
# What a provider delivered is kept, though it cannot be read; what it refused to deliver is not.
_DELIVERED = {FailureKind.ANSWER, FailureKind.UNCLEAR}

Note = Callable[[str], None]
"""Called with what a job is doing at the moment."""


@dataclass(frozen=True)
class Fetched:
    """A paid answer at hand.

    parsed: its masks, with the pictures that it names. is_new: whether it was sent for now.
    """

    parsed: ParsedAnswer
    is_new: bool
    entry: Entry

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Its masks are read within it: pictures that turn out to be broken are forgotten."""
        with self.entry.marking():
            try:
                yield
            except CallFailed as error:
                if error.failure.kind is FailureKind.ANSWER:
                    self.entry.drop_files()
                raise


async def fetch(
    asked: BatchRequest,
    transport: Transport,
    request: SegmentRequest,
    paid_answers: PaidAnswers,
    note: Note,
) -> Fetched:
    """Get the answer to a request, from what was paid already or from the provider.

    What is paid is kept before it is read, once, in a thread of its own. Raises CallFailed, with
    what became of the answer.
    """
    http = asked.provider.build_request(request, asked.profile)
    entry = Entry(paid_answers, f"{http.fingerprint()}:{asked.salt}")
    async with entry.lock():
        with entry.marking():
            paid = entry.get()
            is_new = paid is None
            if paid is None:
                paid = PaidAnswer(await _send(asked, transport, request, http, note))
                # An empty one would only keep the request from being sent again.
                if paid.answer.body:
                    entry.put(paid)
            parsed = await _parse(asked, paid, request, entry)
            return Fetched(await _with_files(transport, paid, parsed, entry), is_new, entry)


async def _parse(
    asked: BatchRequest, paid: PaidAnswer, request: SegmentRequest, entry: Entry
) -> ParsedAnswer:
    try:
        return await asyncio.to_thread(
            asked.provider.parse_answer, paid.answer, request, asked.profile
        )
    except CallFailed as error:
        if error.failure.kind not in _DELIVERED:
            entry.drop()
        raise


async def _with_files(
    transport: Transport, paid: PaidAnswer, parsed: ParsedAnswer, entry: Entry
) -> ParsedAnswer:
    """The answer with the pictures that it names; those that are missing are downloaded."""
    named = {mask.content.address for mask in parsed.masks if isinstance(mask.content, Url)}
    missing = sorted(named - paid.files.keys())
    if not missing:
        return parsed.with_files(paid.files)
    try:
        fetched = await asyncio.gather(*(transport.download(address) for address in missing))
    except CallFailed as error:
        failure = replace(error.failure, of_file=True)
        if failure.kind in _GONE:
            failure = replace(failure, kind=FailureKind.GONE)
            entry.drop()
        raise CallFailed(failure) from error
    files = {**paid.files, **dict(zip(missing, fetched, strict=True))}
    entry.put(PaidAnswer(paid.answer, files))
    return parsed.with_files(files)


async def _send(
    asked: BatchRequest,
    transport: Transport,
    request: SegmentRequest,
    http: HttpRequest,
    note: Note,
) -> Answer:
    provider, upload = asked.provider, asked.provider.upload
    if upload and not request.picture_url and len(request.picture.data) > upload.above:
        note("uploading")
        start = upload.start_request(request.picture, asked.profile)
        place, address = upload.read_place(await transport.call(start))
        await transport.put(place.address, request.picture.data, request.picture.mime)
        http = provider.build_request(replace(request, picture_url=address.address), asked.profile)
    note("sent")
    if provider.queue is None:
        return await transport.call(http)
    return await run_job(provider.queue, transport, http, note)


async def run_job(queue: Queue, transport: Transport, http: HttpRequest, note: Note) -> Answer:
    """Submit a job, wait for it and fetch its result.

    A job that is given up, by the user or by a time-out, is cancelled at the provider's; also
    one whose submission is still under way.
    """
    submission = asyncio.ensure_future(transport.call(http))
    ticket: Ticket | None = None
    is_done = False
    try:
        ticket = queue.read_ticket(await asyncio.shield(submission))
        while not is_done:
            answer = await transport.call(queue.status_request(ticket))
            status = queue.read_status(answer)
            is_done = status.is_done
            if status.failure is not None:
                raise CallFailed(status.failure)
            if not is_done:
                note(_describe(status))
                await asyncio.sleep(POLL_SECONDS)
        return await transport.call(queue.result_request(ticket))
    finally:
        if not is_done:
            await _withdraw(queue, transport, submission, ticket)


async def _withdraw(
    queue: Queue, transport: Transport, submission: asyncio.Future[Answer], ticket: Ticket | None
) -> None:
    """Tell the provider that nobody waits for a job any more; best effort, within a second."""
    try:
        await asyncio.wait_for(_cancel(queue, transport, submission, ticket), _CANCEL_SECONDS)
    except (CallFailed, asyncio.TimeoutError):
        name = ticket.request_id if ticket else "that was just submitted"
        log.warning("the job %s could not be cancelled and may still run", name)


async def _cancel(
    queue: Queue, transport: Transport, submission: asyncio.Future[Answer], ticket: Ticket | None
) -> None:
    if ticket is None:
        if submission.done() and submission.exception():
            return
        ticket = queue.read_ticket(await submission)
    await transport.call(queue.cancel_request(ticket))


def _describe(status: JobStatus) -> str:
    if status.log:
        return status.log
    return "running" if status.position is None else f"queue position {status.position}"
