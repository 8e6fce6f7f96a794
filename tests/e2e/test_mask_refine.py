"""Mask Refine and Combine Segments in ComfyUI."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.support.paths import ROOT
from tests.support.strands import draw_strands

from .graphs import cut_out, draw, node, point_segment

pytestmark = pytest.mark.xdist_group("comfyui")

SETTINGS = {
    "fill_holes": 0,
    "remove_islands": 0,
    "expand": 0.0,
    "smooth": 0.0,
    "feather": 0.0,
    "edge": "none",
    "threshold": 0.0,
    "invert": False,
}


def _refine(source: dict, **settings) -> dict:
    """Mask Refine ("refine") behind links, with outputs for the mask and what an image makes of it.

    source: its links; with an image, the cut-out and the overlay are shown too.
    """
    graph = {
        "refine": node("SegmentAnywhereMaskRefine", **source, **(SETTINGS | settings)),
        "refined": node("MaskToImage", mask=["refine", 0]),
        "refined image": node("PreviewImage", images=["refined", 0]),
    }
    if "image" in source:
        graph["cut"] = cut_out(source["image"], mask=["refine", 0])
        graph["cutout"] = node("PreviewImage", images=["cut", 0])
        graph["refined drawing"] = draw(source["image"], ["refine", 1])
        graph["refined overlay"] = node("PreviewImage", images=["refined drawing", 0])
    return graph


def test_the_shipped_workflow(api, dahlia, comfy):
    graph = json.loads((ROOT / "workflows" / "api" / "mask_refine.json").read_text())
    named = {each["_meta"]["title"]: key for key, each in graph.items()}
    graph[named["Image"]]["inputs"]["image"] = dahlia
    graph[named["Point Segment"]]["inputs"]["points"] = "[[310, 215]]"
    log_start = comfy.log_size()
    run = api.succeed(graph)
    assert "Traceback" not in comfy.log(log_start)
    assert run.text(named["Mask Refine"]) == "1 object"
    (mask,) = api.masks(run, named["Mask"])
    (cutout,) = api.images(run, named["Cut-out"])
    assert cutout.mode == "RGBA"
    pixels = np.asarray(cutout).astype(np.float32) / 255
    assert np.abs(pixels[..., 3] - mask).max() <= 1.5 / 255
    assert 0.5 < mask.sum() / 59144 < 1.0
    assert _halo(pixels, np.asarray(Image.open(ROOT / "workflows/images/dahlia.jpg"))) == 0


def _halo(cutout: NDArray[np.float32], photograph: NDArray[np.uint8]) -> float:
    """The share of edge pixels that look like the dark background rather than like petals."""
    edge = (cutout[..., 3] > 0.2) & (cutout[..., 3] < 0.9)
    assert edge.sum() > 200
    assert (photograph[edge].max(axis=-1) < 128).mean() > 0.05
    return float((cutout[edge][:, :3].max(axis=-1) < 0.5).mean())


def test_segments_go_through(api, photo):
    graph = point_segment(photo, [[[250, 150]], [[500, 300]]])
    source = {"segments": ["segment", 1], "image": ["image", 0]}
    graph |= _refine(source, expand=3.0, feather=4.0, edge="guided", fill_holes=-1)
    run = api.succeed(graph)
    assert run.text("refine") == "2 objects"
    assert api.masks(run, "refined image").shape == (1, 400, 600)
    assert api.images(run, "cutout")[0].mode == "RGBA"


def test_hair_by_a_matting_model(api, comfy):
    """A picture whose transparency is the mask; `auto` finds the model that is there."""
    hair = draw_strands(7, (240, 320), 12.0)
    pixels = np.dstack([hair.image, 1 - hair.mask])
    name = api.upload("hair.png", Image.fromarray((pixels * 255).round().astype(np.uint8)))
    graph = {"image": node("LoadImage", image=name)}
    matting = {"edge": "matting", "matting_model": "auto", "band": 40.0}
    graph |= _refine({"mask": ["image", 1], "image": ["image", 0]}, **matting)
    log_start = comfy.log_size()
    (mask,) = api.masks(api.succeed(graph), "refined image")
    assert "Traceback" not in comfy.log(log_start)
    assert np.abs(mask - hair.alpha).sum() < 0.6 * np.abs(hair.mask - hair.alpha).sum()


def test_the_mask_of_load_image(api):
    """Transparent pixels are the mask; a picture without any sends no mask."""
    picture = Image.new("RGBA", (160, 120), (30, 110, 50, 255))
    ImageDraw.Draw(picture).rectangle((40, 20, 99, 79), fill=(0, 0, 0, 0))
    graph = {"image": node("LoadImage", image=api.upload("window.png", picture))}
    graph |= _refine({"mask": ["image", 1], "image": ["image", 0]}, expand=5.0)
    (mask,) = api.masks(api.succeed(graph), "refined image")
    assert mask[50, 36] == 1 and mask[50, 34] == 0
    name = api.upload("opaque.png", picture.convert("RGB"))
    graph["image"] = node("LoadImage", image=name)
    run = api.succeed(graph)
    assert run.text("refine") == "no mask: nothing is selected"
    assert api.masks(run, "refined image").shape == (1, 120, 160)


def test_a_batch_of_images_with_one_mask(api, photo):
    graph = {
        "image": node("LoadImage", image=photo),
        "batch": node("RepeatImageBatch", image=["image", 0], amount=3),
        "solid": node("SolidMask", value=1.0, width=600, height=400),
    }
    graph |= _refine({"mask": ["solid", 0], "image": ["batch", 0]}, invert=True)
    masks = api.masks(api.succeed(graph), "refined image")
    assert masks.shape == (3, 400, 600)
    assert not masks.any()


def test_combining_masks_and_segments(api, photo):
    graph = point_segment(photo, [[250, 150]])
    graph["solid"] = node("SolidMask", value=1.0, width=300, height=200)
    graph["combined"] = node(
        "SegmentAnywhereCombine",
        operation="subtract",
        mask_a=["solid", 0],
        segments_b=["segment", 1],
    )
    graph["refined"] = node("MaskToImage", mask=["combined", 0])
    graph["refined image"] = node("PreviewImage", images=["refined", 0])
    run = api.succeed(graph)
    (rest,) = api.masks(run, "refined image")
    assert rest.shape == (200, 300)
    (mask,) = api.masks(run)
    small = np.asarray(Image.fromarray(mask).resize((300, 200), Image.Resampling.BILINEAR))
    assert np.abs(rest + small - 1).mean() < 0.01


def test_nothing_connected_is_explained(api):
    run = api.run(_refine({}))
    assert run.status == "error"
    assert "neither is connected" in run.error
