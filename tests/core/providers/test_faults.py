"""What goes wrong at a provider's: which words the user gets, what is repeated, what is billed."""

from __future__ import annotations

import logging
import re
from collections import deque
from contextlib import ExitStack
from dataclasses import replace

import pytest
from segment_anywhere.core.providers import scheduler, transport
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.runs import Hooks
from segment_anywhere.core.providers.scheduler import RunLimits
from segment_anywhere.core.providers.transport import Limits
from yarl import URL

from tests.support.asks import QUICK, ask_for, run, square_image
from tests.support.servers import KEY, SERVERS, faults, serving

SMALL = RunLimits(4, 20.0, Limits(2.0, 3, 0.02, 2.0, answer_bytes=2**20))
# fault, what the message says, how many requests the provider sees. Of all vendors' clients fal's
# alone has a rule for the page of a gateway, see vendors/test_fal.py.
FAULTS = {
    "no credits": (faults.status(402, '{"error": "top up"}'), "no credits left.*top up", 1),
    "404": (faults.status(404, '{"detail": "no such model"}'), "does not exist.*no such model", 1),
    "405": (faults.status(405, faults.HTML_502, "text/html"), "does not exist", 1),
    "410": (faults.status(410, '{"error": "retired"}'), "retired", 1),
    "422 list": (faults.status(422, faults.TOO_LONG), "refused.*body.prompt: too long", 1),
    "422 text": (faults.status(422, '{"detail": "too small"}'), "refused.*too small", 1),
    "429": (faults.status(429, '{"error": "slow down"}'), "too many requests.*slow down", 3),
    "429, later": (faults.status(429, "", Retry_After="3600"), "too many requests", 1),
    "500": (faults.status(500, '{"error": "cuda"}'), r"failed on its side \(500\): cuda", 1),
    "502 HTML": (faults.status(502, faults.HTML_502, "text/html"), "web page .502 Bad Gateway", 1),
    "503": (faults.status(503, ""), r"failed on its side \(503\)", 1),
    "redirect": (faults.status(307, "", Location="https://evil.example/x"), "redirect to", 1),
    "reset": (faults.reset, "may have been billed", 1),
    "huge": (faults.huge, "too large to be read or kept: more than 1 MiB.*fewer objects", 1),
    "endless": (faults.endless, "too large to be read or kept: more than 1 MiB", 1),
    "empty": (faults.body(b"", "application/json"), "answer cannot be used", 1),
    "half JSON": (faults.body(b'{"segments": [{"id', "application/json"), "cannot be used", 1),
    "HTML with 200": (faults.body(b"<!doctype html>hello", "image/png"), "cannot be used", 1),
    "SVG": (faults.body(faults.SVG, "image/svg+xml"), "cannot be used", 1),
    "other JSON": (faults.body(b"[1, 2]", "application/json"), "cannot be used", 1),
}


