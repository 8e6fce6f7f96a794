"""The live-preview route of a real ComfyUI, and what Point Segment leaves for it."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from .graphs import BUILT_IN, node, point_segment

pytestmark = pytest.mark.xdist_group("comfyui")

PARITY = "sam2/parity.pt"
CLICK = "[[70, 50]]"


def _post(api, body, headers=None) -> tuple[int, bytes]:
    data = json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(f"{api.url}/api/segment_anywhere/preview", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _body(key, **other) -> dict:
    return {"key": key, "points": CLICK, "mask_choice": "best", "side": 1024, **other}


@pytest.mark.parametrize("model", [BUILT_IN, PARITY])
def test_the_preview_is_the_mask_of_the_run(api, square, model):
    (state,) = api.succeed(point_segment(square, "", model=model)).outputs["segment"][
        "segment_anywhere"
    ]
    assert (state["size"], state["points"]) == ([160, 120], "")
    status, content = _post(api, _body(state["key"]))
    assert status == 200, content
    run = api.succeed(point_segment(square, CLICK, model=model))
    shown = np.asarray(Image.open(io.BytesIO(content))) > 0
    np.testing.assert_array_equal(shown, api.masks(run)[0] > 0.5)
    # The key goes with the content: another run of the same image has the same.
    assert run.outputs["segment"]["segment_anywhere"][0]["key"] == state["key"]


def test_the_run_leaves_its_image_and_its_mask(api, square):
    run = api.succeed(point_segment(square, CLICK))
    (state,) = run.outputs["segment"]["segment_anywhere"]
    image = Image.open(io.BytesIO(api.http.get("/view", **state["image"])))
    mask = Image.open(io.BytesIO(api.http.get("/view", **state["mask"])))
    assert image.size == mask.size == (160, 120)
    np.testing.assert_array_equal(np.asarray(mask) > 0, api.masks(run)[0] > 0.5)


def test_a_foreign_page_is_refused(api, square):
    (state,) = api.succeed(point_segment(square, CLICK)).outputs["segment"]["segment_anywhere"]
    for headers in ({"Origin": "http://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert _post(api, _body(state["key"]), headers)[0] == 403
    assert _post(api, _body(state["key"]), {"Content-Type": "text/plain"})[0] == 415
    assert _post(api, _body("nothing-here"))[0] == 409


def test_the_prompts_feed_other_nodes(api, square):
    points = {
        "points": [{"x": 70, "y": 50}, {"x": 5.7, "y": 5, "label": 0}],
        "boxes": [{"x": 36.5, "y": 16, "width": 68, "height": 68}],
    }
    graph = point_segment(square, points)
    for name, slot in (("on", 4), ("off", 5), ("around", 6)):
        graph[name] = node("PreviewAny", source=["segment", slot])
    again = {"positive_coords": ["segment", 4], "negative_coords": ["segment", 5]}
    inputs = graph["segment"]["inputs"] | {"points": "", "bboxes": ["segment", 6], **again}
    graph["again"] = {"class_type": "SegmentAnywherePoint", "inputs": inputs}
    graph["mask"]["inputs"]["mask"] = ["again", 0]
    run = api.succeed(graph)
    assert json.loads(run.text("on")) == [{"x": 70, "y": 50}]
    assert json.loads(run.text("off")) == [{"x": 5, "y": 5}]
    assert json.loads(run.text("around")) == [{"x": 36, "y": 16, "width": 69, "height": 68}]
    assert api.masks(run)[0, 50, 70] == 1
