"""The editor on Remote Provider Segment: it comes and goes with the provider, and loses nothing."""

from __future__ import annotations

import json

import pytest

from tests.support.servers import KEY, SERVERS, serving

from .test_editor import near

WITH_POINTS = ("airefinery", "segmind", "fal", "custom")
WITHOUT = "imagineo"
EVF_SAM, SAM2 = "fal-ai/evf-sam", "fal-ai/sam2/image"


@pytest.fixture
def build():
    return lambda tab: tab.build_remote("fal", endpoint=SAM2)


def visible(editor):
    return editor.page.locator(".sa-editor:visible").count()


def height(editor):
    return editor.node("node.size[1]")


def fresh_height(editor, provider):
    """Of a node that has never had an editor."""
    editor.page.evaluate(
        """(provider) => {
          window.fresh = LiteGraph.createNode("SegmentAnywhereRemote");
          fresh.pos = [900, 80];
          app.graph.add(fresh);
          fresh.widgets[0].value = provider;
          fresh.widgets[0].callback(provider);
        }""",
        provider,
    )
    editor.page.wait_for_timeout(500)
    return editor.page.evaluate("(app.graph.remove(fresh), fresh.size[1])")


def test_click_box_and_a_second_object(editor):
    editor.click(160, 120)
    editor.click(40, 200, button="right")
    editor.drag((90, 50), (230, 190))
    editor.page.locator(".sa-more").click()
    editor.click(30, 30)
    near(editor.points, [(160, 120, 1), (40, 200, 0), (30, 30, 1)], editor)
    assert [point.get("object", 0) for point in editor.value["points"]] == [0, 0, 1]
    assert [box["label"] for box in editor.value["boxes"]] == [1]
    assert editor.value["size"] == [320, 240]
    editor.press("Escape")
    wanted = "Points: 3, Boxes: 1, Calls: 2. The mask comes with the run"
    editor.wait(lambda: editor.status, wanted)
    assert editor.limits == ""


@pytest.mark.one_frontend
def test_there_is_no_preview(editor, stub):
    editor.click(160, 120)
    assert editor.page.locator(".sa-encode").is_hidden()
    assert (stub.previews, stub.prompts) == (0, [])


@pytest.mark.one_frontend
def test_the_mask_comes_with_the_run(editor, stub, monkeypatch):
    editor.set("provider", "segmind")
    editor.click(160, 120)
    with serving(SERVERS["segmind"](mode="png")) as server:
        monkeypatch.setenv("SEGMENT_ANYWHERE_SEGMIND_URL", server.url)
        monkeypatch.setenv("SEGMIND_API_KEY", KEY)
        editor.page.evaluate("app.queuePrompt(0)")
        editor.wait(lambda: editor.masked(130, 90), seconds=30)
        assert not editor.masked(40, 40)
        editor.wait(lambda: editor.status.startswith("1 object, Segmind, "))
        assert server.billed <= 1
    # It is of these points alone.
    editor.click(30, 30)
    editor.wait(lambda: editor.drawn, "image")
    editor.press("Delete")
    editor.wait(lambda: editor.drawn, "mask")
    assert (stub.previews, len(stub.prompts)) == (0, 1)


def choose_provider(editor, provider):
    """By hand, in the list that opens."""
    page = editor.page
    if editor.look.vue:
        page.locator(".lg-node", has=page.locator(".sa-editor")).get_by_role(
            "combobox"
        ).first.click()
        page.get_by_role("option", name=provider, exact=True).click()
        return
    page.mouse.click(
        *editor.node(
            "app.canvas.ds.convertOffsetToCanvas("
            "[node.pos[0] + node.size[0] / 2, node.pos[1] + node.widgets[0].last_y + 10])"
        )
    )
    page.locator(".litemenu-entry", has_text=provider).click()


