"""All objects of a run as one table: a Parquet file with a row for each object.

Two nodes are added to the graph, which give the objects as JSON, here and on a server. Every run
keeps those of its unit in a file of its own, and the table is made of these files at the end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..decode import read_json
from ..errors import WorkflowError
from ..extras import load_extra
from ..graph import Graph, Link, Node, describe
from ..schema import expand_spec
from ..sources.units import Source
from .files import NodeResult, PlacedFile, empty_part, file_name, read_record, unwritable

SUFFIX = ".parquet"
TITLE = "Table"
FOLDER = "objects"
_SOCKET = "SEGMENTS"
_SELECT, _JSON_OUTPUT = "SegmentAnywhereSelect", 5
_PREVIEW = "PreviewAny"
# Marks a file as ours, so that no other is replaced.
_MARK = {b"segment-anywhere": b"objects"}
_ROWS_AT_ONCE = 10_000


class Nodes(Protocol):
    """What is asked of a runner."""

    def input_spec(self, class_type: str) -> Any:
        """INPUT_TYPES of a class."""
        ...

    def output_types(self, class_type: str) -> Sequence[str]:
        """The types of its outputs."""
        ...


@dataclass(frozen=True)
class Table:
    """A table to be made.

    path: of the file. origin: the output whose objects it has, "node:number" in the graph. nodes:
    those that are added to the graph, the last of which shows the objects as text.
    """

    path: Path
    origin: str
    nodes: tuple[Node, ...]

    def added_to(self, graph: Graph) -> Graph:
        """The graph that shows the objects besides."""
        return Graph({**graph.nodes, **{node.id: node for node in self.nodes}})

    def kept(
        self, results: Sequence[NodeResult], stem: str, frames: Sequence[int]
    ) -> list[NodeResult]:
        """The results with the objects as a file of the unit.

        Args:
            results: of the graph with the added nodes.
            stem: of the unit.
            frames: the numbers of its frames in their clip; empty for a picture.

        Raises:
            WorkflowError: the objects are missing, or are none.
        """
        shown = self.nodes[-1].id
        text = next((text for each in results if each.node_id == shown for text in each.texts), "")
        try:
            objects = read_json(text)
            for each in objects:
                each["frame"] = frames[each["frame"]] if frames else each["frame"]
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise WorkflowError(
                f"--table: node {self.origin} gave no objects ({error})."
            ) from error
        kept = {"frames": list(frames) or None, "objects": objects}
        data = (json.dumps(kept, ensure_ascii=False) + "\n").encode()
        part = NodeResult(shown, placed=[PlacedFile(_place(stem), data)])
        return [*(each for each in results if each.node_id != shown), part]


def _place(stem: str) -> str:
    return f"{FOLDER}/{file_name(stem, '.json')}"


def plan_table(path: Path, graph: Graph, runner: Nodes) -> Table:
    """Find out which objects of a graph a table gets.

    Those that no other node makes other objects of; or, where there are several such outputs, those
    of the node with the title "Table".

    Raises:
        WorkflowError: the choice is open, nothing makes objects, the path is no place for a table,
            or pyarrow is missing.
    """
    _check_place(path)
    types = {node.id: runner.output_types(node.class_type) for node in graph.nodes.values()}
    makers = {key: list(found).index(_SOCKET) for key, found in types.items() if _SOCKET in found}
    taken = {
        link.node_id
        for key in makers
        for link in graph.nodes[key].links().values()
        if makers.get(link.node_id) == link.slot
    }
    last = [graph.nodes[key] for key in makers if key not in taken]
    titled = [graph.nodes[key] for key in makers if graph.nodes[key].title == TITLE]
    for choice in (titled, last):
        if len(choice) == 1:
            link = Link(choice[0].id, makers[choice[0].id])
            return Table(path, f"{link.node_id}:{link.slot}", _added(graph, link, runner))
    if not makers:
        raise WorkflowError(
            "--table: no node of the workflow makes segments. Add a segment node of this pack."
        )
    raise WorkflowError(
        f"--table: segments come from {describe(titled or last)}. Give the one whose objects you "
        f'want, and no other, the title "{TITLE}".'
    )


def _added(graph: Graph, link: Link, runner: Nodes) -> tuple[Node, Node]:
    spec = expand_spec(runner.input_spec(_SELECT) or {}, {})
    defaults = {
        name: each.options.get("default", (each.choices or ("",))[0])
        for name, each in spec.items()
        if each.takes_value
    }
    names = (f"table-{number}" for number in range(len(graph.nodes) + 2))
    select, preview = [name for name in names if name not in graph.nodes][:2]
    inputs = {**defaults, "segments": [link.node_id, link.slot]}
    return (
        Node(select, _SELECT, "Table: objects", inputs),
        Node(preview, _PREVIEW, "Table: JSON", {"source": [select, _JSON_OUTPUT]}),
    )


def _check_place(path: Path) -> None:
    arrow = load_extra("pyarrow.parquet", "pyarrow", "--table")
    if path.suffix != SUFFIX:
        raise WorkflowError(f"--table {path}: accepted is a name that ends in {SUFFIX}.")
    if not path.exists():
        return
    try:
        ours = _MARK.items() <= (arrow.read_schema(path).metadata or {}).items()
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise WorkflowError(
            f"--table {path}: exists and is no table of an earlier run. Move it, or choose another "
            "name."
        )


def write_table(table: Table, folder: Path, done: Sequence[str], failed: Collection[str]) -> Path:
    """Make the table of what the runs into a folder have kept, earlier ones included.

    Args:
        table: from `plan_table`.
        folder: of the results.
        done: stems of the runs that count before all others; a frame is in the table once.
        failed: stems of those that failed; what an earlier run kept of them is out of date.

    Raises:
        WorkflowError: a kept file is damaged, or the table cannot be written.
    """
    arrow, parquet = (
        load_extra(name, "pyarrow", "--table") for name in ("pyarrow", "pyarrow.parquet")
    )
    schema = arrow.schema(_columns(arrow)).with_metadata(_MARK)
    part = None
    try:
        part = empty_part(table.path)
        with parquet.ParquetWriter(part, schema) as writer:
            for rows in _batches(_rows(table, folder, done, failed)):
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
        os.replace(part, table.path)
    except OSError as error:
        raise unwritable(f"--table {table.path}", error) from error
    finally:
        # An interrupt is no Exception, and it must not leave the temporary file either.
        if part is not None:
            part.unlink(missing_ok=True)
    return table.path


def _columns(arrow: Any) -> list[tuple[str, Any]]:
    whole, text = arrow.int64(), arrow.string()
    return [
        *(("file", text), ("frame", whole), ("id", whole), ("label", text)),
        ("score", arrow.float64()),
        *((name, whole) for name in ("x0", "y0", "x1", "y1", "area")),
        ("rle", text),
        *((name, whole) for name in ("width", "height")),
    ]


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows(
    table: Table, folder: Path, done: Sequence[str], failed: Collection[str]
) -> Iterator[dict[str, Any]]:
    first = dict.fromkeys(file_name(stem, "") for stem in done)
    others = sorted(path.stem for path in folder.glob("*.json"))
    hidden = {file_name(stem, "") for stem in failed}
    frames_of: dict[str, set[int] | None] = {}
    for stem in dict.fromkeys([*first, *others]):
        record = read_record(folder, stem)
        place = _place(stem)
        if record is None or record.get("objects") != table.origin or stem in hidden:
            continue
        if place not in record["outputs"]:
            continue
        kept = _kept(folder / place)
        # The same file under another name, or other frames of a clip together.
        file = record["image"] or ""
        key = Source(file).identity()
        known = frames_of.setdefault(key, set())
        if known is None:
            continue
        yield from (_row(file, each) for each in kept["objects"] if each["frame"] not in known)
        frames_of[key] = None if kept["frames"] is None else known.union(kept["frames"])


def _kept(part: Path) -> dict[str, Any]:
    try:
        return read_json(part.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkflowError(
            f"--table: {part} of an earlier run cannot be read ({error}). Remove it, and run again."
        ) from error


def _row(file: str, each: dict[str, Any]) -> dict[str, Any]:
    box, (height, width) = each["box"], each["rle"]["size"]
    return {
        "file": file,
        **{key: each[key] for key in ("frame", "id", "label", "score", "area")},
        **{"x0": box["x"], "y0": box["y"]},
        **{"x1": box["x"] + box["width"], "y1": box["y"] + box["height"]},
        **{"rle": each["rle"]["counts"], "width": width, "height": height},
    }
