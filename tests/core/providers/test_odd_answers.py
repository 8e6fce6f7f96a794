"""Answers that cannot be read: each is the failure of its image alone, and kept."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aiohttp import web
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.failures import error_text
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.scheduler import RunLimits
from segment_anywhere.core.providers.wire import Answer, shorten

from tests.support.asks import QUICK, ask_for, run, square_image
from tests.support.odd_answers import HUGE, PNG, answer, cropped
from tests.support.servers import KEY, faults

# One call at a time: a failure that concerned the others would keep them from being sent.
ONE = RunLimits(1, 20.0, QUICK.transport)
HF = {"dialect": "huggingface", "model": "owner/model"}


def json_body(text: str) -> faults.Fault:
    """Also with bytes that are no UTF-8, written as lone surrogates."""
    return faults.body(text.encode("utf-8", "surrogateescape"), "application/json")


def nested(depth: int, key: str = "error") -> str:
    return f'{{"{key}":' * depth + "1" + "}" * depth


def fails(key: str, odd: Any, words: str, **profile: Any) -> tuple:
    return key, odd, words, profile


# The providers whose answer to the paid request holds the masks.
PAID = ("imagineo", "airefinery", "segmind", "moark", "custom")
ODD_JSON = {
    "10,000 deep": "[" * 10_000 + "]" * 10_000,
    "objects 10,000 deep": nested(10_000, "data"),
    "a JSON string": '"hello"',
    "null": "null",
    "NaN": "NaN",
    "a huge number": str(HUGE),
    "an empty object": "{}",
    "an object in place of a list": '{"data": {}, "segments": {}, "image": {}}',
    "half JSON": '{"data": [{"mask": "iVBOR',
    "no UTF-8": '{"data": "\udcff"}',
}
KEPT = {
    **{
        f"{key}, {kind}": fails(key, faults.body(faults.odd_png(PNG, kind), "image/png"), "damaged")
        for key in ("segmind", "imagineo")
        for kind in ("zTXt", "iCCP", "IHDR")
    },
    "a PNG that was cut off": fails("segmind", faults.body(PNG[:60], "image/png"), "damaged"),
    "a page": fails("segmind", faults.body(b"<html>gone</html>", "text/html"), "a web page"),
    "half JSON": fails("imagineo", answer('{"image": "'), "JSON is expected"),
    "a JSON number": fails("imagineo", answer("5"), "a picture is expected, found 5"),
    "pictures in pictures": fails(
        "imagineo", answer(nested(900, "url")), "a picture is expected|nobody expected"
    ),
    "a list of nothing": fails("custom", answer("[null]"), "a mask is expected.*found None"),
    "a list of numbers": fails("custom", answer("[5]"), "a picture is expected, found 5"),
    "lists in lists": fails("custom", answer("[" * 900 + "]" * 900), "expected"),
    **{
        f"origin {origin!r}": fails("custom", answer(cropped(origin)), "origin has numbers x and y")
        for origin in (
            [20, 10],
            "20,10",
            7,
            {"x": 20},
            {"x": "20", "y": "10"},
            {"x": [20], "y": 10},
            {"x": float("nan"), "y": 10},
            {"x": 20, "y": float("inf")},
        )
    },
    **{
        f"{key}, {name}": fails(key, json_body(text), "answer cannot be used")
        for key in PAID
        for name, text in ODD_JSON.items()
    },
    "too many masks": fails("custom", answer({"data": ["AAAA"] * 10_001}), "it has 10,001 masks"),
    "too many values": fails(
        "custom", answer(json.dumps([0] * 9_000_000, separators=(",", ":"))), "8,999,999 values"
    ),
    "too many lists": fails(
        "custom", answer(f"[{'[]' * 2_200_000}]"), "2,200,001 values is more than is read"
    ),
    **{
        f"run lengths of {size}": fails(
            "moark", answer({"segments": [{"mask": {"size": size, "counts": [0, 1]}}]}), words
        )
        for size, words in (
            ([8000, 8000], "8000 x 8000 pixels; up to 16,777,216 are read"),
            ([64, 64], "64 x 64 pixels, another shape than the image's 64 x 48"),
            ([-48, 64], r"a mask's size is \[height, width\]"),
            ([0, 64], r"a mask's size is \[height, width\]"),
            ([48.0, 64], r"a mask's size is \[height, width\]"),
            ("48x64", r"a mask's size is \[height, width\]"),
        )
    },
    **{
        f"a polygon {polygon!r}": fails("custom", answer({"data": [{"mask": polygon}]}), words)
        for polygon, words in (
            ([[1, 2, 3, 4]], "another shape"),
            ([1, 2, 3], "polygons of"),
            ([[1, 2, 3]], "another shape"),
            ([[1, 2, 3], [4, 5]], "rows of numbers"),
            ([["a", "b"]] * 3, "polygons of"),
            ([[float("nan"), 1]] * 3, "polygons of"),
            ([[1e300, 1]] * 3, "polygons of"),
            ([None], "polygons of"),
            ([{"x": 1, "y": 2}] * 3, "polygons of"),
        )
    },
    "no list of segments": fails("moark", answer({"segments": {}}), "a list named segments"),
    "no list of data": fails("airefinery", answer("[]"), "a list named data"),
}


@pytest.mark.parametrize("name", KEPT)
def test_an_answer_that_cannot_be_read_is_kept(serve, name):
    """It is the failure of its image alone, and the next run reads it again and sends nothing."""
    key, odd, words, profile = KEPT[name]
    server, paid = serve(key), Journal()
    server.faults.append(odd)
    ask = ask_for(server, key, **profile)
    for _ in range(2):
        with pytest.raises(ProviderError, match=words) as caught:
            run(ask, square_image(3), limits=ONE, paid=paid)
        message = str(caught.value)
        assert re.search("1 of 3 images failed. Image [0-2]: the answer cannot be used", message)
        assert "The answer is kept" in message
        assert "another number in force_new" in message
        assert KEY not in message
        assert len(server.received) == 3
    assert len(paid.results()) == 3


class RawAnswer:
    """Bytes in place of an HTTP answer, after which the connection ends."""

    def __init__(self, head: str, body: bytes = PNG):
        self.data = f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n{head}\r\n\r\n".encode() + body

    async def __call__(self, request: web.Request, good: faults.Answering) -> web.Response:
        assert request.transport is not None
        request.transport.write(self.data)
        request.transport.close()
        return web.Response()


LYING = {
    "more than is sent": ("Content-Length: 100000", "the connection failed.*may have been billed"),
    "less than is sent": ("Content-Length: 60", "the connection failed"),
    "far too much": (f"Content-Length: {2**40}", "more than 96 MiB were sent"),
    "a number of 400 digits": (f"Content-Length: {HUGE}", "the connection failed"),
    "no number": ("Content-Length: many", "the connection failed"),
    "less than nothing": ("Content-Length: -5", "the connection failed"),
    "two lengths": ("Content-Length: 5\r\nContent-Length: 6", "the connection failed"),
    "chunks that are none": ("Transfer-Encoding: chunked", "the connection failed"),
    "packed data that is none": (
        f"Content-Encoding: gzip\r\nContent-Length: {len(PNG)}",
        "the connection failed",
    ),
}


@pytest.mark.parametrize("key", ["imagineo", "segmind"])
@pytest.mark.parametrize("name", LYING)
def test_a_length_that_lies(serve, key, name):
    """It fails its image alone, and nothing is sent a second time by itself."""
    head, words = LYING[name]
    server = serve(key)
    server.faults.append(RawAnswer(head))
    match = f"1 of 3 images failed. Image [0-2]: .*{words}"
    with pytest.raises(ProviderError, match=match) as caught:
        run(ask_for(server, key), square_image(3), limits=ONE)
    assert len(server.received) == 3
    # Nothing of what came is in the sentence.
    assert "IHDR" not in str(caught.value) and "000000" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zTXt", "iCCP", "IHDR"])
def test_a_picture_that_an_answer_names_is_fetched_again_for_free(serve, kind):
    """What is broken is dropped; the answer that names it was paid and is not."""
    server, paid = serve("fal"), Journal()
    server.file_faults.append(faults.body(faults.odd_png(PNG, kind), "image/png"))
    ask = ask_for(server, "fal")
    with pytest.raises(ProviderError, match="1 of 3 images failed.*damaged.*The answer is kept"):
        run(ask, square_image(3), paid=paid)
    assert len(run(ask, square_image(3), paid=paid).segments) == 3
    assert server.billed == 3


@pytest.mark.parametrize(
    "host", ["a" * 64 + ".com", "a..b", "a b.com", "10.1.2.3", "xn--", "\ud800"]
)
def test_an_address_that_is_none_is_the_failure_of_its_image_alone(serve, host):
    server, paid = serve("fal"), Journal()
    odd = answer({"image": {"url": f"https://{host}/mask.png"}})
    server.result_faults.append(odd)
    words = "1 of 3 images failed. Image [0-2]: the answer is not safe.*The answer is kept"
    for _ in range(2):
        with pytest.raises(ProviderError, match=words):
            run(ask_for(server, "fal"), square_image(3), limits=ONE, paid=paid)
        assert server.billed == 3


def test_an_empty_answer_is_nothing_to_keep(serve):
    server, paid = serve("segmind"), Journal()
    server.faults.append(faults.body(b"", "image/png"))
    with pytest.raises(ProviderError, match="1 of 3 images failed") as caught:
        run(ask_for(server, "segmind"), square_image(3), limits=ONE, paid=paid)
    assert "The answer is kept" not in str(caught.value)
    assert len(run(ask_for(server, "segmind"), square_image(3), paid=paid).segments) == 3
    assert len(server.received) == 4


REFUSED = {
    "an error 900 deep": fails("segmind", answer(nested(900), 400), r"refused \(400\)"),
    "a failure 900 deep": fails("moark", answer(nested(900), 500), r"failed on its side \(500\)"),
    "fal, 900 deep": fails("fal", answer(nested(900, "detail"), 422), r"refused \(422\)"),
    "lists 900 deep": fails("custom", answer("[" * 900 + "]" * 900, 400), r"refused \(400\)"),
    "a list that is loading": fails(
        "custom", answer('[{"estimated_time": 5}]', 503), r"failed on its side \(503\)", **HF
    ),
    "an error": fails("imagineo", answer({"error": "no such thing"}), "refused.*no such thing"),
    "no success": fails("imagineo", answer({"success": False, "message": "so"}), "refused.*so"),
    "custom, an error": fails("custom", answer({"error": {"message": "so"}}), "refused.*so"),
    "moark, an error": fails("moark", answer({"error": 500, "message": "so"}), "refused.*500"),
    "a date": fails("segmind", faults.status(429, "", Retry_After="Mon, 99 Foo"), "too many"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_provider_refuses_is_sent_again_in_the_next_run(serve, name):
    """Nothing was delivered, so that there is nothing to keep."""
    key, odd, words, profile = REFUSED[name]
    server, paid = serve(key), Journal()
    server.faults.extend([odd] * (3 if key == "segmind" and name == "a date" else 1))
    ask = ask_for(server, key, **profile)
    words = f"1 of 3 images failed. Image [0-2]: .*{words}"
    with pytest.raises(ProviderError, match=words) as caught:
        run(ask, square_image(3), limits=ONE, paid=paid)
    assert "The answer is kept" not in str(caught.value)
    assert len(run(ask, square_image(3), paid=paid).segments) == 3
    assert server.billed == 3


@pytest.mark.parametrize("seconds", ["NaN", "-Infinity", '"soon"', "null", "[1]", str(-HUGE)])
def test_a_model_that_loads_for_no_number_of_seconds(serve, seconds):
    server = serve("custom")
    server.faults.append(answer(f'{{"error": "loading", "estimated_time": {seconds}}}', 503))
    ask = ask_for(server, "custom", {}, **HF)
    assert len(run(ask, square_image(3)).segments) == 3
    assert len(server.received) == 4


@pytest.mark.parametrize("body", ["{}", "5", "null", '{"other": []}', '{"data": 5}', "true"])
def test_json_without_masks_says_what_is_expected(serve, body):
    server = serve("custom")
    server.faults.append(answer(body))
    with pytest.raises(ProviderError, match="a list of masks is expected, or one under data"):
        run(ask_for(server, "custom"))


@pytest.mark.parametrize("key", ["moark", "airefinery"])
def test_an_empty_body_is_said_to_be_empty(serve, key):
    server = serve(key)
    server.faults.append(faults.body(b"", "application/json"))
    with pytest.raises(ProviderError, match="cannot be used: it is empty"):
        run(ask_for(server, key))


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<html><title>Down</title></html>", "a web page (Down)"),
        ("<HTML><TITLE lang=en>\n 502 &amp; more\n</TITLE></HTML>", "a web page (502 & more)"),
        ("<html>no title</html>", "a web page"),
    ],
)
def test_what_a_web_page_is_called(page, title):
    assert error_text(Answer(502, {}, page.encode())) == title


def test_what_others_wrote_is_shown_up_to_three_hundred_letters():
    assert shorten("a" * 300) == "a" * 300
    assert shorten("a" * 301) == "a" * 297 + "..."
