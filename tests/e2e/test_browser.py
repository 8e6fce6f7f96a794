"""The editor in a browser on a real ComfyUI with its own frontend, in both renderers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from PIL import Image
from segment_anywhere.core.engines.families import BUILT_IN_CHOICE

from tests.support.pans import flowers_in_pan, write_pan
from tests.support.paths import ROOT
from tests.web.click_window import ClickWindow
from tests.web.comfy_page import ComfyPage, new_page

from .api import Api
from .graphs import node
from .test_point_segment import TINY_MODEL, needs_tiny, square_mask

pytestmark = pytest.mark.xdist_group("comfyui")

FRAMES, CORRECTED = 24, 20
ARTIFACTS = ROOT / "artifacts" / "e2e"
_WITH_OUTPUT = """() => {
  const segment = app.graph.nodes.find((node) => /^SegmentAnywhere(Point|Track)$/.test(node.type));
  const add = (type, y) => {
    const node = LiteGraph.createNode(type);
    node.pos = [860, y];
    app.graph.add(node);
    return node;
  };
  const mask = add("MaskToImage", 80);
  const shown = add("PreviewImage", 220);
  segment.connect(0, mask, 0);
  mask.connect(0, shown, 0);
}"""


@pytest.fixture(scope="module")
def page(square, dahlia, page):
    """It knows the pictures that are there when it opens."""
    return page


@pytest.fixture
def tab(request, page):
    yield page
    page.screenshot(ARTIFACTS / f"{request.node.name}.png")


def _shown(tab: ComfyPage) -> np.ndarray:
    """Which of a grid of pixels the editor shows as masked: those at 4, 12, 20, ..."""
    return np.array(tab.mask(range(4, 160, 8), range(4, 120, 8)))


@needs_tiny
def test_load_click_see_queue(tab, api, square):
    tab.build(TINY_MODEL, square, (160, 120))
    tab.page.evaluate(_WITH_OUTPUT)
    tab.click(70, 50)
    tab.encode()
    tab.wait(lambda: tab.masked(50, 30), seconds=30)
    before = _shown(tab)
    truth = square_mask()[4::8, 4::8]
    # The point hides some of the mask.
    assert (before == truth).mean() > 0.93
    prompt = tab.page.evaluate("app.graphToPrompt().then(({ output }) => output)")
    run = api.succeed(prompt)
    (preview,) = (key for key, each in prompt.items() if each["class_type"] == "PreviewImage")
    mask = api.masks(run, preview)[0][4::8, 4::8] > 0.5
    assert (before == mask).mean() > 0.97
    tab.page.evaluate("app.queuePrompt(0)")
    tab.wait(lambda: "object" in tab.status, seconds=30)
    tab.page.wait_for_timeout(300)
    np.testing.assert_array_equal(_shown(tab), before)
    assert not tab.errors


def test_a_click_and_run_without_an_output_node(tab, square):
    tab.build(BUILT_IN_CHOICE, square, (160, 120))
    tab.click(70, 50)
    # Nothing was pressed.
    tab.wait(lambda: tab.masked(50, 30), seconds=90)
    tab.page.locator(".sa-encode").wait_for(state="hidden")
    before = _shown(tab)
    assert (before == square_mask()[4::8, 4::8]).mean() > 0.93
    tab.page.evaluate("app.queuePrompt(0)")
    tab.wait(lambda: tab.status.startswith("1 object. GrabCut, rough"), seconds=60)
    np.testing.assert_array_equal(_shown(tab), before)
    assert not tab.errors


def test_two_browsers_at_once_see_their_own_masks(tab, browser, comfy, square):
    """The same graph with the same numbers of nodes; one clicks on the square, one beside it."""
    other = new_page(browser, comfy.url, tab.look)
    tab.build(BUILT_IN_CHOICE, square, (160, 120))
    first = tab.page.evaluate("Math.min(...app.graph.nodes.map((node) => node.id))")
    other.page.evaluate("(first) => { app.graph.last_node_id = first - 1; }", first)
    other.build(BUILT_IN_CHOICE, square, (160, 120))
    ids = "app.graph.nodes.map((node) => node.id)"
    assert tab.page.evaluate(ids) == other.page.evaluate(ids)
    tab.click(70, 50)
    other.click(130, 100)
    tab.wait(lambda: tab.masked(50, 30), seconds=90)
    other.wait(lambda: other.masked(100, 100), seconds=90)
    for each in (tab, other):
        each.page.evaluate("app.queuePrompt(0)")
    for each in (tab, other):
        each.wait(lambda each=each: each.status.startswith("1 object. GrabCut"), seconds=60)
    one, two = _shown(tab), _shown(other)
    assert (one == square_mask()[4::8, 4::8]).mean() > 0.93
    assert (two == ~square_mask()[4::8, 4::8]).mean() > 0.93
    assert not tab.errors and not other.errors
    other.page.context.close()


def test_load_image_gets_a_mask_by_click(tab, api, square):
    tab.build(BUILT_IN_CHOICE, square, (160, 120))
    window = ClickWindow(tab)
    window.open("LoadImage")
    # The editor of the node lies behind.
    box = tab.page.locator(".sa-full-size .sa-canvas").bounding_box()
    scale = min(box["width"] / 160, box["height"] / 120)
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.page.mouse.click(middle[0] + (70 - 80) * scale, middle[1] + (50 - 60) * scale)
    canvas = tab.page.locator(".sa-full-size .sa-canvas")
    tab.wait(lambda: canvas.get_attribute("data-drawn"), "mask", seconds=90)
    window.press("Use as the image's mask")
    tab.wait(lambda: window.is_open, False, seconds=60)
    value = "app.graph.nodes.find((node) => node.type === 'LoadImage').widgets[0].value"
    name = tab.page.evaluate(value)
    # The node behind goes on with the new file.
    tab.wait(lambda: tab.drawn, "image")
    assert name.startswith("clipspace/segment-anywhere-")
    graph = {
        "load": node("LoadImage", image=name),
        "grey": node("MaskToImage", mask=["load", 1]),
        "mask": node("PreviewImage", images=["grey", 0]),
        "image": node("PreviewImage", images=["load", 0]),
    }
    run = api.succeed(graph)
    mask = api.masks(run, "mask")[0] > 0.5
    assert (mask == square_mask()).mean() > 0.98
    # What lies below the mask is still there.
    (picture,) = api.images(run, "image")
    assert picture.convert("RGB").getpixel((70, 50)) == (210, 40, 30)
    assert not tab.errors


@pytest.fixture(scope="module")
def pan(comfy, tmp_path_factory) -> str:
    """A camera over the dahlia, uploaded as an animation."""
    path = tmp_path_factory.mktemp("clip") / "long_pan.webp"
    write_pan(path, FRAMES)
    return Api(comfy.url).upload("long_pan.webp", path)


def test_click_correct_run_and_scrub(tab, pan):
    """From the first frame on, with a correction on a later one."""
    flowers = flowers_in_pan(FRAMES)
    height, width = flowers.shape[1:]
    tab.build_track("", pan, (width, height))
    tab.page.evaluate(_WITH_OUTPUT)
    slider = tab.page.locator(".sa-slider")

    def show(index: int) -> None:
        slider.fill(str(index))
        tab.wait(lambda: tab.page.locator(".sa-frame").inner_text(), f"{index} / {FRAMES - 1}")

    def is_followed(index: int) -> bool:
        rows, columns = range(8, height, 16), range(8, width, 16)
        shown, truth = np.array(tab.mask(columns, rows)), flowers[index][8::16, 8::16]
        return bool((shown & truth).sum() > 0.8 * (shown | truth).sum())

    def click_flower(index: int) -> None:
        rows, columns = np.nonzero(flowers[index])
        tab.click(float(columns.mean()), float(rows.mean()))

    click_flower(0)
    tab.encode()
    tab.wait(partial(is_followed, 0), seconds=60)
    show(CORRECTED)
    click_flower(CORRECTED)
    assert [point["frame"] for point in tab.value["points"]] == [0, CORRECTED]
    tab.page.evaluate("app.queuePrompt(0)")
    tab.wait(lambda: "followed through" in tab.status, seconds=90)
    for index in (0, 7, CORRECTED, FRAMES - 1):
        show(index)
        tab.wait(partial(is_followed, index))
    assert not tab.errors


def test_the_tour(tab, dahlia):
    """Takes the pictures of the README and of the help page."""
    name = "nodes2" if tab.look.vue else "canvas"
    tab.build(
        BUILT_IN_CHOICE, dahlia, Image.open(ROOT / "workflows" / "images" / "dahlia.jpg").size
    )
    tab.encode()
    tab.click(310, 215)
    tab.wait(lambda: tab.masked(340, 200), seconds=60)
    tab.page.locator(".sa-more").click()
    tab.click(400, 400)
    # The second flower in the second object's colour, with hardly any blue.
    tab.wait(lambda: tab.colour(370, 415)[2] < 60, seconds=60)
    tab.page.mouse.move(5, 5)
    tab.screenshot(ARTIFACTS / f"tour-{name}.png")
    editor = tab.page.locator(".sa-editor")
    editor.screenshot(path=ARTIFACTS / f"editor-{name}.png")
    assert [point.get("object", 0) for point in tab.value["points"]] == [0, 1]
