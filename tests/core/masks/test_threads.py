"""Work in several threads."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
import torch
from segment_anywhere.core.threads import in_threads

from tests.support.paths import ROOT

# In a process of its own: threads that hang would keep the tests from ending.
SECOND_THREAD_IS_REFUSED = """
import threading
import torch
from core.threads import in_threads

start, asked, done = threading.Thread.start, [], []

def refuse_the_second(thread):
    asked.append(thread)
    if len(asked) == 2:
        raise RuntimeError("can't start new thread")
    start(thread)

torch.set_num_threads(3)
threading.Thread.start = refuse_the_second
try:
    list(in_threads(done.append, 100))
except RuntimeError as error:
    print(error, len(done) < 100)
"""


@pytest.fixture(autouse=True)
def _three_threads():
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(usual)


def _in_new_thread(work) -> int:
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
def test_results_come_in_their_order(count):
    def work(index: int) -> int:
        time.sleep(0.002 * (index % 3 == 0))
        return index * index

    assert list(in_threads(work, count)) == [index * index for index in range(count)]


def test_several_work_at_once_each_on_one_core():
    together = threading.Barrier(3)

    def work(index: int) -> int:
        together.wait(timeout=10)
        return torch.get_num_threads()

    assert list(in_threads(work, 3)) == [1, 1, 1]
    assert torch.get_num_threads() == 3
    assert _in_new_thread(torch.get_num_threads) == 3


def test_a_single_piece_stays_in_the_calling_thread():
    here = threading.get_ident()
    assert list(in_threads(lambda index: threading.get_ident(), 1)) == [here]
    torch.set_num_threads(1)
    assert set(in_threads(lambda index: threading.get_ident(), 5)) == {here}


def test_an_error_comes_in_its_turn_and_ends_the_work():
    begun = []

    def work(index: int) -> int:
        begun.append(index)
        time.sleep(0.01)
        if index == 1:
            raise ValueError("the second")
        return index

    results = in_threads(work, 100)
    assert next(results) == 0
    with pytest.raises(ValueError, match="the second"):
        next(results)
    assert len(begun) < 20


def test_whoever_stops_early_stops_the_rest():
    begun = []

    def work(index: int) -> None:
        begun.append(index)
        time.sleep(0.01)

    results = in_threads(work, 100)
    next(results)
    results.close()
    assert len(begun) < 20


@pytest.mark.parametrize("inference", [False, True])
def test_the_inference_mode_of_the_caller_holds(inference):
    with torch.inference_mode(inference):
        made = list(in_threads(lambda index: torch.zeros(1), 4))
    assert all(tensor.is_inference() is inference for tensor in made)


def test_a_thread_that_cannot_start_is_an_error_and_not_the_end_of_the_queue():
    command = [sys.executable, "-c", SECOND_THREAD_IS_REFUSED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "can't start new thread True\n", done.stderr


def test_the_number_of_threads_is_the_same_for_all_others_at_any_time():
    """Asked from threads that begin while the work's own begin, work and end."""
    seen: set[int] = set()
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            seen.add(_in_new_thread(torch.get_num_threads))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(300):
            assert list(in_threads(lambda index: torch.get_num_threads(), 3)) == [1, 1, 1]
    finally:
        is_over.set()
        watcher.join()
    assert seen == {3}