def test_a_hand_changes_the_provider(editor):
    editor.click(160, 120)
    saved = editor.text
    choose_provider(editor, "airefinery")
    editor.wait(lambda: editor.node("node.widgets[0].value"), "airefinery")
    editor.wait(lambda: (editor.drawn, editor.text), ("image", saved))
    editor.click(30, 30)
    near(editor.points, [(160, 120, 1), (30, 30, 1)], editor)


@pytest.mark.one_renderer
def test_every_provider_with_points_keeps_them(editor):
    editor.click(160, 120)
    saved = editor.text
    for provider in (*WITH_POINTS, *reversed(WITH_POINTS)):
        editor.set("provider", provider)
        editor.wait(lambda: (visible(editor), editor.text), (1, saved))
        assert (
            editor.page.locator("textarea:visible").evaluate_all(
                "(areas, text) => areas.some((area) => area.value === text)", saved
            )
            is False
        )
    # The newest text counts, not the one that a provider had when it was left.
    editor.set("provider", "segmind")
    editor.click(30, 30)
    editor.set("provider", "airefinery")
    editor.wait(lambda: editor.drawn, "image")
    near(editor.points, [(160, 120, 1), (30, 30, 1)], editor)
    editor.page.locator(".sa-clear").click()
    editor.set("provider", "segmind")
    assert editor.text == ""


def test_a_provider_without_points_has_no_editor_and_keeps_them(editor):
    editor.click(160, 120)
    saved = editor.text
    before = height(editor)
    editor.set("provider", WITHOUT)
    editor.wait(lambda: visible(editor), 0)
    assert height(editor) == pytest.approx(fresh_height(editor, WITHOUT), abs=2)
    assert editor.node("JSON.stringify(node.serialize())").count("160") == 1
    # It waits in the workflow for the next provider that takes points.
    graph = editor.page.evaluate("JSON.stringify(app.graph.serialize())")
    editor.page.evaluate("(graph) => app.loadGraphData(JSON.parse(graph))", graph)
    editor.page.wait_for_timeout(500)
    assert visible(editor) == 0
    editor.set("provider", "segmind")
    editor.wait(lambda: (visible(editor), editor.drawn, editor.text), (1, "image", saved))
    assert height(editor) >= min(before, 640)
    assert "segment_anywhere_points" not in editor.node("JSON.stringify(node.properties)")
    editor.click(30, 30)
    near(editor.points, [(160, 120, 1), (30, 30, 1)], editor)


@pytest.mark.one_renderer
def test_save_and_load(editor):
    editor.click(160, 120)
    editor.node("node.setSize([460, 1100])")
    editor.page.wait_for_timeout(300)
    saved, size = editor.text, editor.node("[...node.size]")
    graph = editor.page.evaluate("JSON.stringify(app.graph.serialize())")
    editor.press("Delete")
    editor.set("provider", "moark")
    editor.page.evaluate("(graph) => app.loadGraphData(JSON.parse(graph))", graph)
    editor.page.wait_for_timeout(500)
    editor.wait(lambda: editor.drawn, "image")
    assert editor.text == saved
    assert editor.node("[...node.size]") == pytest.approx(size, abs=2)
    endpoint = "node.widgets.find((w) => w.name === 'provider.endpoint').value"
    assert editor.node(endpoint) == SAM2
    editor.click(30, 30)
    assert len(editor.points) == 2


@pytest.mark.one_renderer
def test_undo_goes_back_over_a_change_of_provider(editor):
    editor.click(160, 120)
    editor.capture()
    saved = editor.text
    editor.set("provider", "segmind")
    editor.capture()
    editor.click(30, 30)
    editor.wait(lambda: len(editor.points), 2)
    editor.capture()
    editor.undo()
    assert editor.text == saved
    editor.undo()
    assert (editor.text, editor.node("node.widgets[0].value")) == (saved, "fal")
    editor.click(40, 200)
    assert len(editor.points) == 2


