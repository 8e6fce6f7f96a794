"""Talks to a running ComfyUI: queue a graph, wait, look at what it made."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headless.remote.client import HttpAnswer, HttpClient

RUN_SECONDS = 180.0
_POLL_SECONDS = 0.05
# Of ComfyUI's kinds of binary messages.
_PROGRESS_TEXT = 3

Graph = dict[str, dict[str, Any]]


class Refused(Exception):
    """/prompt answered 400. node_errors: its errors by node id."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.node_errors: Mapping[str, Any] = answer["node_errors"]
        super().__init__(json.dumps(answer))

    def messages(self, node: str) -> list[str]:
        return [f"{one['message']}: {one['details']}" for one in self.node_errors[node]["errors"]]


@dataclass(frozen=True)
class Run:
    """A finished prompt. outputs: what its nodes show, by node id."""

    status: str
    messages: dict[str, dict[str, Any]]
    outputs: dict[str, dict[str, Any]]

    @property
    def cached(self) -> set[str]:
        """The nodes that were not executed, for their result was known."""
        return set(self.messages["execution_cached"]["nodes"])

    @property
    def error(self) -> str:
        """The message of the exception that ended the run, "" where none did."""
        return self.messages.get("execution_error", {}).get("exception_message", "")

    def text(self, node: str) -> str:
        (text,) = self.outputs[node]["text"]
        return text


class Api:
    """One client of a ComfyUI.

    Inside `with` it is connected over a websocket, as a browser is, and `events` collects what the
    server sends to it. Outside it is a script, to which the server sends nothing.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.client_id = uuid.uuid4().hex
        self.http = HttpClient(url)
        self.events = Events(f"{url}/ws?clientId={self.client_id}")

    def __enter__(self) -> Api:
        self.events.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.events.close()

    def status(self, path: str) -> int:
        """The status of a GET."""
        try:
            self.http.get(path)
        except HttpAnswer as answer:
            return answer.status
        return 200

    def upload(self, name: str, image: Path | Image.Image) -> str:
        """Upload an image; returns its name for LoadImage."""
        if isinstance(image, Path):
            data = image.read_bytes()
        else:
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            data = buffer.getvalue()
        answer = self.http.post_file("/upload/image", name, data, {"overwrite": "true"})
        return answer["name"]

    def queue(self, graph: Graph) -> str:
        """Queue a graph and return its prompt id; raises Refused."""
        try:
            answer = self.http.post_json("/prompt", {"prompt": graph, "client_id": self.client_id})
        except HttpAnswer as refusal:
            if refusal.status != 400:
                raise
            raise Refused(refusal.json()) from None
        assert not answer["node_errors"], answer
        return answer["prompt_id"]

    def wait(self, prompt_id: str, seconds: float = RUN_SECONDS) -> Run:
        """Wait until a prompt is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            entry = self.http.get_json(f"/history/{prompt_id}").get(prompt_id)
            if entry is not None:
                status = entry["status"]
                return Run(status["status_str"], dict(status["messages"]), entry["outputs"])
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"prompt {prompt_id} is not over after {seconds:.0f} s")

    def run(self, graph: Graph) -> Run:
        """Queue a graph and wait, whatever comes of it."""
        return self.wait(self.queue(graph))

    def succeed(self, graph: Graph) -> Run:
        """Queue a graph and wait; it must succeed."""
        run = self.run(graph)
        assert run.status == "success", run.error
        return run

    def images(self, run: Run, node: str) -> list[Image.Image]:
        """The images that an output node has written."""
        opened = []
        for entry in run.outputs[node]["images"]:
            query = {key: entry[key] for key in ("filename", "subfolder", "type")}
            opened.append(Image.open(io.BytesIO(self.http.get("/view", **query))))
        return opened

    def masks(self, run: Run, node: str = "mask image") -> NDArray[np.float32]:
        """The masks that went through MaskToImage: [B, H, W] float32, 0..1."""
        arrays = [np.asarray(image.convert("L")) for image in self.images(run, node)]
        return np.stack(arrays).astype(np.float32) / 255


class Events:
    """Collects what the server sends to a client over its websocket, as (type, data).

    A line of text on a node, which comes in bytes, is a "progress_text" of node and text.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._changed = threading.Condition()
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def open(self) -> None:
        """Connect, and wait until the server knows of it."""
        self._thread.start()
        self.wait_for("status", lambda _: True)

    def close(self) -> None:
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def all(self) -> list[tuple[str, dict[str, Any]]]:
        with self._changed:
            return list(self._events)

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [data for event, data in self.all() if event == kind]

    def wait_for(
        self, kind: str, accept: Callable[[dict[str, Any]], bool], seconds: float = 60.0
    ) -> None:
        """Wait for an event of a kind that is accepted."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: any(event == kind and accept(data) for event, data in self._events),
                seconds,
            )
        assert arrived, f"no {kind} event within {seconds:.0f} s"

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        self._task = loop.create_task(self._listen())
        try:
            loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            loop.close()

    async def _listen(self) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(self._address) as socket:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    event = json.loads(message.data)
                    self._note(event["type"], event["data"])
                elif message.type is aiohttp.WSMsgType.BINARY:
                    self._note_bytes(message.data)

    def _note_bytes(self, message: bytes) -> None:
        kind, length = struct.unpack_from(">II", message)
        if kind == _PROGRESS_TEXT:
            start = struct.calcsize(">II")
            node, text = message[start : start + length], message[start + length :]
            self._note("progress_text", {"node": node.decode(), "text": text.decode()})

    def _note(self, kind: str, data: dict[str, Any]) -> None:
        with self._changed:
            self._events.append((kind, data))
            self._changed.notify_all()
