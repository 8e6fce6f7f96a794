"""Draw Segments, Cut Out, and the small pictures in the nodes: what is drawn, and for whom."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from segment_anywhere.core.pictures.render import PALETTE, region_colours

from .api import Api, Refused, Run
from .graphs import cut_out, draw, node, point_segment

pytestmark = pytest.mark.xdist_group("comfyui")

# The square, and the ground around it.
TWO = [[[70, 50]], [[10, 110]]]
PLAIN = {"opacity": 1.0, "boxes": False, "labels": False}
OURS = ("segment", "drawing", "cut", "refine", "select", "combine")


def _pixels(api: Api, run: Run, name: str) -> NDArray[np.uint8]:
    """The pictures of an output node: [B, H, W, C]."""
    return np.stack([np.asarray(image) for image in api.images(run, name)])


def _drawn(square: str, style: str, points: list) -> dict:
    graph = point_segment(square, points)
    graph["drawing"] = draw(["image", 0], ["segment", 1], style=style, **PLAIN)
    return graph


def _cut(square: str, **inputs) -> dict:
    """A cut-out of the square ("cutout") with the mask that goes with it ("cut mask image")."""
    graph = point_segment(square, [[70, 50]])
    graph["cut"] = cut_out(["image", 0], **inputs)
    graph["cutout"] = node("PreviewImage", images=["cut", 0])
    graph["cut mask"] = node("MaskToImage", mask=["cut", 1])
    graph["cut mask image"] = node("PreviewImage", images=["cut mask", 0])
    return graph


@pytest.mark.parametrize(
    ("style", "colours"), [("fill", PALETTE), ("label map", region_colours(2))]
)
def test_each_object_in_its_colour(api, square, style, colours):
    run = api.succeed(_drawn(square, style, TWO))
    (picture,) = _pixels(api, run, "overlay")
    assert picture.shape == (120, 160, 3)
    assert [tuple(picture[place]) for place in ((50, 70), (110, 10))] == list(colours[:2])
    assert run.text("drawing") == "2 objects"


def test_contours_leave_the_inside_alone(api, square):
    run = api.succeed(_drawn(square, "contour", [[70, 50]]))
    (picture,) = _pixels(api, run, "overlay")
    assert tuple(picture[50, 70]) == (210, 40, 30)
    assert (np.abs(picture[50, 36:44].astype(int) - PALETTE[0]).max(axis=-1) < 40).any()


def test_segments_keep_flowing_to_where_they_are_drawn(api, square):
    """Cut by another, chosen and refined, an object keeps the colour of its number."""
    graph = point_segment(square, TWO)
    widgets = {"indices": "", "sort_by": "as given", "reverse": False, "min_score": 0.0}
    widgets |= {"max_score": 1.0, "min_area": 0, "max_area": 0}
    graph["select"] = node(
        "SegmentAnywhereSelect", segments=["segment", 1], labels="object 2", **widgets
    )
    widgets = {"fill_holes": 0, "remove_islands": 0, "smooth": 0.0, "feather": 0.0, "edge": "none"}
    widgets |= {"expand": -4.0, "threshold": 0.0, "invert": False}
    graph["refine"] = node("SegmentAnywhereMaskRefine", segments=["select", 1], **widgets)
    graph["none"] = node("SolidMask", value=0.0, width=160, height=120)
    graph["combine"] = node(
        "SegmentAnywhereCombine", operation="subtract", segments_a=["refine", 1], mask_b=["none", 0]
    )
    graph["drawing"] = draw(["image", 0], ["combine", 1], **PLAIN)
    graph["count"] = node("PreviewAny", source=["segment", 3])
    run = api.succeed(graph)
    (picture,) = _pixels(api, run, "overlay")
    assert tuple(picture[110, 10]) == PALETTE[1]
    assert tuple(picture[50, 70]) == (210, 40, 30)
    # Four pixels of the ground beside the square are shrunk away.
    assert tuple(picture[50, 102]) == (40, 140, 60)
    assert run.text("count") == "2"


@pytest.mark.parametrize("source", [{"mask": ["segment", 0]}, {"segments": ["segment", 1]}])
def test_a_cut_out_has_the_mask_as_its_alpha(api, square, source):
    run = api.succeed(_cut(square, **source))
    (picture,) = api.images(run, "cutout")
    assert (picture.mode, picture.size) == ("RGBA", (160, 120))
    (mask,), (kept,) = api.masks(run), api.masks(run, "cut mask image")
    np.testing.assert_array_equal(kept, mask)
    np.testing.assert_allclose(np.asarray(picture)[..., 3] / 255, mask, atol=1.5 / 255)
    assert tuple(np.asarray(picture)[50, 70]) == (210, 40, 30, 255)
    assert run.text("cut") == "160 x 120 pixels"


def test_a_cut_out_on_a_colour_that_comes_over_a_link(api, square):
    graph = _cut(square, mask=["segment", 0], background=["white", 0])
    graph["white"] = node("PrimitiveString", value="white")
    (picture,) = api.images(api.succeed(graph), "cutout")
    assert picture.mode == "RGB"
    assert picture.getpixel((5, 5)) == (255, 255, 255)
    assert picture.getpixel((70, 50)) == (210, 40, 30)


def test_a_colour_that_is_none_is_refused_before_anything_runs(api, square):
    graph = {"image": node("LoadImage", image=square)}
    graph["cut"] = cut_out(["image", 0], mask=["image", 1], background="mud")
    graph["cutout"] = node("PreviewImage", images=["cut", 0])
    with pytest.raises(Refused) as refused:
        api.queue(graph)
    assert "background: found 'mud'" in refused.value.messages("cut")[0]


def test_a_batch_is_cropped_to_one_rectangle(api, square):
    """The square in another place of each image: the crop holds both places."""
    moved = Image.new("RGB", (160, 120), (40, 140, 60))
    moved.paste((210, 40, 30), (50, 30, 110, 90))
    graph = _cut(square, segments=["segment", 1], crop=True)
    graph["moved"] = node("LoadImage", image=api.upload("moved.png", moved))
    graph["batch"] = node("ImageBatch", image1=["image", 0], image2=["moved", 0])
    for name in ("segment", "cut", "drawing"):
        graph[name]["inputs"]["image"] = ["batch", 0]
    run = api.succeed(graph)
    pictures, masks = _pixels(api, run, "cutout"), api.masks(run, "cut mask image")
    inside = api.masks(run).max(axis=0) > 0
    size = tuple(int(np.ptp(np.flatnonzero(inside.any(axis=axis)))) + 1 for axis in (1, 0))
    assert size == pytest.approx((70, 70), abs=6)
    assert pictures.shape == (2, *size, 4)
    np.testing.assert_allclose(pictures[..., 3] / 255, masks, atol=1.5 / 255)
    # Each in its own place.
    assert masks[0, 3, 3] == masks[1, -4, -4] == 1
    assert masks[0, -4, -4] == masks[1, 3, 3] == 0
    assert run.text("cut") == f"{size[1]} x {size[0]} pixels"
    assert len(json.loads(run.text("boxes"))) == 2


def _all_nodes(api: Api) -> dict:
    """A graph with all nodes of ours that show a picture, on an image that no run has seen."""
    noise = np.random.default_rng().integers(0, 256, (120, 160, 3), np.uint8)
    graph = point_segment(api.upload("noise.png", Image.fromarray(noise)), [[70, 50]])
    graph["cut"] = cut_out(["image", 0], mask=["segment", 0])
    widgets = {"labels": "", "indices": "", "sort_by": "as given", "reverse": False}
    widgets |= {"min_score": 0.0, "max_score": 1.0, "min_area": 0, "max_area": 0}
    graph["select"] = node("SegmentAnywhereSelect", segments=["segment", 1], **widgets)
    widgets = {"fill_holes": 0, "remove_islands": 0, "smooth": 0.0, "feather": 0.0, "edge": "none"}
    widgets |= {"expand": 1.0, "threshold": 0.0, "invert": False}
    graph["refine"] = node("SegmentAnywhereMaskRefine", mask=["segment", 0], **widgets)
    links = {"segments_a": ["select", 1], "mask_b": ["refine", 0]}
    graph["combine"] = node("SegmentAnywhereCombine", operation="union", **links)
    graph["shown"] = node("PreviewImage", images=["cut", 0])
    graph["all"] = node("MaskToImage", mask=["combine", 0])
    graph["all image"] = node("PreviewImage", images=["all", 0])
    return graph


def test_a_script_that_looks_at_nothing_is_drawn_nothing(comfy):
    """It has queued the run without a websocket; what it asked for, it gets."""
    script = Api(comfy.url)
    run = script.succeed(_all_nodes(script))
    assert {name for name in OURS if run.text(name)} == set(OURS)
    assert not any({"images", "segment_anywhere"} & run.outputs[name].keys() for name in OURS)
    assert len(script.images(run, "shown")) == len(script.images(run, "all image")) == 1


def test_a_browser_sees_a_picture_in_every_node(api):
    run = api.succeed(_all_nodes(api))
    for name in set(OURS) - {"segment"}:
        (picture,) = api.images(run, name)
        assert picture.size == (160, 120), name
    # The editor draws for itself.
    assert "images" not in run.outputs["segment"]
    (state,) = run.outputs["segment"]["segment_anywhere"]
    assert state["size"] == [160, 120]


def test_what_a_script_has_run_is_shown_to_a_browser_all_the_same(api, comfy):
    """The script's result is in ComfyUI's cache, without pictures and without the editor's key."""
    graph = _all_nodes(api)
    Api(comfy.url).succeed(graph)
    run = api.succeed(graph)
    assert all("images" in run.outputs[name] for name in set(OURS) - {"segment"})
    assert run.outputs["segment"]["segment_anywhere"][0]["key"]
