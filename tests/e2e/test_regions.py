"""Segment Everything and Select Segments in ComfyUI, with the small trained model."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.pictures.render import Drawing, Style, draw
from segment_anywhere.core.results.segments import Segments
from segment_anywhere.core.tasks.everything import GridSettings, segment_everything
from segment_anywhere.core.tasks.segmenter import Segmenter

from tests.support.paths import ROOT
from tests.support.scenes import draw_scene

from .api import Api, Graph, Refused
from .conftest import TINY
from .graphs import node

pytestmark = pytest.mark.xdist_group("comfyui")

TINY_MODEL = "sam2/sam2_tiny"
SIZE = 128
LOOSE = GridSettings(points_per_side=12, score_threshold=0.5, stability_threshold=0.7)


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    scenes = (draw_scene(seed, SIZE).image for seed in (3, 5))
    return [Image.fromarray((image * 255).round().astype(np.uint8)) for image in scenes]


@pytest.fixture(scope="module")
def expected(pictures) -> Segments:
    """What core alone makes of the pictures."""
    segmenter = Segmenter(load_engine(TINY, torch.float32))
    instances = []
    for index, picture in enumerate(pictures):
        frame = torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)
        instances += segment_everything(segmenter, frame, LOOSE, index)
    return Segments.from_instances(instances, (SIZE, SIZE), len(pictures))


def _widgets(settings: GridSettings) -> dict[str, float]:
    return {name: getattr(settings, name) for name in GridSettings.__dataclass_fields__}


def _everything_and_select(names: list[str], **selection) -> Graph:
    graph = {f"image {index}": node("LoadImage", image=name) for index, name in enumerate(names)}
    links = {f"images.image{index}": [f"image {index}", 0] for index in range(len(names))}
    graph["batch"] = node("BatchImagesNode", **links)
    graph["sam"] = node("SegmentAnywhereLoadSAM", model=TINY_MODEL, precision="fp32")
    graph["regions"] = node(
        "SegmentAnywhereEverything", model=["sam", 0], image=["batch", 0], **_widgets(LOOSE)
    )
    widgets = {
        "labels": "",
        "indices": "",
        "sort_by": "as given",
        "reverse": False,
        "min_score": 0.0,
        "max_score": 1.0,
        "min_area": 0,
        "max_area": 0,
    }
    graph["select"] = node(
        "SegmentAnywhereSelect", segments=["regions", 1], **{**widgets, **selection}
    )
    for slot, name in ((0, "mask"), (2, "instances")):
        graph[name] = node("MaskToImage", mask=["select", slot])
        graph[f"{name} image"] = node("PreviewImage", images=[name, 0])
    for slot, name in ((3, "boxes"), (4, "count"), (5, "json")):
        graph[name] = node("PreviewAny", source=["select", slot])
    return graph


@pytest.fixture(scope="module")
def names(comfy, pictures) -> list[str]:
    uploaded = enumerate(pictures)
    return [Api(comfy.url).upload(f"scene_{index}.png", each) for index, each in uploaded]


def test_the_shipped_workflow(api, names, expected, comfy):
    graph = json.loads((ROOT / "workflows" / "api" / "segment_everything.json").read_text())
    titles = {each["_meta"]["title"]: each["inputs"] for each in graph.values()}
    titles["Image"]["image"] = names[0]
    titles["Load SAM"] |= {"model": TINY_MODEL, "precision": "fp32"}
    titles["Segment Everything"] |= _widgets(LOOSE)
    named = {each["_meta"]["title"]: key for key, each in graph.items()}
    log_start = comfy.log_size()
    run = api.succeed(graph)
    assert "Traceback" not in comfy.log(log_start)
    (label_map,) = api.images(run, named["Label Map"])
    drawn = np.asarray(label_map.convert("RGB")).astype(int)
    pictures = torch.zeros(len(names), SIZE, SIZE, 3)
    first = next(draw(pictures, expected, Drawing(Style.LABEL_MAP), pictures))
    wanted = (first * 255).round().int().numpy()
    assert (np.abs(drawn - wanted).max(axis=2) <= 1).mean() > 0.999
    (overlay,) = api.images(run, named["Overlay"])
    assert (overlay.mode, overlay.size) == ("RGB", (SIZE, SIZE))
    count = int((expected.frames == 0).sum())
    text = run.text(named["Segment Everything"])
    assert text.startswith(f"{count} regions from 12 x 12 clicks. ")


def test_the_largest_of_each_image(api, names, expected):
    run = api.succeed(_everything_and_select(names, sort_by="largest area", indices="0"))
    assert run.text("count") == "2"
    masks, instances = api.masks(run), api.masks(run, "instances image")
    assert masks.shape == instances.shape == (2, SIZE, SIZE)
    assert np.array_equal(masks, instances)
    entries = json.loads(run.text("json"))
    assert [entry["frame"] for entry in entries] == [0, 1]
    for frame, entry in enumerate(entries):
        areas = [int((mask > 0).sum()) for mask in expected.full_masks()[expected.frames == frame]]
        assert entry["area"] == pytest.approx(max(areas), rel=0.01)
        assert np.array_equal(coco.decode(entry["rle"]) > 0, masks[frame] > 0.5)
    assert [len(frame) for frame in json.loads(run.text("boxes"))] == [1, 1]


def test_nothing_chosen_leaves_every_image_in_place(api, names, expected):
    run = api.succeed(_everything_and_select(names, labels="unicorn"))
    assert api.masks(run).shape == (2, SIZE, SIZE)
    assert api.masks(run, "instances image").shape == (1, SIZE, SIZE)
    assert not api.masks(run).any()
    assert (run.text("count"), run.text("json")) == ("0", "[]")
    assert run.text("select").startswith(f"none of {len(expected)}; there are: region 0")


def test_a_wrong_index_list_is_refused_before_anything_runs(api, names):
    with pytest.raises(Refused) as refused:
        api.queue(_everything_and_select(names, indices="1, two"))
    assert "indices: found 'two'" in refused.value.messages("select")[0]
