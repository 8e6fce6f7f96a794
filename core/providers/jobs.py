"""One call from request to paid answer: submit, poll, fetch, download, and cancel in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from .base import (
    Answer,
    CallFailed,
    FailureKind,
    HttpRequest,
    JobStatus,
    ParsedAnswer,
    Profile,
    Provider,
    Queue,
    SegmentRequest,
    Ticket,
    Url,
)
from .paid import PaidAnswer, PaidAnswers
from .transport import Transport

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# Telling the provider must not keep the user waiting for more than a second in all.
_CANCEL_SECONDS = 0.7
# A later attempt at the download may succeed, and the answer it belongs to is paid.
_PASSING = {FailureKind.NETWORK, FailureKind.SERVER, FailureKind.TIMEOUT, FailureKind.BUSY}

Note = Callable[[str], None]
"""Called with what a job is doing at the moment."""


async def fetch(
    provider: Provider,
    transport: Transport,
    request: SegmentRequest,
    profile: Profile,
    salt: str,
    paid_answers: PaidAnswers,
    note: Note,
) -> tuple[str, PaidAnswer, bool]:
    """Get the answer to a request, from what was paid already or from the provider.

    Returns the request's fingerprint, the answer with its pictures, and whether it was sent now.
    salt tells apart requests that are equal and yet meant to be sent anew. Raises CallFailed.
    """
    http = provider.build_request(request, profile)
    fingerprint = f"{http.fingerprint()}:{salt}"
    async with paid_answers.lock(fingerprint):
        paid = paid_answers.get(fingerprint)
        is_new = paid is None
        if paid is None:
            paid = PaidAnswer(await _send(provider, transport, request, profile, http, note))
            parsed = provider.parse_answer(paid.answer, request, profile)
            paid_answers.put(fingerprint, paid)
        else:
            parsed = provider.parse_answer(paid.answer, request, profile)
        paid = await _with_files(transport, paid, parsed, fingerprint, paid_answers)
    return fingerprint, paid, is_new


async def _with_files(
    transport: Transport,
    paid: PaidAnswer,
    parsed: ParsedAnswer,
    fingerprint: str,
    paid_answers: PaidAnswers,
) -> PaidAnswer:
    """Download the pictures that an answer names and that are not there yet."""
    named = {mask.content.address for mask in parsed.masks if isinstance(mask.content, Url)}
    missing = sorted(named - paid.files.keys())
    if not missing:
        return paid
    try:
        fetched = await asyncio.gather(*(transport.download(address) for address in missing))
    except CallFailed as error:
        if error.failure.kind not in _PASSING:
            paid_answers.drop(fingerprint)
        raise
    paid = PaidAnswer(paid.answer, {**paid.files, **dict(zip(missing, fetched, strict=True))})
    paid_answers.put(fingerprint, paid)
    return paid


async def _send(
    provider: Provider,
    transport: Transport,
    request: SegmentRequest,
    profile: Profile,
    http: HttpRequest,
    note: Note,
) -> Answer:
    upload = provider.upload
    if upload and not request.picture_url and len(request.picture.data) > upload.above:
        note("uploading")
        start = upload.start_request(request.picture, profile)
        place, address = upload.read_place(await transport.call(start))
        await transport.put(place.address, request.picture.data, request.picture.mime)
        http = provider.build_request(replace(request, picture_url=address.address), profile)
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
