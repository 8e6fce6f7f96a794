"""Frames worked on side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")

# More would only need more memory.
_MOST_THREADS = 4


def in_threads(work: Callable[[int], Result], count: int) -> Iterator[Result]:
    """The results of work(0), work(1), ... in their order, several at a time.

    Each thread works on one core, and there are at most as many as PyTorch uses itself. A single
    piece of work stays in the calling thread, where PyTorch uses all of its own. An error of one
    piece is raised in its turn; what has not begun by then is left out.
    """
    usual = torch.get_num_threads()
    threads = min(count, usual, _MOST_THREADS)
    if threads <= 1:
        yield from map(work, range(count))
        return
    # The host's inference mode belongs to its own thread.
    inference = torch.is_inference_mode_enabled()
    started = threading.Barrier(threads + 1)

    def start() -> None:
        # Every thread would otherwise start as many of PyTorch's as there are cores. Asking for
        # the number first is what makes it this thread's own.
        torch.get_num_threads()
        torch.set_num_threads(1)
        started.wait()

    def run(index: int) -> Result:
        with torch.inference_mode(inference):
            return work(index)

    with ThreadPoolExecutor(threads, "segment-anywhere", start) as pool:
        results = pool.map(run, range(count))
        started.wait()
        # It set the number for threads that begin later, too.
        torch.set_num_threads(usual)
        yield from results
