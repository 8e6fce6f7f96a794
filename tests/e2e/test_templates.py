"""Every template, opened in the frontend of a real ComfyUI in both renderers, and run."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from segment_anywhere.core.engines.families import BUILT_IN_CHOICE

from tests.support.paths import ROOT
from tests.web.comfy_page import ComfyPage
from tools.templates.pictures import PICTURES
from tools.templates.writing import all_lessons, api_path, editor_path, lesson_named

from .comfy_server import PACK_NAME

pytestmark = pytest.mark.xdist_group("comfyui")

NAMES = [lesson.name for lesson in all_lessons()]
ARTIFACTS = ROOT / "artifacts" / "templates"
# What would be downloaded: a small model of the tests takes its place.
SMALL_SAM3, SMALL_DETECTOR, SMALL_CLASSES = "sam3/tiny", "clipseg/tiny", "detection/tiny"
# Weights that the tests have not.
LACKING = {"subject_cutout", "detailer"}
_LOAD = """async (saved) => {
  await app.loadGraphData(saved);
  app.canvas.ds.scale = 0.33;
  app.canvas.ds.offset = [220, 400];
  app.canvas.setDirty(true, true);
}"""
# Title, left, top, right and bottom of every node as it is shown, in the canvas's own units.
_BOXES = """() => app.graph.nodes.map((node) => {
  const shown = document.querySelector(`[data-node-id="${node.id}"]`);
  const title = LiteGraph.NODE_TITLE_HEIGHT;
  if (shown === null || !LiteGraph.vueNodesMode) {
    const [x, y, width, height] = node.boundingRect;
    return [node.title, x, y, x + width, y + height];
  }
  const { scale, offset } = app.canvas.ds;
  const canvas = app.canvas.canvas.getBoundingClientRect();
  const box = shown.getBoundingClientRect();
  const x = (box.left - canvas.left) / scale - offset[0];
  const y = (box.top - canvas.top) / scale - offset[1];
  return [node.title, x, y, x + box.width / scale, y + box.height / scale];
})"""
# Which links, as they are drawn, pass through a node that they do not belong to.
_CROSSED = """(boxes) => {
  const ctx = document.createElement("canvas").getContext("2d");
  ctx.lineWidth = 4;
  const found = [];
  const check = (path, name) => {
    for (const [title, left, top, right, bottom] of boxes) {
      // In the canvas a link begins and ends a little inside of its own nodes.
      for (let x = left + 16; x < right - 16; x += 8) {
        for (let y = top + 6; y < bottom - 6; y += 8) {
          if (ctx.isPointInStroke(path, x, y)) {
            found.push([name, title, Math.round(x), Math.round(y)]);
            x = right;
            break;
          }
        }
      }
    }
  };
  for (const link of app.graph.links.values()) {
    if (link.path) check(link.path, `link ${link.id}`);
  }
  for (const bend of app.graph.reroutes.values()) {
    if (bend.path) check(bend.path, `reroute ${bend.id}`);
  }
  return found;
}"""
# Pictures that reach over the border of their node, in Nodes 2.0 by the page, else by the node.
_OUTSIDE = """() => [...document.querySelectorAll("[data-node-id]")].flatMap((node) => {
  const box = node.getBoundingClientRect();
  return [...node.querySelectorAll("img, canvas, textarea")].filter((one) => {
    const inner = one.getBoundingClientRect();
    return inner.height > 0 && (inner.bottom > box.bottom + 1 || inner.right > box.right + 1);
  }).map((one) => `${one.tagName} in ${node.dataset.nodeId}`);
})"""
# The card is loaded, at the size of the file.
_CARD = """() => [...document.querySelectorAll("img")].some(
  (one) => one.alt === "1 Click" && one.naturalWidth === 600
)"""
_SET = """([id, name, value]) => {
  const widget = app.graph.getNodeById(id).widgets.find((one) => one.name === name);
  if (widget) widget.value = value;
}"""


@pytest.fixture(scope="module")
def viewport():
    return (1500, 1100)


def _graph(name: str) -> dict:
    """A template's graph with small models in it."""
    graph = json.loads(api_path(lesson_named(name)).read_text(encoding="utf-8"))
    inputs = [node["inputs"] for node in graph.values()]
    (model,) = [each for each in inputs if "precision" in each] or [{"model": ""}]
    if model["model"].startswith("sam3/"):
        model["model"] = SMALL_SAM3
    else:
        for each in inputs:
            if each.get("detector") == "auto":
                each["detector"] = SMALL_DETECTOR
            elif str(each.get("detector")).startswith("detection/"):
                # Its boxes are drawn by a SAM that would be downloaded as well.
                each["detector"], model["model"] = SMALL_CLASSES, BUILT_IN_CHOICE
    return graph


