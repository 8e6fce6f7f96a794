"""What ComfyUI sees of the pack: nodes, templates, help, translations, and a neighbour like it."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest

from tests.support.paths import ROOT

from .comfy_server import PACK_NAME
from .graphs import BUILT_IN, node, point_segment

pytestmark = pytest.mark.xdist_group("comfyui")

SHARED_OUTPUTS = ["MASK", "SEGMENTS", "BOUNDING_BOX", "INT"]
NODE_IDS = [
    "SegmentAnywhereCombine",
    "SegmentAnywhereCompare",
    "SegmentAnywhereCrop",
    "SegmentAnywhereCutOut",
    "SegmentAnywhereDraw",
    "SegmentAnywhereEverything",
    "SegmentAnywhereFromMasks",
    "SegmentAnywhereFromSAM3Track",
    "SegmentAnywhereFromSEGS",
    "SegmentAnywhereLoad",
    "SegmentAnywhereLoadSAM",
    "SegmentAnywhereMaskRefine",
    "SegmentAnywherePoint",
    "SegmentAnywhereRemote",
    "SegmentAnywhereSave",
    "SegmentAnywhereSelect",
    "SegmentAnywhereStitch",
    "SegmentAnywhereText",
    "SegmentAnywhereToSEGS",
    "SegmentAnywhereTrack",
]
# How a PNG and a JPEG file begin.
PICTURES = (b"\x89PNG", b"\xff\xd8\xff\xe0")
WORKFLOWS = sorted(path.name for path in (ROOT / "workflows").glob("*.json"))


@pytest.fixture
def info(api) -> dict:
    return api.http.get_json("/object_info")


def test_starts_without_complaint(startup_log):
    assert "IMPORT FAILED" not in startup_log
    assert "Traceback" not in startup_log
    complaints = [
        line
        for line in startup_log.splitlines()
        if re.search(r"\[?(WARNING|ERROR)|Warning\b", line) and "segment" in line.lower()
    ]
    assert not complaints


def test_the_pack_has_exactly_these_nodes(info):
    module = f"custom_nodes.{PACK_NAME}"
    assert sorted(k for k, v in info.items() if v["python_module"] == module) == NODE_IDS


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_a_node_can_be_found_and_is_explained(info, node_id):
    found = info[node_id]
    assert found["category"] == "image/Segment Anywhere"
    assert found["description"]
    assert len(found["search_aliases"]) >= 3
    assert not found["api_node"]
    inputs = {**found["input"]["required"], **found["input"].get("optional", {})}
    assert [name for name, spec in inputs.items() if not spec[1].get("tooltip")] == []
    assert all(found["output_tooltips"])


def test_no_other_node_has_the_name_of_one_of_ours(info):
    ours = {info[node_id]["display_name"] for node_id in NODE_IDS}
    others = {found["display_name"] for node_id, found in info.items() if node_id not in NODE_IDS}
    assert len(ours) == len(NODE_IDS)
    assert ours & others == set()


def test_load_sam(info, comfy):
    found = info["SegmentAnywhereLoadSAM"]
    assert found["display_name"] == "Load SAM"
    assert found["input_order"]["required"] == ["model", "precision"]
    assert found["output"] == ["SEGMENT_MODEL"]
    model = found["input"]["required"]["model"][1]
    # The best that is quick on a CPU, of all families.
    assert model["default"] == "sam2/sam2_tiny"
    assert model["options"][-1] == BUILT_IN
    assert "sam2/parity.pt" in model["options"]
    assert any("download" in option for option in model["options"])
    precision = found["input"]["required"]["precision"][1]
    assert precision["options"] == ["auto", "fp32", "bf16", "fp16"]
    assert precision["default"] == "auto"


def test_point_segment(info):
    found = info["SegmentAnywherePoint"]
    assert found["display_name"] == "Point Segment"
    required = {name: spec[0] for name, spec in found["input"]["required"].items()}
    assert required == {
        "model": "SEGMENT_MODEL",
        "image": "IMAGE",
        "points": "STRING",
        "mask_choice": "COMBO",
    }
    optional = {name: spec[0] for name, spec in found["input"]["optional"].items()}
    assert optional == {
        "positive_coords": "STRING",
        "negative_coords": "STRING",
        "bboxes": "BOUNDING_BOX,BBOX,SEGS",
        "mask": "MASK",
        "zoom": "BOOLEAN",
    }
    sockets = [name for name, spec in found["input"]["optional"].items() if spec[0] == "STRING"]
    assert all(found["input"]["optional"][name][1]["forceInput"] for name in sockets)
    assert found["input"]["required"]["mask_choice"][1]["options"] == [
        "best",
        "largest",
        "smallest",
        "all",
    ]
    assert found["output"] == [*SHARED_OUTPUTS, "STRING", "STRING", "BOUNDING_BOX"]
    assert found["output_name"] == [
        *("mask", "segments", "bboxes", "count"),
        *("positive_coords", "negative_coords", "prompt_boxes"),
    ]
    assert found["has_intermediate_output"]
    assert not found["output_node"]


def test_text_segment(info):
    found = info["SegmentAnywhereText"]
    assert found["display_name"] == "Text Segment"
    order = found["input_order"]
    assert order["required"] == [
        "model",
        "image",
        "prompt",
        "negative_prompt",
        "threshold",
        "max_objects",
    ]
    assert order["optional"] == [
        *("detector", "refine", "tiles", "zoom"),
        *("bboxes", "negative_bboxes", "points", "reference", "reference_bboxes"),
    ]
    detectors = found["input"]["optional"]["detector"][1]["options"]
    assert detectors[:4] == ["auto", "clipseg/tiny", "detection/random", "detection/tiny"]
    assert all("download" in option for option in detectors[4:])
    assert found["output"] == SHARED_OUTPUTS
    assert found["has_intermediate_output"]


def test_templates_are_listed(api):
    listed = api.http.get_json("/workflow_templates")[PACK_NAME]
    assert sorted(f"{name}.json" for name in listed) == WORKFLOWS


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_template_is_served_and_uses_what_is_there(api, info, name):
    template = api.http.get_json(f"/api/workflow_templates/{PACK_NAME}/{quote(name)}")
    lacking = {each["type"] for each in template["nodes"]} - info.keys() - {"Note", "MarkdownNote"}
    if lacking == {"LoadBackgroundRemovalModel", "RemoveBackground"}:
        pytest.skip("this ComfyUI is older than its Remove Background")
    assert lacking == set()
    for each in template["nodes"]:
        if each["type"] not in NODE_IDS:
            continue
        outputs = [output["type"] for output in each["outputs"]]
        assert outputs == info[each["type"]]["output"]
        assert {one["name"] for one in each["inputs"]} <= input_names(info[each["type"]]["input"])


def input_names(inputs: dict, prefix: str = "") -> set[str]:
    """The names of all inputs; those below the options of a dynamic combo have its name before."""
    names = set()
    for name, (_, *settings) in {**inputs["required"], **inputs.get("optional", {})}.items():
        names.add(prefix + name)
        for option in settings[0].get("options", []) if settings else []:
            if isinstance(option, dict):
                names |= input_names({"required": {}, **option["inputs"]}, f"{name}.")
    return names


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_template_has_a_thumbnail(api, name):
    path = f"/api/workflow_templates/{PACK_NAME}/{quote(name.removesuffix('.json'))}.jpg"
    assert api.http.get(path).startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_the_help_page_and_its_pictures_are_served(api, node_id):
    page = api.http.get(f"/extensions/{PACK_NAME}/docs/{node_id}.md").decode()
    pictures = re.findall(r"!\[.*?\]\((.+?)\)", page)
    assert pictures
    for name in pictures:
        assert api.http.get(f"/extensions/{PACK_NAME}/docs/{name}")[:4] in PICTURES, name


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_english_texts_name_every_socket(api, info, node_id):
    texts = api.http.get_json("/i18n")["en"]["nodeDefs"][node_id]
    found = info[node_id]
    assert texts["display_name"] == found["display_name"]
    inputs = {**found["input"]["required"], **found["input"].get("optional", {})}
    assert texts["inputs"].keys() == inputs.keys()
    assert sorted(texts["outputs"]) == [str(index) for index in range(len(found["output"]))]


def test_nothing_but_the_web_folder_is_served(api):
    for path in (
        "__init__.py",
        "../nodes/load_sam.py",
        "%2e%2e/nodes/load_sam.py",
        "nodes/load_sam.py",
    ):
        assert api.status(f"/extensions/{PACK_NAME}/{path}") == 404, path


def test_a_pack_with_the_same_folder_names_works_beside_ours(api, square):
    graph = point_segment(square, [[70, 50]])
    graph["neighbour"] = node("NeighbourNode", mask=["segment", 0])
    graph["said"] = node("PreviewAny", source=["neighbour", 0])
    run = api.succeed(graph)
    said = "the neighbour got [1, 120, 160], the segmenter of the neighbour"
    assert run.text("said") == said
    (boxes,) = json.loads(run.text("boxes"))
    assert len(boxes) == 1
