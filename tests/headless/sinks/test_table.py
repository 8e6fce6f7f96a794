"""One row for every object: where they come from, and that no frame is in it twice."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
import pytest

from headless.errors import WorkflowError
from headless.graph import Graph, parse_graph
from headless.sinks.files import NodeResult, Plan, save
from headless.sinks.table import Table, plan_table, write_table
from headless.sources.units import Frame, Job, Sampling, Source

SPECS = {
    "SegmentAnywhereSelect": {
        "required": {
            "segments": ("SEGMENTS", {}),
            "labels": ("STRING", {"default": ""}),
            "sort_by": ("COMBO", {"options": ["as given", "area"], "default": "as given"}),
            "min_score": ("FLOAT", {"default": 0.0}),
        }
    }
}
TYPES = {
    "Find": ["MASK", "SEGMENTS"],
    "Choose": ["SEGMENTS", "INT"],
    "Draw": ["IMAGE"],
    "SegmentAnywhereSelect": ["MASK", "SEGMENTS"],
}


class Nodes:
    """What a runner knows of these node types."""

    def input_spec(self, class_type: str) -> Any:
        return SPECS.get(class_type)

    def output_types(self, class_type: str) -> Sequence[str]:
        return TYPES.get(class_type, ())


def _graph(**nodes: tuple[str, dict, str]) -> Graph:
    data = {
        key.strip("_"): {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}
        for key, (kind, inputs, title) in nodes.items()
    }
    return parse_graph(data, "test")


FIND, OTHER = ("Find", {}, "Find"), ("Find", {}, "Other")
CHOOSE = ("Choose", {"segments": ["1", 1]}, "Choose")
DRAW = ("Draw", {"segments": ["1", 1]}, "Draw")


@pytest.mark.parametrize(
    ("nodes", "origin"),
    [
        ({"_1": FIND}, "1:1"),
        ({"_1": FIND, "_2": DRAW}, "1:1"),
        # What was chosen of them, and not what it was chosen from.
        ({"_1": FIND, "_2": CHOOSE, "_3": DRAW}, "2:0"),
        ({"_1": FIND, "_2": ("Find", {}, "Table")}, "2:1"),
        ({"_1": ("Find", {}, "Table"), "_2": CHOOSE}, "1:1"),
    ],
)
def test_the_last_objects_of_a_graph_are_taken(tmp_path, nodes, origin):
    graph = _graph(**nodes)
    table = plan_table(tmp_path / "all.parquet", graph, Nodes())
    assert table.origin == origin
    node, slot = origin.split(":")
    select, preview = table.nodes
    assert select.inputs["segments"] == [node, int(slot)] and preview.inputs == {
        "source": [select.id, 5]
    }
    assert {"labels": "", "sort_by": "as given", "min_score": 0.0}.items() <= select.inputs.items()
    assert set(table.added_to(graph).nodes) == {*graph.nodes, select.id, preview.id}


def test_names_of_added_nodes_are_free(tmp_path):
    graph = parse_graph(
        {"1": {"class_type": "Find"}, "table-0": {"class_type": "Draw", "inputs": {}}}, "test"
    )
    table = plan_table(tmp_path / "all.parquet", graph, Nodes())
    assert len({*graph.nodes, *(node.id for node in table.nodes)}) == 4


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ({"_1": ("Draw", {}, "Draw")}, "no node of the workflow makes segments"),
        ({"_1": FIND, "_2": OTHER}, r"Find \(1\), Other \(2\).*title \"Table\""),
        ({"_1": ("Find", {}, "Table"), "_2": ("Find", {}, "Table")}, r"Table \(1\), Table \(2\)"),
    ],
)
def test_an_open_choice_is_refused(tmp_path, nodes, says):
    with pytest.raises(WorkflowError, match=says):
        plan_table(tmp_path / "all.parquet", _graph(**nodes), Nodes())


def test_a_file_of_somebody_else_is_not_replaced(tmp_path):
    path = tmp_path / "all.parquet"
    parquet.write_table(pyarrow.table({"a": [1]}), path)
    before = path.read_bytes()
    with pytest.raises(WorkflowError, match="no table of an earlier run"):
        plan_table(path, _graph(_1=FIND), Nodes())
    assert path.read_bytes() == before


def test_without_pyarrow_the_command_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(WorkflowError, match=r"--table needs the package pyarrow.*pip install"):
        plan_table(tmp_path / "all.parquet", _graph(_1=FIND), Nodes())


@pytest.fixture
def table(tmp_path) -> Table:
    return plan_table(tmp_path / "tables" / "all.parquet", _graph(_1=FIND), Nodes())


def _object(frame: int, label: str = "a") -> dict[str, Any]:
    box = {"x": 1, "y": 2, "width": 3, "height": 4}
    rle = {"size": [6, 8], "counts": "123"}
    return {
        **{"frame": frame, "id": 7, "label": label, "score": 0.5, "box": box},
        **{"area": 9, "rle": rle},
    }


def _run(
    table: Table, folder: Path, job: Job, *objects: dict[str, Any], numbers: Sequence[int] = ()
) -> None:
    """Keep the objects of one unit as a run does."""
    results = [NodeResult(table.nodes[-1].id, (), [json.dumps(objects)])]
    save(Plan(folder, {}), job, table.kept(results, job.stem, numbers), "digest", table.origin)


def _rows(
    table: Table, folder: Path, done: Sequence[str] = (), failed: Sequence[str] = ()
) -> list[tuple]:
    path = write_table(table, folder, done, set(failed))
    return [
        (Path(row["file"]).name, row["frame"], row["label"])
        for row in parquet.read_table(path).to_pylist()
    ]


def _window(path: Path, *numbers: int) -> Source:
    frames = tuple(Frame(number, 10 * number) for number in numbers)
    return Source(str(path), Sampling(), frames)


def test_a_row_has_all_of_an_object(table, tmp_path):
    _run(table, tmp_path / "out", Job("x", Source("x.png")), _object(0))
    (row,) = parquet.read_table(write_table(table, tmp_path / "out", ["x"], ())).to_pylist()
    assert row == {
        **{"file": "x.png", "frame": 0, "id": 7, "label": "a", "score": 0.5},
        **{"x0": 1, "y0": 2, "x1": 4, "y1": 6, "area": 9, "rle": "123"},
        **{"width": 8, "height": 6},
    }
    # Read by others as any file is, and replaced by the next run.
    assert table.path.stat().st_mode & stat.S_IRGRP
    assert plan_table(table.path, _graph(_1=FIND), Nodes()) == table


def test_nothing_found_is_an_empty_table(table, tmp_path):
    _run(table, tmp_path / "out", Job("x", Source("x.png")))
    assert _rows(table, tmp_path / "out", ["x"]) == []


def test_a_second_run_adds_what_is_missing_without_doubles(table, tmp_path):
    out, clip = tmp_path / "out", tmp_path / "clip.mp4"
    _run(table, out, Job("a", Source("p/a.png")), _object(0))
    _run(
        table, out, Job("clip_000000", _window(clip, 0, 1)), _object(0), _object(1), numbers=[0, 1]
    )
    assert _rows(table, out, ["a", "clip_000000"]) == [
        ("a.png", 0, "a"),
        ("clip.mp4", 0, "a"),
        ("clip.mp4", 1, "a"),
    ]
    # The same picture under another name, and frames 1 and 2 in another window; b is new.
    _run(table, out, Job("p_a", Source("./p/a.png")), _object(0, "new"))
    _run(table, out, Job("b", Source("b.png")), _object(0))
    _run(table, out, Job("clip_000001", _window(clip, 1, 2)), _object(0, "new"), numbers=[1, 2])
    assert _rows(table, out, ["b", "p_a", "clip_000001"]) == [
        ("b.png", 0, "a"),
        ("a.png", 0, "new"),
        ("clip.mp4", 1, "new"),
        ("clip.mp4", 0, "a"),
    ]


def test_what_failed_or_is_of_other_objects_is_left_out(table, tmp_path):
    out = tmp_path / "out"
    for name in ("a", "b", "c"):
        _run(table, out, Job(name, Source(f"{name}.png")), _object(0))
    other = Table(table.path, "2:0", table.nodes)
    _run(other, out, Job("c", Source("c.png")), _object(0))
    assert _rows(table, out, ["a"], ["b"]) == [("a.png", 0, "a")]


def test_a_damaged_part_is_named_and_the_old_table_stays(table, tmp_path):
    out = tmp_path / "out"
    _run(table, out, Job("a", Source("a.png")), _object(0))
    before = write_table(table, out, ["a"], ()).read_bytes()
    (out / "objects" / "a.json").write_text("{")
    with pytest.raises(WorkflowError, match=r"objects/a\.json of an earlier run cannot be read"):
        write_table(table, out, ["a"], ())
    assert table.path.read_bytes() == before
    assert [path.name for path in table.path.parent.iterdir()] == ["all.parquet"]


@pytest.mark.parametrize("text", ["", "no json", "5", "[5]", '[{"frame": 9}]'])
def test_text_that_is_no_objects_is_refused(table, text):
    results = [NodeResult(table.nodes[-1].id, (), [text])]
    with pytest.raises(WorkflowError, match="gave no objects"):
        table.kept(results, "a", [0, 1])
