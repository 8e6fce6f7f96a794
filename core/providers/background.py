"""The event loop of all runs, in a thread of its own, and the thread that unpacks answers.

A host may end its loop at any moment, or keep it busy with another node. Neither must cost an
answer that is paid for, so nothing that is sent depends on the host's loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Any, TypeVar

_T = TypeVar("_T")
_SLICE = 0.5
_unfinished: set[Future[Any]] = set()


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The loop, which runs as long as the process does."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, name="segment-anywhere calls", daemon=True).start()
    return made


@cache
def _reader() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="segment-anywhere reader")


async def read(work: Callable[[], _T]) -> _T:
    """Unpack an answer, one at a time: each may take a hundred megabytes, however small it is."""
    return await asyncio.get_running_loop().run_in_executor(_reader(), work)


def submit(work: Coroutine[Any, Any, _T]) -> Future[_T]:
    """Run work in the loop; its future may be asked from any thread."""
    future = asyncio.run_coroutine_threadsafe(work, loop())
    _unfinished.add(future)
    future.add_done_callback(_unfinished.discard)
    return future


def finish(say: Callable[[str], None]) -> None:
    """Wait for the work that was submitted; for a host whose process is about to end.

    say: called once, with a line for the user, if that takes a moment. An exception raised
    meanwhile, such as the user's Ctrl-C, ends the waiting.
    """
    is_told = False
    while under_way := set(_unfinished):
        wait(under_way, timeout=_SLICE)
        if _unfinished and not is_told:
            say(
                "Waiting for calls that were sent, so that their answers are kept; Ctrl-C gives "
                "them up."
            )
            is_told = True
