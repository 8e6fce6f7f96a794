"""The one place where what nobody expected of an answer becomes the failure of one call.

What is read of an answer comes out of here without the profile's secrets, however it was escaped.

An answer can hold anything. Whatever a function raises that reads one must not end the run of all
other images. The user's interrupt is raised outside of these functions, and is not touched.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import ParamSpec, TypeVar

from .answers import MAX_MASKS, unusable
from .contract import Provider
from .failures import status_failure
from .redaction import Redactor
from .wire import Answer, CallFailed, Failure, ParsedAnswer, shorten

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def guarded(provider: Provider, redactor: Redactor) -> Provider:
    """The same provider, with reading functions that raise nothing but CallFailed."""
    queue, upload = provider.queue, provider.upload
    if queue is not None:
        ticket, status = guard(queue.read_ticket, redactor), guard(queue.read_status, redactor)
        queue = replace(queue, read_ticket=ticket, read_status=status)
    if upload is not None:
        upload = replace(upload, read_place=guard(upload.read_place, redactor))
    return replace(
        provider,
        parse_answer=_bounded(guard(provider.parse_answer, redactor)),
        map_error=_guard_errors(provider.map_error, redactor),
        queue=queue,
        upload=upload,
    )


def guard(read: Callable[_P, _T], redactor: Redactor) -> Callable[_P, _T]:
    """A function that reads an answer, tells no secrets, and raises nothing but CallFailed."""

    @functools.wraps(read)
    def guarded_read(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return redactor.told(read(*args, **kwargs))
        except CallFailed as error:
            failed = CallFailed(redactor.told(error.failure))
        except Exception as error:
            _log_odd("an answer", redactor)
            what = shorten(redactor.tell(f"{type(error).__name__}: {error}"))
            failed = unusable(f"it holds something that nobody expected ({what})")
        # Not from the error, of which a log would show the words.
        raise failed

    return guarded_read


def _bounded(parse: Callable[_P, ParsedAnswer]) -> Callable[_P, ParsedAnswer]:
    """Not too many masks, before any is fetched or drawn, and labels of a length for people."""

    @functools.wraps(parse)
    def bounded_parse(*args: _P.args, **kwargs: _P.kwargs) -> ParsedAnswer:
        parsed = parse(*args, **kwargs)
        if len(parsed.masks) > MAX_MASKS:
            raise unusable(f"it has {len(parsed.masks):,} masks; up to {MAX_MASKS:,} are read")
        masks = (replace(mask, label=shorten(mask.label)) for mask in parsed.masks)
        return replace(parsed, masks=tuple(masks))

    return bounded_parse


def _guard_errors(
    map_error: Callable[[Answer], Failure | None], redactor: Redactor
) -> Callable[[Answer], Failure | None]:
    """An error that cannot be read is still one, by its status."""

    @functools.wraps(map_error)
    def guarded_map(answer: Answer) -> Failure | None:
        try:
            failure = map_error(answer)
        except Exception:
            _log_odd("an error", redactor)
            failure = status_failure(answer)
        return redactor.told(failure)

    return guarded_map


def _log_odd(what: str, redactor: Redactor) -> None:
    lines = traceback.format_exc().splitlines()
    log.warning("%s could not be read\n%s", what, "\n".join(map(redactor.tell, lines)))
