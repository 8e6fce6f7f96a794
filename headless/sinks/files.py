"""Result files: their names, writing them whole or not at all, and the record of what is done."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..decode import read_json
from ..errors import WorkflowError
from ..graph import IMAGE_CLASS, VIDEO_CLASS, Graph, Node, file_input
from ..sources.files import stamp_of
from ..sources.naming import FRAME_DIGITS
from ..sources.units import Job, Source

RECORD_KIND = "segment-anywhere run"
# Under which a node names the files of a dataset, among what it shows.
DATASET = "dataset"
# The disk is full, the user's share of it is, or a file may not be so large.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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


def signature(graph: Graph, names: Mapping[str, str], source: Source | None) -> str:
    """Return a digest of everything that a run's results depend on: graph, names, files.

    Raises:
        WorkflowError: the source is gone.
    """
    nodes = {
        node.id: [node.class_type, node.inputs, _stamp_of(node)] for node in graph.nodes.values()
    }
    stamp = _stamp(source) if source else None
    text = json.dumps([nodes, dict(names), stamp], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp_of(node: Node) -> list[str | int] | None:
    field = file_input(node) if node.class_type in (IMAGE_CLASS, VIDEO_CLASS) else None
    value = node.inputs[field] if field else None
    return stamp_of(Path(value)) if isinstance(value, str) and os.path.isfile(value) else None


def _stamp(source: Source) -> list[Any]:
    stamp = [source.place, source.stamp] if source.is_elsewhere else stamp_of(Path(source.place))
    if source.sampling is None:
        return stamp
    return [*stamp, astuple(source.sampling), [astuple(frame) for frame in source.frames or ()]]


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


def is_done(folder: Path, stem: str, digest: str, objects: str = "") -> bool:
    """Return True when an earlier run had this signature and all its files are still there.

    Args:
        folder: of the results.
        stem: of the run.
        digest: from `signature`.
        objects: from where in the graph its objects are to be kept for a table, empty for none.
    """
    record = read_record(folder, stem)
    if record is None or record.get("signature") != digest:
        return False
    if objects and record.get("objects") != objects:
        return False
    return all((folder / name).is_file() for name in record["outputs"])


def recorded_outputs(folder: Path) -> set[Path]:
    """Return the resolved paths of all files that earlier runs wrote to a folder."""
    stems = [path.stem for path in folder.glob("*.json")] if folder.is_dir() else []
    records = [record for stem in stems if (record := read_record(folder, stem))]
    return {(folder / name).resolve() for record in records for name in record["outputs"]}


def save(
    plan: Plan, job: Job, results: Sequence[NodeResult], digest: str, objects: str = ""
) -> list[Path]:
    """Write the results of one run and its record.

    Args:
        plan: folder and names.
        job: the run.
        results: what its output nodes made.
        digest: from `signature`.
        objects: from where in the graph come objects among them, empty for none.

    Returns:
        The paths written, the record left out.

    Raises:
        WorkflowError: there is nothing to write, it would replace an input or a foreign file, or
            the folder cannot be written to.
    """
    files = {
        plan.folder / file_name(body, tail): data
        for result in results
        for body, tail, data in _named(plan, job, result)
    }
    placed = {plan.folder / each.place: each.data for result in results for each in result.placed}
    files |= {path: data for path, data in placed.items() if data is not None}
    there = [path for path, data in placed.items() if data is None]
    if not (files or there):
        raise WorkflowError("The workflow ran, but no output node made an image or a text.")
    record = _record_path(plan.folder, job.stem)
    _refuse_foreign(plan, job, [*files, record], record)
    names = [path.relative_to(plan.folder).as_posix() for path in (*files, *there)]
    try:
        with staged(files | {record: _record_text(job, digest, objects, names)}) as put:
            # Without its record a half-replaced set of results counts as not done.
            record.unlink(missing_ok=True)
            put()
    except OSError as error:
        raise unwritable(f"--out {plan.folder}", error) from error
    return [*files, *there]


def unwritable(place: str, error: OSError) -> WorkflowError:
    """The error for a place, as the command line names it, that could not be written to."""
    if error.errno in FULL:
        return WorkflowError(
            f"{place}: the disk is full, and nothing of this result was kept. Make room there and "
            "run again: what is done already is not done again."
        )
    return WorkflowError(
        f"{place}: cannot be written ({error.strerror}: {error.filename}). Choose another folder."
    )


def _record_text(job: Job, digest: str, objects: str, names: Sequence[str]) -> bytes:
    source = job.source
    record = {
        "kind": RECORD_KIND,
        "signature": digest,
        "image": source.place if source else None,
        "outputs": names,
    }
    if objects:
        record["objects"] = objects
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def _refuse_foreign(plan: Plan, job: Job, paths: Iterable[Path], record: Path) -> None:
    for path in paths:
        if path.resolve() in plan.inputs:
            raise WorkflowError(f"The result {path} would replace an input. Choose another --out.")
    if record.exists() and read_record(plan.folder, job.stem) is None:
        raise WorkflowError(
            f"{record} exists and is no record of an earlier run. Move it, or choose another --out."
        )


def _named(plan: Plan, job: Job, result: NodeResult) -> Iterator[tuple[str, str, bytes]]:
    """The two parts of each file's name, and its content."""
    files = [(data.suffix, data.data) for data in result.files]
    texts = [(".txt", _with_newline(text)) for text in result.texts]
    if not files and not texts:
        return
    name = plan.names[result.node_id]
    frames = job.source.frames if job.source else None
    if frames and len(frames) == len(files):
        # By the frame's number alone, not by how many frames are a unit of work.
        clip = job.stem.rpartition("_")[0]
        for frame, (suffix, data) in zip(frames, files, strict=True):
            yield f"{clip}_{frame.number:0{FRAME_DIGITS}}_{name}", suffix, data
        files = []
    for tail, data in (*_numbered(files), *_numbered(texts)):
        yield f"{job.stem}_{name}", tail, data


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


@contextmanager
def staged(files: Mapping[Path, bytes]) -> Iterator[Callable[[], None]]:
    """Write files beside their places; what this gives then puts them there, one after the other.

    So a disk that is too small for all of them keeps what it had, and so does an interrupt.

    Raises:
        OSError: a folder cannot be written to.
    """
    parts: dict[Path, Path] = {}

    def put() -> None:
        for path, part in parts.items():
            os.replace(part, path)

    try:
        for path, data in files.items():
            parts[path] = empty_part(path)
            parts[path].write_bytes(data)
        yield put
    finally:
        # An interrupt is no Exception, and it must not leave the temporary files either.
        for part in parts.values():
            part.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also when interrupted.

    Raises:
        OSError: the folder cannot be written to.
    """
    with staged({path: data}) as put:
        put()


def empty_part(path: Path) -> Path:
    """Make an empty file beside a place, which is to be written and then put there.

    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    os.close(handle)
    os.chmod(name, 0o666 & ~_umask())
    return Path(name)


def _umask() -> int:
    # The only way to read it is to set it, and results of several servers are written by threads.
    with _UMASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask
