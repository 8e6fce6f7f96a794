"""What can go wrong between a client and a provider, as replacements for a good answer."""

from __future__ import annotations

import asyncio
import struct
import threading
import zlib
from collections.abc import Awaitable, Callable

from aiohttp import web

Answering = Callable[[], Awaitable[web.Response]]
Fault = Callable[[web.Request, Answering], Awaitable[web.StreamResponse]]

HTML_502 = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
# How servers made with FastAPI refuse a field.
TOO_LONG = '{"detail": [{"loc": ["body", "prompt"], "msg": "too long", "type": "value_error"}]}'
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def status(code: int, body: str = "", kind: str = "application/json", **headers: str) -> Fault:
    """An answer with a status; a header's underscores stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(request: web.Request, good: Answering) -> web.Response:
        return web.Response(status=code, text=body, content_type=kind, headers=named)

    return answer


def body(data: bytes, kind: str) -> Fault:
    """An answer with a body of its own, of whatever type it claims to be."""

    async def answer(request: web.Request, good: Answering) -> web.Response:
        return web.Response(body=data, content_type=kind)

    return answer


def changed(change: Callable[[bytes], bytes]) -> Fault:
    """The good answer with another body."""

    async def answer(request: web.Request, good: Answering) -> web.Response:
        response = await good()
        response.body = change(response.body)
        return response

    return answer


def held(until: threading.Event) -> Fault:
    """The good answer, once it is let go."""

    async def answer(request: web.Request, good: Answering) -> web.Response:
        await asyncio.to_thread(until.wait, 60)
        return await good()

    return answer


class Hang:
    """Says nothing for a minute; `answered` is how many of those that asked waited for it."""

    def __init__(self) -> None:
        self.answered = 0

    async def __call__(self, request: web.Request, good: Answering) -> web.Response:
        await asyncio.sleep(60)
        self.answered += 1
        return web.Response(status=500)


async def drip(request: web.Request, good: Answering) -> web.StreamResponse:
    """One byte now and then, so that no pause is long enough for a read time-out."""
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    await response.prepare(request)
    for _ in range(600):
        await response.write(b"\x89")
        await asyncio.sleep(0.1)
    return response


async def reset(request: web.Request, good: Answering) -> web.StreamResponse:
    """Promise a whole answer, send half, and break the connection."""
    answer = await good()
    response = web.StreamResponse(headers={"Content-Type": answer.content_type})
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    request.transport.abort()
    return response


async def huge(request: web.Request, good: Answering) -> web.StreamResponse:
    """Two gigabytes, announced."""
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    response.content_length = 2**31
    return await _pour(request, response)


async def endless(request: web.Request, good: Answering) -> web.StreamResponse:
    """Two gigabytes, not announced."""
    return await _pour(request, web.StreamResponse(headers={"Content-Type": "image/png"}))


async def _pour(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    await response.prepare(request)
    block = b"\x89PNG" * 2**16
    try:
        for _ in range(2**31 // len(block)):
            await response.write(block)
    except (ConnectionError, asyncio.CancelledError):
        pass
    return response


def bomb() -> bytes:
    """A small PNG file of 50,000 x 50,000 pixels."""
    side = 50_000
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(side // 8 + 1)
    data = b"".join(packer.compress(row) for _ in range(200)) + packer.flush()
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def odd_png(good: bytes, kind: str) -> bytes:
    """A good PNG file made bad: by a zTXt or iCCP that unpacks to 2 MiB, or a cut IHDR."""
    head, rest = good[8:33], good[33:]
    packed = zlib.compress(bytes(2**21))
    heads = {
        "zTXt": head + _chunk(b"zTXt", b"Comment\0\0" + packed),
        "iCCP": head + _chunk(b"iCCP", b"profile\0\0" + packed),
        "IHDR": _chunk(b"IHDR", head[8:16]),
    }
    return _SIGNATURE + heads[kind] + rest


_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
