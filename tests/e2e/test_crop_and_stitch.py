"""Crop Segments and Stitch Segments in ComfyUI: lists there and back."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from headless.graph import parse_graph
from headless.local.runner import EmbeddedRunner
from tests.support.local_runs import given
from tests.support.paths import ROOT

from .api import Graph, Refused
from .graphs import node, point_segment

pytestmark = pytest.mark.xdist_group("comfyui")

TWO_CLICKS = [[[310, 215]], [[410, 410]]]


@pytest.fixture
def dahlia(api) -> str:
    """The photograph of the demo as PNG, which every reader decodes to the same pixels."""
    return api.upload("dahlia.png", _photograph())


def _photograph() -> Image.Image:
    return Image.open(ROOT / "workflows" / "images" / "dahlia.jpg")


def _crop(image: list, segments: list, **inputs) -> dict:
    """Crop Segments, with its own values where none are given."""
    values = {"together": "each object", "padding": 30, "size": 0, "multiple_of": 8}
    values |= {"aspect": "object", **inputs}
    return node("SegmentAnywhereCrop", image=image, segments=segments, **values)


def _there_and_back(source: Graph, change: str, feather: float = 0.0, **inputs) -> Graph:
    """A graph of point_segment, a change of every crop, and the image with the changed crops."""
    graph = dict(source)
    graph["crop"] = _crop(["image", 0], ["segment", 1], **inputs)
    graph["change"] = node(change, image=["crop", 0])
    graph["stitch"] = node(
        "SegmentAnywhereStitch", stitch=["crop", 3], image=["change", 0], feather=feather
    )
    graph["stitched"] = node("PreviewImage", images=["stitch", 0])
    return graph


def _pixels(image: Image.Image) -> NDArray[np.int16]:
    return np.asarray(image.convert("RGB")).astype(np.int16)


@pytest.mark.parametrize("size", [0, 640])
def test_only_the_masks_change(api, dahlia, size):
    graph = _there_and_back(point_segment(dahlia, TWO_CLICKS), "ImageInvert", size=size)
    graph["crops"] = node("PreviewImage", images=["change", 0])
    graph["crop masks"] = node("MaskPreview", mask=["crop", 1])
    graph["labels"] = node("PreviewAny", source=["crop", 2])
    run = api.succeed(graph)
    (mask,) = api.masks(run)
    assert 0.1 < mask.mean() < 0.5
    original, changed = _pixels(_photograph()), _pixels(api.images(run, "stitched")[0])
    assert np.array_equal(changed[mask == 0], original[mask == 0])
    # ComfyUI cuts fractions off where it saves; scaled crops are a little blurred.
    apart = np.abs(255 - changed[mask == 1] - original[mask == 1])
    assert apart.max() <= 1 if size == 0 else apart.mean() < 2
    assert run.outputs["labels"]["text"] == ["object 1", "object 2"]
    crops, masks = api.images(run, "crops"), api.images(run, "crop masks")
    assert [each.size for each in crops] == [each.size for each in masks]
    assert len({each.size for each in crops}) == 2
    assert all(max(each.size) == 640 for each in crops) or size == 0
    assert run.text("stitch") == "2 crops put back"


def test_untouched_crops_leave_the_image_as_it_is(api, dahlia):
    graph = _there_and_back(point_segment(dahlia, TWO_CLICKS), "ImageInvert", 8.0, size=200)
    graph["stitch"]["inputs"]["image"] = ["crop", 0]
    graph["before"] = node("PreviewImage", images=["image", 0])
    run = api.succeed(graph)
    (before,), (after,) = api.images(run, "before"), api.images(run, "stitched")
    assert np.array_equal(_pixels(before), _pixels(after))


def test_without_objects_nothing_between_runs_and_the_image_comes_back(api, dahlia):
    """Text Segment may find nothing in any image of a folder: each has its result all the same."""
    graph = _there_and_back(point_segment(dahlia, [[310, 215]]), "ImageInvert")
    graph["none"] = node(
        "SegmentAnywhereSelect",
        segments=["segment", 1],
        **{"labels": "giraffe", "indices": "", "sort_by": "as given", "reverse": False},
        **{"min_score": 0.0, "max_score": 1.0, "min_area": 0, "max_area": 0},
    )
    graph["crop"]["inputs"]["segments"] = ["none", 1]
    run = api.succeed(graph)
    (stitched,) = api.images(run, "stitched")
    assert np.abs(_pixels(stitched) - _pixels(_photograph())).max() <= 1
    assert run.text("stitch") == "no objects: nothing has changed"
    executed = {each["node"] for each in api.events.of_type("executing")}
    assert "stitch" in executed and "change" not in executed
    # A picture of the crops is no reason to fail.
    graph["crops"] = node("PreviewImage", images=["change", 0])
    run = api.succeed(graph)
    assert len(api.images(run, "crops")) == 1
    assert run.text("stitch") == "no objects: nothing has changed"


def test_a_lost_crop_is_explained(api, dahlia):
    graph = _there_and_back(point_segment(dahlia, TWO_CLICKS), "ImageInvert")
    graph["stitch"]["inputs"]["image"] = ["image", 0]
    run = api.run(graph)
    assert run.status == "error"
    assert "found 1 pictures for 2 crops" in run.error


def test_frames_of_a_batch(api, dahlia):
    graph = _there_and_back(point_segment(["batch", 0], [[310, 215]]), "ImageInvert")
    graph["photo"] = node("LoadImage", image=dahlia)
    graph["batch"] = node("RepeatImageBatch", image=["photo", 0], amount=3)
    graph["crop"]["inputs"]["image"] = ["batch", 0]
    run = api.succeed(graph)
    frames = [_pixels(each) for each in api.images(run, "stitched")]
    assert run.text("stitch") == "3 crops put back"
    assert len(frames) == 3
    assert all(np.array_equal(each, frames[0]) for each in frames)


def _shipped(name: str, image: str) -> Graph:
    graph = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text())
    graph["1"]["inputs"]["image"] = image
    graph["3"]["inputs"]["points"] = json.dumps(TWO_CLICKS)
    return graph


def test_the_shipped_workflow_is_the_same_with_and_without_comfyui(api, dahlia, tmp_path):
    """Both map the blur over the list of crops."""
    run = api.succeed(_shipped("crop_stitch", dahlia))
    (there,) = api.images(run, "7")
    photograph = tmp_path / "dahlia.png"
    _photograph().save(photograph)
    with EmbeddedRunner(tmp_path) as runner:
        graph = parse_graph(_shipped("crop_stitch", ""), "crop_stitch")
        (result,) = runner.run(graph, "1", given(photograph))
    here = Image.open(io.BytesIO(result.files[0].data))
    assert np.abs(_pixels(there) - _pixels(here)).max() <= 1
    assert np.abs(_pixels(there) - _pixels(_photograph())).max() > 20


def test_the_detailer_lacks_nothing_but_a_checkpoint(api, dahlia):
    with pytest.raises(Refused) as refusal:
        api.queue(_shipped("detailer", dahlia))
    (errors,) = refusal.value.node_errors.values()
    assert errors["class_type"] == "CheckpointLoaderSimple"
    assert [each["type"] for each in errors["errors"]] == ["value_not_in_list"]
