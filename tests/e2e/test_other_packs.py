"""Beside the Impact Pack, KJNodes, Video Helper Suite and Inpaint CropAndStitch, where they are.

They are taken from the custom_nodes of the ComfyUI that is tested with; without the Impact Pack all
of this is skipped, and what needs another one where that is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.support.paths import ROOT
from tests.web.comfy_page import QUIET, ComfyPage, Look, chromium, new_page

from .api import Api, Graph
from .comfy_server import ComfyMissing, ComfyServer, find_install
from .graphs import BUILT_IN, draw, node
from .other_packs import IMPACT, KJNODES, NAMES, OtherPacks

pytestmark = pytest.mark.xdist_group("comfyui")

SIZE = (160, 120)
SQUARES = ((10, 10, 50, 60), (50, 10, 90, 60), (100, 70, 150, 110))
MASK_TO_SEGS = {
    "combined": False,
    "crop_factor": 2.0,
    "bbox_fill": False,
    "drop_size": 1,
    "contour_fill": False,
}
# Of Inpaint Crop; what is resized before and extended is off.
CROP = {
    **{"downscale_algorithm": "bilinear", "upscale_algorithm": "bicubic"},
    **{"preresize": False, "preresize_mode": "ensure minimum resolution"},
    **{f"preresize_min_{side}": 1024 for side in ("width", "height")},
    **{f"preresize_max_{side}": 16384 for side in ("width", "height")},
    **{"mask_fill_holes": True, "mask_expand_pixels": 0, "mask_invert": False},
    **{"mask_blend_pixels": 8, "mask_hipass_filter": 0.1, "extend_for_outpainting": False},
    **{f"extend_{side}_factor": 1.0 for side in ("up", "down", "left", "right")},
    **{"context_from_mask_extend_factor": 1.2, "output_resize_to_target_size": True},
    **{"output_target_width": 256, "output_target_height": 256, "output_padding": "32"},
    "device_mode": "cpu (compatible)",
}
# Loads a graph, saves it as a workflow and loads that; the prompt that then is sent.
_LOAD_AND_SAVE = """async (graph) => {
  app.loadApiJson(graph, "six packs");
  const saved = JSON.parse(JSON.stringify(app.graph.serialize()));
  await app.loadGraphData(saved);
  const { output } = await app.graphToPrompt();
  return output;
}"""


@pytest.fixture(scope="session")
def packs() -> OtherPacks:
    try:
        found = OtherPacks.of(find_install().root)
    except ComfyMissing as reason:
        pytest.skip(str(reason))
    if IMPACT not in found.folders:
        pytest.skip(f"there is no {IMPACT} in the custom_nodes of this ComfyUI")
    return found


@pytest.fixture(scope="session")
def comfy(packs: OtherPacks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A running ComfyUI with this pack and all others that are there."""
    base = tmp_path_factory.mktemp("many_packs")
    (base / "custom_nodes").mkdir()
    names = packs.copy_to(base / "custom_nodes")
    server = ComfyServer(find_install(), base, packs=names)
    try:
        server.start()
    except ComfyMissing as reason:
        pytest.skip(str(reason))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def photograph(comfy: ComfyServer) -> str:
    return Api(comfy.url).upload("flower.jpg", ROOT / "workflows" / "images" / "dahlia.jpg")


@pytest.fixture(scope="session")
def squares(comfy: ComfyServer) -> str:
    """Three squares as the transparent part of a green image; the first two touch."""
    image = Image.new("RGBA", SIZE, (40, 140, 60, 255))
    for place in SQUARES:
        image.paste((40, 140, 60, 0), place)
    return Api(comfy.url).upload("squares.png", image)


def _needs(packs: OtherPacks, *names: str) -> None:
    missing = [name for name in names if name not in packs.folders]
    if missing:
        pytest.skip(f"not in the custom_nodes of this ComfyUI: {', '.join(missing)}")


def _needs_all(packs: OtherPacks, comfy: ComfyServer) -> None:
    """ComfyUI's own SAM 3 nodes are the sixth pack."""
    _needs(packs, *NAMES)
    if not Api(comfy.url).http.get_json("/object_info/SAM3_TrackToMask"):
        pytest.skip("this ComfyUI has no SAM 3 nodes")


def _shown(name: str, mask: list) -> Graph:
    """Nodes that show a mask as `NAME image`."""
    return {
        name: node("MaskToImage", mask=mask),
        f"{name} image": node("PreviewImage", images=[name, 0]),
    }


