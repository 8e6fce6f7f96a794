"""The workflow files: the editor's and the API's are the same graphs, and they run."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from segment_anywhere.nodes import NODES

from headless.local.core_nodes import CORE_NODES
from tests.support.paths import ROOT
from tools.templates.writing import all_lessons, api_path, editor_path, lesson_named

NAMES = [lesson.name for lesson in all_lessons()]
DAHLIA = ROOT / "workflows" / "images" / "dahlia.jpg"
# ComfyUI's nodes around a diffusion model: a workflow with these runs on a ComfyUI alone.
SAMPLING = {
    *("CheckpointLoaderSimple", "CLIPTextEncode", "VAEEncode", "SetLatentNoiseMask"),
    *("KSampler", "VAEDecode"),
}
# What the editor keeps after a seed, and the API knows nothing of.
SEED_CONTROLS = {"fixed", "increment", "decrement", "randomize"}
# ComfyUI's own that find the subject: a workflow with these runs on a ComfyUI alone.
SUBJECT = {"LoadBackgroundRemovalModel", "RemoveBackground"}
# What the editor shows, and the API knows nothing of.
NOTES = {"MarkdownNote"}
OURS = {node.GET_SCHEMA().node_id: node for node in NODES}


def _read(name: str) -> dict:
    """A template as the editor opens it."""
    return json.loads(editor_path(lesson_named(name)).read_text(encoding="utf-8"))


def _widgets(node: dict) -> dict:
    """Values by input name, in the order in which the editor stores them."""
    names = [each["name"] for each in node["inputs"] if "widget" in each]
    kept = [value for value in node["widgets_values"] if value not in SEED_CONTROLS]
    values = dict(zip(names, kept, strict=True))
    # The upload button is the editor's own.
    values.pop("upload", None)
    return values


def _to_api(workflow: dict) -> dict:
    """What the editor's "Export (API)" makes of a workflow."""
    links = {link[0]: link for link in workflow["links"]}
    api = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        inputs = _widgets(node)
        for each in node["inputs"]:
            if each["link"] is not None:
                _, source, slot, _, _, _ = links[each["link"]]
                inputs[each["name"]] = [str(source), slot]
        meta = {"title": node["title"]}
        api[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": meta}
    return api


def _input_names(schema, values: dict) -> set[str]:
    """All inputs of a node, those below the chosen option of a dynamic combo included."""
    names = set()
    for each in schema.inputs:
        names.add(each.id)
        for option in getattr(each, "options", None) or ():
            if getattr(option, "key", None) is not None and option.key == values[each.id]:
                names |= {f"{each.id}.{nested.id}" for nested in option.inputs}
    return names


@pytest.mark.parametrize("name", NAMES)
def test_both_formats_are_the_same_graph(name):
    api = json.loads(api_path(lesson_named(name)).read_text(encoding="utf-8"))
    assert _to_api(_read(name)) == api


@pytest.mark.parametrize("name", NAMES)
def test_nodes_and_links_are_consistent(name):
    workflow = _read(name)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert workflow["last_node_id"] == max(nodes)
    assert workflow["last_link_id"] == max(link[0] for link in workflow["links"])
    for link, source, out, target, slot, kind in workflow["links"]:
        assert link in nodes[source]["outputs"][out]["links"]
        assert nodes[target]["inputs"][slot]["link"] == link
        assert nodes[source]["outputs"][out]["type"] == kind
        assert nodes[target]["inputs"][slot]["type"] in (kind, "*")


@pytest.mark.parametrize("name", NAMES)
def test_our_nodes_appear_with_all_their_sockets_and_widgets(name):
    for node in _read(name)["nodes"]:
        assert node["type"] in {*OURS, *CORE_NODES, *SAMPLING, *SUBJECT, *NOTES}
        if node["type"] not in OURS:
            continue
        schema = OURS[node["type"]].GET_SCHEMA()
        assert {each["name"] for each in node["inputs"]} == _input_names(schema, _widgets(node))
        assert [each["name"] for each in node["outputs"]] == [each.id for each in schema.outputs]
        assert node["title"] == schema.display_name


def test_the_demo_cuts_out_the_flower(tmp_path):
    """The command of `make demo`: one click, no weights; the dahlia is almost a circle."""
    command = [sys.executable, "run_workflow.py", "workflows/api/point_segment.json"]
    command += ["--image", str(DAHLIA), "--set", "Point Segment.points=[[310, 215]]"]
    result = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    written = sorted(line.rsplit("/", 1)[-1] for line in result.stdout.split())
    assert written == ["dahlia_cutout.png", "dahlia_mask.png", "dahlia_overlay.png"]
    mask = np.asarray(Image.open(tmp_path / "dahlia_mask.png").convert("L")) > 127
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    flower = np.hypot(x - 308, y - 223) < 137
    assert (mask & flower).sum() / (mask | flower).sum() > 0.93
    cutout = Image.open(tmp_path / "dahlia_cutout.png")
    assert cutout.mode == "RGBA"
    assert np.array_equal(np.asarray(cutout)[..., 3] > 127, mask)
