"""The loopback servers refuse what the vendors refuse: what an adapter may send is told by them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.support.asks import square_mask
from tests.support.servers import KEY, SERVERS, serving
from tests.support.servers.vision import b64, picture

PNG = picture(square_mask())
URI = f"data:image/png;base64,{b64(PNG)}"
KEYS = {
    "imagineo": {"Authorization": f"Bearer {KEY}"},
    "airefinery": {"Authorization": f"Bearer {KEY}"},
    "segmind": {"x-api-key": KEY},
    "moark": {"Authorization": f"Bearer {KEY}"},
    "fal": {"Authorization": f"Key {KEY}"},
    "custom": {},
}
PATHS = {
    "imagineo": "/api/v1/edits/segment",
    "airefinery": "/v1/images/segmentations",
    "segmind": "/v1/sam-v2-image",
    "moark": "/v1/images/segmentation",
    "fal": "/fal-ai/evf-sam",
    "custom": "/v1/images/segmentations",
}
SAM_HQ = "syscv-community/sam-hq-vit-base"
CLICK = [[[30, 20]]]
POINT = {"x": 1, "y": 1, "label": 1}
BOX = {"x_min": 1, "y_min": 1, "x_max": 9, "y_max": 9}


def form(image: Any, kind: str | None = "image/png", **fields: str) -> aiohttp.FormData:
    """A multipart form; an image of type None goes as a field that is no file."""
    made = aiohttp.FormData(default_to_multipart=True)
    file = {} if kind is None else {"filename": "image.png", "content_type": kind}
    made.add_field("image", image, **file)
    for name, value in fields.items():
        made.add_field(name, value)
    return made


def post(key: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, str, int]:
    """The status, the text, and how much was billed."""

    async def send(url: str) -> tuple[int, str]:
        sent = {"data": body} if isinstance(body, aiohttp.FormData) else {"json": body}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url + path, headers=headers, **sent) as response,
        ):
            return response.status, await response.text("utf-8", "replace")

    with serving(SERVERS[key]()) as server:
        return (*asyncio.run(send(server.url)), server.billed)


def forms(key: str, **fields: str) -> dict[str, tuple]:
    """What each server that takes forms says to a picture that is no file, or no picture."""
    return {
        f"{key}, a picture that is no file": (key, form(b64(PNG), None, **fields), 400),
        f"{key}, a file without a picture's type": (
            key,
            form(PNG, "application/octet-stream", **fields),
            422,
        ),
        f"{key}, a file that is no picture": (key, form(b"<html>", **fields), 400),
    }


REFUSED: dict[str, tuple] = {
    **forms("imagineo", prompt="a"),
    **forms("moark", model="sam3"),
    **forms("custom", prompt="a"),
    "imagineo, no prompt": ("imagineo", form(PNG), 400),
    "imagineo, an address of nothing": ("imagineo", {"prompt": "a", "imageUrl": "http://x/y"}, 400),
    "moark, JSON": ("moark", {"model": "sam3", "image": URI, "prompt": "a"}, 400),
    "moark, no model": ("moark", form(PNG), 400),
    "custom, neither words nor boxes": ("custom", form(PNG), 400),
    "custom, boxes that are no JSON": ("custom", form(PNG, boxes="[[1,2"), 400),
    "custom, a box of three": ("custom", form(PNG, boxes="[[1,2,3]]"), 400),
    "custom, labels of other boxes": (
        "custom",
        form(PNG, boxes="[[1,2,3,4]]", box_labels="[1,0]"),
        400,
    ),
    "airefinery, another name of the picture": (
        "airefinery",
        {"model": SAM_HQ, "image": b64(PNG), "segment_prompt": CLICK},
        422,
    ),
    "airefinery, a picture as a data URI": (
        "airefinery",
        {"model": SAM_HQ, "image_prompt": URI, "segment_prompt": CLICK},
        422,
    ),
    **{
        f"airefinery, {name}": (
            "airefinery",
            {"model": SAM_HQ, "image_prompt": b64(PNG), "segment_prompt": points},
            422,
        )
        for name, points in {
            "no points": [[]],
            "a point too flat": [[30, 20]],
            "half a pixel": [[[30.5, 20]]],
            "a point outside": [[[64, 20]]],
        }.items()
    },
    "airefinery, an unknown model": (
        "airefinery",
        {"model": "other", "image_prompt": b64(PNG), "segment_prompt": CLICK},
        404,
    ),
    "segmind, a picture as a data URI": ("segmind", {"image": URI, "prompt": "a"}, 500),
    "segmind, words and points": (
        "segmind",
        {"image": b64(PNG), "prompt": "a", "coordinates": "[30,20]"},
        400,
    ),
    "segmind, neither": ("segmind", {"image": b64(PNG)}, 400),
    **{
        f"segmind, points as {points!r}": (
            "segmind",
            {"image": b64(PNG), "coordinates": points},
            500,
        )
        for points in ([[30, 20]], "30,", "[30]", "[64,20]", "[30,48]", "[-1,20]")
    },
    "fal, no words": ("fal", {"image_url": URI}, 422),
    "fal, a blur that is even": ("fal", {"image_url": URI, "prompt": "a", "blur_mask": 4}, 422),
    "fal, a switch as text": ("fal", {"image_url": URI, "prompt": "a", "mask_only": "true"}, 422),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_vendor_refuses(name):
    key, body, status = REFUSED[name]
    answered, text, billed = post(key, PATHS[key], body, KEYS[key])
    assert (answered, billed) == (status, 0), text


ELSEWHERE: dict[str, tuple] = {
    "fal, a point without a label": (
        "fal",
        "/fal-ai/sam2/image",
        {"image_url": URI, "prompts": [{"x": 1, "y": 1}]},
    ),
    "fal, half a pixel": (
        "fal",
        "/fal-ai/sam-3/image",
        {"image_url": URI, "point_prompts": [POINT | {"x": 1.5}]},
    ),
    "fal, half a box": (
        "fal",
        "/fal-ai/sam-3/image",
        {"image_url": URI, "box_prompts": [BOX | {"x_max": 9.5}]},
    ),
    "roboflow, no phrases": (
        "custom",
        "/sam3/concept_segment",
        {"image": {"value": b64(PNG)}, "prompts": []},
    ),
    "roboflow, a phrase without its kind": (
        "custom",
        "/sam3/concept_segment",
        {"image": {"value": b64(PNG)}, "prompts": [{"text": "a"}]},
    ),
    "roboflow, a point without its sign": (
        "custom",
        "/sam2/segment_image",
        {"image": {"value": b64(PNG)}, "prompts": {"prompts": [{"points": [{"x": 1, "y": 1}]}]}},
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_a_vendor_refuses_on_its_other_paths(name):
    key, path, body = ELSEWHERE[name]
    answered, text, billed = post(key, path, body, KEYS[key])
    assert (answered, billed) == (422, 0), text


@pytest.mark.parametrize("key", [key for key in SERVERS if KEYS[key]])
def test_no_server_works_without_its_key(key):
    status, text, billed = post(key, PATHS[key], {}, {})
    assert (status, billed) == (401, 0)
    assert json.loads(text)
