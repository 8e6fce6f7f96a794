"""Text Segment in ComfyUI: words on scenes that no training has seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.grids import Grid, draw_grid
from tests.support.large_scenes import draw_large_scene
from tests.support.overlap import iou
from tests.support.paths import ROOT
from tests.support.scenes import Scene, draw_scene

from .api import Api, Refused
from .graphs import BUILT_IN, node, point_segment, text_segment

pytestmark = pytest.mark.xdist_group("comfyui")

SIZE = 160
# A red circle, a yellow triangle, a purple ring and a white square.
SCENE = draw_scene(85, SIZE)
WANTED = "red circle, white square"
SAM2 = "sam2/sam2_tiny"
SAM3 = "sam3/transformers"
# Said of the built-in engine's masks, and not of a detector's own.
ROUGH = "GrabCut, rough: choose a SAM in Load SAM for photographs"
GRID_SEED = 2
# A circle, a cross and two rings.
CLASSES_SEED = 15


def _picture(scene: Scene | Grid) -> Image.Image:
    return Image.fromarray((scene.image * 255).round().astype(np.uint8))


def _truth(*names: str) -> NDArray[np.bool_]:
    shown = [f"{c} {k}" for c, k in zip(SCENE.colors, SCENE.kinds, strict=True)]
    return np.any([SCENE.masks[shown.index(name)] for name in names], axis=0)


@pytest.fixture(scope="module")
def scene(comfy) -> str:
    return Api(comfy.url).upload("scene.png", _picture(SCENE))


@pytest.fixture(scope="module")
def grey(comfy) -> str:
    return Api(comfy.url).upload("grey.png", Image.new("RGB", (SIZE, SIZE), (115, 115, 115)))


@pytest.mark.parametrize(("model", "refine"), [(BUILT_IN, "auto"), (BUILT_IN, "on"), (SAM2, "on")])
def test_words_find_what_they_name(api, scene, model, refine):
    graph = text_segment(scene, WANTED, model, detector="clipseg/tiny", refine=refine)
    run = api.succeed(graph)
    (mask,) = api.masks(run)
    assert iou(mask, _truth("red circle", "white square")) > 0.8
    (boxes,) = json.loads(run.text("boxes"))
    assert sorted(box["label"] for box in boxes) == ["red circle", "white square"]
    for box in boxes:
        inside = np.zeros((SIZE, SIZE), bool)
        inside[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]] = True
        truth = _truth(box["label"])
        assert (truth & inside).sum() > 0.9 * truth.sum()
        assert box["score"] >= 0.4
    is_rough = model == BUILT_IN and refine == "on"
    assert run.text("segment") == (f"2 objects. {ROUGH}" if is_rough else "2 objects")


def test_free_gives_a_detector_back(api, scene, comfy):
    """Counted in bytes of live tensors, as the detector is kept for all loaders."""

    def live_bytes_when_freed() -> int:
        api.http.post_json("/free", {"unload_models": True, "free_memory": True})
        # The flag is served between runs, so another run must follow.
        api.succeed(point_segment(scene, ""))
        return api.http.get_json("/census")["bytes"]

    weights = (comfy.models / "clipseg" / "tiny" / "model.safetensors").stat().st_size
    before = live_bytes_when_freed()
    api.succeed(text_segment(scene, WANTED, detector="clipseg/tiny"))
    assert api.http.get_json("/census")["bytes"] - before > 0.9 * weights
    assert abs(live_bytes_when_freed() - before) < 0.1 * weights


def test_auto_is_clipseg_with_the_built_in_engine(api, scene):
    run = api.succeed(text_segment(scene, "red circle"))
    assert iou(api.masks(run)[0], _truth("red circle")) > 0.8


def test_unwanted_words(api, scene):
    graph = text_segment(scene, WANTED, negative_prompt="white", threshold=0.3)
    run = api.succeed(graph)
    assert iou(api.masks(run)[0], _truth("red circle")) > 0.7
    assert "1 removed by negative_prompt" in run.text("segment")


def test_something_absent_leaves_every_frame_in_place(api, scene, grey, comfy):
    """Three images of which the middle one shows nothing, then words that fit none of them."""
    graph = text_segment(["batch", 0], WANTED)
    graph["one"], graph["two"] = node("LoadImage", image=scene), node("LoadImage", image=grey)
    graph["pair"] = node("ImageBatch", image1=["one", 0], image2=["two", 0])
    graph["batch"] = node("ImageBatch", image1=["pair", 0], image2=["one", 0])
    run = api.succeed(graph)
    masks = api.masks(run)
    assert [bool(mask.any()) for mask in masks] == [True, False, True]
    np.testing.assert_array_equal(masks[0], masks[2])
    assert [len(boxes) for boxes in json.loads(run.text("boxes"))] == [2, 0, 2]
    assert run.text("segment") == "4 objects, in 3 images"

    graph["segment"]["inputs"] |= {"prompt": "cyan cross", "threshold": 0.9}
    log_start = comfy.log_size()
    run = api.succeed(graph)
    masks = api.masks(run)
    assert masks.shape == (3, SIZE, SIZE) and not masks.any()
    assert len(api.images(run, "overlay")) == 3
    text = run.text("segment")
    assert text.startswith('nothing >= 0.90 for "cyan cross"; best 0.')
    assert text in comfy.log(log_start)


@pytest.mark.parametrize("refine", ["auto", "on"])
def test_sam3_answers_words_by_itself(api, scene, refine):
    """Random weights find something or other; frames, labels and limits hold all the same."""
    graph = text_segment(scene, "dog, red cat", SAM3, threshold=0.01, max_objects=2, refine=refine)
    run = api.succeed(graph)
    (boxes,) = json.loads(run.text("boxes"))
    labels = [box["label"] for box in boxes]
    assert 1 <= len(labels) <= 4 and set(labels) <= {"dog", "red cat"}
    scores = [box["score"] for box in boxes]
    assert scores == sorted(scores, reverse=True)
    assert api.masks(run).shape == (1, SIZE, SIZE)


def test_the_same_graph_again_executes_nothing(api, scene):
    graph = text_segment(scene, WANTED, detector="clipseg/tiny")
    first = api.succeed(graph)
    second = api.succeed(graph)
    assert second.cached == graph.keys()
    assert second.outputs["segment"] == first.outputs["segment"]


def test_another_phrase_loads_and_encodes_nothing_again(api, scene):
    api.succeed(text_segment(scene, "red circle"))
    run = api.succeed(text_segment(scene, "white square"))
    assert run.cached == {"image", "sam"}
    assert iou(api.masks(run)[0], _truth("white square")) > 0.8


def test_a_prompt_that_is_refused(api, scene):
    run = api.run(text_segment(scene, "dog " * 40))
    assert run.status == "error"
    assert "takes 14 in one phrase. Shorten it, or split it by commas" in run.error


def test_an_empty_prompt_is_no_error(api, scene):
    run = api.succeed(text_segment(scene, " , "))
    assert not api.masks(run)[0].any()


def _shipped(name: str, scene: str, prompt: str) -> tuple[dict, dict[str, str]]:
    """A workflow of the pack on a scene, and its nodes by title."""
    graph = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text())
    named = {each["_meta"]["title"]: key for key, each in graph.items()}
    graph[named["Image"]]["inputs"]["image"] = scene
    # Its own model would have to be downloaded.
    graph[named["Load SAM"]]["inputs"]["model"] = BUILT_IN
    graph[named["Text Segment"]]["inputs"]["prompt"] = prompt
    return graph, named


def test_the_shipped_workflow(api, scene):
    graph, named = _shipped("text_segment", scene, WANTED)
    run = api.succeed(graph)
    (mask,) = api.masks(run, named["Mask"])
    assert iou(mask, _truth("red circle", "white square")) > 0.8
    (overlay,) = api.images(run, named["Overlay"])
    assert overlay.size == (SIZE, SIZE)
    (cutout,) = api.images(run, named["Cut-out"])
    np.testing.assert_allclose(np.asarray(cutout)[..., 3] / 255, mask, atol=1.5 / 255)


def test_found_then_selected_then_refined(api, scene):
    """The overlay shows both objects, mask and cut-out the selected one alone."""
    graph, named = _shipped("text_select_refine", scene, WANTED)
    graph[named["Select Segments"]]["inputs"]["labels"] = "white square"
    run = api.succeed(graph)
    (mask,) = api.masks(run, named["Mask"])
    assert iou(mask, _truth("white square")) > 0.8
    assert 0 < ((mask > 0.1) & (mask < 0.9)).sum() < (mask > 0.5).sum()
    (cutout,) = api.images(run, named["Cut-out"])
    # The two touch, and the soft edge of one lies on the other.
    assert np.mean(np.asarray(cutout)[..., 3][_truth("red circle")] > 0) < 0.05
    assert run.text(named["Text Segment"]) == "2 objects"


def test_small_things_in_tiles(api, comfy):
    """The shipped workflow: shapes of 48 pixels in an image of 480, of which the model sees 96."""
    large = draw_large_scene(5, SIZE * 3, 48, 3)
    name = Api(comfy.url).upload("large.png", _picture(large))
    graph, named = _shipped("tiles", name, "red, blue, yellow")
    graph[named["Text Segment"]]["inputs"]["threshold"] = 0.8
    log_start = comfy.log_size()
    run = api.succeed(graph)
    assert iou(api.masks(run, named["Mask"])[0], large.masks.any(axis=0)) > 0.6
    assert run.text(named["Text Segment"]) == f"3 objects. {ROUGH}"
    assert "10 images to encode" in comfy.log(log_start)


def test_example_boxes_of_the_shipped_workflow(api):
    """With a small trained SAM 3 in place of the released one, and a box on another picture."""
    scene = draw_grid(GRID_SEED, SIZE)
    name = api.upload("grid.png", _picture(scene))
    graph, named = _shipped("example_boxes", name, "")
    graph[named["Load SAM"]]["inputs"] |= {"model": "sam3/tiny", "precision": "fp32"}
    x1, y1, x2, y2 = scene.boxes()[0]
    box = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
    text = graph[named["Text Segment"]]["inputs"]
    assert json.loads(text["points"])["boxes"]
    text["points"] = json.dumps({"boxes": [box]})
    run = api.succeed(graph)
    (mask,) = api.masks(run, named["Mask"])
    assert iou(mask, scene.union(scene.colors[0])) > 0.7
    (overlay,) = api.images(run, named["Overlay"])
    assert overlay.size == (SIZE, SIZE)
    count = scene.colors.count(scene.colors[0])
    assert run.text(named["Text Segment"]) == f"{count} objects"


def test_example_boxes_need_sam3(api, scene):
    boxes = json.dumps({"boxes": [{"x": 5, "y": 5, "width": 20, "height": 20}]})
    run = api.run(text_segment(scene, "red circle", detector="clipseg/tiny", points=boxes))
    assert run.status == "error"
    assert "bboxes: found 1 example box for a detector" in run.error


def test_known_classes_of_the_shipped_workflow(api):
    """With a small trained SegFormer in models/detection; an empty prompt is all it knows."""
    scene = draw_scene(CLASSES_SEED, SIZE)
    name = api.upload("classes.png", _picture(scene))
    graph, named = _shipped("known_classes", name, "")
    text = graph[named["Text Segment"]]["inputs"]
    text["detector"] = "detection/tiny"
    run = api.succeed(graph)
    (mask,) = api.masks(run, named["Mask"])
    assert iou(mask, scene.masks.any(axis=0)) > 0.9
    assert run.text(named["Text Segment"]) == "4 objects"
    (overlay,) = api.images(run, named["Overlay"])
    assert overlay.size == (SIZE, SIZE)

    text["prompt"] = "RINGS"
    run = api.succeed(graph)
    rings = [mask for kind, mask in zip(scene.kinds, scene.masks, strict=True) if kind == "ring"]
    assert iou(api.masks(run, named["Mask"])[0], np.any(rings, axis=0)) > 0.9
    assert run.text(named["Text Segment"]) == "2 objects"

    text["prompt"] = "rings, dog"
    run = api.run(graph)
    assert run.status == "error"
    assert 'prompt: "dog" is none of the 6 classes' in run.error
    assert "accepted: background, circle, square, triangle, ring, cross" in run.error


def test_the_shipped_detector_of_known_classes_has_to_be_there(api, scene):
    graph, _ = _shipped("known_classes", scene, "")
    with pytest.raises(Refused) as refused:
        api.run(graph)
    (errors,) = refused.value.node_errors.values()
    text = json.dumps(errors)
    assert "detection/rtdetr_v2_r18vd is not on this machine" in text
    assert "Put it into models/detection" in text


@pytest.mark.parametrize("model", [BUILT_IN, SAM2])
def test_boxes_of_known_classes_are_drawn_by_the_model(api, scene, model):
    """A random RT-DETR v2 finds something or other."""
    names = {"person", "traffic light", "Upper-clothes", "dog", "door, gate"}
    graph = text_segment(
        scene, "", model, detector="detection/random", threshold=0.01, max_objects=2
    )
    run = api.succeed(graph)
    (boxes,) = json.loads(run.text("boxes"))
    assert 1 <= len(boxes) <= 10 and {box["label"] for box in boxes} <= names
    assert api.masks(run)[0].any()


@pytest.mark.parametrize("zoom", [False, True])
def test_an_example_box_on_one_image_of_a_batch(zoom, api, comfy):
    """The other image gives no object."""
    scene = draw_grid(GRID_SEED, SIZE)
    name = api.upload("grid.png", _picture(scene))
    graph, named = _shipped("example_boxes", name, "")
    graph[named["Load SAM"]]["inputs"] |= {"model": "sam3/tiny", "precision": "fp32"}
    text = graph[named["Text Segment"]]["inputs"]
    single = text["image"]
    graph["batch"] = {
        "class_type": "ImageBatch",
        "inputs": {"image1": single, "image2": single},
    }
    x1, y1, x2, y2 = scene.boxes()[0]
    box = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "frame": 1}
    points = json.dumps({"boxes": [box]})
    text |= {"image": ["batch", 0], "points": points, "zoom": zoom}
    log_start = comfy.log_size()
    run = api.succeed(graph)
    count = scene.colors.count(scene.colors[0])
    assert run.text(named["Text Segment"]).startswith(f"{count} objects")
    assert (f"to draw {count} objects" in comfy.log(log_start)) is zoom
    if not zoom:
        first, second = api.masks(run, named["Mask"])
        assert not first.any() and iou(second, scene.union(scene.colors[0])) > 0.7
