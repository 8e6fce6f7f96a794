"""The text that the editor writes: what it keeps, what it reads, and where it is shown."""

from __future__ import annotations

import json

import pytest

from .comfy_page import near


@pytest.fixture
def model() -> str:
    """One that nothing is asked of before *Show mask* is pressed."""
    return "sam2/sam2_tiny"


def test_only_the_text_is_a_value(editor):
    editor.click(160, 120)
    prompt = editor.page.evaluate("app.graphToPrompt().then(({ output }) => output)")
    (inputs,) = (n["inputs"] for n in prompt.values() if n["class_type"] == "SegmentAnywherePoint")
    assert inputs.keys() == {"model", "image", "points", "mask_choice", "zoom"}
    assert inputs["points"] == editor.text
    assert editor.node("node.serialize().widgets_values.slice(0, 2)") == [editor.text, "best"]


def test_save_and_load(editor):
    editor.click(160, 120)
    saved = editor.text
    graph = editor.page.evaluate("JSON.stringify(app.graph.serialize())")
    editor.press("Delete")
    assert editor.text == ""
    editor.page.evaluate("(graph) => app.loadGraphData(JSON.parse(graph))", graph)
    editor.page.wait_for_timeout(500)
    editor.wait(lambda: editor.drawn, "image")
    assert editor.text == saved
    editor.click(30, 30)
    assert len(editor.points) == 2


def test_a_copy_has_an_editor_of_its_own(editor):
    editor.click(160, 120)
    editor.page.evaluate(
        """() => {
          const node = app.graph.nodes.find((n) => n.type === "SegmentAnywherePoint");
          const copy = node.clone();
          copy.pos = [380, 700];
          app.graph.add(copy);
        }"""
    )
    editor.page.wait_for_timeout(300)
    editor.click(30, 30)
    values = editor.page.evaluate(
        """app.graph.nodes.filter((n) => n.type === "SegmentAnywherePoint")
           .map((n) => n.widgets[0].value)"""
    )
    assert sorted(len(json.loads(value)["points"]) for value in values) == [1, 2]


def test_another_size_keeps_the_points(editor):
    editor.click(160, 120)
    editor.page.evaluate(
        """() => {
          const widget = app.graph.nodes.find((n) => n.type === "LoadImage").widgets[0];
          widget.value = "large.png";
          widget.callback("large.png");
        }"""
    )
    editor.page.wait_for_timeout(300)
    editor.page.locator(".sa-clear").hover()
    editor.page.mouse.move(5, 5)
    editor.image_size = (640, 480)
    editor.page.locator(".sa-canvas").hover()
    editor.page.wait_for_timeout(400)
    editor.click(600, 40)
    assert editor.value["size"] == [640, 480]
    near(editor.points, [(320, 240, 1), (600, 40, 1)], editor)


def test_a_linked_text_is_read_only(editor):
    editor.click(160, 120)
    saved = editor.text
    editor.page.evaluate(
        """() => {
          const node = app.graph.nodes.find((n) => n.type === "SegmentAnywherePoint");
          const source = LiteGraph.createNode("PrimitiveString");
          app.graph.add(source);
          source.connect(0, node, node.inputs.findIndex((i) => i.name === "points"));
        }"""
    )
    editor.wait(lambda: "link" in editor.status)
    editor.click(30, 30)
    assert editor.text == saved
    assert editor.page.locator(".sa-add").is_disabled()


@pytest.mark.one_frontend
def test_a_text_that_cannot_be_read_is_kept(editor):
    editor.node("(node.widgets[0].value = '[[1, 2]', node.widgets[0].callback('[[1, 2]'))")
    editor.wait(lambda: "not valid JSON" in editor.status)
    editor.click(30, 30)
    assert editor.text == "[[1, 2]"
    editor.page.locator(".sa-clear").click()
    editor.click(30, 30)
    assert len(editor.points) == 1


@pytest.mark.one_frontend
def test_texts_of_other_packs_are_understood(editor):
    text = '{"positive": [{"x": 160, "y": 120}], "negative": [{"x": 10, "y": 10}]}'
    editor.node(f"(node.widgets[0].value = {json.dumps(text)}, node.widgets[0].callback())")
    editor.page.wait_for_timeout(150)
    editor.click(300, 200)
    near(editor.points, [(160, 120, 1), (10, 10, 0), (300, 200, 1)], editor)


def test_the_text_can_be_shown(editor):
    editor.click(160, 120)
    area = editor.page.locator("textarea:visible")
    assert area.count() == 0
    editor.page.locator(".sa-text").click()
    area.first.wait_for(state="visible")
    assert json.loads(area.first.input_value())["size"] == [320, 240]
    editor.page.locator(".sa-text").click()
    editor.wait(lambda: area.count() == 0)


def test_the_menu_clears_copies_and_pastes(editor):
    items = (
        "app.extensions.find((e) => e.name === 'SegmentAnywhere').getNodeMenuItems(node)"
        ".filter(Boolean)"
    )
    assert editor.node(f"{items}.map((item) => item.content)") == [
        "Clear points and boxes",
        "Copy points as JSON",
        "Paste points",
    ]
    editor.click(160, 120)
    saved = editor.text
    editor.page.bring_to_front()
    editor.node(f"{items}[1].callback()")
    editor.wait(lambda: editor.page.evaluate("navigator.clipboard.readText()"), saved)
    editor.node(f"{items}[0].callback()")
    assert editor.text == ""
    editor.node(f"{items}[2].callback()")
    editor.wait(lambda: editor.text, saved)