def _clicked(photograph: str) -> Graph:
    """Two flowers of the photograph, clicked."""
    points = json.dumps([[[310, 215]], [[410, 410]]])
    return {
        "image": node("LoadImage", image=photograph),
        "sam": node("SegmentAnywhereLoadSAM", model=BUILT_IN, precision="fp32"),
        "segment": node(
            "SegmentAnywherePoint",
            model=["sam", 0],
            image=["image", 0],
            points=points,
            mask_choice="best",
        ),
    }


def _masked(squares: str) -> Graph:
    """The three squares as a mask, and as objects of one batch of masks."""
    return {"image": node("LoadImage", image=squares)}


def _to_segs(segments: list, **inputs: object) -> dict:
    values = {"crop_factor": 2.0, "min_size": 0, "frame": -1, **inputs}
    return node("SegmentAnywhereToSEGS", segments=segments, **values)


def _refine(segments: list, **inputs: object) -> dict:
    steps = dict.fromkeys(("fill_holes", "remove_islands", "smooth", "feather", "threshold"), 0)
    values = {**steps, "expand": 0, "edge": "none", "invert": False, **inputs}
    return node("SegmentAnywhereMaskRefine", segments=segments, **values)


def _select(segments: list, **inputs: object) -> dict:
    values = {"labels": "", "indices": "", "sort_by": "as given", "reverse": False}
    limits = {"min_score": 0, "max_score": 1, "min_area": 0, "max_area": 0}
    return node("SegmentAnywhereSelect", segments=segments, **{**values, **limits, **inputs})


def test_all_packs_load(api, packs, startup_log):
    info = api.http.get_json("/object_info")
    modules = {each["python_module"] for each in info.values()}
    assert {f"custom_nodes.{name}" for name in packs.folders} <= modules
    assert "IMPORT FAILED" not in startup_log


def test_the_impact_packs_combined_mask_is_our_union(api, photograph):
    graph = {
        **_clicked(photograph),
        "segs": _to_segs(["segment", 1], image=["image", 0]),
        "theirs": node("SegsToCombinedMask", segs=["segs", 0]),
        "count": node("ImpactCount_Elts_in_SEGS", segs=["segs", 0]),
        "counted": node("PreviewAny", source=["count", 0]),
        **_shown("our mask", ["segment", 0]),
        **_shown("their mask", ["theirs", 0]),
    }
    run = api.succeed(graph)
    ours, theirs = api.masks(run, "our mask image"), api.masks(run, "their mask image")
    assert 0.1 < ours.mean() < 0.5
    assert np.array_equal(ours, theirs)
    assert run.text("counted") == "2"


