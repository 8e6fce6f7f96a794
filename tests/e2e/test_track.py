"""Track Segments in ComfyUI: clips in, the object's mask on every frame out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.overlap import iou
from tests.support.pans import flowers_in_pan, write_pan
from tests.support.paths import ROOT

from .api import Api
from .graphs import BUILT_IN, node

pytestmark = pytest.mark.xdist_group("comfyui")

FRAMES = 8
# On the first frame; the flower moves to the left.
CLICK = {"x": 290, "y": 160}


@pytest.fixture(scope="module")
def pan(comfy, tmp_path_factory) -> str:
    """A camera over the dahlia, uploaded as an animation."""
    path = tmp_path_factory.mktemp("clip") / "pan.webp"
    write_pan(path, FRAMES)
    return Api(comfy.url).upload("pan.webp", path)


@pytest.fixture(scope="module")
def flowers() -> NDArray[np.bool_]:
    return flowers_in_pan(FRAMES)


def track(clip: str, model: str = BUILT_IN, points: object = "", **inputs) -> dict:
    values = {"direction": "both", "overlap": "keep", "max_objects": 0, **inputs}
    text = points if isinstance(points, str) else json.dumps(points)
    return {
        "frames": node("LoadImage", image=clip),
        "sam": node("SegmentAnywhereLoadSAM", model=model, precision="fp32"),
        "track": node(
            "SegmentAnywhereTrack",
            model=["sam", 0],
            images=["frames", 0],
            points=text,
            **values,
        ),
        "mask": node("MaskToImage", mask=["track", 0]),
        "mask image": node("PreviewImage", images=["mask", 0]),
        "info": node("PreviewAny", source=["track", 4]),
    }


@pytest.mark.parametrize("frame", [0, FRAMES - 1])
def test_a_click_on_any_frame(api, pan, flowers, frame):
    rows, columns = np.nonzero(flowers[frame])
    points = [{"x": int(columns.mean()), "y": int(rows.mean()), "frame": frame}]
    run = api.succeed(track(pan, points=points))
    assert min(map(iou, api.masks(run), flowers)) > 0.85
    info = json.loads(run.text("info"))
    assert info["frames"] == FRAMES
    (found,) = info["objects"]
    assert (found["id"], found["first_frame"], found["last_frame"]) == (0, 0, FRAMES - 1)
    assert run.text("track").startswith(f"1 object followed through {FRAMES} frames")


def test_what_a_provider_found_is_followed_here(api, pan, flowers, providers):
    graph = json.loads((ROOT / "workflows" / "api" / "remote_track.json").read_text())
    named = {each["_meta"]["title"]: key for key, each in graph.items()}
    graph[named["Frames"]]["inputs"]["image"] = pan
    graph["mask"] = node("MaskToImage", mask=[named["Track Segments"], 0])
    graph["mask image"] = node("PreviewImage", images=["mask", 0])
    run = api.succeed(graph)
    masks = api.masks(run)
    assert len(masks) == FRAMES
    assert providers["fal"].billed == 1
    # What the provider draws is its own matter; on every frame it is there.
    assert masks.any(axis=(1, 2)).all()


def test_the_shipped_workflow(api, pan, flowers):
    graph = json.loads((ROOT / "workflows" / "api" / "track_clicks.json").read_text())
    named = {each["_meta"]["title"]: key for key, each in graph.items()}
    graph[named["Frames"]]["inputs"]["image"] = pan
    graph[named["Track Segments"]]["inputs"]["points"] = json.dumps([CLICK])
    run = api.succeed(graph)
    assert min(map(iou, api.masks(run, named["Mask"]), flowers)) > 0.85
    assert len(api.images(run, named["Overlay"])) == FRAMES


def test_nothing_to_follow_keeps_every_frame(api, pan):
    run = api.succeed(track(pan))
    masks = api.masks(run)
    assert len(masks) == FRAMES
    assert not masks.any()
    assert run.text("track").startswith("nothing to follow")


def test_a_frame_that_is_not_there_is_named(api, pan):
    run = api.run(track(pan, points=[{**CLICK, "frame": FRAMES}]))
    assert f"frame {FRAMES}" in run.error
