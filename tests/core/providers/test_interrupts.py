"""The user's interrupt: the first lets what was sent end in the journal, the second gives it up."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from segment_anywhere.core.providers import runs, transport
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.runs import Hooks
from segment_anywhere.core.providers.scheduler import RunLimits

from tests.support.asks import QUICK, ask_for, run, square_image
from tests.support.servers import SERVERS, faults


class Interrupted(BaseException):
    """As ComfyUI 0.25's own, no Exception."""


class Interrupts:
    """Hooks that interrupt once for each condition, in their order, as soon as it holds."""

    def __init__(self, *conditions):
        self.conditions = list(conditions)
        self.texts = []
        self.hooks = Hooks(self.pause, lambda done, total, text: self.texts.append(text))

    def pause(self):
        if self.conditions and self.conditions[0]():
            self.conditions.pop(0)
            raise Interrupted


@pytest.mark.parametrize("key", SERVERS)
def test_what_was_sent_is_kept_and_nothing_more_is_sent(serve, key, monkeypatch):
    monkeypatch.setattr(runs, "_REPORT_SECONDS", 0.0)
    server, paid = serve(key, delay=0.4), Journal()
    once = Interrupts(lambda: len(server.received) == 2)
    limits = RunLimits(2, 20.0, QUICK.transport)
    with pytest.raises(Interrupted):
        run(ask_for(server, key), square_image(6), limits=limits, hooks=once.hooks, paid=paid)
    assert server.billed == len(server.received) == 2
    assert any("waiting for 2 calls that were sent" in text for text in once.texts)
    server.delay = 0
    result = run(ask_for(server, key), square_image(6), paid=paid)
    assert sum(call.is_new for call in result.calls) == 4
    assert server.billed == 6


def test_jobs_are_waited_for_and_a_second_interrupt_takes_them_back(serve):
    server, paid = serve("fal", mode="never_completes"), Journal()

    def are_queued():
        return len(server.jobs) == 4 and all(job.looks for job in server.jobs.values())

    looks = []

    def are_still_asked_after():
        looks.append(min(job.looks for job in server.jobs.values()))
        return looks[-1] > looks[0] + 3

    twice = Interrupts(are_queued, are_still_asked_after)
    with pytest.raises(Interrupted):
        run(ask_for(server, "fal"), square_image(8), hooks=twice.hooks, paid=paid)
    assert [job.is_cancelled for job in server.jobs.values()] == [True] * 4
    # Their tickets are gone with them.
    server.mode = "url"
    assert all(
        call.is_new for call in run(ask_for(server, "fal"), square_image(8), paid=paid).calls
    )


def test_what_is_under_way_when_time_is_up_keeps_its_ticket(serve):
    """Nobody has to wait for a job that the next run can ask for."""
    server, paid = serve("fal", mode="never_completes"), Journal()
    once = Interrupts(lambda: server.jobs and all(job.looks for job in server.jobs.values()))
    with pytest.raises(Interrupted):
        limits = RunLimits(4, 0.8, QUICK.transport)
        run(ask_for(server, "fal"), square_image(2), limits=limits, hooks=once.hooks, paid=paid)
    server.mode = "url"
    result = run(ask_for(server, "fal"), square_image(2), paid=paid)
    assert not any(call.is_new for call in result.calls)
    assert server.billed == 2


def test_a_host_that_cannot_show_anything_sends_nothing(serve):
    """And the next run is not kept waiting by this one."""
    server, paid = serve("segmind"), Journal()

    def report(done, total, text):
        raise OSError("the browser is gone")

    with pytest.raises(OSError, match="the browser is gone"):
        run(ask_for(server, "segmind"), hooks=Hooks(lambda: None, report), paid=paid)
    assert server.received == []
    assert len(run(ask_for(server, "segmind"), paid=paid).segments) == 1


def test_what_breaks_in_the_runs_own_thread_reaches_the_host(serve, monkeypatch):
    async def broken(self):
        raise OSError("no more files may be open")

    server = serve("segmind")
    monkeypatch.setattr(transport.Transport, "__aenter__", broken)
    with pytest.raises(OSError, match="no more files"):
        run(ask_for(server, "segmind"))


def test_an_answer_that_is_still_to_come_keeps_no_image_in_memory(serve):
    server, answer = serve("segmind"), threading.Event()
    server.faults.append(faults.held(answer))
    image = square_image()
    alive = weakref.ref(image)
    with pytest.raises(ProviderError, match="no result within"):
        run(ask_for(server, "segmind"), image, limits=RunLimits(1, 0.3, QUICK.transport))
    del image
    deadline = time.monotonic() + 30
    while alive() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    assert alive() is None
    assert not answer.is_set()
    answer.set()
