"""What callers pass whom no host has checked: refused before anything is sent."""

from __future__ import annotations

import datetime

import pytest
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.providers.scheduler import RunLimits
from segment_anywhere.core.providers.wire import Reading

from tests.support.asks import OPTIONS, ask_for, run

DATE = datetime.date(2026, 11, 24)

OPTIONS_REFUSED = [
    ("imagineo", {"answer": "bogus"}, "answer: found 'bogus'; accepted are auto, alpha, luma, dif"),
    ("imagineo", {"answer": "categories"}, "answer: found 'categories'"),
    ("imagineo", {"answer": ""}, "answer: found ''"),
    ("imagineo", {"answer": ["luma"]}, r"answer: found \['luma'\]"),
    ("imagineo", {"run_id": 7}, "run_id: found 7; accepted is text"),
    ("imagineo", {"prompt": ["a"]}, r"prompt: found \['a'\]; accepted is text"),
    ("imagineo", {"image_url": 5}, "image_url: found 5; accepted is text"),
    ("airefinery", {"model": 5}, "model: found 5; accepted is text"),
    ("segmind", {"prompt": 5}, "prompt: found 5; accepted is text"),
    ("moark", {"prompt": {"a": 1}}, "prompt: found {'a': 1}; accepted is text"),
    ("fal", {"endpoint": 5}, "endpoint: found 5; accepted are fal-ai/evf-sam"),
    ("fal", {"endpoint": ["fal-ai/evf-sam"]}, "endpoint: found"),
    ("fal", {"negative_prompt": 5}, "negative_prompt: found 5; accepted is text"),
    ("fal", {"blur_mask": "abc"}, "blur_mask: found 'abc'; accepted are whole numbers from 0 to"),
    ("fal", {"blur_mask": 3.0}, "blur_mask: found 3.0"),
    ("fal", {"blur_mask": float("nan")}, "blur_mask: found nan"),
    ("fal", {"blur_mask": True}, "blur_mask: found True"),
    ("fal", {"blur_mask": -3}, "blur_mask: found -3"),
    ("fal", {"blur_mask": 257}, "blur_mask: found 257"),
    ("fal", {"expand_mask": "abc"}, "expand_mask: found 'abc'"),
    ("fal", {"expand_mask": float("inf")}, "expand_mask: found inf"),
    ("fal", {"expand_mask": 513}, "expand_mask: found 513"),
    ("fal", {"semantic_type": "false"}, "semantic_type: found 'false'; accepted are true and fal"),
    ("fal", {"fill_holes": 1}, "fill_holes: found 1"),
    ("custom", {"prompt": b"a"}, "prompt: found b'a'"),
]


@pytest.mark.parametrize(("key", "options", "message"), OPTIONS_REFUSED)
def test_options_of_the_wrong_kind(serve, key, options, message):
    server = serve(key)
    with pytest.raises(InputError, match=message):
        run(ask_for(server, key, {**OPTIONS[key], **options}))
    assert server.received == []


@pytest.mark.parametrize("name", ["answer", "run_id", "image_url"])
def test_what_is_left_out_may_be_none(serve, name):
    server = serve("imagineo")
    assert len(run(ask_for(server, "imagineo", {"prompt": "a", name: None})).segments) == 1


@pytest.mark.parametrize("reading", [Reading.LUMA, "luma"])
def test_a_reading_is_an_enum_or_its_word(serve, reading):
    server = serve("imagineo", mode="mask_png")
    options = {"prompt": "a", "answer": reading}
    assert len(run(ask_for(server, "imagineo", options)).segments) == 1


@pytest.mark.parametrize("key", OPTIONS)
@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"headers": {"X-Team": "a\r\nX-Other: b"}}, "headers: .* of X-Team .*line break"),
        ({"headers": {"X Team": "a"}}, "headers: found the name 'X Team'"),
        ({"headers": "X-Team: a"}, "headers: .* a table"),
        ({"body": {"since": DATE}}, "body: .*date"),
        ({"body": {"weight": float("nan")}}, "body: "),
        ({"body": [1]}, "body: .* a table"),
    ],
)
def test_profiles_that_no_request_can_carry(serve, key, profile, message):
    server = serve(key)
    with pytest.raises(InputError, match=message) as caught:
        run(ask_for(server, key, **profile))
    assert server.received == []
    # A header may hold a key.
    assert "X-Other" not in str(caught.value)


@pytest.mark.parametrize(
    ("concurrency", "timeout", "message"),
    [
        (0, 20.0, "concurrency: found 0; accepted are whole numbers from 1"),
        (-1, 20.0, "concurrency: found -1"),
        (2.5, 20.0, "concurrency: found 2.5"),
        ("4", 20.0, "concurrency: found '4'"),
        (4, 0, "timeout: found 0; accepted are numbers of seconds above 0"),
        (4, float("nan"), "timeout: found nan"),
        (4, "20", "timeout: found '20'"),
    ],
)
def test_limits_under_which_no_run_would_end(concurrency, timeout, message):
    """No call would ever begin at 0 at a time, and none would ever be given up."""
    with pytest.raises(InputError, match=message):
        RunLimits(concurrency, timeout)
