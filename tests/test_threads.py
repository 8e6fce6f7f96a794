"""Work in several threads."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from segment_anywhere.core.masks.threads import in_threads


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