def test_soft_masks_reach_the_impact_pack_too(api, photograph):
    """Where two overlap it joins them bit by bit, which is no maximum: one object."""
    graph = {
        **_clicked(photograph),
        "soft": _refine(["segment", 1], feather=12.0),
        "one": _select(["soft", 1], indices="0"),
        "segs": _to_segs(["one", 1], crop_factor=1.0),
        "theirs": node("SegsToCombinedMask", segs=["segs", 0]),
        **_shown("our mask", ["one", 0]),
        **_shown("their mask", ["theirs", 0]),
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
    graph = _clicked(photograph)
    graph["frames"] = node("RepeatImageBatch", image=["image", 0], amount=batch)
    graph["segment"]["inputs"]["image"] = ["frames", 0]
    graph |= {
        "segs": _to_segs(["segment", 1], image=["frames", 0]),
        "each": node("ImpactImageBatchToImageList", image=["frames", 0]),
        **_detail(["each", 0], ["segs", 0]),
        "before": node("PreviewImage", images=["image", 0]),
        **_shown("mask", ["segment", 0]),
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
        **_clicked(photograph),
        "segs": _to_segs(["segment", 1], image=["image", 0]),
        "preview": node("SEGSPreview", segs=["segs", 0], alpha_mode=True, min_alpha=0.2),
        "list": node("ImpactSEGSToMaskList", segs=["segs", 0]),
        **_shown("masks", ["list", 0]),
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
        **_masked(squares),
        "found": node("MaskToSEGS", mask=["image", 1], **MASK_TO_SEGS),
        **THEIR_SEGS[kind],
        "segments": node("SegmentAnywhereFromSEGS", segs=source),
        # Its own node cannot read the torch tensor that SEGS Merge makes: the same area, unmerged.
        "combined": node("SegsToCombinedMask", segs=["found", 0] if kind == "merged" else source),
        "count": node("PreviewAny", source=["segments", 3]),
        "boxes": node("PreviewAny", source=["segments", 2]),
        **_shown("our mask", ["segments", 0]),
        **_shown("their mask", ["combined", 0]),
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
        **_masked(squares),
        "found": node("MaskToSEGS", mask=["image", 1], **MASK_TO_SEGS),
        "soft": node("ImpactGaussianBlurMaskInSEGS", segs=["found", 0], kernel_size=5, sigma=3.0),
        "segments": node("SegmentAnywhereFromSEGS", segs=["soft", 0]),
        "combined": node("SegsToCombinedMask", segs=["soft", 0]),
        **_shown("our mask", ["segments", 0]),
        **_shown("their mask", ["combined", 0]),
    }
    run = api.succeed(graph)
    ours, theirs = api.masks(run, "our mask image"), api.masks(run, "their mask image")
    assert len(np.unique(ours)) > 20
    # It cuts the fractions of bytes off, where we round.
    assert np.abs(ours - theirs).max() <= 1.01 / 255


def test_the_segs_of_a_clip_are_objects_on_its_frames(api, squares):
    graph = {
        **_masked(squares),
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
        **_shown("our mask", ["segments", 0]),
        **_shown("their mask", ["as mask", 0]),
    }
    run = api.succeed(graph)
    ours, theirs = api.masks(run, "our mask image"), api.masks(run, "their mask image")
    assert ours.shape == (3, 120, 160) and np.array_equal(ours, theirs)


def test_refine_track_and_select_take_what_came_of_segs(api, squares):
    graph = {
        **_masked(squares),
        "frames": node("RepeatImageBatch", image=["image", 0], amount=3),
        "found": node("MaskToSEGS", mask=["image", 1], **MASK_TO_SEGS),
        "named": node("ImpactSEGSLabelAssign", segs=["found", 0], labels="cat, dog"),
        "segments": node("SegmentAnywhereFromSEGS", segs=["named", 0]),
        "select": _select(["segments", 1], labels="dog"),
        "refined": _refine(["select", 1], expand=3.0),
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
        **_shown("mask", ["track", 0]),
        "count": node("PreviewAny", source=["track", 3]),
    }
    run = api.succeed(graph)
    masks = api.masks(run, "mask image")
    assert masks.shape == (3, 120, 160) and run.text("count") == "3"
    assert (masks.reshape(3, -1).mean(1) > 0.05).all()


def test_a_batch_goes_to_segs_and_comes_back_as_a_batch(api, photograph):
    graph = _clicked(photograph)
    graph["frames"] = node("RepeatImageBatch", image=["image", 0], amount=2)
    graph["segment"]["inputs"]["image"] = ["frames", 0]
    graph |= {
        "segs": _to_segs(["segment", 1], crop_factor=3.0),
        "each": node("ImpactDilateMaskInSEGS", segs=["segs", 0], dilation=0),
        "back": node("SegmentAnywhereFromSEGS", segs=["each", 0]),
        "count": node("PreviewAny", source=["back", 3]),
        **_shown("before", ["segment", 0]),
        **_shown("after", ["back", 0]),
    }
    run = api.succeed(graph)
    assert run.text("count") == "4"
    before, after = api.masks(run, "before image"), api.masks(run, "after image")
    assert before.shape == (2, 427, 640) and np.array_equal(before, after)


def _points_editor(size: tuple[int, int], normalize: bool, box: tuple[int, ...]) -> dict:
    corners = dict(zip(("startX", "startY", "endX", "endY"), box, strict=True))
    return node(
        "PointsEditor",
        points_store="",
        bbox_store="",
        coordinates=json.dumps([{"x": 310, "y": 215}]),
        neg_coordinates=json.dumps([{"x": 20, "y": 20}]),
        bboxes=json.dumps([corners]),
        bbox_format="xyxy",
        width=size[0],
        height=size[1],
        normalize=normalize,
    )


@pytest.mark.parametrize("normalize", [False, True])
def test_the_points_editor_of_kjnodes(api, packs, photograph, normalize):
    _needs(packs, KJNODES)
    graph = _clicked(photograph)
    graph["editor"] = _points_editor((640, 427), normalize, (180, 70, 440, 360))
    graph["segment"]["inputs"] |= {
        "points": "",
        "positive_coords": ["editor", 0],
        "negative_coords": ["editor", 1],
        "bboxes": ["editor", 2],
    }
    graph |= {
        **_shown("mask", ["segment", 0]),
        "boxes": node("PreviewAny", source=["segment", 2]),
    }
    run = api.succeed(graph)
    ((box,),) = json.loads(run.text("boxes"))
    assert 180 <= box["x"] and box["x"] + box["width"] <= 441
    mask = api.masks(run, "mask image")[0] > 0.5
    assert mask[215, 310] and not mask[20, 20] and 0.1 < mask.mean() < 0.3


def test_the_boxes_of_segs_are_prompts(api, photograph):
    graph = {
        **_clicked(photograph),
        "segs": _to_segs(["segment", 1]),
        "again": node(
            "SegmentAnywherePoint",
            model=["sam", 0],
            image=["image", 0],
            points="",
            mask_choice="best",
            bboxes=["segs", 0],
        ),
        "boxes": node("PreviewAny", source=["again", 2]),
        **_shown("first", ["segment", 0]),
        **_shown("second", ["again", 0]),
    }
    run = api.succeed(graph)
    first, second = api.masks(run, "first image") > 0.5, api.masks(run, "second image") > 0.5
    assert (first & second).sum() / (first | second).sum() > 0.8
    assert [box["label"] for box in json.loads(run.text("boxes"))[0]] == ["object 0", "object 1"]


def _six_packs(photograph: str) -> Graph:
    """One graph through ComfyUI's own SAM 3 nodes, our pack and all four others."""
    image = ["image", 0]
    graph = _clicked(photograph)
    graph["editor"] = _points_editor((640, 427), False, (180, 70, 440, 360))
    graph["segment"]["inputs"] |= {
        "points": "",
        "positive_coords": ["editor", 0],
        "negative_coords": ["editor", 1],
        "bboxes": ["editor", 2],
    }
    graph |= {
        "segs": _to_segs(["segment", 1], image=image),
        "dilated": node("ImpactDilateMaskInSEGS", segs=["segs", 0], dilation=6),
        "segments": node("SegmentAnywhereFromSEGS", segs=["dilated", 0], image=image),
        "track": node("StubTrack", image=image),
        "core": node("SAM3_TrackToMask", track_data=["track", 0], object_indices=""),
        "ours": node("SegmentAnywhereFromSAM3Track", track_data=["track", 0], labels=""),
        "as objects": node(
            "SegmentAnywhereFromMasks",
            masks=["core", 0],
            masks_are="objects of one image",
            labels="both",
            image=image,
        ),
        "crop": node("InpaintCropImproved", image=image, mask=["segments", 0], **CROP),
        "stitch": node("InpaintStitchImproved", stitcher=["crop", 0], inpainted_image=["crop", 1]),
        "drawn": draw(["stitch", 0], ["segments", 1]),
        "video": node(
            "VHS_VideoCombine",
            images=["drawn", 0],
            frame_rate=8,
            loop_count=0,
            filename_prefix="six_packs",
            format="image/gif",
            pingpong=False,
            save_output=False,
        ),
        **_shown("mask", ["segments", 0]),
        **_shown("core mask", ["core", 0]),
        **_shown("our mask", ["ours", 0]),
        **_shown("their mask", ["as objects", 0]),
    }
    return graph


def _links(graph: Graph) -> dict[tuple[str, str], tuple[str, int]]:
    """What every linked input is linked to."""
    return {
        (key, name): (value[0], value[1])
        for key, each in graph.items()
        for name, value in each["inputs"].items()
        if isinstance(value, list)
    }


def test_a_graph_of_six_packs_runs(api, packs, comfy, photograph):
    _needs_all(packs, comfy)
    run = api.succeed(_six_packs(photograph))
    assert api.masks(run, "mask image").mean() > 0.1
    core, ours = api.masks(run, "core mask image"), api.masks(run, "our mask image")
    assert 0.4 < core.mean() < 0.6
    assert np.array_equal(core > 0.5, ours > 0.5)
    assert np.array_equal(core, api.masks(run, "their mask image"))
    assert run.outputs["video"]["gifs"]


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, comfy: ComfyServer, photograph: str) -> Iterator[ComfyPage]:
    """The frontend of this ComfyUI with all packs, in each renderer."""
    if comfy.install.frontend is None:
        pytest.skip("this ComfyUI has no frontend package")
    settings = QUIET | {"Comfy.VueNodes.Enabled": request.param}
    Api(comfy.url).http.post_json("/settings", settings)
    with chromium() as browser:
        page = new_page(browser, comfy.url, Look(vue=request.param))
        yield page
        page.page.context.close()


def test_the_frontend_keeps_all_cables_of_the_six_packs(page, packs, comfy, photograph):
    """From the API's graph to a workflow, saved and loaded again."""
    _needs_all(packs, comfy)
    graph = _six_packs(photograph)
    # The frontend numbers nodes.
    numbers = {name: str(number) for number, name in enumerate(graph, 1)}
    wanted = {
        (numbers[key], name): (numbers[source], slot)
        for (key, name), (source, slot) in _links(graph).items()
    }
    numbered = {
        numbers[key]: {
            **each,
            "inputs": {
                name: [numbers[value[0]], value[1]] if isinstance(value, list) else value
                for name, value in each["inputs"].items()
            },
        }
        for key, each in graph.items()
    }
    sent = page.page.evaluate(_LOAD_AND_SAVE, numbered)
    assert _links(sent) == wanted
