"""Runs as a whole: interrupts, progress, equal requests, two nodes at once, what is refused."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.providers import jobs, runs, scheduler
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.reports import summary
from segment_anywhere.core.providers.runs import Hooks, segment
from segment_anywhere.core.providers.scheduler import RunLimits

from tests.support.asks import QUICK, always_uploading, ask_for, run, square_image
from tests.support.servers import KEY, SERVERS, faults

CLICK = ObjectPrompt("object 0", (Point(30, 20),))
NEGATIVE = ObjectPrompt("object 0", (Point(30, 20), Point(5, 5, False)))
BOXED = ObjectPrompt("object 0", box=Box(20, 10, 50, 35))


class Interrupted(BaseException):
    """As ComfyUI 0.25's own, no Exception."""


class InterruptedToo(Exception):
    """As ComfyUI 0.19's own."""


class Stopper:
    """Hooks that interrupt once a condition holds."""

    def __init__(self, condition, kind=Interrupted):
        self.condition = condition
        self.kind = kind
        self.is_stopped = False
        self.hooks = Hooks(self.pause, lambda done, total, text: None)

    def pause(self):
        self.is_stopped = self.is_stopped or bool(self.condition())
        if self.is_stopped:
            raise self.kind


def interrupt(server, key, condition, batch=1, paid=None, ask=None):
    """Run until the condition holds, and see that the run ends with the interrupt."""
    ask = ask or ask_for(server, key)
    with pytest.raises(Interrupted):
        run(ask, square_image(batch), hooks=Stopper(condition).hooks, paid=paid)


@pytest.mark.parametrize("key", SERVERS)
def test_a_picture_of_more_than_a_megabyte_is_sent_without_a_warning(serve, key):
    """In warnings that pytest takes for errors, aiohttp's of large bodies among them."""
    noise = torch.rand(1, 800, 800, 3, generator=torch.Generator().manual_seed(0))
    server = serve(key)
    run(ask_for(server, key), noise)
    assert server.billed == 1


@pytest.mark.parametrize("key", SERVERS)
def test_an_interrupt_while_the_answer_is_awaited(serve, key):
    server, hang = serve(key), faults.Hang()
    server.faults.append(hang)
    interrupt(server, key, lambda: server.received)
    assert not hang.answered


def test_an_interrupt_that_is_an_exception_is_no_failure_of_a_call(serve):
    server, hang = serve("fal"), faults.Hang()
    server.faults.append(hang)
    stopper = Stopper(lambda: server.received, InterruptedToo)
    with pytest.raises(InterruptedToo):
        run(ask_for(server, "fal"), hooks=stopper.hooks)
    assert not hang.answered


def test_an_interrupt_before_anything_is_sent(serve):
    server = serve("fal")
    interrupt(server, "fal", lambda: True)
    assert server.billed == 0


def test_an_interrupt_during_the_upload(serve):
    server, hang = serve("fal"), faults.Hang()
    server.file_faults.append(hang)
    ask = always_uploading(ask_for(server, "fal"))
    interrupt(server, "fal", lambda: server.uploads, ask=ask)
    assert server.received == []
    assert not hang.answered


def test_an_interrupt_while_the_result_is_fetched(serve):
    """The job is done then: there is nothing to cancel."""
    server, hang = serve("fal"), faults.Hang()
    server.result_faults.append(hang)
    interrupt(server, "fal", lambda: server.jobs and not server.result_faults)
    assert [job.is_cancelled for job in server.jobs.values()] == [False]
    assert not hang.answered


def test_an_interrupt_during_the_submission_cancels_the_job_that_comes_of_it(serve):
    server = serve("fal", mode="never_completes", delay=0.3)
    interrupt(server, "fal", lambda: server.received)
    (job,) = server.jobs.values()
    assert job.is_cancelled


def test_an_interrupt_of_jobs_in_the_queue_cancels_them_all(serve):
    server = serve("fal", mode="never_completes")

    def is_queued():
        return len(server.jobs) == 4 and all(job.looks for job in server.jobs.values())

    interrupt(server, "fal", is_queued, batch=8)
    assert [job.is_cancelled for job in server.jobs.values()] == [True] * 4


def test_an_interrupt_during_the_download_keeps_what_was_paid(serve):
    server, paid, hang = serve("fal"), Journal(), faults.Hang()
    server.file_faults.append(hang)

    def is_downloading():
        return server.files and not server.file_faults

    interrupt(server, "fal", is_downloading, paid=paid)
    assert not hang.answered
    assert len(run(ask_for(server, "fal"), paid=paid).segments) == 1
    assert server.billed == 1


