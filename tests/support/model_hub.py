"""A loopback server that behaves like the model hub, and what it has."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from segment_anywhere.core.engines.files.catalogue import Entry, RemoteFile

CONTENT = bytes(range(256)) * 20_000
FILE = RemoteFile("weights/test.pt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
ENTRY = Entry(
    family="sam2",
    title="SAM",
    variant="test",
    repository="someone/sam-test",
    files=(FILE,),
    licence="Apache-2.0",
)
# A model of two files.
FOLDER = replace(
    ENTRY,
    title="Detector",
    family="clipseg",
    repository="someone/detector-test",
    revision="c0ffee",
    files=tuple(replace(FILE, path=path) for path in ("model.safetensors", "config.json")),
)


@dataclass
class Hub:
    """What the server answers, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    status: int = 200
    cut_after: int | None = None
    ignores_ranges: bool = False
    goes_on: threading.Event = field(default_factory=threading.Event)
    """Cleared, it keeps the second half of every answer back."""
    passes_on: bool = False
    """It answers with the address of a server, itself, that has the file."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, hub: Hub, *args) -> None:
        self.hub = hub
        super().__init__(*args)

    def do_GET(self) -> None:
        hub, wanted = self.hub, self.headers.get("Range")
        hub.requests.append((self.path, wanted))
        hub.logins.append(self.headers.get("Authorization"))
        if hub.passes_on and not self.path.startswith("/files"):
            self._pass_on()
        elif hub.status != 200:
            self.send_error(hub.status)
        else:
            has_start = wanted is not None and not hub.ignores_ranges
            self._answer(int(wanted.removeprefix("bytes=").rstrip("-")) if has_start else 0)

    def _pass_on(self) -> None:
        # Another name of this machine, and so another server.
        elsewhere = self.hub.url.replace("127.0.0.1", "localhost")
        self.send_response(302)
        self.send_header("Location", f"{elsewhere}/files{self.path}")
        self.end_headers()

    def _answer(self, start: int) -> None:
        content = self.hub.content
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        answer = content[start : self.hub.cut_after]
        self.wfile.write(answer[: len(answer) // 2])
        self.hub.goes_on.wait()
        self.wfile.write(answer[len(answer) // 2 :])

    def log_message(self, *args) -> None:
        pass


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """Run a hub on a free port, in a thread, as long as the context lasts."""
    hub = Hub()
    hub.goes_on.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    # It looks so often whether it is to end, and every test waits for that.
    serve = partial(server.serve_forever, poll_interval=0.01)
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield hub
    finally:
        hub.goes_on.set()
        server.shutdown()
        server.server_close()


class Interrupted(BaseException):
    """As ComfyUI's own, no Exception."""


def ignore(done: int, total: int) -> None:
    """A progress callback for who wants to know nothing."""