@pytest.mark.parametrize("key", SERVERS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_explained_and_nothing_is_billed_twice(serve, key, name):
    fault, words, requests = FAULTS[name]
    server = serve(key)
    server.faults = deque([fault] * 10)
    with pytest.raises(ProviderError) as caught:
        run(ask_for(server, key), limits=SMALL)
    message = str(caught.value)
    assert re.search(words, message), message
    assert re.search(r"[A-Z].*\.$", message)
    assert KEY not in message
    is_repeated = (key, name) == ("fal", "502 HTML")
    assert len(server.received) == (SMALL.transport.attempts if is_repeated else requests)


PICTURES = {
    "half a picture": faults.changed(lambda data: data[: len(data) // 2]),
    "bomb": faults.body(faults.bomb(), "image/png"),
    "SVG": faults.body(faults.SVG, "image/svg+xml"),
    "a page": faults.body(b"<html>gone</html>", "text/html"),
    "empty": faults.body(b"", "image/png"),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("key", ["imagineo", "segmind", "fal"])
def test_a_broken_picture_is_refused(serve, key, name):
    """As the answer itself, or as the file that an answer names."""
    server = serve(key)
    (server.file_faults if key == "fal" else server.faults).append(PICTURES[name])
    with pytest.raises(ProviderError, match="answer cannot be used"):
        run(ask_for(server, key))


@pytest.mark.parametrize("key", [key for key in SERVERS if key != "custom"])
@pytest.mark.parametrize("wrong", ["sk-wrong-0123456789abcdef", "sk-expired-0123456789abcdef"])
def test_a_wrong_key_is_named_but_not_shown(serve, key, wrong):
    """ImagineoAI's server repeats the key in its error, as careless services do."""
    server = serve(key)
    with pytest.raises(ProviderError) as caught:
        run(ask_for(server, key, secret=wrong), square_image(6))
    message = str(caught.value)
    assert "the key was refused (401)" in message
    assert "in the environment, or providers.toml" in message
    assert wrong not in message
    assert server.billed == 0


def test_a_key_that_is_refused_is_not_tried_on_the_whole_batch(serve):
    server = serve("segmind")
    server.faults = deque([faults.status(401, '{"error": "expired"}')] * 50)
    with pytest.raises(ProviderError, match="were not sent, for they would have failed too"):
        run(ask_for(server, "segmind"), square_image(20))
    assert len(server.received) <= QUICK.concurrency


def waits(caplog) -> list[float]:
    """The seconds that the transport chose to wait before it sent something again."""
    return [record.args[2] for record in caplog.records if "next attempt" in record.msg]


@pytest.mark.parametrize("key", SERVERS)
def test_429_waits_as_long_as_it_is_told(serve, key, caplog):
    caplog.set_level(logging.INFO, transport.__name__)
    server = serve(key)
    server.faults = deque([faults.status(429, "{}", Retry_After="1")])
    assert len(run(ask_for(server, key)).segments) == 1
    (wait,) = waits(caplog)
    assert 1 <= wait <= 1 + QUICK.transport.first_wait
    assert server.billed == 1


@pytest.mark.parametrize(("moment", "requests"), [("2020-01-01", 2), ("2120-01-01", 1)])
def test_segmind_says_when_to_come_back_in_a_header_of_its_own(serve, caplog, moment, requests):
    """In the past: at once; too far away: not in this run. Without it, it is asked three times."""
    caplog.set_level(logging.INFO, transport.__name__)
    server = serve("segmind")
    headers = {"x_rate_limit_reset_at_utc": f"{moment}T00:00:00Z"}
    server.faults = deque([faults.status(429, '{"error": "rate"}', **headers)] * (3 - requests))
    ask = ask_for(server, "segmind")
    if requests == 1:
        with pytest.raises(ProviderError, match="too many requests.*rate"):
            run(ask)
    else:
        run(ask)
        assert max(waits(caplog)) <= QUICK.transport.first_wait
    assert len(server.received) == requests


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": "Not enough credits"}', "no credits left"),
        ('{"error": "Invalid content type"}', "was refused .406.: Invalid content type"),
        ("", "no credits left"),
    ],
)
def test_segminds_406_is_not_only_about_credits(serve, body, words):
    server = serve("segmind")
    server.faults.append(faults.status(406, body))
    with pytest.raises(ProviderError, match=words):
        run(ask_for(server, "segmind"))


def test_moarks_unbought_package_and_its_200_with_an_error(serve):
    server = serve("moark", mode="200_with_error")
    with pytest.raises(ProviderError, match="Service Temporarily Unavailable|500"):
        run(ask_for(server, "moark"))
    text = '{"error": {"code": "400", "message": "该令牌未绑定到任何资源包"}}'
    server.faults.append(faults.status(400, text))
    with pytest.raises(ProviderError, match="no credits left.*资源包"):
        run(ask_for(server, "moark"))


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("negative", "negative runs"),
        ("short", "add up to"),
        ("wrong_size", "add up to"),
        ("no_counts", "run lengths are expected"),
    ],
)
def test_damaged_run_lengths(serve, mode, words):
    with pytest.raises(ProviderError, match=words):
        run(ask_for(serve("moark", mode=mode), "moark"))