def test_an_interrupt_while_waiting_to_send_again(serve):
    server = serve("segmind")
    server.faults.append(faults.status(429, "{}", Retry_After="2"))

    def is_waiting():
        return server.received and not server.faults

    interrupt(server, "segmind", is_waiting)
    assert len(server.received) == 1


def test_the_next_run_after_an_interrupt_is_fine(serve):
    server = serve("fal")
    server.faults.append(faults.Hang())
    interrupt(server, "fal", lambda: server.received)
    assert len(run(ask_for(server, "fal")).segments) == 1


def test_progress_says_how_many_are_done_and_what_the_queue_says(serve, monkeypatch):
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.15)
    monkeypatch.setattr(runs, "_REPORT_SECONDS", 0.0)
    server, seen = serve("fal", waits=4), []
    hooks = Hooks(lambda: None, lambda *report: seen.append(report))
    run(ask_for(server, "fal"), square_image(3), hooks=hooks, limits=RunLimits(2))
    texts = " ".join(text for _, _, text in seen)
    assert "queue position" in texts
    assert "segmenting" in texts
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][:2] == (3, 3)
    assert seen[-1][2].startswith("fal (fal-ai/evf-sam): 3 of 3 images")


@pytest.mark.parametrize("key", SERVERS)
def test_an_equal_request_is_sent_once(serve, key):
    server, paid = serve(key), Journal()
    first = run(ask_for(server, key), square_image(2), paid=paid)
    requests = len(server.received)
    again = run(ask_for(server, key), square_image(2), paid=paid)
    assert len(server.received) == requests == 2
    assert [call.is_new for call in again.calls] == [False, False]
    assert torch.equal(first.segments.full_masks(), again.segments.full_masks())


def test_a_new_number_sends_it_anew(serve):
    server, paid = serve("segmind"), Journal()
    ask = ask_for(server, "segmind")
    run(ask, paid=paid)
    run(replace(ask, salt="1"), paid=paid)
    run(replace(ask, salt="1"), paid=paid)
    assert server.billed == 2


def test_equal_frames_of_a_batch_are_sent_once(serve):
    server = serve("segmind", delay=0.1)
    image = square_image().expand(5, -1, -1, -1)
    assert len(run(ask_for(server, "segmind"), image).segments) == 5
    assert server.billed == 1


def test_another_reading_of_the_same_answer_costs_nothing(serve):
    server, paid = serve("imagineo", mode="mask_png"), Journal()
    options = {"prompt": "a", "answer": "alpha"}
    with pytest.raises(ProviderError, match="not clearly a mask: it has no transparency"):
        run(ask_for(server, "imagineo", options), paid=paid)
    result = run(ask_for(server, "imagineo", {**options, "answer": "luma"}), paid=paid)
    assert len(result.segments) == 1
    assert server.billed == 1


def test_two_nodes_at_once(serve):
    """As ComfyUI runs asynchronous nodes: in one loop, with one memory."""
    server, paid = serve("fal", delay=0.1), Journal()
    ask = replace(ask_for(server, "fal"), objects=[[]] * 3)
    hooks = Hooks(lambda: None, lambda done, total, text: None)

    async def both():
        work = [segment(square_image(3), ask, QUICK, hooks, paid) for _ in range(2)]
        return await asyncio.gather(*work)

    one, two = asyncio.run(both())
    assert torch.equal(one.segments.full_masks(), two.segments.full_masks())
    assert server.billed == 3


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_calls_at_a_time_than_asked_for(serve, concurrency):
    server = serve("segmind", delay=0.1)
    run(ask_for(server, "segmind"), square_image(8), limits=RunLimits(concurrency))
    assert server.most_at_once == concurrency


REFUSALS = [
    ("imagineo", {"prompt": "a"}, [CLICK], "does not take points.*AI Refinery.*Segmind"),
    ("imagineo", {"prompt": "a"}, [BOXED], "does not take boxes.*fal .fal-ai/sam2/image"),
    ("airefinery", {"prompt": "a"}, [], "does not take a prompt in words.*MoArk"),
    ("airefinery", {}, [NEGATIVE], "negative points.*Segmind"),
    ("airefinery", {}, [BOXED], "boxes"),
    ("segmind", {"prompt": "a"}, [CLICK], "words or points and boxes, not both"),
    ("segmind", {}, [BOXED], "boxes"),
    ("moark", {"prompt": "a"}, [CLICK], "points"),
    ("fal", {"prompt": "a"}, [CLICK], r"fal \(fal-ai/evf-sam\) does not take points"),
    ("fal", {"endpoint": "fal-ai/sam2/image", "prompt": "a"}, [], "prompt in words"),
    ("fal", {"endpoint": "fal-ai/sam-3/image", "negative_prompt": "b"}, [], "negative_prompt"),
    ("fal", {"prompt": "a", "blur_mask": 4}, [], "blur_mask: found 4.*Use 5"),
    ("fal", {"endpoint": "fal-ai/other", "prompt": "a"}, [], "endpoint: found 'fal-ai/other'"),
    ("custom", {"prompt": "a"}, [CLICK], r"Your server \(openai\) does not take points"),
    ("imagineo", {"prompt": "a", "image_url": "dahlia.jpg"}, [], "image_url: found 'dahlia.jpg'"),
]


