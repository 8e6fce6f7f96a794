"""The live preview in ComfyUI's frontends: the right mask, at once, and never too much asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from segment_anywhere.core.engines.families import BUILT_IN_CHOICE
from segment_anywhere.nodes import live_preview as preview

_INVERTED = """() => {
  const graph = app.graph;
  const find = (type) => graph.nodes.find((node) => node.type === type);
  const invert = LiteGraph.createNode("ImageInvert");
  graph.add(invert);
  find("LoadImage").connect(0, invert, 0);
  invert.connect(0, find("SegmentAnywherePoint"), "image");
}"""
_WITH_OUTPUT = """() => {
  const graph = app.graph;
  const shown = LiteGraph.createNode("PreviewAny");
  graph.add(shown);
  graph.nodes.find((node) => node.type === "LoadImage").connect(0, shown, 0);
}"""
INSIDE, OUTSIDE = (130, 90), (40, 40)
MODEL = "sam2/sam2_tiny"


@pytest.fixture
def model() -> str:
    return MODEL


def shows_the_square(editor):
    editor.wait(lambda: editor.masked(*INSIDE), seconds=30)
    assert not editor.masked(*OUTSIDE)


def test_click_encode_click_run(editor, stub):
    editor.click(160, 120)
    assert (editor.drawn, stub.previews) == ("image", 0)
    editor.encode()
    shows_the_square(editor)
    # Moving the point away, and back, changes the mask without a run.
    editor.drag((160, 120), (30, 200))
    editor.wait(lambda: editor.masked(*OUTSIDE), seconds=30)
    editor.drag((30, 200), (150, 110))
    shows_the_square(editor)
    assert len(stub.prompts) == 1
    columns, rows = range(8, 320, 16), range(8, 240, 16)
    shown = np.array(editor.mask(columns, rows))
    stub.last_mask = None
    editor.page.evaluate("app.queuePrompt(0)")
    editor.wait(lambda: stub.last_mask is not None and "object" in editor.status)
    mask = stub.last_mask[np.ix_(rows, columns)]
    # The point itself is drawn over the mask.
    away = np.hypot(np.subtract(columns, 150)[None], np.subtract(rows, 110)[:, None]) > 30
    assert (shown != mask)[away].sum() <= 2
    shows_the_square(editor)


def test_the_first_click_is_enough_with_the_built_in_engine(editor, stub):
    editor.build(BUILT_IN_CHOICE)
    editor.click(160, 120)
    shows_the_square(editor)
    assert editor.page.locator(".sa-encode").is_hidden()
    editor.drag((160, 120), (30, 200))
    editor.wait(lambda: editor.masked(*OUTSIDE), seconds=30)
    editor.wait(lambda: "GrabCut, rough" in editor.status)
    assert len(stub.prompts) == 1


@pytest.mark.one_frontend
def test_quick_first_clicks_are_one_run(editor, stub):
    editor.build(BUILT_IN_CHOICE)
    stub.is_held = True
    for index in range(5):
        editor.click(120 + 15 * index, 100)
    stub.is_held = False
    shows_the_square(editor)
    assert (len(editor.points), len(stub.prompts)) == (5, 1)


@pytest.mark.one_frontend
def test_what_is_made_before_the_editor_is_not_run_unasked(editor, stub):
    """A node between may take minutes."""
    editor.build(BUILT_IN_CHOICE)
    editor.page.evaluate(_INVERTED)
    editor.wait(lambda: "source" in editor.status)
    editor.click(160, 120)
    editor.wait(lambda: "Press Show mask" in editor.status)
    assert not stub.prompts
    editor.encode()
    editor.wait(lambda: editor.drawn, "mask")


@pytest.mark.one_renderer
def test_what_brings_the_mask_is_said_until_it_is_there(editor, stub):
    editor.click(160, 120)
    editor.click(30, 30, button="right")
    assert editor.status.startswith("Press Show mask")
    assert "Point at 30, 30" in editor.status
    button = editor.page.locator(".sa-encode")
    assert button.inner_text() == "Show mask"
    stub.is_held = True
    button.click()
    editor.wait(lambda: button.inner_text(), "75 %")
    assert button.is_disabled()
    assert editor.status.startswith("Looking at the image")
    editor.click(150, 100)
    assert editor.status.startswith("Looking at the image")
    stub.is_held = False
    shows_the_square(editor)
    assert button.is_hidden()
    assert len(stub.prompts) == 1


@pytest.mark.one_frontend
def test_a_run_that_fails_can_be_asked_for_again(editor, stub):
    editor.click(160, 120)
    stub.is_failing = True
    editor.page.locator(".sa-encode").click()
    editor.wait(lambda: editor.status.startswith("Press Show mask"))
    assert editor.page.locator(".sa-encode").is_enabled()
    stub.is_failing = False
    editor.encode()
    shows_the_square(editor)


def test_a_graph_without_an_output_runs(editor, stub):
    editor.click(160, 120)
    editor.page.evaluate("app.queuePrompt(0)")
    shows_the_square(editor)
    (queued,) = stub.prompts
    segment = editor.node("String(node.id)")
    (shown,) = (n for n in queued["prompt"].values() if n["class_type"] == "PreviewAny")
    assert shown["inputs"]["source"][0] == segment
    # What is saved with the picture is the graph as it is.
    kinds = [node["type"] for node in queued["extra_data"]["extra_pnginfo"]["workflow"]["nodes"]]
    assert "PreviewAny" not in kinds


@pytest.mark.one_renderer
def test_a_graph_with_an_output_runs_as_it_is(editor, stub):
    editor.click(160, 120)
    editor.page.evaluate(_WITH_OUTPUT)
    editor.page.evaluate("app.queuePrompt(0)")
    editor.wait(lambda: len(stub.prompts), 1)
    (queued,) = stub.prompts
    assert not [key for key in queued["prompt"] if "shown" in key]


@pytest.mark.one_renderer
def test_encode_runs_this_node_alone(editor, stub):
    editor.encode()
    (prompt,) = stub.prompts
    (target,) = prompt["partial_execution_targets"]
    assert prompt["prompt"][target]["class_type"] == "PreviewAny"
    source = prompt["prompt"][target]["inputs"]["source"]
    assert prompt["prompt"][source[0]]["class_type"] == "SegmentAnywherePoint"


@pytest.mark.one_frontend
def test_quick_clicks_leave_one_request_in_flight(editor, stub):
    editor.encode()
    stub.delay = 0.1
    for index in range(20):
        editor.click(20 + 14 * index, 30)
    assert len(editor.points) == 20
    editor.wait(lambda: stub.flying, 0, seconds=30)
    assert stub.most_flying == 1
    # The first, then one at a time, of which the last is for all clicks.
    assert 2 <= stub.previews < 20


@pytest.mark.one_frontend
def test_without_the_route_the_editor_goes_on(editor, stub):
    editor.encode()
    stub.has_route = False
    editor.click(160, 120)
    editor.wait(lambda: "No live preview" in editor.status)
    editor.click(40, 40)
    assert len(editor.points) == 2
    asked = stub.previews
    editor.click(40, 200)
    assert stub.previews == asked
    # Nothing is remembered that a reload would not forget.
    editor.page.reload()
    editor.start()


@pytest.mark.one_frontend
def test_a_server_that_has_forgotten_is_asked_to_encode_again(editor, stub):
    editor.encode()
    stub.forget()
    editor.click(160, 120)
    editor.page.locator(".sa-encode").wait_for(state="visible")
    editor.encode()
    shows_the_square(editor)


@pytest.mark.one_frontend
def test_refused_prompts_are_explained(editor):
    editor.encode()
    editor.click(40, 40, button="right")
    editor.wait(lambda: "only negative prompts" in editor.status)
    editor.wait(lambda: editor.drawn, "image")


@pytest.mark.one_frontend
def test_a_preview_that_stopped_early_says_so(editor, monkeypatch):
    monkeypatch.setattr(preview, "MAX_SECONDS", 0)
    editor.build(BUILT_IN_CHOICE)
    editor.encode()
    points = [{"x": 160, "y": 120}, {"x": 30, "y": 200, "object": 1}]
    editor.node(f"node.widgets.find((w) => w.name === 'points').value = {json.dumps(points)!r}")
    editor.wait(lambda: "stopped after 1 of 2 objects" in editor.status, seconds=30)
    shows_the_square(editor)


@pytest.mark.one_frontend
def test_a_model_without_negative_boxes_gets_none(editor):
    editor.encode()
    editor.drag((20, 20), (80, 80), button="right")
    assert editor.text == ""
    assert "takes no boxes" in editor.status


@pytest.mark.one_renderer
def test_another_model_needs_its_own_run(editor):
    editor.encode()
    editor.click(160, 120)
    shows_the_square(editor)
    editor.page.evaluate(
        f"""() => {{
          const node = app.graph.nodes.find((n) => n.type === "SegmentAnywhereLoadSAM");
          node.widgets[0].value = "{BUILT_IN_CHOICE}";
        }}"""
    )
    editor.page.mouse.move(5, 5)
    editor.page.locator(".sa-canvas").hover()
    editor.page.locator(".sa-encode").wait_for(state="visible")
    editor.wait(lambda: editor.drawn, "image")


@pytest.mark.one_renderer
def test_without_live_preview_the_mask_is_the_runs(editor, stub):
    setting = "app.extensionManager.setting.set('SegmentAnywhere.Editor.LivePreview', {})"
    editor.page.evaluate(setting.format("false"))
    try:
        editor.click(160, 120)
        assert editor.page.locator(".sa-encode").is_hidden()
        editor.page.evaluate("app.queuePrompt(0)")
        shows_the_square(editor)
        assert stub.previews == 0
        editor.click(150, 100)
        editor.wait(lambda: editor.drawn, "image")
    finally:
        editor.page.evaluate(setting.format("true"))


@pytest.mark.one_frontend
def test_the_masks_opacity_is_a_setting(editor):
    setting = "app.extensionManager.setting.set('SegmentAnywhere.Editor.MaskOpacity', {})"
    editor.encode()
    editor.click(160, 120)
    shows_the_square(editor)
    half = editor.colour(*INSIDE)
    editor.page.evaluate(setting.format(100))
    try:
        editor.wait(lambda: editor.colour(*INSIDE), (86, 180, 233))
        assert half != (86, 180, 233)
    finally:
        editor.page.evaluate(setting.format(50))


@pytest.mark.one_renderer
def test_in_a_subgraph(editor, stub):
    """Its id is another in a run than in the graph; the key goes with the content."""
    with editor.in_subgraph():
        editor.click(160, 120)
        editor.encode()
        assert ":" in next(iter(stub.ran))
        shows_the_square(editor)
