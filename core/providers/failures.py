"""Turns what went wrong into one sentence that says who said what, and what to do next."""

from __future__ import annotations

import email.utils
import html
import json
import re
import time
from typing import Any

from .contract import Provider
from .redaction import shown_address
from .wire import Answer, Failure, FailureKind, shorten

_TEXT_KEYS = ("error", "detail", "message", "msg", "error_description", "title")

_BY_STATUS = {
    401: FailureKind.KEY,
    402: FailureKind.CREDITS,
    403: FailureKind.KEY,
    404: FailureKind.NOT_FOUND,
    405: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    409: FailureKind.BUSY,
    410: FailureKind.NOT_FOUND,
    423: FailureKind.BUSY,
    429: FailureKind.BUSY,
    504: FailureKind.TIMEOUT,
}

_WORDS = {
    FailureKind.KEY: "the key was refused",
    FailureKind.CREDITS: "the account has no credits left or reached its limit",
    FailureKind.NOT_FOUND: "the address or model does not exist there",
    FailureKind.UNSAFE: "the answer is not safe to follow",
    FailureKind.REFUSED: "the request was refused",
    FailureKind.BUSY: "it has too many requests at the moment",
    FailureKind.SERVER: "it failed on its side",
    FailureKind.NETWORK: "the connection failed",
    FailureKind.TIMEOUT: "it took too long",
    FailureKind.ANSWER: "the answer cannot be used",
    FailureKind.TOO_LARGE: "the answer is too large to be read or kept",
    FailureKind.UNCLEAR: "the answer is not clearly a mask",
    FailureKind.GONE: "a picture that the answer names cannot be had any more",
}

_NEXT_STEPS = {
    FailureKind.KEY: "Set a valid key: {key}.",
    FailureKind.CREDITS: "Top up the account, or choose another provider.",
    FailureKind.NOT_FOUND: "Check the model, the endpoint and the URL in the profile.",
    FailureKind.UNSAFE: "If the address is meant, put it into the provider's profile.",
    FailureKind.REFUSED: "Change the inputs it names and run again.",
    FailureKind.BUSY: "Wait a little and run again, with less concurrency.",
    FailureKind.SERVER: "Run again later; the inputs may be at fault if it repeats.",
    FailureKind.NETWORK: "Check the connection and run again.",
    FailureKind.TIMEOUT: "Run again, with a longer timeout or a smaller image.",
    FailureKind.ANSWER: "Run again; if it repeats, the provider changed.",
    FailureKind.TOO_LARGE: (
        "It may have been billed, and may be again in the next run: ask for fewer objects, or "
        "send a smaller image."
    ),
    FailureKind.UNCLEAR: "Choose another way to read it under read_as.",
    FailureKind.GONE: "Run again; it may be back.",
}
_KEPT = (
    "The answer is kept: the next run reads it again and sends nothing, and another number in "
    "force_new sends all requests of the node anew."
)

_TICKET = (
    "The job goes on there, and its ticket is kept: the next run asks for its result and sends "
    "nothing; another number in force_new submits it anew."
)
_AWAITED = (
    "It was sent, so its answer is still waited for, and kept when it comes: run again a little "
    "later, which sends nothing anew."
)


def explain(failure: Failure, provider: Provider) -> str:
    """A sentence about a failure, without the provider's name in front."""
    status = f" ({failure.status})" if failure.status else ""
    detail = f": {failure.detail.rstrip('.')}" if failure.detail else ""
    steps = [_NEXT_STEPS[failure.kind].format(key=key_names(provider))]
    if failure.is_kept:
        # Running again alone would not help where the answer itself is at fault.
        steps = [_KEPT] if failure.kind is FailureKind.ANSWER else [*steps, _KEPT]
    elif failure.has_ticket:
        steps.append(_TICKET)
    elif failure.is_awaited:
        steps = [_AWAITED]
    return " ".join([f"{_WORDS[failure.kind]}{status}{detail}.", *steps])


def key_names(provider: Provider) -> str:
    """Where a provider's key can be put, for messages."""
    names = " or ".join(" with ".join(group) for group in provider.key_variables)
    return f"{names} in the environment, or providers.toml" if names else "providers.toml"


def status_failure(answer: Answer, detail: str | None = None) -> Failure | None:
    """The failure that an HTTP status stands for, None for 2xx."""
    status = answer.status
    if 200 <= status < 300:
        return None
    detail = error_text(answer) if detail is None else detail
    if 300 <= status < 400:
        target = answer.headers.get("location", "nowhere")
        return Failure(
            FailureKind.UNSAFE, f"a redirect to {shorten(shown_address(target))}", status
        )
    fallback = FailureKind.SERVER if status >= 500 else FailureKind.REFUSED
    kind = _BY_STATUS.get(status, fallback)
    return Failure(kind, detail, status, may_repeat=status == 429, wait=retry_after(answer))


def retry_after(answer: Answer) -> float | None:
    """Seconds that the header Retry-After asks for, as a number or a date; None without one."""
    value = answer.headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return max(0.0, moment - time.time())


def error_text(answer: Answer) -> str:
    """What an answer says about an error, of whatever shape, in at most 300 characters."""
    text = answer.body[:20_000].decode("utf-8", "replace").strip()
    if text.startswith("<"):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        return f"a web page ({shorten(html.unescape(title[1]))})" if title else "a web page"
    try:
        return shorten(_text_of(json.loads(answer.body)))
    except (ValueError, RecursionError):
        return shorten(text)


def stated_error(answer: Answer, body: Any) -> Failure | None:
    """The error that a JSON body states in spite of a good status; null and "" state none."""
    is_stated = isinstance(body, dict) and (body.get("error") or body.get("success") is False)
    return Failure(FailureKind.REFUSED, error_text(answer), answer.status) if is_stated else None


def _text_of(value: Any) -> str:
    if isinstance(value, dict):
        if "msg" in value and isinstance(value.get("loc"), list):
            return f"{'.'.join(map(str, value['loc']))}: {value['msg']}"
        found = (_text_of(value[key]) for key in _TEXT_KEYS if value.get(key))
        return next((text for text in found if text), "")
    if isinstance(value, list):
        return "; ".join(filter(None, map(_text_of, value)))
    return "" if value is None else str(value)
