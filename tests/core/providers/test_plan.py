"""Which calls a run makes: phrases, what is not wanted, limits, jobs that are left and resumed."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.providers import runs, scheduler
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.reports import summary
from segment_anywhere.core.providers.runs import Hooks, segment
from segment_anywhere.core.providers.scheduler import RunLimits
from segment_anywhere.core.providers.wire import Reading

from tests.support.asks import QUICK, SIZE, ask_for, run, square_image, square_mask
from tests.support.servers import SERVERS, faults

SAM3 = {"endpoint": "fal-ai/sam-3/image"}
BOXED = ObjectPrompt("object 0", box=Box(20, 10, 50, 35))
CLICK = ObjectPrompt("object 0", (Point(30, 20),))

# What two phrases become: the words of each call. Providers that name what they find get both.
PHRASES = {
    "imagineo": ("imagineo", {}, {}, ["dog", "red cat"]),
    "segmind": ("segmind", {}, {}, ["dog", "red cat"]),
    "moark": ("moark", {}, {}, ["dog, red cat"]),
    "fal evf-sam": ("fal", {}, {}, ["dog", "red cat"]),
    "fal sam-3": ("fal", SAM3, {}, ["dog", "red cat"]),
    "your server": ("custom", {}, {}, ["dog", "red cat"]),
}


@pytest.mark.parametrize("name", PHRASES)
def test_each_phrase_is_found_and_named(serve, name):
    key, options, profile, words = PHRASES[name]
    server = serve(key)
    ask = ask_for(server, key, {"prompt": "dog, red cat", **options}, **profile)
    result = run(ask, square_image(2))
    sent = [each.fields["prompt"] for each in server.received]
    assert Counter(sent) == Counter(words * 2)
    if len(words) == 2:
        assert set(result.segments.labels) == {"dog", "red cat"}
        assert [call.prompt for call in result.calls] == words * 2
        # The nth of a label has one id in all frames.
        ids = zip(result.segments.labels, result.segments.ids.tolist(), strict=True)
        assert len(set(ids)) == len(set(result.segments.ids.tolist()))


def colours() -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """A red and a smaller blue square on green, and where they are."""
    image = square_image()
    image[:, 36:46, 4:16] = torch.tensor([0.1, 0.15, 0.85])
    blue = np.zeros(SIZE, bool)
    blue[36:46, 4:16] = True
    return image, {"red": square_mask(), "blue": blue}


def overlap(mask: torch.Tensor, expected: np.ndarray) -> float:
    inside = mask.numpy() > 127
    return float((inside & expected).sum() / (inside | expected).sum())


ROBOFLOW = {"dialect": "roboflow"}
WORDS = {**PHRASES, "roboflow": ("custom", {}, ROBOFLOW, [])}


@pytest.mark.parametrize("name", WORDS)
def test_the_swap_for_text_segment_holds(serve, name):
    """Whoever segments: each phrase's objects, under its label, and nothing of the unwanted."""
    key, options, profile, _ = WORDS[name]
    server = serve(key)
    image, places = colours()
    ask = ask_for(server, key, {"prompt": "red, blue", **options}, **profile)
    segments = run(ask, image).segments
    assert segments.labels == ("red", "blue")
    for row, label in enumerate(segments.labels):
        assert overlap(segments.mask(row), places[label]) > 0.9
    both = {"prompt": "square", **options}
    if name == "fal evf-sam":
        both["semantic_type"] = True
    ask = replace(ask_for(server, key, both, **profile), unwanted="blue")
    union = run(ask, image).segments.full_masks().amax(0)
    assert overlap(union, places["red"]) > 0.9


def test_words_beside_a_box_stay_one_phrase(serve):
    server = serve("fal")
    run(ask_for(server, "fal", {"prompt": "dog, cat", **SAM3}, [[BOXED]]))
    assert [each.fields["prompt"] for each in server.received] == ["dog, cat"]


def test_a_phrase_that_is_asked_for_and_not_wanted(serve):
    server = serve("segmind")
    ask = replace(ask_for(server, "segmind", {"prompt": "Dog, cat"}), unwanted="dog")
    with pytest.raises(InputError, match='"dog" is in prompt too'):
        run(ask)
    assert server.received == []


def test_a_provider_without_words_cannot_take_words_away(serve):
    server = serve("airefinery")
    ask = replace(ask_for(server, "airefinery"), unwanted="dog")
    with pytest.raises(InputError, match="negative_prompt: AI Refinery does not take a prompt in"):
        run(ask)
    assert server.received == []


def test_what_is_not_wanted_goes_to_a_provider_that_takes_it_away_itself(serve):
    server = serve("fal")
    options = {"prompt": "dog", "negative_prompt": "tail"}
    run(replace(ask_for(server, "fal", options), unwanted="ears, nose"))
    (sent,) = server.received
    assert sent.fields["negative_prompt"] == "tail, ears, nose"


