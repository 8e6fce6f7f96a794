"""What all servers share: the key, faults in a row, what was received, what was billed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.loopback import running

from .faults import Fault

KEY = "sk-loopback-0123456789abcdef"
MAX_UPLOAD = 64 * 2**20
_PICTURES = ("image/png", "image/jpeg", "image/webp")


@dataclass(frozen=True)
class Received:
    """One paid request. fields: the JSON body, or the form with files as bytes.

    file_names: what a form's files are called, by their field.
    """

    path: str
    headers: dict[str, str]
    fields: Any
    kind: str
    file_names: dict[str, str]


class Rejected(Exception):
    """The request is wrong; carries the answer that the real service would give."""

    def __init__(self, response: web.Response):
        super().__init__(response.status)
        self.response = response


@dataclass
class ProviderServer:
    """A loopback server of one provider.

    mode: how a good answer is written. faults: replace the answers of the next paid requests, one
    each; None among them lets one through. received: all paid requests. billed: how many of them
    got a good answer. most_at_once: of paid requests. leaks: requests for files with the key.
    """

    mode: str = ""
    delay: float = 0.0
    url: str = ""
    faults: deque[Fault | None] = field(default_factory=deque)
    file_faults: deque[Fault | None] = field(default_factory=deque)
    received: list[Received] = field(default_factory=list)
    billed: int = 0
    at_once: int = 0
    most_at_once: int = 0
    leaks: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        raise NotImplementedError

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_UPLOAD)
        app.router.add_get("/files/{name}", self.get_file)
        self.add_routes(app.router)
        return app

    def paid(self, answer: Callable[[Any], web.Response]) -> Callable:
        """A handler for a paid route: key, body, fault or answer, bill."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                self.check_key(request)
                fields, kind, names = await read_fields(request)
                headers = dict(request.headers)
                self.received.append(Received(request.path, headers, fields, kind, names))
                await asyncio.sleep(self.delay)

                async def good() -> web.Response:
                    response = await asyncio.to_thread(answer, fields)
                    self.billed += 1
                    return response

                fault = self.faults.popleft() if self.faults else None
                return await (fault(request, good) if fault else good())
            except Rejected as rejected:
                return rejected.response
            finally:
                self.at_once -= 1

        return handle

    def check_key(self, request: web.Request) -> None:
        """Raises Rejected unless the key comes as the service wants it."""
        raise NotImplementedError

    def store(self, data: bytes, suffix: str = "png") -> str:
        """Keep a file on the public file host; returns its address."""
        name = f"{len(self.files)}.{suffix}"
        self.files[name] = data
        return f"{self.url}/files/{name}"

    async def get_file(self, request: web.Request) -> web.StreamResponse:
        if KEY in str(dict(request.headers)) + str(request.url):
            self.leaks.append(request.path)
        name = request.match_info["name"]
        if name not in self.files:
            return web.Response(status=404)

        async def good() -> web.Response:
            return web.Response(body=self.files[name], content_type="image/png")

        fault = self.file_faults.popleft() if self.file_faults else None
        return await (fault(request, good) if fault else good())


async def read_fields(request: web.Request) -> tuple[Any, str, dict[str, str]]:
    """The body as JSON or form, or as raw bytes; its type; what a form's files are called."""
    kind = request.content_type
    if kind == "application/json":
        try:
            return await request.json(), kind, {}
        except ValueError:
            return None, kind, {}
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        form = await request.post()
        files = {k: each.filename for k, each in form.items() if isinstance(each, web.FileField)}
        return {name: _content(name, value) for name, value in form.items()}, kind, files
    return await request.read(), kind, {}


def _content(name: str, value: str | bytearray | web.FileField) -> str | bytes:
    """Text, or the bytes of a picture that came as a file with its type."""
    if isinstance(value, str):
        return value
    if not isinstance(value, web.FileField) or value.content_type not in _PICTURES:
        raise unreadable(name, "Expected a picture as a file")
    with value.file as file:
        return file.read()


def rejected(status: int, body: Any) -> Rejected:
    return Rejected(web.json_response(body, status=status))


def unreadable(name: str, text: str) -> Rejected:
    """A field that the service cannot read."""
    return rejected(422, {"detail": [{"loc": ["body", name], "msg": text, "type": "value_error"}]})


@contextmanager
def serving(server: ProviderServer, port: int = 0) -> Iterator[ProviderServer]:
    """Run a server in a thread as long as the context lasts."""
    with running(server.app, port) as server.url:
        yield server
