"""Datasets over several runs of a real ComfyUI: saved, read back, made by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from tests.support.paths import ROOT

from .api import Api, Graph, Refused
from .graphs import node, point_segment

pytestmark = pytest.mark.xdist_group("comfyui")

DAHLIA = ROOT / "workflows" / "images" / "dahlia.jpg"


def _saving(image: str, click: list[int], **inputs) -> Graph:
    values = {
        "format": "COCO",
        "filename_prefix": "e2e/%width%",
        "classes": "square, other",
        "simplify": 0.0,
        "image_name": "",
        **inputs,
    }
    graph = point_segment(image, [click])
    graph["save"] = node(
        "SegmentAnywhereSave", segments=["segment", 1], image=["image", 0], **values
    )
    graph["labelled"] = node("PreviewAny", source=["save", 0])
    return graph


def _labelled(graph: Graph) -> Graph:
    """The objects are of the first class only where it is the only one."""
    graph["save"]["inputs"]["classes"] = "square"
    return graph


def test_three_runs_are_one_coco_file_with_three_images(api: Api, comfy, photo):
    clicks = [[250, 150], [300, 200], [260, 160]]
    masks = []
    for click in clicks:
        run = api.succeed(_labelled(_saving(photo, click)))
        masks.append(api.masks(run)[0] > 0.5)
        assert run.text("save") == "1 object of 1 image in e2e"
    folder = comfy.base / "output" / "e2e"
    assert run.text("labelled").splitlines()[0] == str(folder / "annotations.json")
    coco = COCO(folder / "annotations.json")
    assert coco.getImgIds() == [1, 2, 3]
    for number, mask in zip(coco.getImgIds(), masks, strict=True):
        (annotation,) = coco.loadAnns(coco.getAnnIds(number))
        assert np.array_equal(coco.annToMask(annotation) > 0, mask)
        (image,) = coco.loadImgs(number)
        with Image.open(folder / "images" / image["file_name"]) as saved:
            assert saved.size == (image["width"], image["height"])
            assert image["file_name"] == f"{saved.width}_0000{number}.png"
    # The same graph again comes from the cache and adds nothing.
    api.succeed(_labelled(_saving(photo, clicks[-1])))
    assert len(COCO(folder / "annotations.json").getImgIds()) == 3
    # What was saved is loaded, drawn and served.
    loaded = api.succeed(
        {
            "load": node(
                "SegmentAnywhereLoad", file="e2e/annotations.json [output]", image_name="1"
            ),
            "mask": node("MaskToImage", mask=["load", 0]),
            "mask image": node("PreviewImage", images=["mask", 0]),
        }
    )
    assert np.array_equal(api.masks(loaded)[0] > 0.5, masks[1])


def test_what_cannot_be_saved_or_loaded_is_said(api: Api, photo):
    run = api.run(_saving(photo, [250, 150], filename_prefix="e2e-refused/a"))
    assert "found objects labelled object; accepted are the classes square, other" in run.error
    run = api.run(_labelled(_saving(photo, [250, 150], filename_prefix="../outside/a")))
    assert "accepted is a place below the output folder" in run.error

    with pytest.raises(Refused) as refused:
        api.run(
            {
                "load": node("SegmentAnywhereLoad", file="/etc/passwd", image_name=""),
                "shown": node("PreviewAny", source=["load", 3]),
            }
        )
    assert "outside of ComfyUI's folders" in str(refused.value)


def _run_workflow(url: str, photos: Path, out: Path) -> list[str]:
    command = [
        *(sys.executable, str(ROOT / "run_workflow.py")),
        *(str(ROOT / "workflows" / "api" / "dataset.json"), "--image", str(photos)),
        *("--set", "Point Segment.points=[[155, 107]]"),
        *("--set", "Save Segments.filename_prefix=from_folder/a"),
        *("--out", str(out), "--server", url),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_folder_becomes_a_dataset_through_the_server(comfy, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    with Image.open(DAHLIA) as opened:
        small = opened.resize((320, 213))
    small.save(photos / "one.jpg")
    small.crop((0, 0, 300, 213)).save(photos / "two.png")
    written = _run_workflow(comfy.url, photos, out)
    assert written == [
        str(out / "from_folder" / name)
        for name in ("annotations.json", "images/one.png", "images/two.png")
    ]
    data = json.loads((out / "from_folder" / "annotations.json").read_text())
    assert [each["file_name"] for each in data["images"]] == ["one.png", "two.png"]
    assert len(COCO(out / "from_folder" / "annotations.json").getAnnIds()) == 2
    # It lies on the server as well, and a second run does nothing.
    assert (comfy.base / "output" / "from_folder" / "images" / "one.png").is_file()
    assert _run_workflow(comfy.url, photos, out) == []