@pytest.mark.parametrize(("key", "options", "objects", "message"), REFUSALS)
def test_what_a_provider_cannot_take_is_refused_before_anything_is_sent(
    serve, key, options, objects, message
):
    server = serve(key)
    with pytest.raises(InputError, match=message):
        run(ask_for(server, key, options, [objects]))
    assert server.received == []


@pytest.mark.parametrize(
    ("profile", "options", "message"),
    [
        ({"dialect": "grpc"}, {"prompt": "a"}, "dialect 'grpc'; accepted are openai"),
        ({"dialect": "roboflow"}, {"prompt": ",".join("abcdefghijklmnopq")}, "found 17 phrases"),
        ({"dialect": "roboflow"}, {"prompt": "、".join("abcdefghijklmnopq")}, "found 17 phrases"),
    ],
)
def test_profiles_that_are_refused(serve, profile, options, message):
    server = serve("custom")
    with pytest.raises(InputError, match=message):
        run(ask_for(server, "custom", options, **profile))
    assert server.received == []


def test_an_address_for_a_whole_batch_is_refused(serve):
    options = {"prompt": "a", "image_url": "https://example.com/a.png"}
    with pytest.raises(InputError, match="one address for a batch of 2 images"):
        run(ask_for(serve("fal"), "fal", options), square_image(2))


def test_no_prompt_sends_nothing(serve):
    server = serve("segmind")
    result = run(ask_for(server, "segmind", {"prompt": " "}), square_image(2))
    assert len(result.segments) == 0
    assert result.segments.batch == 2
    assert server.received == []


def test_a_frame_without_boxes_asks_for_nothing(serve):
    server = serve("fal")
    ask = ask_for(server, "fal", {"endpoint": "fal-ai/sam2/image"}, [[BOXED], [], [BOXED]])
    result = run(ask, square_image(3))
    assert result.segments.frames.tolist() == [0, 2]
    assert server.billed == 2


def test_the_next_pictures_are_encoded_while_answers_are_awaited(serve, monkeypatch):
    """Two calls at a time: the pictures of the two after them are ready when these are answered."""
    server, answers, encoded = serve("segmind"), threading.Event(), []
    server.faults.extend([faults.held(answers)] * 2)
    encode = scheduler.encode_picture

    def counting(*args):
        encoded.append(args)
        return encode(*args)

    def pause():
        if len(encoded) == 4 and len(server.received) == 2:
            answers.set()

    monkeypatch.setattr(scheduler, "encode_picture", counting)
    hooks = Hooks(pause, lambda done, total, text: None)
    run(ask_for(server, "segmind"), square_image(6), RunLimits(2, timeout=20), hooks=hooks)
    assert answers.is_set()
    assert len(encoded) == len(server.received) == 6


def test_the_summary_tells_what_a_user_wants_to_know_and_no_secret(serve):
    server, paid = serve("segmind"), Journal()
    ask = ask_for(server, "segmind")
    told = summary(ask, run(ask, square_image(2), RunLimits(1), paid=paid))
    assert told["provider"] == "segmind"
    assert told["objects"] == 2
    assert told["labels"] == {"square": 2}
    assert {call["credits_left"] for call in told["calls"]} == {"99.5", "99"}
    assert all(call["request_id"].startswith("seg-") and call["sent"] for call in told["calls"])
    assert KEY not in json.dumps(told)


def test_the_summary_has_seconds_to_the_millisecond(serve):
    server = serve("segmind")
    ask = ask_for(server, "segmind")
    result = run(ask)
    timed = replace(result, seconds=1.23456, calls=(replace(result.calls[0], seconds=0.98765),))
    told = summary(ask, timed)
    assert told["seconds"] == 1.235
    assert [call["seconds"] for call in told["calls"]] == [0.988]
    assert set(told["calls"][0]) == {
        "frame",
        "seconds",
        "sent",
        "prompt",
        "request_id",
        "credits_left",
        "cost",
    }
