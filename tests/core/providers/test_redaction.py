"""What is left of a key in what others wrote, however they spell it; nothing else is lost."""

from __future__ import annotations

import base64
import html
import json
import logging
import random
import string
import urllib.parse

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anywhere.core.providers.contract import Profile, ProviderError
from segment_anywhere.core.providers.redaction import HIDDEN, Redactor, shown_address
from segment_anywhere.core.providers.reports import summary
from segment_anywhere.core.providers.wire import (
    Answer,
    CallInfo,
    Failure,
    FailureKind,
    FoundMask,
    ParsedAnswer,
    Ticket,
    Url,
)
from segment_anywhere.core.results.rle import encode

from tests.support.asks import ask_for, run, square_image, square_mask
from tests.support.servers import KEY, SERVERS, faults
from tests.support.servers.vision import b64, picture

SECRET = "sk+Live/4eC39HqLyj=Wda_rjtT1-zdp7dc"
PNG = picture(square_mask())


def redactor(key: str = SECRET, url: str = "https://api.example.com", **settings) -> Redactor:
    return Redactor(Profile("segmind", "", url, key, settings))


def _json(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


def _basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# How services write what they were sent.
SPELLINGS = {
    "itself": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "JSON": _json,
    "JSON, capital digits": lambda text: _json(text).upper().replace("\\U", "\\u"),
    "JSON, first letter": lambda text: _json(text[0]) + text[1:],
    "JSON of PHP": lambda text: text.replace("/", "\\/"),
    "JSON of Gson": lambda text: text.replace("=", "\\u003d").replace("+", "\\u002b"),
    "JSON in JSON": lambda text: _json(text).replace("\\", "\\\\"),
    "JavaScript": lambda text: "".join(f"\\x{ord(letter):02X}" for letter in text),
    "HTML": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "HTML, hexadecimal": lambda text: "".join(f"&#x{ord(letter):X};" for letter in text),
    "HTML, padded": lambda text: "".join(f"&#{ord(letter):07d};" for letter in text),
    "HTML, names": lambda text: text.replace("/", "&sol;").replace("+", "&plus;"),
    "HTML in HTML": lambda text: html.escape(f"&#{ord(text[0])};") + text[1:],
    "HTML in JSON": lambda text: "".join(f"\\u0026#{ord(letter)};" for letter in text),
    "address": lambda text: urllib.parse.quote(text, safe=""),
    "address, all letters": lambda text: "".join(f"%{ord(letter):02x}" for letter in text),
    "address in address": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe="")),
    "Base64": _basic,
    "Base64 without padding": lambda text: _basic(text).rstrip("="),
    "Base64 for addresses": lambda text: _basic(text).replace("+", "-").replace("/", "_"),
    "Base64 of an empty user": lambda text: _basic(f":{text}"),
    "Base64 of a user": lambda text: _basic(f"me:{text}"),
    "Base64 of another user": lambda text: _basic(f"api:{text}"),
    "Base64 of an empty password": lambda text: _basic(f"{text}:"),
    "Base64 over lines": lambda text: "\n".join((_basic(text)[:9], _basic(text)[9:])),
    "over lines": lambda text: text[:10] + "\r\n    " + text[10:],
    "over lines in JSON": lambda text: text[:10] + "\\n" + text[10:],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("status", [200, 401])
def test_every_spelling_is_hidden(spelling, status):
    """In a body as it arrives, and in a text that was decoded."""
    written = SPELLINGS[spelling](SECRET)
    text = f'{{"error": "the key {written} is not valid"}}'
    body = redactor().answer(Answer(status, {}, text.encode())).body.decode()
    for cleaned in (body, redactor().tell(text)):
        assert HIDDEN in cleaned
        # What stands around it in Base64 leaves some letters.
        assert len(cleaned) <= len(text) - len(written) + len(HIDDEN) + 12
    assert body.startswith('{"error": "the key ') and body.endswith(' is not valid"}')


LETTERS = string.ascii_letters + string.digits + "-_=+/.~!$&'()*,;@%"


