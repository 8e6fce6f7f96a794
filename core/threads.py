"""Frames worked on side by side, or one ahead of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")

# More would only need more memory.
_MOST_THREADS = 4


def in_threads(work: Callable[[int], Result], count: int) -> Iterator[Result]:
    """The results of work(0), work(1), ... in their order, several at a time.

    Each thread works on one core, and there are at most as many as PyTorch uses itself. A single
    piece of work stays in the calling thread, where PyTorch uses all of its own. An error of one
    piece is raised in its turn; what has not begun by then is left out. Raises RuntimeError where
    the system refuses a thread. The process's own settings are left alone.
    """
    threads = min(count, torch.get_num_threads(), _MOST_THREADS)
    if threads <= 1:
        yield from map(work, range(count))
        return
    # The host's inference mode belongs to its own thread.
    inference = torch.is_inference_mode_enabled()
    openmp = _openmp()

    def start() -> None:
        # Every thread would otherwise start as many of PyTorch's as there are cores. PyTorch sets
        # a thread's number when it is first asked for, which must not come after ours.
        torch.get_num_threads()
        openmp.limit(limits=1)

    def run(index: int) -> Result:
        with torch.inference_mode(inference):
            return work(index)

    pool = ThreadPoolExecutor(threads, "segment-anywhere", start)
    try:
        yield from pool.map(run, range(count))
    finally:
        pool.shutdown(cancel_futures=True)


def one_ahead(items: Iterator[Result]) -> Iterator[Result]:
    """The same items, the next of which a thread of its own gets ready while one is worked on.

    An error of getting one ready is raised in its turn. Whoever stops before the end waits for the
    item that is under way.
    """
    inference = torch.is_inference_mode_enabled()
    with ThreadPoolExecutor(1, "segment-anywhere-ahead") as pool:
        coming = pool.submit(_take, items, inference)
        while (item := coming.result()) is not None:
            coming = pool.submit(_take, items, inference)
            yield item


def _take(items: Iterator[Result], inference: bool) -> Result | None:
    # The host's inference mode belongs to its own thread.
    with torch.inference_mode(inference):
        return next(items, None)


@cache
def _openmp() -> Any:
    """PyTorch's OpenMP runtime, in which each thread has a number of threads of its own.

    PyTorch's own function sets the number of all threads that begin later as well.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="openmp")