def test_fal_repeats_what_fal_marks_as_repeatable(serve):
    server = serve("fal")
    marked = faults.status(503, '{"detail": "runner gone"}', x_fal_retryable="true")
    server.faults = deque([marked, marked])
    assert len(run(ask_for(server, "fal")).segments) == 1
    assert len(server.received) == 3
    assert server.billed == 1


def test_hugging_face_loads_its_model_first(serve):
    server = serve("custom")
    server.faults.append(faults.status(503, '{"error": "loading", "estimated_time": 0.1}'))
    ask = ask_for(server, "custom", {}, dialect="huggingface", model="owner/model")
    assert len(run(ask).segments) == 1


@pytest.mark.parametrize("key", SERVERS)
@pytest.mark.parametrize("fault", [faults.Hang(), faults.drip], ids=["hang", "drip"])
def test_a_call_has_an_end(serve, key, fault):
    """Either would go on for a minute, and then be another failure."""
    server = serve(key)
    server.faults.append(fault)
    with pytest.raises(ProviderError, match="took too long: no result within 0.6 s"):
        run(ask_for(server, key), limits=RunLimits(4, 0.6, QUICK.transport))


def test_an_answer_that_comes_too_late_is_kept(serve):
    """Nothing more is sent after it, and the next run gets it for free."""
    server, paid = serve("segmind", delay=0.9), Journal()
    short = RunLimits(1, 0.6, QUICK.transport)
    with pytest.raises(ProviderError) as caught:
        run(ask_for(server, "segmind"), square_image(3), limits=short, paid=paid)
    message = str(caught.value)
    assert re.search("1 of 3 images failed. Image [0-2]: it took too long: no result", message)
    assert "its answer is still waited for" in message
    assert "2 were not sent" in message
    # It is waited for by the next run, too, which sends nothing for it.
    server.delay = 0
    result = run(ask_for(server, "segmind"), square_image(3), paid=paid)
    assert sorted(call.is_new for call in result.calls) == [False, True, True]
    assert server.billed == 3


def test_nobody_is_there(serve):
    server = serve("custom")
    ask = ask_for(server, "custom")
    away = replace(ask.profile, url="http://127.0.0.1:9")
    with pytest.raises(ProviderError, match="the connection failed: .*127.0.0.1:9"):
        run(replace(ask, profile=away))


def test_failed_frames_are_named_and_the_next_run_sends_only_those(serve, monkeypatch):
    # One at a time, so that the faults meet the frames in order.
    monkeypatch.setattr(scheduler, "_ENCODERS", 1)
    server, paid = serve("segmind"), Journal()
    broken = faults.status(500, '{"error": "cuda"}')
    server.faults = deque([None, broken, None, None, broken, None])
    image = square_image(6)
    one = RunLimits(1, 20.0, QUICK.transport)
    with pytest.raises(ProviderError) as caught:
        run(ask_for(server, "segmind"), image, limits=one, paid=paid)
    message = str(caught.value)
    assert "2 of 6 images failed. Image 1, 4: it failed on its side (500): cuda." in message
    assert "The results of 4 are kept" in message
    result = run(ask_for(server, "segmind"), image, paid=paid)
    assert result.segments.frames.tolist() == list(range(6))
    assert [call.is_new for call in result.calls] == [False, True, False, False, True, False]
    assert server.billed == 6


SOMETIMES = [
    faults.status(500, '{"error": "internal"}'),
    faults.status(503, ""),
    faults.status(422, faults.TOO_LONG),
    faults.body(b"", "image/png"),
]
BUSY = faults.status(429, "{}", Retry_After="0")