@settings(max_examples=30)
@given(st.text(LETTERS, min_size=12, max_size=40), st.data())
def test_any_key_with_any_escapes_is_hidden(key, data):
    """Each letter in a way of its own."""
    ways = st.sampled_from(["itself", "JSON", "JavaScript", "HTML", "address, all letters"])
    written = "".join(SPELLINGS[data.draw(ways)](letter) for letter in key)
    answer = Answer(200, {"x-echo": key}, f"<<{written}>>".encode())
    cleaned = redactor(key).answer(answer)
    assert cleaned.body == f"<<{HIDDEN}>>".encode()
    assert cleaned.headers == {"x-echo": HIDDEN}


@settings(max_examples=30)
@given(st.text(string.ascii_letters + string.digits, min_size=16, max_size=40), st.text(max_size=9))
def test_any_key_in_base64_is_hidden(key, user):
    cleaned = redactor(key).tell(f"got {_basic(f'{user}:{key}')}")
    rest = cleaned.removeprefix("got ").replace(HIDDEN, "")
    assert HIDDEN in cleaned
    assert len(rest) <= len(_basic(f"{user}:")) + 6


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk+Li***********************p7dc.",
        "key ...dp7dc was revoked",
        "key …-zdp7dc was revoked",
        "key ****p7dc, that is",
        "key ••••p7dc, that is",
        "key xxxxxxxxp7dc, that is",
        "key XXXX-zdp7dc, that is",
        "the key ending in p7dc",
        "the key ends with 'p7dc'",
        "last 4 characters: p7dc",
        "key 1-zdp7dc is not known",
        "key sk+Live/4e... is not known",
    ],
)
def test_the_last_letters_are_hidden_where_they_are_shown_as_such(text):
    told = redactor().tell(text)
    assert HIDDEN in told
    assert "p7dc" not in told and "sk+Li" not in told


