"""Answers that nobody promised: each is read, or is the failure of its image alone and kept."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.runs import RunLimits

from tests.support.asks import QUICK, SIZE, SQUARE, ask_for, run, square_image, square_mask
from tests.support.servers import KEY, faults
from tests.support.servers.vision import b64, picture

# One call at a time: a failure that concerned the others would keep them from being sent.
ONE = RunLimits(1, 20.0, QUICK.transport)
PNG = picture(square_mask())
# JSON reads it as an integer, which no float can hold.
HUGE = 10**400
HF = {"dialect": "huggingface", "model": "owner/model"}


def answer(value: Any, code: int = 200) -> faults.Fault:
    """A JSON answer; NaN and Infinity as Python writes them."""
    text = value if isinstance(value, str) else json.dumps(value)
    return faults.status(code, text)


def nested(depth: int, key: str = "error") -> str:
    return f'{{"{key}":' * depth + "1" + "}" * depth


def cropped(origin: Any, part: np.ndarray | None = None) -> dict[str, Any]:
    """A mask of the square that was cut to its box."""
    left, top, right, bottom = SQUARE
    part = square_mask()[top:bottom, left:right] if part is None else part
    return {"data": [{"mask": {"encoding": "png", "origin": origin, "data": b64(picture(part))}}]}


def counts() -> dict[str, Any]:
    """The square as COCO run lengths, column by column."""
    left, top, right, bottom = SQUARE
    height, width = SIZE
    runs = [left * height + top]
    runs += [bottom - top, height - bottom + top] * (right - left)
    runs[-1] += (width - right) * height - top
    return {"size": list(SIZE), "counts": runs}


def fails(key: str, odd: Any, words: str, **profile: Any) -> tuple:
    return key, odd, words, profile


READ = {
    **{
        f"{key}, a PNG labelled {kind}": (key, faults.body(PNG, kind))
        for key in ("imagineo", "segmind", "custom")
        for kind in ("application/json", "text/html", "application/octet-stream")
    },
    **{
        f"{key}, error {none!r}": (key, answer({"error": none, **good}))
        for none in (None, "", False)
        for key, good in (
            ("imagineo", {"success": True, "data": {"image": b64(PNG)}}),
            ("airefinery", {"data": [{"b64_json": b64(PNG)}]}),
            ("segmind", {"image": b64(PNG)}),
            ("moark", {"segments": [{"mask": counts()}]}),
            ("custom", {"data": [b64(PNG)]}),
        )
    },
    "JSON text with Base64": ("imagineo", answer(json.dumps(b64(PNG)))),
    "moark, error null, and a long answer": (
        "moark",
        answer({"error": None, "note": "x" * 5000, "segments": [{"mask": counts()}]}),
    ),
    "moark, a huge score": (
        "moark",
        answer({"segments": [{"mask": counts(), "confidence": HUGE}]}),
    ),
    "airefinery, a huge score": (
        "airefinery",
        answer({"data": [{"b64_json": b64(PNG), "score": HUGE}]}),
    ),
    "custom, a huge score": ("custom", answer({"data": [{"mask": b64(PNG), "score": HUGE}]})),
    "custom, a score of NaN": (
        "custom",
        answer({"data": [{"mask": b64(PNG), "score": float("nan")}]}),
    ),
    "an origin in numbers": ("custom", answer(cropped({"x": 20.0, "y": 10}))),
}


@pytest.mark.parametrize("name", READ)
def test_an_unusual_answer_is_read(serve, name):
    key, odd = READ[name]
    server = serve(key)
    server.faults.append(odd)
    segments = run(ask_for(server, key), square_image(3)).segments
    assert segments.frames.tolist() == [0, 1, 2]
    assert np.abs(segments.boxes.numpy() - SQUARE).max() <= 1
    assert all(0 <= score <= 1 for score in segments.scores.tolist())
    assert len(server.received) == 3


@pytest.mark.parametrize("none", [None, "", False])
def test_fal_may_say_that_there_was_no_error(serve, none):
    """In the status of a job, and in its result."""
    server = serve("fal")

    def change(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "error": none}).encode()

    server.status_faults += [faults.changed(change)] * 20
    server.result_faults.append(faults.changed(change))
    assert len(run(ask_for(server, "fal")).segments) == 1


def test_fals_scores_may_be_huge(serve):
    server = serve("fal")
    server.result_faults.append(answer({"masks": [f"data:,{b64(PNG)}"], "scores": [HUGE]}))
    ask = ask_for(server, "fal", {"endpoint": "fal-ai/sam-3/image", "prompt": "square"})
    assert len(run(ask, square_image(3)).segments) == 3


@pytest.mark.parametrize(
    ("origin", "box"),
    [
        ({"x": -10, "y": -5}, (0, 0, 20, 20)),
        ({"x": 50, "y": 40}, (50, 40, 64, 48)),
        ({"x": 64, "y": 0}, None),
        ({"x": 0, "y": 48}, None),
        ({"x": -30, "y": 0}, None),
        ({"x": 1e300, "y": -HUGE}, None),
    ],
)
def test_a_mask_that_lies_partly_outside_is_cut_there(serve, origin, box):
    """And not moved inside: every pixel stays at its place."""
    server = serve("custom")
    server.faults.append(answer(cropped(origin)))
    segments = run(ask_for(server, "custom")).segments
    assert [tuple(each.tolist()) for each in segments.boxes] == ([box] if box else [])


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


@pytest.mark.parametrize("host", ["a" * 64 + ".com", "a..b", "a b.com", "10.1.2.3"])
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
