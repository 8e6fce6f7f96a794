"""Result files: their names, writing them whole or not at all, and the record of what is done."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .decode import read_json
from .errors import WorkflowError
from .graph import IMAGE_CLASS, IMAGE_INPUT, Graph, Node
from .images import Job

RECORD_KIND = "segment-anywhere run"
# Under which a node names the files of a dataset, among what it shows.
DATASET = "dataset"
_DEFAULT_PREFIX = "ComfyUI"
# What a name may have in the file systems of all three platforms.
_NAME_BYTES = 255
_DIGEST = 8
_UMASK = threading.Lock()


@dataclass(frozen=True)
class FileData:
    """One result file, in memory."""

    data: bytes
    suffix: str = ".png"


@dataclass(frozen=True)
class PlacedFile:
    """A file that has a place of its own below the results' folder, as those of a dataset have.

    `place` is relative, with "/"; `data` is None where the file is there already. Several runs may
    write the same one.
    """

    place: str
    data: bytes | None = None


@dataclass(frozen=True)
class NodeResult:
    """What one output node of the graph made: files, frame by frame, texts, and placed files."""

    node_id: str
    files: Sequence[FileData] = ()
    texts: Sequence[str] = ()
    placed: Sequence[PlacedFile] = ()


@dataclass(frozen=True)
class Plan:
    """What the result files of every run have in common.

    `names` gives each output node's part of the file name; `inputs` are files that are never
    written to.
    """

    folder: Path
    names: Mapping[str, str]
    inputs: Collection[Path] = field(default_factory=frozenset)


def slug(text: str) -> str:
    """Return the text as a part of a file name: letters of any script, digits, "-", "_", "."."""
    return re.sub(r"[^\w.]+", "-", text).strip("-. ")


def file_name(body: str, tail: str) -> str:
    """Return a name of a file, body and tail; a body that is too long is cut.

    What is left of it ends in a digest of the whole, so that different ones stay different.
    """
    raw = body.encode("utf-8", "surrogateescape")
    room = _NAME_BYTES - len(tail.encode())
    if len(raw) <= room:
        return body + tail
    kept = raw[: room - _DIGEST - 1].decode("utf-8", "ignore")
    return f"{kept}-{hashlib.sha256(raw).hexdigest()[:_DIGEST]}{tail}"


def output_names(nodes: Iterable[Node]) -> dict[str, str]:
    """Return the part of the file name that stands for each output node, by node id.

    It is the last path component of `filename_prefix`, if that is set and not the default, else
    the node's title. Nodes that would share a name get their id appended.
    """
    names = {node.id: _own_name(node) for node in nodes}
    taken = list(names.values())
    return {
        node_id: f"{name}_{slug(node_id)}" if _shared(name, taken) else name
        for node_id, name in names.items()
    }


def _own_name(node: Node) -> str:
    prefix = node.inputs.get("filename_prefix")
    if isinstance(prefix, str) and prefix != _DEFAULT_PREFIX:
        last = slug(re.split(r"[/\\]", prefix)[-1])
        if last:
            return last
    return slug(node.title).lower() or slug(node.class_type).lower() or "output"


def _shared(name: str, taken: Sequence[str]) -> bool:
    # "mask_00" is also the first frame of "mask".
    frame_of = re.sub(r"_\d{2,}$", "", name)
    same = sum(each.casefold() == name.casefold() for each in taken)
    return same > 1 or (frame_of != name and frame_of in taken)


def signature(graph: Graph, names: Mapping[str, str], image: Path | None) -> str:
    """Return a digest of everything that a run's results depend on: graph, names, image files."""
    nodes = {
        node.id: [node.class_type, node.inputs, _stamp_of(node)] for node in graph.nodes.values()
    }
    stamp = _stamp(image) if image else None
    text = json.dumps([nodes, dict(names), stamp], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp_of(node: Node) -> list[Any] | None:
    value = node.inputs.get(IMAGE_INPUT) if node.class_type == IMAGE_CLASS else None
    return _stamp(Path(value)) if isinstance(value, str) and os.path.isfile(value) else None


def _stamp(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _record_path(folder: Path, stem: str) -> Path:
    return folder / file_name(stem, ".json")


def read_record(folder: Path, stem: str) -> dict[str, Any] | None:
    """Return the record of an earlier run, None when there is none that can be read."""
    try:
        record = read_json(_record_path(folder, stem).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if _is_record(record) else None


def _is_record(record: object) -> bool:
    return (
        isinstance(record, dict)
        and record.get("kind") == RECORD_KIND
        and isinstance(record.get("outputs"), list)
        and all(isinstance(name, str) for name in record["outputs"])
    )


def is_done(folder: Path, stem: str, digest: str) -> bool:
    """Return True when an earlier run had this signature and all its files are still there."""
    record = read_record(folder, stem)
    if record is None or record.get("signature") != digest:
        return False
    return all((folder / name).is_file() for name in record["outputs"])


def recorded_outputs(folder: Path) -> set[Path]:
    """Return the resolved paths of all files that earlier runs wrote to a folder."""
    stems = [path.stem for path in folder.glob("*.json")] if folder.is_dir() else []
    records = [record for stem in stems if (record := read_record(folder, stem))]
    return {(folder / name).resolve() for record in records for name in record["outputs"]}


def save(plan: Plan, job: Job, results: Sequence[NodeResult], digest: str) -> list[Path]:
    """Write the results of one run and its record.

    Args:
        plan: folder and names.
        job: the run.
        results: what its output nodes made.
        digest: from `signature`.

    Returns:
        The paths written, the record left out.

    Raises:
        WorkflowError: there is nothing to write, a file would replace an input or a foreign file,
            or the folder cannot be written to.
    """
    files = {
        plan.folder / file_name(f"{job.stem}_{plan.names[result.node_id]}", tail): data
        for result in results
        for tail, data in _tails(result)
    }
    placed = {each.place: each.data for result in results for each in result.placed}
    files |= {plan.folder / place: data for place, data in placed.items() if data is not None}
    there = [plan.folder / place for place, data in placed.items() if data is None]
    if not files and not there:
        raise WorkflowError("The workflow ran, but no output node made an image or a text.")
    record = _record_path(plan.folder, job.stem)
    _refuse_foreign(plan, job, [*files, record], record)
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        # Without its record a half-replaced set of results counts as not done.
        record.unlink(missing_ok=True)
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        names = [path.relative_to(plan.folder).as_posix() for path in (*files, *there)]
        write_whole(record, _record_text(job, digest, names))
    except OSError as error:
        raise WorkflowError(
            f"--out {plan.folder}: cannot be written ({error.strerror}: {error.filename}). "
            "Choose another folder."
        ) from error
    return [*files, *there]


def _record_text(job: Job, digest: str, names: Sequence[str]) -> bytes:
    record = {
        "kind": RECORD_KIND,
        "signature": digest,
        "image": str(job.image) if job.image else None,
        "outputs": names,
    }
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def _refuse_foreign(plan: Plan, job: Job, paths: Iterable[Path], record: Path) -> None:
    for path in paths:
        if path.resolve() in plan.inputs:
            raise WorkflowError(f"The result {path} would replace an input. Choose another --out.")
    if record.exists() and read_record(plan.folder, job.stem) is None:
        raise WorkflowError(
            f"{record} exists and is no record of an earlier run. Move it, or choose another --out."
        )


def _tails(result: NodeResult) -> list[tuple[str, bytes]]:
    """What ends the name of each file, number and suffix, with its content."""
    files = [(data.suffix, data.data) for data in result.files]
    texts = [(".txt", _with_newline(text)) for text in result.texts]
    return [*_numbered(files), *_numbered(texts)]


def _numbered(items: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    if len(items) == 1:
        return list(items)
    width = max(2, len(str(len(items) - 1)))
    return [(f"_{i:0{width}}{suffix}", data) for i, (suffix, data) in enumerate(items)]


def _with_newline(text: str) -> bytes:
    return (text if text.endswith("\n") else f"{text}\n").encode()


def place_of(entry: Mapping[str, Any]) -> str:
    """Return where a file that a node has saved lies, below the folder of results.

    Args:
        entry: its `filename` and `subfolder`, as ComfyUI names them.

    Raises:
        WorkflowError: the place is outside of it.
    """
    name, folder = str(entry["filename"]), str(entry.get("subfolder", "")).replace("\\", "/")
    place = PurePosixPath(folder, name)
    if place.is_absolute() or ".." in place.parts or re.search(r"[\\:\0]", str(place)):
        raise WorkflowError(f"A node saved {place}, which is outside of the folder of results.")
    return place.as_posix()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also when interrupted.

    Raises:
        OSError: the folder cannot be written to.
    """
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        # An interrupt is no Exception, and it must not leave the temporary file either.
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    # The only way to read it is to set it, and results of several servers are written by threads.
    with _UMASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask
