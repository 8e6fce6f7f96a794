"""The live-preview route.

`POST /segment_anywhere/preview` decodes the editor's prompts on an image that a run has encoded, in
a thread of its own and on the CPU. It reads nothing but its own JSON, opens no file and loads no
model: all it can answer with is a mask on an image that is in the embedding cache already.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..core.errors import EmbeddingGone, SegmentAnywhereError
from ..core.tasks.live_preview import Preview
from ..core.tasks.segmenter import MaskChoice
from .host import models, ui

if TYPE_CHECKING:
    # ComfyUI's own web server; the headless runner does without.
    from aiohttp import web

PATH = "/segment_anywhere/preview"
MAX_BYTES = 256 * 1024
# One is decoded, the others wait; more than these means a client that does not wait for answers.
MAX_WAITING = 8
MAX_SIDE = 2048
# After these a preview is of what has been decoded by then: the next client waits for its turn.
# They are the worker's own time on a processor, so that a busy machine cuts no preview short.
MAX_SECONDS = 4.0
# Between two looks at whether the client is still there.
_LOOK_SECONDS = 0.05
_FIELDS = {"key": str, "points": str, "mask_choice": str, "side": int}


class _Refusal(Exception):
    """An answer that is not a mask: status, and what the body says."""

    def __init__(self, status: int, kind: str, message: str):
        super().__init__(message)
        self.status, self.kind = status, kind


@dataclass(frozen=True)
class _Query:
    """A valid body."""

    key: str
    points: str
    mask_choice: MaskChoice
    side: int


class _Turn:
    """One request's time with the worker."""

    def __init__(self) -> None:
        self.client_left = threading.Event()
        self._begin = 0.0

    def begin(self) -> None:
        """Called in the worker."""
        self._begin = time.thread_time()

    def is_over(self) -> bool:
        """Whether the worker is to stop; called in the worker too."""
        return self.client_left.is_set() or time.thread_time() - self._begin > MAX_SECONDS


class PreviewRoute:
    """The route's handler: one worker thread, and a short queue before it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "segment-anywhere-preview", lower_priority)
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def answer(self, request: web.Request) -> web.Response:
        """A PNG (see prompt_picture), or JSON {"error": {"type", "message"}}, saying why not.

        The headers say how many objects were found of how many asked for, and how many were tried:
        fewer than asked where decoding them took more work than MAX_SECONDS.
        403 another origin, 415 not JSON, 413 too large, 400 malformed or prompts that cannot be
        used, 409 no such embedding, 503 too many requests waiting.
        """
        from aiohttp import web

        try:
            _check_origin(request)
            query = _parse(await _read_body(request))
            preview = await self._decode(request, query)
        except _Refusal as refusal:
            error = {"type": refusal.kind, "message": str(refusal)}
            return web.json_response({"error": error}, status=refusal.status)
        headers = {
            "Cache-Control": "no-store",
            "Segment-Anywhere-Found": f"{preview.found}/{preview.asked}",
            "Segment-Anywhere-Tried": str(preview.tried),
        }
        return web.Response(body=preview.png, content_type="image/png", headers=headers)

    async def _decode(self, request: web.Request, query: _Query) -> Preview:
        if self._waiting >= MAX_WAITING:
            raise _Refusal(503, "busy", "Too many previews are waiting. Try again in a moment.")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._work(request, query)
        finally:
            self._waiting -= 1

    async def _work(self, request: web.Request, query: _Query) -> Preview:
        """Decode in the worker, which stops when the client leaves or its time is over."""
        _check_client(request)
        turn = _Turn()
        try:
            decoding = asyncio.get_running_loop().run_in_executor(self._pool, _preview, query, turn)
            while not (decoding.done() or _has_left(request)):
                await asyncio.wait((decoding,), timeout=_LOOK_SECONDS)
        finally:
            turn.client_left.set()
        preview = await decoding
        _check_client(request)
        return preview


def register() -> None:
    """Add the route to ComfyUI's server; called once, when the pack is loaded."""
    ui.add_route(PATH, PreviewRoute().answer)


def _preview(query: _Query, turn: _Turn) -> Preview:
    turn.begin()
    model_key, _, key = query.key.partition("-")
    model = models.find_model(model_key)
    try:
        if model is None or model.previewer is None:
            raise EmbeddingGone("The model of this preview is not loaded. Run the node once.")
        return model.previewer.preview(
            key, query.points, query.mask_choice, query.side, turn.is_over
        )
    except EmbeddingGone as error:
        raise _Refusal(409, "no_embedding", str(error)) from error
    except SegmentAnywhereError as error:
        raise _Refusal(400, "prompts", str(error)) from error


def lower_priority() -> None:
    """Give the calling thread less of the processor than the ones that run the queue."""
    # A sampler that runs on the CPU comes first. Linux counts priorities by thread; elsewhere the
    # call would slow the whole process.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _check_client(request: web.Request) -> None:
    if _has_left(request):
        raise _Refusal(400, "gone", "The client has gone.")


def _check_origin(request: web.Request) -> None:
    """Let pass the pages that this server has served, and programs that are no browser."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        # What the browser itself says holds behind a proxy too, where Host may be another.
        is_own = site in ("same-origin", "none")
    else:
        is_own = origin is None or _host_of(origin) == request.host.lower()
    if not is_own:
        raise _Refusal(403, "origin", "Previews are for this server's own pages.")


def _host_of(origin: str) -> str | None:
    """Host and port of an Origin header, None where it is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


async def _read_body(request: web.Request) -> bytes:
    from aiohttp import web

    # Another type needs no leave to be sent from a foreign page.
    if request.content_type != "application/json":
        raise _Refusal(415, "type", f"Found {request.content_type}; send application/json.")
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_BYTES:
                raise _Refusal(413, "size", f"A request may have {MAX_BYTES} bytes at most.")
    except ConnectionError as error:
        raise _Refusal(400, "gone", "The client has gone.") from error
    except web.RequestPayloadError as error:
        raise _Refusal(400, "body", "The body is not packed as its headers say.") from error
    return bytes(body)


def _parse(body: bytes) -> _Query:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Refusal(400, "json", "The body is not valid JSON.") from error
    if not isinstance(value, dict) or value.keys() != _FIELDS.keys():
        raise _Refusal(400, "fields", f"The fields are exactly: {', '.join(_FIELDS)}.")
    for name, kind in _FIELDS.items():
        if type(value[name]) is not kind:
            raise _Refusal(400, "fields", f"{name}: a {kind.__name__} is expected.")
    if not 1 <= value["side"] <= MAX_SIDE:
        raise _Refusal(400, "fields", f"side: accepted is 1 to {MAX_SIDE} pixels.")
    try:
        choice = MaskChoice(value["mask_choice"])
    except ValueError as error:
        accepted = ", ".join(MaskChoice)
        raise _Refusal(400, "fields", f"mask_choice: accepted is one of {accepted}.") from error
    return _Query(value["key"], value["points"], choice, value["side"])
