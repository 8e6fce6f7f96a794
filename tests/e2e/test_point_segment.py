"""Point Segment in ComfyUI: the results of its inputs, one by one."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from segment_anywhere.core.engines.base import Engine
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.results.segments import Segments, union_masks
from segment_anywhere.core.tasks.segmenter import MaskChoice, Segmenter

from tests.support.overlap import iou
from tests.support.paths import FIXTURES, ROOT
from tests.support.scenes import draw_scene, interior_point

from .conftest import TINY
from .graphs import node, point_segment

pytestmark = pytest.mark.xdist_group("comfyui")

PARITY = "sam2/parity.pt"
EDGETAM = "sam2/edgetam.pt"
OFFICIAL = (PARITY, EDGETAM, "sams/sam.pth", "sams/sam_hq.pth")
OTHER_LAYOUTS = [
    f"{stem}{suffix}"
    for stem in ("sam2/parity", "sam2/edgetam", "sams/sam", "sams/sam_hq")
    for suffix in (".safetensors", "")
]
SAM3_FOLDER = "sam3/transformers"
# Files do not record the size of their input, so these run at the full 1008 pixels.
SAM3_FILES = ("sam3/official.pt", "sam3/comfy_3.1.safetensors")
TINY_MODEL = "sam2/sam2_tiny"
needs_tiny = pytest.mark.skipif(
    not (TINY / "config.json").is_file(), reason=f"no trained model at {TINY.relative_to(ROOT)}"
)


def expected_mask(
    engine: Engine, image: Image.Image, points: list[list[int]]
) -> NDArray[np.float32]:
    """What core alone makes of clicks on one object: [H, W] float32."""
    frame = torch.from_numpy(np.asarray(image.convert("RGB")).astype(np.float32) / 255)
    size = (frame.shape[0], frame.shape[1])
    prompt = ObjectPrompt("object 0", tuple(Point(x, y) for x, y in points))
    instances = Segmenter(engine).segment(frame, [prompt], MaskChoice.BEST)
    return union_masks(Segments.from_instances(instances, size, 1))[0].numpy()


def square_mask() -> NDArray[np.bool_]:
    """The truth of the fixture `square`."""
    mask = np.zeros((120, 160), bool)
    mask[20:80, 40:100] = True
    return mask


def test_the_shipped_workflow(api, dahlia, comfy):
    graph = json.loads((ROOT / "workflows" / "api" / "point_segment.json").read_text())
    (load,) = (each for each in graph.values() if each["class_type"] == "LoadImage")
    (segment,) = (each for each in graph.values() if each["class_type"] == "SegmentAnywherePoint")
    load["inputs"]["image"], segment["inputs"]["points"] = dahlia, "[[310, 215]]"
    named = {each["_meta"]["title"]: key for key, each in graph.items()}
    log_start = comfy.log_size()
    run = api.succeed(graph)
    assert "Traceback" not in comfy.log(log_start)

    (mask,) = api.masks(run, named["Mask"])
    picture = Image.open(ROOT / "workflows" / "images" / "dahlia.jpg")
    assert mask.shape == (picture.height, picture.width)
    assert iou(mask, expected_mask(GrabCutEngine(), picture, [[310, 215]])) > 0.99
    assert mask[215, 310] == 1
    assert mask[0, 0] == mask[-1, -1] == 0

    (overlay,) = api.images(run, named["Overlay"])
    assert (overlay.mode, overlay.size) == ("RGB", picture.size)
    # Outside, the overlay is the picture but for the box and its label.
    difference = np.abs(np.asarray(overlay).astype(int) - np.asarray(picture)).max(axis=2)
    assert np.median(difference[mask < 0.5]) <= 1
    assert np.median(difference[mask > 0.5]) > 10

    (cutout,) = api.images(run, named["Cut-out"])
    assert (cutout.mode, cutout.size) == ("RGBA", picture.size)
    alpha = np.asarray(cutout)[..., 3]
    np.testing.assert_allclose(alpha / 255, mask, atol=1.5 / 255)
    assert run.text(named["Point Segment"]).startswith("1 object. GrabCut, rough")
    (state,) = run.outputs[named["Point Segment"]]["segment_anywhere"]
    assert {state[part]["type"] for part in ("image", "mask")} == {"temp"}


@pytest.mark.parametrize(
    "points",
    [
        [70, 50],
        [[70, 50], [60, 40]],
        [{"x": 70, "y": 50}],
        {"positive": [{"x": 70, "y": 50}], "negative": [{"x": 5, "y": 5}]},
        {"version": 1, "size": [320, 240], "points": [{"x": 140, "y": 100, "label": 1}]},
        {"version": 1, "boxes": [{"x": 36, "y": 16, "width": 68, "height": 68}]},
    ],
)
def test_formats_of_points(api, square, points):
    run = api.succeed(point_segment(square, points))
    assert iou(api.masks(run)[0], square_mask()) > 0.95
    ((box,),) = json.loads(run.text("boxes"))
    assert box["label"] == "object 1"
    assert 0 <= box["score"] <= 1
    corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
    assert corners == pytest.approx((40, 20, 100, 80), abs=3)


def test_two_objects(api, square):
    """The square and the ground, each an object of its own."""
    run = api.succeed(point_segment(square, [[[70, 50]], [[10, 110]]]))
    (boxes,) = json.loads(run.text("boxes"))
    assert [box["label"] for box in boxes] == ["object 1", "object 2"]
    assert run.text("segment").startswith("2 objects. ")


def test_box_socket(api, square):
    graph = point_segment(square, "", bboxes=["box", 0])
    graph["box"] = node("PrimitiveBoundingBox", x=36, y=16, width=68, height=68)
    run = api.succeed(graph)
    assert iou(api.masks(run)[0], square_mask()) > 0.95


def test_a_box_that_oversteps_the_edge_is_cut_off(api, square):
    graph = point_segment(square, "", bboxes=["box", 0])
    graph["box"] = node("PrimitiveBoundingBox", x=36, y=16, width=512, height=70)
    run = api.succeed(graph)
    assert api.masks(run)[0, 50, 70] == 1


def test_boxes_of_another_segment_node(api, square):
    graph = point_segment(square, [[70, 50]])
    graph["again"] = node(
        "SegmentAnywherePoint",
        model=["sam", 0],
        image=["image", 0],
        points="",
        mask_choice="best",
        bboxes=["segment", 2],
    )
    graph["mask"]["inputs"]["mask"] = ["again", 0]
    run = api.succeed(graph)
    assert iou(api.masks(run)[0], square_mask()) > 0.95


def test_boxes_fit_the_hosts_own_box_node(api, square):
    graph = point_segment(square, [[70, 50]])
    graph["draw"] = node("DrawBBoxes", image=["image", 0], bboxes=["segment", 2])
    graph["drawn"] = node("PreviewImage", images=["draw", 0])
    (drawn,) = api.images(api.succeed(graph), "drawn")
    assert drawn.size == (160, 120)


def test_mask_socket(api, square):
    """A rough mask, smaller than the square and off its centre, grows to the square."""
    graph = point_segment(square, "", mask=["rough", 0])
    graph["black"] = node("SolidMask", value=0.0, width=160, height=120)
    graph["white"] = node("SolidMask", value=1.0, width=50, height=50)
    graph["rough"] = node(
        "MaskComposite", destination=["black", 0], source=["white", 0], x=44, y=26, operation="add"
    )
    run = api.succeed(graph)
    assert iou(api.masks(run)[0], square_mask()) > 0.9


def test_coordinate_sockets(api, square):
    graph = point_segment(square, "", positive_coords=["on", 0], negative_coords=["off", 0])
    graph["on"] = node(
        "PrimitiveStringMultiline", value='[{"x": 70, "y": 50},\n{"x": 50, "y": 30}]'
    )
    graph["off"] = node("PrimitiveStringMultiline", value='[{"x": 10, "y": 110}]')
    run = api.succeed(graph)
    assert iou(api.masks(run)[0], square_mask()) > 0.95


def test_empty_coordinate_sockets(api, square):
    """KJNodes sends an empty list as a string in a string."""
    graph = point_segment(square, [[70, 50]], positive_coords=["on", 0], negative_coords=["off", 0])
    graph["on"] = node("PrimitiveStringMultiline", value='""')
    graph["off"] = node("PrimitiveStringMultiline", value="")
    run = api.succeed(graph)
    assert iou(api.masks(run)[0], square_mask()) > 0.95


def test_no_prompt(api, square):
    run = api.succeed(point_segment(square, ""))
    masks = api.masks(run)
    assert masks.shape == (1, 120, 160)
    assert not masks.any()
    assert json.loads(run.text("boxes")) == [[]]
    assert run.text("segment") == "no prompt: add a point, a box or a mask"


def test_an_image_with_alpha(api, square):
    graph = point_segment(["with alpha", 0], [[70, 50]])
    graph["image"] = node("LoadImage", image=square)
    graph["alpha"] = node("SolidMask", value=0.5, width=160, height=120)
    graph["with alpha"] = node("JoinImageWithAlpha", image=["image", 0], alpha=["alpha", 0])
    run = api.succeed(graph)
    assert iou(api.masks(run)[0], square_mask()) > 0.95
    assert api.images(run, "overlay")[0].mode == "RGB"


def test_a_batch_of_different_images(api):
    """Frames keep their order, and each has its own mask and list of boxes."""
    graph = point_segment(["batch", 0], [[80, 60]])
    corners = [(60, 40, 100, 80), (30, 20, 120, 90), (70, 10, 140, 110)]
    colours = [(220, 30, 30), (30, 60, 220), (230, 210, 40)]
    for index, (box, colour) in enumerate(zip(corners, colours, strict=True)):
        image = Image.new("RGB", (160, 120), (30, 110, 50))
        ImageDraw.Draw(image).rectangle((*box[:2], box[2] - 1, box[3] - 1), fill=colour)
        name = api.upload(f"frame_{index}.png", image)
        graph[f"image {index}"] = node("LoadImage", image=name)
    links = {f"images.image{index}": [f"image {index}", 0] for index in range(3)}
    graph["batch"] = node("BatchImagesNode", **links)
    run = api.succeed(graph)
    masks = api.masks(run)
    assert masks.shape == (3, 120, 160)
    boxes = json.loads(run.text("boxes"))
    assert [len(frame) for frame in boxes] == [1, 1, 1]
    assert len(api.images(run, "overlay")) == 3
    assert run.text("segment").startswith("3 objects")
    for mask, (box,), (left, top, right, bottom) in zip(masks, boxes, corners, strict=True):
        truth = np.zeros((120, 160), bool)
        truth[top:bottom, left:right] = True
        assert iou(mask, truth) > 0.95
        assert (box["x"], box["y"]) == pytest.approx((left, top), abs=3)


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        *product((*OFFICIAL, SAM3_FOLDER), ("auto", "fp32", "bf16", "fp16")),
        *product(OTHER_LAYOUTS, ("auto",)),
        *product(SAM3_FILES, ("fp32",)),
    ],
)
def test_every_family_layout_and_precision(api, photo, model, precision):
    """The weights are random: only that they run, and what comes out, is of interest."""
    run = api.succeed(point_segment(photo, [[250, 150]], model=model, precision=precision))
    masks = api.masks(run)
    assert masks.shape == (1, 400, 600)
    assert set(np.unique(masks)) <= {0, 1}
    ((box,),) = json.loads(run.text("boxes"))
    assert 0 <= box["score"] <= 1


def test_official_weights_equal_core(api, comfy):
    """As PNG: ComfyUI decodes JPEG's colours in its own way, which random weights would show."""
    picture = Image.open(FIXTURES / "photo.jpg").convert("RGB")
    name = api.upload("lossless.png", picture)
    run = api.succeed(point_segment(name, [[250, 150]], model=PARITY))
    engine = load_engine(comfy.models / PARITY, torch.float32)
    assert iou(api.masks(run)[0], expected_mask(engine, picture, [[250, 150]])) > 0.99


def test_all_candidates(api, photo):
    run = api.succeed(point_segment(photo, [[250, 150]], model=PARITY, mask_choice="all"))
    (boxes,) = json.loads(run.text("boxes"))
    scores = [box["score"] for box in boxes]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


@needs_tiny
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_trained_model_finds_a_shape(api, comfy, precision):
    scene = draw_scene(seed=11)
    truth = scene.masks[-1]
    picture = Image.fromarray((scene.image * 255).round().astype(np.uint8))
    points = [list(map(int, interior_point(truth)))]
    name = api.upload("scene.png", picture)
    run = api.succeed(point_segment(name, points, model=TINY_MODEL, precision=precision))
    (mask,) = api.masks(run)
    expected = expected_mask(load_engine(comfy.models / TINY_MODEL, torch.float32), picture, points)
    assert iou(mask, expected) > (0.99 if precision == "fp32" else 0.9)
    assert iou(mask, truth) > 0.8
