"""Runs a workflow on a ComfyUI server: upload, queue, wait, fetch."""

from __future__ import annotations

import hashlib
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import RunnerLost, WorkflowError
from ..graph import Graph, Node, describe, given_file
from ..pictures import check_picture
from ..sinks.files import DATASET, FileData, NodeResult, PlacedFile, place_of, slug
from ..sinks.videos import LOSSLESS_SUFFIX, lossless
from ..sources.clips import check_memory, look_into, read
from ..sources.units import Sampling, Source
from .client import HttpAnswer, HttpClient, Unreachable

UPLOAD_FOLDER = "segment-anywhere"
POLL_SECONDS = 0.25
# A busy server may miss some polls; one that misses this many in a row is gone.
PATIENCE = 20
# Every so many polls the queue is asked too: a restarted server has forgotten the job.
QUEUE_EVERY = 20
CANCEL_TIMEOUT = 3.0


class ServerRunner:
    """Runs graphs on a ComfyUI server.

    Args:
        url: its address, http or https.
        poll_seconds: time between two looks at a running job.

    Raises:
        WorkflowError: the URL is of another kind.
    """

    def __init__(self, url: str, poll_seconds: float = POLL_SECONDS) -> None:
        self._client = HttpClient(url)
        self._url = url
        self._poll_seconds = poll_seconds
        self._client_id = uuid.uuid4().hex
        self._info: dict[str, Mapping[str, Any] | None] = {}
        self._is_stopped = threading.Event()

    def __enter__(self) -> ServerRunner:
        """Make sure that a ComfyUI answers.

        Raises:
            WorkflowError: nothing answers, or something else.
        """
        try:
            status = self._client.get_json("/system_stats")
        except HttpAnswer as answer:
            raise WorkflowError(
                f"{self._client.base} answers with status {answer.status}, not as ComfyUI does. "
                "Correct --server."
            ) from None
        if not isinstance(status, dict) or "system" not in status:
            raise WorkflowError(
                f"{self._client.base} answers, but not as ComfyUI does. Correct --server."
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held open between requests."""

    def input_spec(self, class_type: str) -> Mapping[str, Any] | None:
        """Return what the server says about the inputs of a class, None when it lacks it."""
        info = self._node_info(class_type)
        return None if info is None else info.get("input", {})

    def output_types(self, class_type: str) -> Sequence[str]:
        """Return what the server says about the outputs of a class, none when it lacks it."""
        info = self._node_info(class_type)
        return [str(each) for each in (info or {}).get("output", ())]

    def localize(self, graph: Graph, chosen: Collection[str]) -> Graph:
        """Return the graph as it is: the pictures it names are the server's."""
        return graph

    def output_nodes(self, graph: Graph) -> list[Node]:
        """Return the nodes that make results.

        Raises:
            WorkflowError: there is none, or the server lacks a class.
        """
        self.check(graph)
        infos = {node.id: self._node_info(node.class_type) for node in graph.nodes.values()}
        found = [n for n in graph.nodes.values() if (infos[n.id] or {}).get("output_node")]
        if not found:
            raise WorkflowError(
                "The workflow has no output node. Add Save Image or Preview Image. It has: "
                f"{describe(graph.nodes)}."
            )
        return found

    def check(self, graph: Graph) -> None:
        """Check that the links hold and that the server has every node type.

        Raises:
            WorkflowError: naming all types that are missing.
        """
        graph.order(graph.nodes)
        missing = [n for n in graph.nodes.values() if self._node_info(n.class_type) is None]
        if missing:
            types = ", ".join(sorted({node.class_type for node in missing}))
            raise WorkflowError(
                f"The ComfyUI at {self._client.base} lacks the node types {types}, needed by "
                f"{describe(missing)}. Install the node packs they come from and restart it."
            )

    def run(self, graph: Graph, image_node: str | None, source: Source | None) -> list[NodeResult]:
        """Run the graph once and fetch what its output nodes made.

        Args:
            graph: a checked graph.
            image_node: id of the node that gets the image.
            source: a file on this machine to upload, or None to leave the graph as it is.

        Raises:
            WorkflowError: the image cannot be read, the server refused the graph, a node failed, or
                the server is gone.
            KeyboardInterrupt: passed on after the job has been cancelled.
        """
        if source is not None and image_node is not None:
            name = self._upload(*self._content(source))
            graph = given_file(graph, image_node, name, is_clip=source.is_clip)
        targets = [node.id for node in self.output_nodes(graph)]
        prompt_id = str(uuid.uuid4())
        with self._cancelled_on_interrupt(prompt_id):
            self._queue(graph, prompt_id)
            entry = self._wait(prompt_id)
        _raise_failure(graph, entry)
        outputs = entry.get("outputs") or {}
        return [self._fetch(each, outputs[each]) for each in targets if each in outputs]

    def stop(self) -> None:
        """Cancel the job that another thread waits for; nothing is run any more."""
        self._is_stopped.set()

    def _node_info(self, class_type: str) -> Mapping[str, Any] | None:
        if class_type not in self._info:
            name = urllib.parse.quote(class_type, safe="")
            with self._explained(f"looking up node type {class_type}"):
                answer = self._client.get_json(f"/object_info/{name}")
            self._info[class_type] = (answer or {}).get(class_type)
        return self._info[class_type]

    def _content(self, source: Source) -> tuple[str, bytes]:
        """The name and content of the file to upload."""
        if source.is_clip:
            with self._explained("asking for its memory"):
                stats = self._client.get_json("/system_stats")
            check_memory(source, stats["system"].get("ram_free"))
        if source.is_clip and not (source.frames is None and source.sampling == Sampling()):
            # The server's nodes read whole files only.
            clip = look_into(source)
            name = f"{Path(source.name).stem}{LOSSLESS_SUFFIX}"
            return name, lossless(read(source, clip), clip.rate)
        if not source.is_clip:
            check_picture(Path(source.place))
        try:
            return source.name, Path(source.place).read_bytes()
        except OSError as error:
            raise WorkflowError(f"{source.place}: cannot be read ({error.strerror}).") from error

    def _upload(self, name: str, data: bytes) -> str:
        # The name follows from the content, so that no other upload can replace it meanwhile.
        plain = slug(Path(name).stem.encode("ascii", "ignore").decode())[:60] or "image"
        digest = hashlib.sha256(data).hexdigest()[:16]
        unique = f"{plain}-{digest}{_safe_suffix(name)}"
        fields = {"type": "input", "subfolder": UPLOAD_FOLDER, "overwrite": "true"}
        with self._explained(f"uploading {name}"):
            answer = self._client.post_file("/upload/image", unique, data, fields)
        parts = (self._field(answer, "subfolder"), self._field(answer, "name"))
        return "/".join(part for part in parts if part)

    def _queue(self, graph: Graph, prompt_id: str) -> None:
        request = {
            "prompt": graph.as_prompt(),
            "prompt_id": prompt_id,
            # Without a client id ComfyUI 0.25 leaves cached outputs out of the history.
            "client_id": self._client_id,
        }
        try:
            answer = self._client.post_json("/prompt", request)
        except HttpAnswer as refusal:
            text = _refusal(graph, refusal.json()) or f"status {refusal.status}"
            raise WorkflowError(f"ComfyUI refused the workflow: {text}", stops_run=True) from None
        # One good output is enough for ComfyUI to start; here every output counts.
        partly = _refusal(graph, {"node_errors": self._field(answer, "node_errors")})
        if partly:
            self._cancel(prompt_id)
            raise WorkflowError(f"ComfyUI refused the workflow: {partly}", stops_run=True)

    def _wait(self, prompt_id: str) -> Mapping[str, Any]:
        missed = polls = 0
        while True:
            polls += 1
            try:
                entry = self._poll(prompt_id, ask_queue=polls % QUEUE_EVERY == 0)
                missed = 0
            except (Unreachable, HttpAnswer) as error:
                entry = None
                missed += 1
                if missed >= PATIENCE:
                    raise _gone(self._client.base, error) from error
            if entry is not None:
                return entry
            time.sleep(self._poll_seconds)
            if self._is_stopped.is_set():
                self._cancel(prompt_id)
                raise WorkflowError("The job was given up. Run again.")

    def _poll(self, prompt_id: str, *, ask_queue: bool) -> Mapping[str, Any] | None:
        entry = self._history(prompt_id)
        if entry is not None or not ask_queue or self._is_queued(prompt_id):
            return entry
        # It may have finished between the two questions.
        entry = self._history(prompt_id)
        if entry is None:
            raise WorkflowError(
                "ComfyUI no longer knows the job: it was restarted, or its queue was cleared. "
                "Run again."
            )
        return entry

    def _history(self, prompt_id: str) -> Mapping[str, Any] | None:
        return (self._client.get_json(f"/history/{prompt_id}") or {}).get(prompt_id)

    def _field(self, answer: Any, name: str) -> Any:
        if not isinstance(answer, dict) or name not in answer:
            raise WorkflowError(
                f"{self._client.base} answers, but not as ComfyUI does ({name} is missing). "
                "Correct --server.",
                stops_run=True,
            )
        return answer[name]

    def _is_queued(self, prompt_id: str) -> bool:
        queue = self._client.get_json("/queue")
        items = [*queue.get("queue_running", ()), *queue.get("queue_pending", ())]
        return any(prompt_id in item[:2] for item in items)

    def _fetch(self, node_id: str, output: Mapping[str, Any]) -> NodeResult:
        placed = [
            PlacedFile(place_of(entry), self._view(entry))
            for entry in _file_entries(output.get(DATASET))
        ]
        if placed:
            # What such a node says, and what it shows in a browser, are no results.
            return NodeResult(node_id, placed=placed)
        entries = [entry for values in output.values() for entry in _file_entries(values)]
        texts = output.get("text") or ()
        texts = [texts] if isinstance(texts, str) else [str(text) for text in texts]
        files = [
            FileData(self._view(entry), _safe_suffix(entry["filename"]) or ".bin")
            for entry in entries
        ]
        return NodeResult(node_id, files, texts)

    def _view(self, entry: Mapping[str, Any]) -> bytes:
        query = {key: str(entry.get(key, "")) for key in ("filename", "subfolder", "type")}
        with self._explained(f"fetching {query['filename']}"):
            return self._client.get("/view", **query)

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except HttpAnswer as answer:
            hint = " The file is larger than it accepts." if answer.status == 413 else ""
            raise WorkflowError(
                f"{doing}: {self._client.base} answered with status {answer.status}.{hint}"
            ) from None

    @contextmanager
    def _cancelled_on_interrupt(self, prompt_id: str) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self._cancel(prompt_id)
            raise

    def _cancel(self, prompt_id: str) -> None:
        quick = HttpClient(self._url, CANCEL_TIMEOUT)
        # Whether it still waits or already runs is not known, and either may be over by now.
        with suppress(WorkflowError, HttpAnswer):
            quick.post_json("/queue", {"delete": [prompt_id]})
            quick.post_json("/interrupt", {"prompt_id": prompt_id})


def _file_entries(values: object) -> list[dict[str, Any]]:
    found = values if isinstance(values, list) else []
    return [each for each in found if isinstance(each, dict) and "filename" in each]


def _safe_suffix(name: str) -> str:
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", name)
    return found.group().lower() if found else ""


def _gone(base: str, error: Exception) -> RunnerLost:
    why = f"status {error.status}" if isinstance(error, HttpAnswer) else str(error)
    return RunnerLost(f"ComfyUI at {base} was lost while the job ran: {why}", was_running=True)


def _refusal(graph: Graph, answer: Any) -> str | None:
    """Return what a 400 of /prompt says: node, input and message of every error."""
    if not isinstance(answer, dict):
        return None
    lines = []
    for node_id, found in (answer.get("node_errors") or {}).items():
        node = graph.nodes.get(node_id)
        for error in found.get("errors") or ():
            lines.append(f"{node or node_id}{_input_of(error)}: {_said(error)}")
    error = answer.get("error")
    if not lines and isinstance(error, dict):
        lines.append(_said(error))
    elif not lines and error:
        lines.append(str(error))
    return "; ".join(dict.fromkeys(lines)) or None


def _input_of(error: Mapping[str, Any]) -> str:
    extra = error.get("extra_info")
    name = extra.get("input_name") if isinstance(extra, dict) else None
    return f", input {name!r}" if name else ""


def _said(error: Mapping[str, Any]) -> str:
    parts: Sequence[str] = [str(error.get(key) or "") for key in ("message", "details")]
    return ": ".join(part for part in parts if part) or "refused without a reason"


def _raise_failure(graph: Graph, entry: Mapping[str, Any]) -> None:
    status = entry.get("status") or {}
    for message in status.get("messages") or ():
        event, data = message[0], message[1]
        if event == "execution_error":
            node = graph.nodes.get(str(data.get("node_id"))) or data.get("node_type")
            text = data.get("exception_message") or data.get("exception_type")
            raise WorkflowError(f"{node}: {text}")
        if event == "execution_interrupted":
            raise WorkflowError("The job was interrupted on the server. Run again.")
    if status.get("status_str") == "error":
        raise WorkflowError("The job failed on the server, which does not say why. See its log.")