@pytest.mark.one_renderer
def test_a_copy_has_an_editor_of_its_own(editor):
    editor.click(160, 120)
    editor.page.evaluate(
        """() => {
          const node = app.graph.nodes.find((n) => n.type === "SegmentAnywhereRemote");
          const copy = node.clone();
          copy.pos = [900, 80];
          app.graph.add(copy);
        }"""
    )
    editor.page.wait_for_timeout(300)
    editor.click(30, 30)
    values = editor.page.evaluate(
        """app.graph.nodes.filter((n) => n.type === "SegmentAnywhereRemote")
           .map((n) => n.widgets.find((w) => w.name === "provider.points").value)"""
    )
    assert sorted(len(json.loads(value)["points"]) for value in values) == [1, 2]


@pytest.mark.one_renderer
def test_a_linked_text_is_read_only(editor):
    editor.click(160, 120)
    editor.page.evaluate(
        """() => {
          const node = app.graph.nodes.find((n) => n.type === "SegmentAnywhereRemote");
          const source = LiteGraph.createNode("PrimitiveString");
          app.graph.add(source);
          source.connect(0, node, node.inputs.findIndex((i) => i.name === "provider.points"));
        }"""
    )
    editor.wait(lambda: "link" in editor.status)
    editor.click(30, 30)
    assert len(editor.points) == 1


@pytest.mark.one_frontend
def test_what_a_provider_lacks_is_refused_in_words(editor):
    editor.drag((20, 20), (80, 80), button="right")
    assert editor.status == (
        "fal (fal-ai/sam2/image) takes no boxes for what is not wanted. Choose: custom (openai)."
    )
    editor.set("provider", "airefinery")
    editor.page.locator(".sa-subtract").click()
    assert editor.page.locator(".sa-add").get_attribute("aria-pressed") == "true"
    editor.click(40, 200, button="right")
    assert editor.status.startswith("AI Refinery takes no points for what is not wanted.")
    assert "segmind" in editor.status
    editor.drag((20, 20), (80, 80))
    assert editor.status.startswith("AI Refinery takes no boxes.")
    assert editor.text == ""
    editor.click(160, 120)
    editor.press("x")
    near(editor.points, [(160, 120, 1)], editor)


@pytest.mark.one_frontend
def test_what_is_there_already_stays_and_is_named(editor):
    editor.click(160, 120)
    editor.click(40, 200, button="right")
    editor.drag((90, 50), (230, 190))
    saved = editor.text
    editor.set("provider.endpoint", EVF_SAM)
    wanted = (
        "fal (fal-ai/evf-sam) takes words only. A run with points (1), points for what is not "
        "wanted (1), boxes (1) would be refused. Choose: fal-ai/sam2/image, fal-ai/sam-3/image."
    )
    editor.wait(lambda: editor.limits, wanted)
    editor.click(250, 30)
    assert editor.text == saved
    assert editor.status.startswith("fal (fal-ai/evf-sam) takes words only.")
    editor.set("provider.endpoint", SAM2)
    editor.wait(lambda: editor.limits, "")
    editor.set("provider", "segmind")
    editor.wait(lambda: editor.limits.startswith("Segmind takes no boxes (1)."))
    editor.set("provider", "custom")
    editor.set("provider.profile", "roboflow")
    editor.wait(lambda: editor.limits, "")
    editor.set("provider.profile", "huggingface")
    editor.wait(lambda: "Choose: roboflow." in editor.limits)
    # Nobody here knows what a server takes that stands in no file.
    editor.set("provider.profile", "my-server")
    editor.wait(lambda: editor.limits, "")


@pytest.mark.one_renderer
def test_in_a_subgraph(editor):
    with editor.in_subgraph():
        editor.click(160, 120)
        editor.set("provider", "segmind")
        editor.wait(lambda: editor.drawn, "image")
        editor.click(30, 30)
        near(editor.points, [(160, 120, 1), (30, 30, 1)], editor)
