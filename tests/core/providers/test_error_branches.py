"""The rarer ways in which a call fails: each has a sentence that says what was found."""

from __future__ import annotations

import email.utils
import json
import time
from collections import deque
from typing import Any

import numpy as np
import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.providers import transport
from segment_anywhere.core.providers.contract import Profile, ProviderError
from segment_anywhere.core.providers.credentials import load_profile
from segment_anywhere.core.providers.failures import retry_after
from segment_anywhere.core.providers.masks import read_masks
from segment_anywhere.core.providers.registry import PROVIDERS, who_can
from segment_anywhere.core.providers.wire import Answer, CallFailed, FoundMask, Reading, Url

from tests.support.asks import SIZE, always_uploading, ask_for, run, square_image, square_mask
from tests.support.servers import faults
from tests.support.servers.vision import b64, picture

PNG = picture(square_mask())
ROBOFLOW = {"dialect": "roboflow"}

ANSWERS: dict[str, tuple[str, Any, dict, str]] = {
    "an object that holds no picture": (
        "custom",
        {"data": [{"mask": {"foo": 1, "bar": 2}}]},
        {},
        "a picture is expected, found an object with foo, bar",
    ),
    "an object that holds nothing": (
        "imagineo",
        {"image": {}, "data": {}},
        {},
        "a picture is expected, found an object with image, data",
    ),
    "text that is no Base64": ("imagineo", {"image": "!?*"}, {}, r"Base64 is expected, found '!\?"),
    "a size of one number": (
        "moark",
        {"segments": [{"mask": {"size": [5], "counts": [5]}}]},
        {},
        r"a mask's size is \[height, width\], found \[5\]",
    ),
    "a size in text": (
        "moark",
        {"segments": [{"mask": {"size": ["4", "5"], "counts": [20]}}]},
        {},
        r"a mask's size is \[height, width\]",
    ),
    "a segment that is none": ("moark", {"segments": [5]}, {}, "segments holds something"),
    "a picture that is none": ("airefinery", {"data": [5]}, {}, "data holds something"),
    "a phrase without predictions": (
        "custom",
        {"prompt_results": [{"echo": {}}]},
        ROBOFLOW,
        "prompt_results holds something without predictions",
    ),
    "a mask under no known name": (
        "custom",
        {"data": [{"region": b64(PNG)}]},
        {},
        "a mask is expected under mask, masks, .*, found region",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_an_answer_lacks_is_said(serve, name):
    key, body, profile, words = ANSWERS[name]
    server = serve(key)
    server.faults.append(faults.status(200, json.dumps(body)))
    with pytest.raises(ProviderError, match=f"the answer cannot be used: {words}"):
        run(ask_for(server, key, **profile))


RESULTS = {
    "a list": ([1], "an object is expected"),
    "no picture": ({"seed": 5, "timings": {}}, "image, masks or individual_masks.* seed, timings"),
    "an address of nothing": ({"image": {"url": ""}}, "a picture is expected"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_what_the_result_of_a_job_lacks_is_said(serve, name):
    body, words = RESULTS[name]
    server = serve("fal")
    # Asked for again twice, for it costs nothing.
    server.result_faults.extend([faults.status(200, json.dumps(body))] * 3)
    with pytest.raises(ProviderError, match=words):
        run(ask_for(server, "fal"))


@pytest.mark.parametrize(
    ("body", "masks"),
    [
        (b64(PNG), 1),
        ({"data": b64(PNG)}, 1),
        ({"data": {"mask": b64(PNG)}}, 1),
        ({"data": [{"mask": []}]}, 0),
        ({"data": [{"mask": {"origin": {}, "data": b64(PNG)}}]}, 1),
        ({"data": []}, 0),
    ],
    ids=["text", "text in a list's place", "one object", "an empty list", "no origin", "none"],
)
def test_what_has_another_shape_is_read_all_the_same(serve, body, masks):
    server = serve("custom")
    server.faults.append(faults.status(200, json.dumps(body)))
    segments = run(ask_for(server, "custom")).segments
    assert len(segments) == masks
    assert all(
        torch.equal(mask, torch.from_numpy(square_mask() * np.uint8(255)))
        for mask in segments.full_masks()
    )


@pytest.mark.parametrize(("status", "words"), [(403, r"\(403\)"), (413, r"\(413\)"), (500, "500")])
def test_an_upload_that_fails_sends_nothing(serve, status, words):
    server = serve("fal")
    server.file_faults.append(faults.status(status, '{"detail": "no room"}'))
    with pytest.raises(ProviderError, match=f"{words}.*no room"):
        run(always_uploading(ask_for(server, "fal")))
    assert (server.billed, server.received) == (0, [])


@pytest.mark.parametrize("body", [[], {}, {"upload_url": "https://x"}, {"file_url": 5}])
def test_a_place_for_an_upload_has_two_addresses(body):
    read = PROVIDERS["fal"].upload.read_place
    with pytest.raises(CallFailed, match="upload_url and file_url are expected"):
        read(Answer(200, {}, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("", "more than 3 redirects"),
        ("http://[::1", "a redirect without an address"),
        ("https://a b/x", "the address"),
    ],
)
def test_a_redirect_to_nowhere(serve, location, words):
    server = serve("fal")
    headers = {"Location": location} if location else {}
    server.file_faults = deque([faults.status(302, "", **headers)] * 9)
    with pytest.raises(ProviderError, match=f"not safe to follow: {words}"):
        run(ask_for(server, "fal"))
    assert server.leaks == []


@pytest.mark.parametrize("place", ["status_faults", "result_faults", "file_faults"])
def test_a_free_question_that_is_not_answered_is_asked_again(serve, monkeypatch, place):
    """How long the paid answer may take is for the node's `timeout` alone."""
    monkeypatch.setattr(transport, "_FREE_READ_SECONDS", 0.3)
    server = serve("fal", delay=0.5)
    getattr(server, place).append(faults.Hang())
    assert len(run(ask_for(server, "fal")).segments) == 1
    assert server.billed == 1


def test_how_long_to_wait_as_a_date():
    def after(seconds: float) -> float | None:
        date = email.utils.formatdate(time.time() + seconds, usegmt=True)
        return retry_after(Answer(429, {"retry-after": date}, b""))

    # A date has whole seconds.
    assert 3590 < after(3600) <= 3600
    assert after(-3600) == 0.0


@pytest.mark.parametrize("style", ["digest", "Bearer"])
def test_a_style_of_keys_that_is_none(serve, style):
    server = serve("imagineo")
    with pytest.raises(InputError, match=f"auth: found {style!r} in the profile; accepted are bea"):
        run(ask_for(server, "imagineo", auth=style))
    assert server.received == []


@pytest.mark.parametrize("url", ["http://[::1", "https://", "ftp://x.example"])
def test_an_address_of_a_provider_that_is_none(tmp_path, url):
    variables = {"SEGMENT_ANYWHERE_FAL_URL": url, "FAL_KEY": "k"}
    with pytest.raises(ProviderError, match="fal: found the URL"):
        load_profile(PROVIDERS["fal"], "", tmp_path, variables)


@pytest.mark.parametrize("url", ["http://[::1", "ftp://x/y.png"])
def test_an_address_of_a_picture_that_is_none(serve, url):
    server = serve("fal")
    with pytest.raises(InputError, match="image_url: found"):
        run(ask_for(server, "fal", {"prompt": "a", "image_url": url}))
    assert server.received == []


def test_negative_boxes_are_refused_where_they_are_not_known(serve):
    server = serve("fal")
    off = ObjectPrompt("object 0", (Point(30, 20),), negative_boxes=(Box(1, 1, 5, 5, False),))
    with pytest.raises(InputError, match="does not take negative boxes"):
        run(ask_for(server, "fal", {"endpoint": "fal-ai/sam2/image"}, [[off]]))
    assert server.received == []


def test_painted_masks_are_refused_before_anything_is_sent(serve):
    server = serve("fal")
    painted = ObjectPrompt("object 1", (Point(30, 20),), mask=torch.ones(SIZE))
    with pytest.raises(InputError, match="points: fal .*takes no painted masks; nothing was sent"):
        run(ask_for(server, "fal", {"endpoint": "fal-ai/sam2/image"}, [[painted]]))
    assert server.received == []


def test_a_box_shrinks_with_its_picture(serve):
    image = square_image().repeat_interleave(2, dim=1).repeat_interleave(100, dim=2)
    boxed = ObjectPrompt("object 0", box=Box(2000, 20, 5000, 70))
    server = serve("fal")
    run(ask_for(server, "fal", {"endpoint": "fal-ai/sam2/image"}, [[boxed]]), image)
    (sent,) = server.received[0].fields["box_prompts"]
    assert sent == {"x_min": 1280, "y_min": 13, "x_max": 3200, "y_max": 44}


def test_a_negative_prompt_is_sent_where_it_is_known(serve):
    server = serve("fal")
    run(ask_for(server, "fal", {"prompt": "square", "negative_prompt": " shadow "}))
    assert server.received[0].fields["negative_prompt"] == "shadow"


def test_a_capability_that_nobody_knows_is_an_error_of_ours():
    with pytest.raises(KeyError, match="telepathy"):
        who_can("telepathy")
    assert "MoArk" in who_can("everything")


def test_a_picture_that_was_not_fetched_is_an_error_of_ours():
    with pytest.raises(TypeError, match="https://x.example/m.png has to be fetched first"):
        list(read_masks(FoundMask(Url("https://x.example/m.png")), torch.zeros(*SIZE, 3)))


READINGS = {
    "an overlay of everything": (
        picture(np.random.default_rng(0).integers(0, 255, (*SIZE, 3))),
        Reading.DIFFERENCE,
        "every pixel differs from the image that was sent",
    ),
    "too many pixels": (picture(np.zeros((9000, 8000), bool)), Reading.LUMA, "8000 x 9000 pixels"),
}


@pytest.mark.parametrize("name", READINGS)
def test_a_picture_that_is_no_mask(name):
    data, reading, words = READINGS[name]
    with pytest.raises(CallFailed, match=words):
        list(read_masks(FoundMask(data, reading), torch.full((*SIZE, 3), 0.5)))


def test_categories_in_a_jpeg_are_one_mask_and_in_a_soft_edge_too():
    jpeg = picture(square_mask(), "JPEG")
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    disc = np.clip(12.3 - np.hypot(x - 30.2, y - 22.4), 0, 1)
    soft = picture(disc * 255)
    assert len(np.unique((disc * 255).astype(np.uint8))) > 30
    for data in (jpeg, soft):
        found = FoundMask(data, Reading.CATEGORIES)
        assert len(list(read_masks(found, torch.zeros(*SIZE, 3)))) == 1


def test_a_profile_shows_no_key():
    assert "k-123456" not in repr(Profile("fal", "", "https://x.example", "k-123456"))
