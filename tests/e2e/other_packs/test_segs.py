"""SEGS both ways, as the Impact Pack itself makes, reads and shows them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ..api import Graph
from ..graphs import BUILT_IN, node
from .graphs import (
    MASK_TO_SEGS,
    SIZE,
    clicked,
    masked,
    points_editor,
    refine,
    select,
    shown,
    to_segs,
)
from .packs import KJNODES, needs

pytestmark = pytest.mark.xdist_group("comfyui")


def test_the_impact_packs_combined_mask_is_our_union(api, photograph):
    graph = {
        **clicked(photograph),
        "segs": to_segs(["segment", 1], image=["image", 0]),
        "theirs": node("SegsToCombinedMask", segs=["segs", 0]),
        "count": node("ImpactCount_Elts_in_SEGS", segs=["segs", 0]),
        "counted": node("PreviewAny", source=["count", 0]),
        **shown("our mask", ["segment", 0]),
        **shown("their mask", ["theirs", 0]),
    }
    run = api.succeed(graph)
    ours, theirs = api.masks(run, "our mask image"), api.masks(run, "their mask image")
    assert 0.1 < ours.mean() < 0.5
    assert np.array_equal(ours, theirs)
    assert run.text("counted") == "2"


def test_soft_masks_reach_the_impact_pack_too(api, photograph):
    """Where two overlap it joins them bit by bit, which is no maximum: one object."""
    graph = {
        **clicked(photograph),
        "soft": refine(["segment", 1], feather=12.0),
        "one": select(["soft", 1], indices="0"),
        "segs": to_segs(["one", 1], crop_factor=1.0),
        "theirs": node("SegsToCombinedMask", segs=["segs", 0]),
        **shown("our mask", ["one", 0]),
        **shown("their mask", ["theirs", 0]),
    }
    run = api.succeed(graph)
    ours, theirs = api.masks(run, "our mask image"), api.masks(run, "their mask image")
    assert len(np.unique(ours)) > 100
    assert np.array_equal(ours, theirs)


def _detail(image: list, segs: list) -> Graph:
    """Its detailer, every setting as simple as can be, with models that make everything red."""
    return {
        "models": node("StubModels"),
        "detail": node(
            "DetailerForEachDebug",
            image=image,
            segs=segs,
            **{"model": ["models", 0], "clip": ["models", 1], "vae": ["models", 2]},
            **{"positive": ["models", 3], "negative": ["models", 3]},
            **{"guide_size": 64, "guide_size_for": True, "max_size": 256},
            **{"seed": 0, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal"},
            **{"denoise": 0.5, "feather": 0, "noise_mask": True, "force_inpaint": True},
            **{"wildcard": "", "cycle": 1, "inpaint_model": False, "noise_mask_feather": 0},
        ),
        "detailed": node("PreviewImage", images=["detail", 0]),
        "crops": node("PreviewImage", images=["detail", 1]),
    }


@pytest.mark.parametrize("batch", [1, 2])
def test_its_detailer_works_on_every_object(api, photograph, batch):
    """Of a batch it takes the images one by one, with the SEGS of each."""
    graph = clicked(photograph)
    graph["frames"] = node("RepeatImageBatch", image=["image", 0], amount=batch)
    graph["segment"]["inputs"]["image"] = ["frames", 0]
    graph |= {
        "segs": to_segs(["segment", 1], image=["frames", 0]),
        "each": node("ImpactImageBatchToImageList", image=["frames", 0]),
        **_detail(["each", 0], ["segs", 0]),
        "before": node("PreviewImage", images=["image", 0]),
        **shown("mask", ["segment", 0]),
    }
    run = api.succeed(graph)
    assert len(api.images(run, "crops")) == 2 * batch
    before = np.asarray(api.images(run, "before")[0].convert("RGB"))
    details, masks = api.images(run, "detailed"), api.masks(run, "mask image")
    assert len(details) == batch
    for each, mask in zip(details, masks, strict=True):
        detailed, inside = np.asarray(each.convert("RGB")).astype(int), mask > 0.5
        assert (np.abs(detailed[inside] - (255, 0, 0)) <= 1).all()
        assert (np.abs(detailed[~inside] - before[~inside]) <= 1).all()


def test_its_preview_and_lists_take_our_segs(api, photograph):
    graph = {
        **clicked(photograph),
        "segs": to_segs(["segment", 1], image=["image", 0]),
        "preview": node("SEGSPreview", segs=["segs", 0], alpha_mode=True, min_alpha=0.2),
        "list": node("ImpactSEGSToMaskList", segs=["segs", 0]),
        **shown("masks", ["list", 0]),
    }
    run = api.succeed(graph)
    assert len(run.outputs["preview"]["images"]) == 2
    assert api.masks(run, "masks image").shape == (2, 427, 640)


# What other nodes of the pack make of the SEGS of a mask.
THEIR_SEGS = {
    "found": {},
    "dilated": {"theirs": node("ImpactDilateMaskInSEGS", segs=["found", 0], dilation=4)},
    "eroded": {"theirs": node("ImpactDilateMaskInSEGS", segs=["found", 0], dilation=-4)},
    "joined": {"theirs": node("ImpactSEGSConcat", segs1=["found", 0])},
    "labelled": {"theirs": node("ImpactSEGSLabelAssign", segs=["found", 0], labels="cat, dog")},
    "merged": {"theirs": node("ImpactSEGSMerge", segs=["found", 0])},
}


@pytest.mark.parametrize("kind", THEIR_SEGS)
def test_what_it_finds_becomes_segments(api, squares, kind):
    source = ["theirs", 0] if THEIR_SEGS[kind] else ["found", 0]
    graph = {
        **masked(squares),
        "found": node("MaskToSEGS", mask=["image", 1], **MASK_TO_SEGS),
        **THEIR_SEGS[kind],
        "segments": node("SegmentAnywhereFromSEGS", segs=source),
        # Its own node cannot read the torch tensor that SEGS Merge makes: the same area, unmerged.
        "combined": node("SegsToCombinedMask", segs=["found", 0] if kind == "merged" else source),
        "count": node("PreviewAny", source=["segments", 3]),
        "boxes": node("PreviewAny", source=["segments", 2]),
        **shown("our mask", ["segments", 0]),
        **shown("their mask", ["combined", 0]),
    }
    run = api.succeed(graph)
    ours, theirs = api.masks(run, "our mask image"), api.masks(run, "their mask image")
    assert ours.mean() > 0.1
    assert np.array_equal(ours, theirs)
    # The two squares that touch are one contour of a mask.
    assert run.text("count") == ("1" if kind == "merged" else "2")
    labels = {box["label"] for box in json.loads(run.text("boxes"))[0]}
    if kind == "labelled":
        assert labels == {"cat", "dog"}


def test_soft_masks_of_it_are_read_within_its_rounding(api, squares):
    graph = {
        **masked(squares),
        "found": node("MaskToSEGS", mask=["image", 1], **MASK_TO_SEGS),
        "soft": node("ImpactGaussianBlurMaskInSEGS", segs=["found", 0], kernel_size=5, sigma=3.0),
        "segments": node("SegmentAnywhereFromSEGS", segs=["soft", 0]),
        "combined": node("SegsToCombinedMask", segs=["soft", 0]),
        **shown("our mask", ["segments", 0]),
        **shown("their mask", ["combined", 0]),
    }
    run = api.succeed(graph)
    ours, theirs = api.masks(run, "our mask image"), api.masks(run, "their mask image")
    assert len(np.unique(ours)) > 20
    # It cuts the fractions of bytes off, where we round.
    assert np.abs(ours - theirs).max() <= 1.01 / 255


def test_the_segs_of_a_clip_are_objects_on_its_frames(api, squares):
    graph = {
        **masked(squares),
        "clip": node("SolidMask", value=1.0, width=SIZE[0], height=SIZE[1]),
        "moved": node(
            "MaskComposite",
            destination=["clip", 0],
            source=["image", 1],
            x=0,
            y=0,
            operation="multiply",
        ),
        "as image": node("MaskToImage", mask=["moved", 0]),
        "repeated": node("RepeatImageBatch", image=["as image", 0], amount=3),
        "as mask": node("ImageToMask", image=["repeated", 0], channel="red"),
        "found": node("MaskToSEGS_for_AnimateDiff", mask=["as mask", 0], **MASK_TO_SEGS),
        "segments": node("SegmentAnywhereFromSEGS", segs=["found", 0]),
        **shown("our mask", ["segments", 0]),
        **shown("their mask", ["as mask", 0]),
    }
    run = api.succeed(graph)
    ours, theirs = api.masks(run, "our mask image"), api.masks(run, "their mask image")
    assert ours.shape == (3, 120, 160) and np.array_equal(ours, theirs)


def test_refine_track_and_select_take_what_came_of_segs(api, squares):
    graph = {
        **masked(squares),
        "frames": node("RepeatImageBatch", image=["image", 0], amount=3),
        "found": node("MaskToSEGS", mask=["image", 1], **MASK_TO_SEGS),
        "named": node("ImpactSEGSLabelAssign", segs=["found", 0], labels="cat, dog"),
        "segments": node("SegmentAnywhereFromSEGS", segs=["named", 0]),
        "select": select(["segments", 1], labels="dog"),
        "refined": refine(["select", 1], expand=3.0),
        "sam": node("SegmentAnywhereLoadSAM", model=BUILT_IN, precision="fp32"),
        "track": node(
            "SegmentAnywhereTrack",
            model=["sam", 0],
            images=["frames", 0],
            points="",
            direction="forward",
            overlap="keep",
            max_objects=0,
            segments=["refined", 1],
        ),
        **shown("mask", ["track", 0]),
        "count": node("PreviewAny", source=["track", 3]),
    }
    run = api.succeed(graph)
    masks = api.masks(run, "mask image")
    assert masks.shape == (3, 120, 160) and run.text("count") == "3"
    assert (masks.reshape(3, -1).mean(1) > 0.05).all()


def test_a_batch_goes_to_segs_and_comes_back_as_a_batch(api, photograph):
    graph = clicked(photograph)
    graph["frames"] = node("RepeatImageBatch", image=["image", 0], amount=2)
    graph["segment"]["inputs"]["image"] = ["frames", 0]
    graph |= {
        "segs": to_segs(["segment", 1], crop_factor=3.0),
        "each": node("ImpactDilateMaskInSEGS", segs=["segs", 0], dilation=0),
        "back": node("SegmentAnywhereFromSEGS", segs=["each", 0]),
        "count": node("PreviewAny", source=["back", 3]),
        **shown("before", ["segment", 0]),
        **shown("after", ["back", 0]),
    }
    run = api.succeed(graph)
    assert run.text("count") == "4"
    before, after = api.masks(run, "before image"), api.masks(run, "after image")
    assert before.shape == (2, 427, 640) and np.array_equal(before, after)


@pytest.mark.parametrize("normalize", [False, True])
def test_the_points_editor_of_kjnodes(api, packs, photograph, normalize):
    needs(packs, KJNODES)
    graph = clicked(photograph)
    graph["editor"] = points_editor((640, 427), normalize, (180, 70, 440, 360))
    graph["segment"]["inputs"] |= {
        "points": "",
        "positive_coords": ["editor", 0],
        "negative_coords": ["editor", 1],
        "bboxes": ["editor", 2],
    }
    graph |= {
        **shown("mask", ["segment", 0]),
        "boxes": node("PreviewAny", source=["segment", 2]),
    }
    run = api.succeed(graph)
    ((box,),) = json.loads(run.text("boxes"))
    assert 180 <= box["x"] and box["x"] + box["width"] <= 441
    mask = api.masks(run, "mask image")[0] > 0.5
    assert mask[215, 310] and not mask[20, 20] and 0.1 < mask.mean() < 0.3


def test_the_boxes_of_segs_are_prompts(api, photograph):
    graph = {
        **clicked(photograph),
        "segs": to_segs(["segment", 1]),
        "again": node(
            "SegmentAnywherePoint",
            model=["sam", 0],
            image=["image", 0],
            points="",
            mask_choice="best",
            bboxes=["segs", 0],
        ),
        "boxes": node("PreviewAny", source=["again", 2]),
        **shown("first", ["segment", 0]),
        **shown("second", ["again", 0]),
    }
    run = api.succeed(graph)
    first, second = api.masks(run, "first image") > 0.5, api.masks(run, "second image") > 0.5
    assert (first & second).sum() / (first | second).sum() > 0.8
    assert [box["label"] for box in json.loads(run.text("boxes"))[0]] == ["object 1", "object 2"]
