"""The one place where what nobody expected of an answer becomes the failure of one call.

An answer can hold anything. Whatever a function raises that reads one must not end the run of all
other images. The user's interrupt is raised outside of these functions, and is not touched.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import ParamSpec, TypeVar

from .answers import unusable
from .contract import Provider
from .failures import status_failure
from .wire import Answer, CallFailed, Failure, shorten

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def guarded(provider: Provider) -> Provider:
    """The same provider, with reading functions that raise nothing but CallFailed."""
    queue, upload = provider.queue, provider.upload
    if queue is not None:
        ticket, status = guard(queue.read_ticket), guard(queue.read_status)
        queue = replace(queue, read_ticket=ticket, read_status=status)
    if upload is not None:
        upload = replace(upload, read_place=guard(upload.read_place))
    return replace(
        provider,
        parse_answer=guard(provider.parse_answer),
        map_error=_guard_errors(provider.map_error),
        queue=queue,
        upload=upload,
    )


def guard(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """A function that reads an answer, and raises nothing but CallFailed."""

    @functools.wraps(read)
    def guarded_read(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except CallFailed:
            raise
        except Exception as error:
            log.warning("an answer could not be read", exc_info=True)
            what = shorten(f"{type(error).__name__}: {error}")
            raise unusable(f"it holds something that nobody expected ({what})") from error

    return guarded_read


def _guard_errors(map_error: Callable[[Answer], Failure | None]) -> Callable:
    """An error that cannot be read is still one, by its status."""

    @functools.wraps(map_error)
    def guarded_map(answer: Answer) -> Failure | None:
        try:
            return map_error(answer)
        except Exception:
            log.warning("an error could not be read", exc_info=True)
            return status_failure(answer)

    return guarded_map