@pytest.mark.parametrize("key", ["segmind", "moark", "custom"])
def test_what_is_not_wanted_is_asked_for_and_taken_away(serve, key):
    """All of these find the same square for any word, so that nothing is left of it."""
    server = serve(key)
    ask = replace(ask_for(server, key, {"prompt": "dog"}), unwanted="ears, nose")
    # One call at a time, for those under way together arrive in any order.
    result = run(ask, limits=RunLimits(1))
    sent = [each.fields["prompt"] for each in server.received]
    assert sent == (["dog", "ears, nose"] if key == "moark" else ["dog", "ears", "nose"])
    assert len(result.segments) == 0


def test_points_may_be_accompanied_by_unwanted_words(serve):
    server = serve("segmind")
    ask = replace(ask_for(server, "segmind", {}, [[CLICK]]), unwanted="ears")
    assert len(run(ask).segments) == 0
    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("threshold", "most", "count"), [(0.0, 0, 2), (0.95, 0, 2), (0.96, 0, 0), (0.0, 1, 1)]
)
def test_scores_and_numbers_of_objects(serve, threshold, most, count):
    """MoArk's server scores everything 0.95; both objects have one label."""
    image = square_image()
    image[:, 38:46, 5:15] = torch.tensor([0.1, 0.1, 0.9])
    ask = ask_for(serve("moark"), "moark", {"prompt": ""})
    ask = replace(ask, threshold=threshold, max_objects=most)
    assert len(run(ask, image).segments) == count


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", 1.5),
        ("threshold", float("nan")),
        ("threshold", True),
        ("max_objects", -1),
        ("max_calls", 2.5),
    ],
)
def test_numbers_that_are_refused(serve, field, value):
    server = serve("segmind")
    with pytest.raises(InputError, match=f"{field}: found"):
        run(replace(ask_for(server, "segmind"), **{field: value}))
    assert server.received == []


@pytest.mark.parametrize("key", SERVERS)
def test_more_calls_than_are_allowed_send_none(serve, key):
    server, paid = serve(key), Journal()
    few = replace(ask_for(server, key), max_calls=2)
    with pytest.raises(InputError, match="max_calls: found 2, but this run would send 3 calls"):
        run(few, square_image(3), paid=paid)
    assert server.received == []
    run(few, square_image(2), paid=paid)
    # Two are answered already.
    assert len(run(few, square_image(4), paid=paid).segments) == 4
    assert server.billed == 4


def test_the_number_of_calls_is_said_before_the_first_is_sent(serve, monkeypatch):
    monkeypatch.setattr(runs, "_REPORT_SECONDS", 0.0)
    server, paid, seen = serve("segmind", delay=0.3), Journal(), []
    run(ask_for(server, "segmind"), square_image(1), paid=paid)
    hooks = Hooks(lambda: None, lambda *report: seen.append((report[2], len(server.received))))
    ask = ask_for(server, "segmind", {"prompt": "square, dog"})
    run(ask, square_image(2), limits=RunLimits(1), hooks=hooks, paid=paid)
    told = [received for text, received in seen if "3 calls to send, 1 answered already" in text]
    # The one of the run before.
    assert told[0] == 1


def test_what_is_answered_already_is_not_even_encoded(serve, monkeypatch):
    server, paid, encoded = serve("segmind"), Journal(), []
    original = scheduler.encode_picture
    monkeypatch.setattr(
        scheduler, "encode_picture", lambda *args: encoded.append(1) or original(*args)
    )
    ask = ask_for(server, "segmind", {"prompt": "dog, cat"})
    for _ in range(2):
        run(ask, square_image(3), paid=paid)
        # Once for both of its phrases.
        assert len(encoded) == 3


@pytest.mark.parametrize("read_as", [Reading.LUMA, Reading.ALPHA])
def test_every_provider_s_pictures_can_be_read_another_way(serve, read_as):
    server, paid = serve("segmind"), Journal()
    ask = replace(ask_for(server, "segmind"), read_as=read_as)
    if read_as is Reading.ALPHA:
        with pytest.raises(ProviderError, match="it has no transparency.*read_as.*answer is kept"):
            run(ask, paid=paid)
    else:
        assert len(run(ask, paid=paid).segments) == 1
    assert len(run(ask_for(server, "segmind"), paid=paid).segments) == 1
    assert server.billed == 1


def test_jobs_that_are_not_waited_for_are_collected_by_another_run(serve):
    server, paid = serve("fal", mode="never_completes"), Journal()
    ask = replace(ask_for(server, "fal"), waits=False)
    first = run(ask, square_image(3), paid=paid)
    assert len(first.segments) == 0
    told = summary(ask, first)
    assert sorted(told["pending"]) == sorted(server.jobs)
    assert all(call["sent"] and call["pending"] and call["job"] for call in told["calls"])
    # Two are done by now, and the third is not.
    server.mode, server.waits = "url", 3
    for job in list(server.jobs.values())[:2]:
        job.looks = 9
    second = run(ask, square_image(3), paid=paid)
    assert len(second.segments) == 2
    assert len(summary(ask, second)["pending"]) == 1
    third = run(ask_for(server, "fal"), square_image(3), paid=paid)
    assert len(third.segments) == 3
    assert not any(call.is_new for call in third.calls)
    assert server.billed == 3


