"""A folder of photographs in, a dataset out: here and on a server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import supervision
from PIL import Image
from pycocotools.coco import COCO

import run_workflow
from headless.errors import WorkflowError
from headless.sinks.files import place_of
from headless.sources import clips
from tests.support.fake_comfy import INFO, FakeComfy, serving
from tests.support.paths import ROOT
from tools.demo_clip import save_clip

DAHLIA = ROOT / "workflows" / "images" / "dahlia.jpg"
# A click on the flower, in photographs of two sizes.
CLICK = "Point Segment.points=[[155, 107]]"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(DAHLIA) as opened:
        small = opened.resize((320, 213))
    small.save(folder / "one.jpg")
    small.crop((0, 0, 300, 213)).save(folder / "two.png")
    small.save(folder / "three.jpg")
    return folder


def _run(folder: Path, *arguments: str) -> int:
    command = [str(ROOT / "workflows" / "api" / "dataset.json"), "--out", str(folder / "out")]
    return run_workflow.main([*command, "--set", CLICK, *arguments])


def _coco(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "dataset" / "annotations.json").read_text())


def _names(folder: Path) -> list[str]:
    return [each["file_name"] for each in _coco(folder)["images"]]


def test_a_folder_becomes_a_dataset_in_one_command(tmp_path, photos, capsys):
    arguments = ("--image", str(photos), "--set", "Save Segments.classes=flower")
    assert _run(tmp_path, *arguments) == 0
    dataset = tmp_path / "out" / "dataset"
    # The names of the photographs, whatever the pictures are saved as.
    assert _names(tmp_path) == ["one.png", "three.png", "two.png"]
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        str(dataset / "annotations.json"),
        *(str(dataset / "images" / f"{name}.png") for name in ("one", "three", "two")),
    ]
    coco = COCO(dataset / "annotations.json")
    areas = [coco.annToMask(each).sum() for each in coco.loadAnns(coco.getAnnIds())]
    assert len(areas) == 3 and min(areas) > 10_000
    loaded = supervision.DetectionDataset.from_coco(
        str(dataset / "images"), str(dataset / "annotations.json"), force_masks=True
    )
    assert loaded.classes == ["flower"]
    assert [picture.shape[:2] for _, picture, _ in loaded] == [(213, 320), (213, 320), (213, 300)]
    # Beside it the records, and nothing that was meant for a browser.
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "dataset",
        "one.json",
        "three.json",
        "two.json",
    ]


def test_a_second_run_does_what_is_new_and_leaves_the_rest(tmp_path, photos, capsys):
    first = str(photos / "one.jpg")
    assert _run(tmp_path, "--image", first) == 0
    before = _coco(tmp_path)
    assert _run(tmp_path, "--image", str(photos)) == 0
    assert "1 of 3 were done already" in capsys.readouterr().err
    after = _coco(tmp_path)
    assert _names(tmp_path) == ["one.png", "three.png", "two.png"]
    assert after["images"][0] == before["images"][0]
    assert after["annotations"][0] == before["annotations"][0]
    # A third one does nothing.
    assert _run(tmp_path, "--image", str(photos)) == 0
    assert _coco(tmp_path) == after


def test_a_picture_that_is_run_again_is_replaced(tmp_path, photos):
    image = ("--image", str(photos / "one.jpg"), str(photos / "two.png"))
    assert _run(tmp_path, *image) == 0
    before = _coco(tmp_path)
    assert _run(tmp_path, *image, "--force") == 0
    after = _coco(tmp_path)
    assert after["images"] == before["images"]
    assert len(after["annotations"]) == len(before["annotations"])


def test_a_picture_that_is_gone_from_the_dataset_is_made_again(tmp_path, photos):
    assert _run(tmp_path, "--image", str(photos / "one.jpg")) == 0
    picture = tmp_path / "out" / "dataset" / "images" / "one.png"
    picture.unlink()
    assert _run(tmp_path, "--image", str(photos / "one.jpg")) == 0
    assert picture.is_file()
    assert _names(tmp_path) == ["one.png"]


def test_pictures_of_a_dataset_beside_the_photographs_are_no_photographs(tmp_path, photos):
    shutil.copytree(photos, tmp_path / "out" / "dataset" / "images")
    pattern = str(tmp_path / "out" / "**" / "*.*g")
    assert _run(tmp_path, "--image", pattern) == 0
    assert sorted(_names(tmp_path)) == ["one.png", "three.png", "two.png"]
    assert _run(tmp_path, "--image", pattern) == 0
    assert sorted(_names(tmp_path)) == ["one.png", "three.png", "two.png"]


def test_a_photograph_that_fails_leaves_the_others(tmp_path, photos, capsys):
    (photos / "two.png").write_bytes(b"no picture")
    assert _run(tmp_path, "--image", str(photos)) == 1
    assert "two.png" in capsys.readouterr().err
    assert _names(tmp_path) == ["one.png", "three.png"]


def test_a_name_in_the_workflow_is_the_users(tmp_path, photos):
    name = ("--set", "Save Segments.image_name=mine")
    assert _run(tmp_path, "--image", str(photos / "one.jpg"), *name) == 0
    assert _names(tmp_path) == ["mine.png"]


WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
    "2": {"class_type": "SegmentAnywhereSave", "inputs": {"segments": ["1", 0]}},
}


@pytest.fixture
def comfy(monkeypatch) -> Iterator[FakeComfy]:
    spec = {"required": {"segments": ["SEGMENTS", {}]}, "optional": {"image_name": ["STRING", {}]}}
    monkeypatch.setitem(INFO, "SegmentAnywhereSave", {"input": spec, "output_node": True})
    with serving() as fake:
        fake.outputs = {
            "2": {
                "text": ["1 object"],
                "images": [{"filename": "shown.jpg", "subfolder": "", "type": "temp"}],
                "dataset": [
                    {"filename": "annotations.json", "subfolder": "birds", "type": "output"},
                    {"filename": "one.png", "subfolder": "birds/images", "type": "output"},
                ],
            }
        }
        yield fake


def _on_server(folder: Path, comfy: FakeComfy, *images: Path) -> int:
    (folder / "graph.json").write_text(json.dumps(WORKFLOW))
    arguments = [str(folder / "graph.json"), "--server", comfy.url, "--out", str(folder / "out")]
    return run_workflow.main([*arguments, "--image", *map(str, images)])


def test_a_server_is_told_the_photographs_name_and_its_files_come_back(tmp_path, photos, comfy):
    assert _on_server(tmp_path, comfy, photos / "one.jpg", photos / "two.png") == 0
    names = [each["prompt"]["2"]["inputs"]["image_name"] for each in comfy.prompts]
    assert names == ["one.jpg", "two.png"]
    out = tmp_path / "out"
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert found == ["birds/annotations.json", "birds/images/one.png", "one.json", "two.json"]
    assert (out / "birds/images/one.png").read_text() == "output:birds/images:one.png"
    assert _on_server(tmp_path, comfy, photos / "one.jpg", photos / "two.png") == 0
    assert len(comfy.prompts) == 2


PLACES = [
    {"filename": "../../evil", "subfolder": ""},
    {"filename": "evil", "subfolder": "../.."},
    {"filename": "/etc/evil", "subfolder": "a"},
    {"filename": "evil", "subfolder": "/etc"},
    {"filename": "evil", "subfolder": "..\\.."},
    {"filename": "a\\..\\evil", "subfolder": ""},
    {"filename": "C:evil", "subfolder": ""},
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_server_cannot_write_anywhere_else(tmp_path, photos, comfy, capsys, place):
    comfy.outputs["2"]["dataset"] = [{**place, "type": "output"}]
    assert _on_server(tmp_path, comfy, photos / "one.jpg") == 1
    assert "outside of the folder of results" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*evil*"))


def test_a_dataset_never_replaces_a_photograph(tmp_path, photos, comfy, capsys):
    out = tmp_path / "out"
    (out / "birds" / "images").mkdir(parents=True)
    mine = out / "birds" / "images" / "one.png"
    shutil.copy(photos / "two.png", mine)
    before = mine.read_bytes()
    assert _on_server(tmp_path, comfy, mine) == 1
    assert "would replace an input" in capsys.readouterr().err
    assert mine.read_bytes() == before


def test_places_of_subfolders_are_kept():
    assert place_of({"filename": "a.txt", "subfolder": "x/y"}) == "x/y/a.txt"
    assert place_of({"filename": "a.txt"}) == "a.txt"
    with pytest.raises(WorkflowError):
        place_of({"filename": "..", "subfolder": ""})


def test_the_frames_of_a_clip_are_pictures_of_the_dataset(tmp_path, monkeypatch):
    with Image.open(DAHLIA) as opened:
        save_clip([opened.convert("RGB").resize((320, 214))] * 3, tmp_path / "clip.mp4")
    monkeypatch.setattr(clips, "WINDOW_FRAMES", 2)
    assert _run(tmp_path, "--image", str(tmp_path / "clip.mp4")) == 0
    assert _names(tmp_path) == ["clip_000000_00000.png", "clip_000000_00001.png", "clip_000002.png"]