@pytest.mark.parametrize("key", ["segmind", "fal"])
@pytest.mark.parametrize("concurrency", [4, 8, 16])
def test_a_hundred_frames_of_which_five_in_a_hundred_fail_in_each_way(serve, key, concurrency):
    """None is lost, none is billed twice, and the second run sends what is missing alone."""
    server, paid = serve(key), Journal()
    image = square_image(100)
    pattern: list = [None] * 20
    pattern[3 : 3 + 2 * len(SOMETIMES) : 2] = SOMETIMES
    # What is told to wait is sent again in the same run.
    pattern[15] = BUSY
    server.faults = deque(pattern * 5)
    limits = RunLimits(concurrency, 20.0, QUICK.transport)
    ask = ask_for(server, key)
    failing = 5 * len(SOMETIMES)
    with pytest.raises(ProviderError, match=f"{failing} of 100 images failed"):
        run(ask, image, limits=limits, paid=paid)
    assert server.billed == 100 - failing
    result = run(ask, image, limits=limits, paid=paid)
    assert sum(call.is_new for call in result.calls) == failing
    assert server.billed == 100
    assert len(server.received) == 100 + failing + 5
    assert result.segments.frames.tolist() == list(range(100))
    assert server.most_at_once <= concurrency


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"detail": "Forbidden"}', r"the key was refused \(403\).*Forbidden"),
        ('{"detail": "User is locked. Reason: Exhausted balance"}', "no credits left.*Exhausted"),
        ('{"detail": "Top up your account"}', "no credits left.*Top up"),
    ],
)
def test_fals_403_is_not_only_about_credits(serve, body, words):
    server = serve("fal")
    server.faults.append(faults.status(403, body))
    with pytest.raises(ProviderError, match=words):
        run(ask_for(server, "fal"))


@pytest.mark.parametrize("key", ["segmind", "fal"])
def test_a_provider_that_restarts_in_the_middle(key):
    """It costs the calls that were under way; the others wait, and the next run sends the rest."""
    server, paid, restarts = SERVERS[key](delay=0.3), Journal(), []
    with ExitStack() as stack:
        stack.enter_context(serving(server))
        port = URL(server.url).port

        def pause():
            if len(server.received) > 2 and not restarts:
                restarts.append(len(server.received))
                stack.close()
                stack.enter_context(serving(server, port))

        hooks, two = Hooks(pause, lambda *report: None), RunLimits(2, 20.0, Limits(2.0, 8, 0.05))
        ask, image = ask_for(server, key), square_image(8)
        with pytest.raises(ProviderError, match="[12] of 8 images failed.*may have been") as caught:
            run(ask, image, limits=two, hooks=hooks, paid=paid)
        assert re.search("The results of [67] are kept", str(caught.value))
        assert len(run(ask, image, paid=paid).segments) == 8
    assert restarts
    assert server.billed == 8


def test_what_was_never_sent_was_not_billed(serve):
    """Beside a connection that broke when the request was out, see `reset` above."""
    ask = ask_for(serve("custom"), "custom")
    away = replace(ask.profile, url="http://127.0.0.1:9")
    with pytest.raises(ProviderError, match="the connection failed") as caught:
        run(replace(ask, profile=away))
    assert "billed" not in str(caught.value)


def test_the_waits_double_up_to_thirty_times_the_first(serve, caplog):
    caplog.set_level(logging.INFO, transport.__name__)
    server, first = serve("moark"), 0.001
    server.faults = deque([faults.status(429, "{}")] * 9)
    run(ask_for(server, "moark"), limits=RunLimits(1, 20.0, Limits(2.0, 10, first)))
    steps = [seconds / first for seconds in waits(caplog)]
    for step, least in zip(steps, (1, 2, 4, 8, 16, 30, 30, 30, 30), strict=True):
        assert least <= step < least + 1


@pytest.mark.parametrize(("status", "requests"), [(503, 2), (500, 1), (400, 1)])
def test_only_a_503_says_that_a_model_is_loading(serve, status, requests):
    server = serve("custom")
    server.faults.append(faults.status(status, '{"error": "x", "estimated_time": 0.01}'))
    ask = ask_for(server, "custom", {}, dialect="huggingface", model="owner/model")
    if requests == 1:
        with pytest.raises(ProviderError, match=f"{status}"):
            run(ask)
    else:
        run(ask)
    assert len(server.received) == requests