def _overlaps(boxes: list) -> list[tuple[str, str]]:
    return [
        (one[0], other[0])
        for place, one in enumerate(boxes)
        for other in boxes[:place]
        if min(one[3], other[3]) > max(one[1], other[1])
        and min(one[4], other[4]) > max(one[2], other[2])
    ]


def _open(page: ComfyPage, name: str) -> None:
    saved = json.loads(editor_path(lesson_named(name)).read_text(encoding="utf-8"))
    page.errors.clear()
    page.page.evaluate(_LOAD, saved)
    page.page.wait_for_timeout(900)
    while page.page.locator(".p-dialog").count():
        page.press("Escape")
        page.page.wait_for_timeout(200)


def _check(page: ComfyPage) -> None:
    boxes = page.page.evaluate(_BOXES)
    assert _overlaps(boxes) == []
    assert page.page.evaluate(_CROSSED, boxes) == []
    assert page.page.evaluate(_OUTSIDE) == []


@pytest.mark.parametrize("name", NAMES)
def test_opened_nothing_overlaps(page, name):
    _open(page, name)
    look = "nodes2" if page.look.vue else "canvas"
    page.screenshot(ARTIFACTS / f"{name}-{look}.png")
    _check(page)
    assert not page.errors


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LACKING])
def test_a_run_fits_into_the_nodes(page, api, name, providers):
    """It runs as it is opened, and what it shows stays inside of the nodes."""
    _open(page, name)
    for key, node in _graph(name).items():
        for choice in ("model", "detector"):
            if isinstance(value := node["inputs"].get(choice), str):
                page.page.evaluate(_SET, [int(key), choice, value])
    before = set(api.http.get_json("/history"))
    page.page.evaluate("app.queuePrompt(0)")
    page.wait(lambda: bool(set(api.http.get_json("/history")) - before), seconds=180)
    (run,) = set(api.http.get_json("/history")) - before
    assert api.http.get_json(f"/history/{run}")[run]["status"]["status_str"] == "success"
    page.page.wait_for_timeout(1500)
    look = "nodes2" if page.look.vue else "canvas"
    page.screenshot(ARTIFACTS / f"{name}-{look}-run.png")
    _check(page)
    assert not page.errors


def test_the_panel_shows_title_and_card(page):
    """As the side bar's Templates does, under Extensions."""
    _open(page, "click")
    page.page.evaluate("app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    dialog = page.page.locator(".p-dialog")
    dialog.get_by_text(PACK_NAME, exact=True).first.click()
    dialog.get_by_role("textbox").first.fill("1 Click")
    dialog.get_by_text("1 Click", exact=True).first.wait_for()
    page.page.wait_for_function(_CARD)
    look = "nodes2" if page.look.vue else "canvas"
    page.screenshot(ARTIFACTS / f"panel-{look}.png")
    page.press("Escape")


def test_pictures_are_in_the_input_folder(comfy, api):
    for picture in PICTURES.values():
        placed = Path(comfy.base) / "input" / picture.input_name
        assert placed.read_bytes() == picture.path.read_bytes()
    info = api.http.get_json("/object_info/LoadImage")["LoadImage"]
    listed = info["input"]["required"]["image"][0]
    assert {picture.input_name for picture in PICTURES.values()} <= set(listed)
    assert quote(PICTURES["dahlia"].input_name) == PICTURES["dahlia"].input_name
