"""What results are called, how they are written, and what counts as done."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless.errors import WorkflowError
from headless.graph import Node, parse_graph
from headless.sinks.files import (
    FileData,
    NodeResult,
    Plan,
    file_name,
    is_done,
    output_names,
    read_record,
    recorded_outputs,
    save,
    signature,
    slug,
    write_whole,
)
from headless.sources.units import Job, Source


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ([("1", "Save Mask", {"filename_prefix": "seg/out/mask"})], ["mask"]),
        ([("1", "Save Mask", {"filename_prefix": "ComfyUI"})], ["save-mask"]),
        ([("1", "Save Mask", {"filename_prefix": ["4", 0]})], ["save-mask"]),
        ([("1", "Save Mask", {"filename_prefix": "seg/"})], ["save-mask"]),
        ([("1", "Maske: Übersicht/2", {})], ["maske-übersicht-2"]),
        ([("1", "../..", {})], ["saveimage"]),
        ([("1", "A", {}), ("2", "a", {}), ("3", "b", {})], ["a_1", "a_2", "b"]),
        ([("1", "mask", {}), ("2", "mask_00", {})], ["mask", "mask_00_2"]),
        ([("1", "mask_1", {}), ("2", "mask_2", {})], ["mask_1", "mask_2"]),
    ],
)
def test_names_of_outputs(nodes, names):
    made = [Node(key, "SaveImage", title, inputs) for key, title, inputs in nodes]
    assert list(output_names(made).values()) == names


@given(st.text())
def test_a_slug_is_a_plain_file_name(text):
    made = slug(text)
    assert not set(made) & set('/\\:*?"<>|\0 \n') and not made.startswith(".")


PNG = FileData(b"png")


PLAN_NAMES = {"4": "mask", "5": "info"}


def plan(folder: Path, *inputs: Path) -> Plan:
    return Plan(folder, PLAN_NAMES, frozenset(path.resolve() for path in inputs))


def test_frames_are_numbered_only_when_there_are_several(tmp_path):
    results = [NodeResult("4", [PNG, PNG]), NodeResult("5", (), ["hello"])]
    written = save(plan(tmp_path / "out"), Job("x"), results, "digest")
    assert [path.name for path in written] == ["x_mask_00.png", "x_mask_01.png", "x_info.txt"]
    assert (tmp_path / "out/x_info.txt").read_text() == "hello\n"
    many = save(plan(tmp_path), Job("y"), [NodeResult("4", [PNG] * 101)], "digest")
    assert many[0].name == "y_mask_000.png" and many[-1].name == "y_mask_100.png"


@pytest.mark.parametrize("letter", ["m", "ü", "遮", "🌼"])
@pytest.mark.parametrize(("stem", "prefix"), [("x", 240), ("x", 260), ("x" * 251, 4), ("", 5000)])
def test_long_names_are_cut_to_what_a_file_system_takes(tmp_path, letter, stem, prefix):
    nodes = [
        Node(key, "SaveImage", "t", {"filename_prefix": f"out/{letter * prefix}{key}"})
        for key in ("4", "5")
    ]
    job = Job(stem or letter * 62)
    long = Plan(tmp_path, output_names(nodes))
    results = [NodeResult("4", [PNG] * 3, ["text"]), NodeResult("5", [PNG])]
    written = save(long, job, results, "digest")
    assert len(set(written)) == 5 and all(path.is_file() for path in written)
    # Two runs are told apart, and each is known again, by names of which only the ends differ.
    other = save(long, Job(f"{job.stem}2"), results, "other")
    assert not set(written) & set(other)
    for stem, digest in ((job.stem, "digest"), (f"{job.stem}2", "other")):
        assert is_done(tmp_path, stem, digest)
    assert recorded_outputs(tmp_path) == {path.resolve() for path in (*written, *other)}
    assert len(list(tmp_path.iterdir())) == 12
    assert all(path.suffix in (".png", ".txt") for path in written)


@given(st.text("aü🌼", min_size=1), st.integers(0, 300), st.sampled_from([".json", "_00.png"]))
def test_a_name_is_cut_only_where_it_has_to_be(text, times, tail):
    body = text * times
    name = file_name(body, tail)
    assert name.endswith(tail) and len(name.encode()) <= 255
    assert (name == body + tail) is (len((body + tail).encode()) <= 255)
    # What has been cut is not cut again.
    assert file_name(name.removesuffix(tail), tail) == name


def test_a_done_run_is_known_by_its_record_and_files(tmp_path):
    written = save(plan(tmp_path), Job("x"), [NodeResult("4", [PNG])], "digest")
    assert is_done(tmp_path, "x", "digest")
    assert not is_done(tmp_path, "x", "other") and not is_done(tmp_path, "y", "digest")
    assert recorded_outputs(tmp_path) == {path.resolve() for path in written}
    written[0].unlink()
    assert not is_done(tmp_path, "x", "digest")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"kind": "segment-anywhere run"}'])
def test_a_foreign_json_is_no_record_and_stays(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    assert read_record(tmp_path, "x") is None and not is_done(tmp_path, "x", "digest")
    with pytest.raises(WorkflowError, match="no record of an earlier run"):
        save(plan(tmp_path), Job("x"), [NodeResult("4", [PNG])], "digest")
    assert (tmp_path / "x.json").read_text() == content
    assert not (tmp_path / "x_mask.png").exists()


def test_an_input_is_never_replaced(tmp_path):
    source = tmp_path / "x_mask.png"
    source.write_bytes(b"photo")
    with pytest.raises(WorkflowError, match="would replace an input"):
        save(plan(tmp_path, source), Job("x"), [NodeResult("4", [PNG])], "digest")
    assert source.read_bytes() == b"photo"


def test_nothing_made_is_an_error(tmp_path):
    with pytest.raises(WorkflowError, match="no output node"):
        save(plan(tmp_path / "out"), Job("x"), [NodeResult("4")], "digest")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkflowError, match="--out"):
        save(plan(tmp_path / "file"), Job("x"), [NodeResult("4", [PNG])], "digest")


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    write_whole(path, b"old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_run_interrupted_between_files_is_not_done(tmp_path, monkeypatch):
    results = [NodeResult("4", [PNG, PNG])]
    save(plan(tmp_path), Job("x"), results, "digest")
    real, count = os.replace, itertools.count()

    def second_fails(*arguments: object) -> None:
        if next(count) == 1:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(KeyboardInterrupt):
        save(plan(tmp_path), Job("x"), results, "digest")
    assert not is_done(tmp_path, "x", "digest")


def test_new_files_have_ordinary_permissions(tmp_path):
    write_whole(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_signature_follows_graph_names_and_image(tmp_path):
    image, other = tmp_path / "x.png", tmp_path / "mask.png"
    image.write_bytes(b"1")
    other.write_bytes(b"1")

    def made(text: str = "a", title: str = "t", name: str = "mask") -> str:
        data = {
            "1": {"class_type": "A", "inputs": {"x": text}, "_meta": {"title": title}},
            "2": {"class_type": "LoadImage", "inputs": {"image": str(other)}},
        }
        return signature(parse_graph(data, "test"), {"1": name}, Source(str(image)))

    first = made()
    assert made() == first and made(title="u") == first
    assert made(text="b") != first and made(name="cut") != first
    os.utime(image, ns=(1, 1))
    second = made()
    assert second != first
    os.utime(other, ns=(1, 1))
    assert made() != second
    assert json.dumps(first)