ORDINARY = [
    "the picture is too large...",
    "wait... then run again",
    "see https://docs.example.com/errors/401 for more",
    "no such model: mask2former-swin-large-coco-panoptic",
    "a cat, a dog and 1 more...",
    "p7dc",
    "the mask abcp7dc",
    "Grüße aus Köln: 猫, می‌خواهم",
    "",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_words_stay(text):
    assert redactor().tell(text) == text
    assert redactor("passwordmore").tell(text) == text


def test_what_a_profile_says_besides_its_key_is_hidden_where_it_is_like_one():
    headers = {
        "X-Team": "vision",
        "X-Session": "friday",
        "Authorization": "Bearer tok-0123456789",
        "X-Trace": "a1b2c3d4e5f6g7",
    }
    body = {"api_key": "body-key-77", "user": "somebody"}
    url = "https://gateway.example.com/4eC39HqLyjWDarjtT1zdp7dc/v1"
    told = redactor("", url, headers=headers, body=body).tell(
        "vision somebody Bearer gateway friday tok-0123456789 a1b2c3d4e5f6g7 body-key-77 "
        "4eC39HqLyjWDarjtT1zdp7dc"
    )
    assert told == "vision somebody Bearer gateway" + f" {HIDDEN}" * 5


def test_pictures_and_run_lengths_stay_as_they_are():
    """Also where the letters of a short key, or the last ones of any, stand in them by chance."""
    noise = random.Random(5).randbytes(300_000)
    mask = np.random.default_rng(5).integers(0, 2, (200, 300), np.uint8)
    text = json.dumps({"image": b64(noise), "counts": encode(mask)})
    for start in range(1000, 1400, 40):
        piece = text[start : start + 8]
        for key in (piece, "0123456789abcdef" + piece, piece + "0123456789abcdef"):
            answer = Answer(200, {}, text.encode())
            assert redactor(key).answer(answer).body == answer.body
    holding_it = PNG + SECRET.encode()
    assert redactor().answer(Answer(200, {}, holding_it)).body == holding_it
    assert redactor().answer(Answer(401, {}, b"\xff\xfe" + SECRET.encode())).body == (
        b"\xff\xfe" + HIDDEN.encode()
    )


def test_everything_that_is_read_of_an_answer_is_clean_but_where_its_files_are():
    where, secret = "https://cdn.example.com/x?sign=abc", SECRET.swapcase()
    info = CallInfo("id", usage={secret: [secret, {"a": (secret, 7)}]})
    parsed = ParsedAnswer((FoundMask(Url(where), label=f"a {secret}\n\ud800"),), info)
    told = redactor().told(parsed)
    assert told.masks[0].content == Url(where)
    assert told.masks[0].label == f"a {HIDDEN}  "
    assert told.info.usage == {HIDDEN: [HIDDEN, {"a": (HIDDEN, 7)}]}
    ticket = Ticket(*[where] * 4)
    assert redactor().told(ticket) == ticket
    failure = redactor().told(Failure(FailureKind.KEY, f"{secret} at {where}", 401))
    assert failure == Failure(
        FailureKind.KEY, f"{HIDDEN} at https://cdn.example.com/x?{HIDDEN}", 401
    )


ADDRESSES = {
    "https://api.example.com/v1/images": "https://api.example.com/v1/images",
    "http://127.0.0.1:8091": "http://127.0.0.1:8091",
    "https://[::1]:8443/x": "https://[::1]:8443/x",
    "https://me:SECRET@host.example/x": "https://host.example/x",
    "https://SECRET@host.example/x": "https://host.example/x",
    "https://a@b:SECRET@host.example/x": "https://host.example/x",
    "//me:SECRET@host.example/x": "//host.example/x",
    "https://me:SEC/RET@host.example/x": "https://me:[hidden]",
    "https://host.example/x?token=SECRET": "https://host.example/x?[hidden]",
    "https://host.example/x#SECRET": "https://host.example/x#[hidden]",
    "https://host.example/x?#SECRET": "https://host.example/x?[hidden]",
    "https://host.example/4eC39HqLyjWDarjtT1zdp7dc/v1": "https://host.example/[hidden]/v1",
    "https://host.example/eyJhbGciOiJIUzI1NiJ9.e30.abc/v1": "https://host.example/[hidden]/v1",
    "https://router.huggingface.co/hf-inference/models/facebook/mask2former-swin-large": (
        "https://router.huggingface.co/hf-inference/models/facebook/mask2former-swin-large"
    ),
    "gateway": "gateway",
    "": "",
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_addresses_are_shown_without_what_may_be_a_secret(text):
    assert shown_address(text) == ADDRESSES[text]
    assert redactor().tell(f"found {text!r}") in (f"found {ADDRESSES[text]!r}", f"found {text!r}")


def _errors(written: str) -> dict[str, faults.Fault]:
    """Answers that repeat what they were sent."""
    quoted = json.dumps(written).replace("\\\\", "\\")
    page = f"<html><head><title>{written}</title></head></html>"
    return {
        "error": faults.status(401, f'{{"error": {quoted}}}'),
        "page": faults.status(502, page, "text/html"),
        "text": faults.status(422, written, "text/plain"),
        "good": faults.status(200, f'{{"{written}": [{quoted}]}}'),
    }


@pytest.mark.parametrize("key", SERVERS)
@pytest.mark.parametrize("spelling", ["itself", "upper case", "JSON", "HTML", "Base64 of a user"])
def test_no_echo_gets_through(serve, caplog, key, spelling):
    """Into the message or the log, at any level."""
    server = serve(key)
    caplog.set_level(logging.DEBUG)
    for fault in _errors(SPELLINGS[spelling](KEY)).values():
        server.faults.append(fault)
        with pytest.raises(ProviderError) as caught:
            run(ask_for(server, key))
        seen = html.unescape(f"{caught.value} {caplog.text}").lower()
        assert KEY not in seen
        assert _basic(KEY)[4:-4].lower() not in seen
        assert _json(KEY)[:12] not in seen


def test_no_echo_gets_into_labels_and_info(serve):
    server = serve("airefinery")
    labels = [SPELLINGS[name](KEY) for name in ("upper case", "HTML", "JSON")]
    data = [{"b64_json": b64(PNG), "label": label} for label in labels]
    server.faults.append(
        faults.status(
            200,
            json.dumps({"data": data, "usage": {"key": labels[0], "note": labels[1]}}),
            x_request_id=f"id-{labels[0]}",
        )
    )
    ask = ask_for(server, "airefinery")
    result = run(ask, square_image())
    text = json.dumps(summary(ask, result)) + " ".join(result.segments.labels)
    assert len(result.segments) == 3
    assert set(result.segments.labels) == {HIDDEN}
    assert "0123456789" not in text
