"""fal's queue and storage: where jobs are, how far they are, what may be asked again.

A profile's address that is not fal's is a gateway with the queue's own paths, or, with
`proxy = true` in the profile, a server-side proxy of fal's kind: it has one address, is told the
true one in a header, and adds the key.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ...errors import InputError
from ..answers import read_json, read_text, read_whole, unusable
from ..contract import Profile
from ..failures import error_text, status_failure
from ..wire import (
    Answer,
    Failure,
    FailureKind,
    HttpRequest,
    JobStatus,
    Picture,
    Ticket,
    Url,
    shorten,
)

QUEUE_URL = "https://queue.fal.run"
STORAGE_URL = "https://rest.fal.ai"
_TARGET_HEADER = "x-fal-target-url"
_WAITING = {"IN_QUEUE", "IN_PROGRESS"}
_BALANCE_WORDS = ("balance", "locked", "top up", "billing")
_MAX_LOGS = 200
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_GATEWAY_STATUSES = (502, 503, 504)


def map_error(answer: Answer) -> Failure | None:
    """What the status says, and fal's own marks: an empty account, what may be repeated."""
    failure = status_failure(answer)
    if failure is None:
        return None
    kind = failure.kind
    if answer.status == 403 and any(word in failure.detail.lower() for word in _BALANCE_WORDS):
        kind = FailureKind.CREDITS
    marks = (answer.headers.get(f"x-fal-{name}", "") for name in ("retryable", "needs-retry"))
    is_marked = any(mark.lower() in ("true", "1") for mark in marks)
    may_repeat = failure.may_repeat or (is_marked and answer.status not in (422, 504))
    return replace(failure, kind=kind, may_repeat=may_repeat or _is_of_gateway(answer))


def _is_of_gateway(answer: Answer) -> bool:
    """Whether the gateway before fal's servers failed, so that nothing was accepted.

    The rule of fal's own client, which then repeats the request too.
    """
    if answer.status not in _GATEWAY_STATUSES or "x-fal-request-id" in answer.headers:
        return False
    is_own_limit = answer.status == 504 and answer.headers.get("x-fal-request-timeout-type")
    return not is_own_limit and b"nginx" in answer.body


def read_ticket(answer: Answer) -> Ticket:
    """Where the job that was submitted is; raises CallFailed where an address is missing."""
    body = read_json(answer)
    names = ("request_id", "status_url", "response_url", "cancel_url")
    values = [read_text(body.get(name)) if isinstance(body, dict) else "" for name in names]
    if not all(values):
        raise unusable(f"a job with {', '.join(names)} is expected")
    return Ticket(*values)


def earlier_job(request_id: str, endpoint: str, url: str) -> Ticket:
    """Where the job with an id is, by the queue's own order; raises InputError for an odd id."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise InputError(
            f"request id: found {shorten(repr(request_id))}; accepted are letters, digits, - and "
            "_, as in fal's own ids. Copy it from info, or from fal's dashboard."
        )
    # Jobs live below owner and name of the app: a third part of the endpoint is left out.
    app = "/".join(endpoint.split("/")[:2])
    job = f"{url}/{app}/requests/{request_id}"
    return Ticket(request_id, f"{job}/status", job, f"{job}/cancel")


def read_status(answer: Answer) -> JobStatus:
    """How far a job is; raises CallFailed for a status that the queue does not have."""
    body = read_json(answer)
    status = read_text(body.get("status")) if isinstance(body, dict) else ""
    if status != "COMPLETED" and status not in _WAITING:
        raise unusable(f"a job is IN_QUEUE, IN_PROGRESS or COMPLETED, found {status!r}")
    logs = _log_lines(body.get("logs"))
    if status == "COMPLETED":
        # A job that failed is COMPLETED too, with an error beside it.
        detail = error_text(answer) if body.get("error") else ""
        failure = Failure(FailureKind.SERVER, detail) if detail else None
        return JobStatus(True, logs=logs, failure=failure)
    return JobStatus(False, read_whole(body.get("queue_position")), logs)


def _log_lines(logs: Any) -> tuple[str, ...]:
    """The newest lines of a log, the oldest of them first."""
    entries = logs[-_MAX_LOGS:] if isinstance(logs, list) else []
    texts = [read_text(each.get("message")) for each in entries if isinstance(each, dict)]
    return tuple(shorten(text) for text in texts if text)


def status_request(ticket: Ticket) -> HttpRequest:
    """Asks after a job, with its log."""
    return HttpRequest("GET", f"{ticket.status_url}?logs=1")


def result_request(ticket: Ticket) -> HttpRequest:
    """Fetches the result of a job that is done."""
    return HttpRequest("GET", ticket.result_url)


def cancel_request(ticket: Ticket) -> HttpRequest:
    """Takes a job back, which it may not be any more."""
    return HttpRequest("PUT", ticket.cancel_url)


def start_upload(picture: Picture, profile: Profile) -> HttpRequest:
    """Ask for a place in fal's storage; behind a gateway, at the gateway."""
    is_direct = profile.url == QUEUE_URL or _is_proxy(profile)
    host = STORAGE_URL if is_direct else profile.url
    url = f"{host}/storage/upload/initiate?storage_type=fal-cdn-v3"
    body = {"content_type": picture.mime, "file_name": picture.file_name}
    return HttpRequest("POST", url, json=body)


def read_place(answer: Answer) -> tuple[Url, Url]:
    """Where to put the file and where it will be; raises CallFailed where one is missing."""
    body = read_json(answer)
    names = ("upload_url", "file_url")
    places = [read_text(body.get(name)) if isinstance(body, dict) else "" for name in names]
    if not all(places):
        raise unusable("upload_url and file_url are expected")
    return Url(places[0]), Url(places[1])


def route(request: HttpRequest, profile: Profile) -> HttpRequest:
    """The request by way of the profile's gateway or proxy; tickets name fal's own addresses."""
    if profile.url == QUEUE_URL:
        return request
    if _is_proxy(profile):
        target = _moved(request.url, profile.url, QUEUE_URL)
        if not target.startswith((f"{QUEUE_URL}/", f"{STORAGE_URL}/")):
            # For the transport to refuse.
            return request
        headers = {**request.headers, _TARGET_HEADER: target}
        return replace(request, url=profile.url, headers=headers)
    moved = _moved(request.url, QUEUE_URL, profile.url)
    return request if moved == request.url else replace(request, url=moved)


def _is_proxy(profile: Profile) -> bool:
    return profile.settings.get("proxy") is True


def _moved(address: str, old: str, new: str) -> str:
    """An address with another beginning, where it has the old one."""
    return new + address.removeprefix(old) if address.startswith(f"{old}/") else address
