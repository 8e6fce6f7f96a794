"""One graph through six packs: ours, four others, and ComfyUI's own SAM 3 nodes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.web.comfy_page import QUIET, ComfyPage, Look, chromium, new_page

from ..api import Api, Graph
from ..comfy_server import ComfyServer
from ..graphs import draw, node
from .graphs import clicked, points_editor, shown, to_segs
from .packs import NAMES, OtherPacks, needs

pytestmark = pytest.mark.xdist_group("comfyui")

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


def _needs_all(packs: OtherPacks, comfy: ComfyServer) -> None:
    """ComfyUI's own SAM 3 nodes are the sixth pack."""
    needs(packs, *NAMES)
    if not Api(comfy.url).http.get_json("/object_info/SAM3_TrackToMask"):
        pytest.skip("this ComfyUI has no SAM 3 nodes")


def test_all_packs_load(api, packs, startup_log):
    info = api.http.get_json("/object_info")
    modules = {each["python_module"] for each in info.values()}
    assert {f"custom_nodes.{name}" for name in packs.folders} <= modules
    assert "IMPORT FAILED" not in startup_log


def _six_packs(photograph: str) -> Graph:
    """One graph through ComfyUI's own SAM 3 nodes, our pack and all four others."""
    image = ["image", 0]
    graph = clicked(photograph)
    graph["editor"] = points_editor((640, 427), False, (180, 70, 440, 360))
    graph["segment"]["inputs"] |= {
        "points": "",
        "positive_coords": ["editor", 0],
        "negative_coords": ["editor", 1],
        "bboxes": ["editor", 2],
    }
    graph |= {
        "segs": to_segs(["segment", 1], image=image),
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
        **shown("mask", ["segments", 0]),
        **shown("core mask", ["core", 0]),
        **shown("our mask", ["ours", 0]),
        **shown("their mask", ["as objects", 0]),
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