KEPT = {
    "a phrase of one image": ("segmind", "dog, cat, bird", 1, True, "results of 2 other calls"),
    "a phrase of two images": ("segmind", "dog, cat", 2, True, "results of 3 other calls"),
    "an image": ("segmind", "dog", 3, True, "results of 2 are"),
    "a job of several": ("fal", "dog", 3, False, "tickets of 2 are"),
    "all there is": ("segmind", "dog", 1, True, ""),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_failure_tells_what_the_next_run_need_not_pay_for(serve, name):
    key, prompt, batch, waits, kept = KEPT[name]
    server, paid = serve(key, **({} if waits else {"mode": "never_completes"})), Journal()
    server.faults.append(faults.status(422, faults.TOO_LONG))
    ask = replace(ask_for(server, key, {"prompt": prompt}), waits=waits)
    with pytest.raises(ProviderError, match="refused") as caught:
        run(ask, square_image(batch), paid=paid)
    assert kept in str(caught.value)
    assert (" kept: run again" in str(caught.value)) == bool(kept)
    billed = server.billed
    assert sum(call.is_new for call in run(ask, square_image(batch), paid=paid).calls) == 1
    assert server.billed == billed + 1


@pytest.mark.parametrize("key", [key for key in SERVERS if key != "fal"])
def test_without_a_queue_there_is_nothing_to_leave_or_resume(serve, key):
    server = serve(key)
    ask = ask_for(server, key)
    with pytest.raises(InputError, match="wait: found off, but .* has no queue.*fal"):
        run(replace(ask, waits=False))
    with pytest.raises(InputError, match="resume: found ids, but .* has no queue.*fal"):
        run(replace(ask, resume=("a",)))
    assert server.received == []


def test_results_of_jobs_that_are_named(serve):
    """As after a crash of another machine, where there is no journal."""
    server = serve("fal")
    run(ask_for(server, "fal"), square_image(2))
    ask = replace(ask_for(server, "fal"), resume=tuple(server.jobs))
    result = run(ask, square_image(2))
    assert len(result.segments) == 2
    assert [call.job for call in result.calls] == list(server.jobs)
    assert server.billed == 2
    with pytest.raises(InputError, match="resume: found 2 ids for 3 calls"):
        run(ask, square_image(3))
    unknown = replace(ask, resume=("00000000-0000-4000-8000-000000000009",))
    with pytest.raises(ProviderError, match="404.*Request not found"):
        run(unknown)
    assert server.billed == 2


def test_two_runs_in_one_loop_share_what_is_paid(serve):
    server, paid = serve("segmind", delay=0.1), Journal()
    asks = [ask_for(server, "segmind", {"prompt": words}) for words in ("dog", "dog, cat")]
    hooks = Hooks(lambda: None, lambda done, total, text: None)

    async def both() -> None:
        await asyncio.gather(*(segment(square_image(), a, QUICK, hooks, paid) for a in asks))

    asyncio.run(both())
    assert server.billed == 2


def test_images_of_different_shapes_are_different_requests(serve):
    """Though they have the same bytes in a row."""
    server, paid = serve("segmind"), Journal()
    ask = ask_for(server, "segmind")
    for shape in ((1, 48, 64, 3), (1, 64, 48, 3)):
        run(ask, torch.full(shape, 0.5), paid=paid)
    assert server.billed == 2


def test_what_a_profile_adds_to_requests_tells_them_apart(serve):
    server, paid = serve("segmind"), Journal()
    for team in ("a", "b", "a"):
        run(ask_for(server, "segmind", headers={"X-Team": team}), paid=paid)
    assert server.billed == 2


def test_points_that_are_not_wanted_go_with_every_phrase_and_are_no_object(serve):
    server = serve("segmind")
    off = ObjectPrompt("object 0", (Point(60, 2, False),))
    segments = run(ask_for(server, "segmind", {"prompt": "dog, cat"}, [[off]])).segments
    assert segments.labels == ("dog", "cat")
    assert segments.ids.tolist() == [0, 1]


@pytest.mark.parametrize("most", [0, 2])
def test_words_give_the_best_first_as_in_text_segment(serve, most):
    server = serve("fal")
    image, _ = colours()
    ask = replace(ask_for(server, "fal", {"prompt": "squares", **SAM3}), max_objects=most)
    scores = run(ask, image).segments.scores.tolist()
    assert len(scores) == 2 and scores == sorted(scores, reverse=True)


def test_a_host_that_ends_costs_no_answer(serve):
    """As when another node of the same graph fails, while this one waits."""
    server, paid = serve("segmind", delay=0.6), Journal()
    hooks = Hooks(lambda: None, lambda done, total, text: None)
    asked = replace(ask_for(server, "segmind"), objects=[[]] * 4)

    async def other() -> None:
        while len(server.received) < 4:
            await asyncio.sleep(0.01)
        raise ValueError("another node")

    async def host() -> None:
        await asyncio.gather(segment(square_image(4), asked, QUICK, hooks, paid), other())

    with pytest.raises(ValueError, match="another node"):
        asyncio.run(host())
    result = run(ask_for(server, "segmind"), square_image(4), paid=paid)
    assert not any(call.is_new for call in result.calls)
    assert server.billed == 4
