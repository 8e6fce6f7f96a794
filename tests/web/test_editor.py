"""The editor in ComfyUI's frontends: what the hand does, and what becomes of the text."""

from __future__ import annotations

import json

import pytest

from .comfy_page import near


@pytest.fixture
def model() -> str:
    """One that nothing is asked of before *Show mask* is pressed."""
    return "sam2/sam2_tiny"


def test_clicks_hit_their_pixels(editor):
    editor.click(160, 120)
    editor.click(40, 200, button="right")
    editor.click(280, 30, keys=("Shift",))
    editor.page.locator(".sa-subtract").click()
    editor.click(20, 20)
    near(editor.points, [(160, 120, 1), (40, 200, 0), (280, 30, 0), (20, 20, 0)], editor)
    assert editor.value["size"] == [320, 240]
    assert not editor.page.locator(".litecontextmenu, [role=menu]").count()


def test_a_drag_is_a_box(editor):
    editor.drag((90, 50), (230, 190))
    (box,) = editor.value["boxes"]
    found = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
    assert found == pytest.approx((90, 50, 230, 190), abs=editor.tolerance)
    assert (box["label"], editor.points) == (1, [])
    editor.drag((10, 10), (60, 60), button="right")
    assert editor.value["boxes"][1]["label"] == 0


def test_items_move_and_go(editor):
    editor.click(160, 120)
    editor.drag((160, 120), (200, 100))
    near(editor.points, [(200, 100, 1)], editor)
    editor.click(60, 60)
    editor.click(200, 100, keys=("Alt",))
    near(editor.points, [(60, 60, 1)], editor)
    # A click on an item selects it and makes none.
    editor.click(60, 60)
    near(editor.points, [(60, 60, 1)], editor)
    editor.press("Delete")
    assert editor.text == ""
    editor.press("Delete")
    assert editor.node("node.graph !== null")


@pytest.mark.one_frontend
def test_a_box_moves_by_its_edge_and_grows_by_its_corner(editor):
    editor.drag((100, 60), (220, 180))
    editor.drag((160, 60), (170, 80))
    (box,) = editor.value["boxes"]
    assert (box["x"], box["y"]) == pytest.approx((110, 80), abs=2 * editor.tolerance)
    assert (box["width"], box["height"]) == pytest.approx((120, 120), abs=2 * editor.tolerance)
    editor.drag((230, 200), (260, 220))
    (box,) = editor.value["boxes"]
    assert (box["width"], box["height"]) == pytest.approx((150, 140), abs=3 * editor.tolerance)
    # Inside a box there is room for clicks.
    editor.click(170, 140)
    near(editor.points, [(170, 140, 1)], editor)


def test_undo_and_redo_go_gesture_by_gesture(editor):
    editor.click(160, 120)
    editor.drag((20, 20), (80, 90))
    editor.drag((160, 120), (200, 150))
    states = [editor.text]
    for _ in range(3):
        editor.undo()
        states.append(editor.text)
    values = [json.loads(state) for state in states[:3]]
    counts = [(len(value["points"]), len(value["boxes"])) for value in values]
    assert counts == [(1, 1), (1, 1), (1, 0)]
    assert states[3] == ""
    assert states[0] != states[1]
    editor.redo()
    assert editor.text == states[2]
    # The node has been made anew; its editor is there and takes clicks.
    editor.click(40, 200)
    assert len(editor.points) == 2
    assert editor.page.locator(".sa-editor").count() == 1


@pytest.mark.one_frontend
def test_the_keyboard_does_it_all(editor):
    editor.page.locator(".sa-canvas").focus()
    editor.press("Enter")
    near(editor.points, [(160, 120, 1)], editor)
    for key in ("ArrowRight", "Shift+ArrowRight", "ArrowUp"):
        editor.press(key)
    near(editor.points, [(171, 119, 1)], editor)
    editor.press("x")
    assert editor.points[0][2] == 0
    editor.press("Escape")
    editor.press("2")
    editor.press("Shift+Enter")
    assert editor.value["points"][1] | {"x": 0, "y": 0} == {"x": 0, "y": 0, "label": 0, "object": 1}
    editor.press("Escape")
    editor.press("Tab")
    editor.press("Backspace")
    assert len(editor.points) == 1
    assert "Removed" in editor.status


@pytest.mark.one_frontend
def test_the_tab_key_leaves_after_the_last_item(editor):
    editor.click(50, 50)
    editor.click(90, 90)
    editor.press("Escape")
    is_focused = "document.activeElement.className === 'sa-canvas'"
    for wanted in (True, True, False):
        editor.press("Tab")
        assert editor.page.evaluate(is_focused) is wanted


@pytest.mark.one_frontend
def test_several_objects(editor):
    editor.click(160, 120)
    editor.page.locator(".sa-more").click()
    editor.click(30, 30)
    assert [point.get("object", 0) for point in editor.value["points"]] == [0, 1]
    assert editor.page.locator(".sa-chip[aria-pressed]").all_inner_texts() == ["1", "2"]


def test_an_object_is_renamed(editor):
    editor.click(160, 120)
    editor.page.locator(".sa-more").click()
    editor.click(30, 30)
    chips = editor.page.locator(".sa-chip:not(.sa-more)")
    # The first click of the two chooses the object.
    chips.first.dblclick()
    editor.page.keyboard.type("left cup")
    editor.press("Enter")
    editor.wait(lambda: chips.all_inner_texts(), ["left cup", "2"])
    assert editor.value["names"] == {"0": "left cup"}
    editor.press("F2")
    editor.page.keyboard.type("spoon")
    # It is none of the graph's keys, which would delete the node.
    for _ in range(3):
        editor.press("Backspace")
    editor.press("Escape")
    assert chips.all_inner_texts() == ["left cup", "2"]
    editor.undo()
    editor.wait(lambda: "names" in editor.value, False)
    editor.redo()
    editor.wait(lambda: editor.value["names"], {"0": "left cup"})
    editor.page.locator(".sa-chip").first.dblclick()
    editor.page.locator(".sa-name").fill("  ")
    editor.press("Enter")
    editor.wait(lambda: "names" in editor.value, False)


def _turn_wheel(editor, at, times):
    editor.page.mouse.move(*at)
    for _ in range(times):
        editor.page.mouse.wheel(0, -200)
    editor.page.wait_for_timeout(100)


def test_the_wheel_is_the_graphs_until_the_editor_has_focus(editor):
    scale = "app.canvas.ds.scale"
    before = editor.page.evaluate(scale)
    editor.page.mouse.move(*editor.place(200, 100))
    editor.page.mouse.wheel(0, -120)
    editor.wait(lambda: editor.page.evaluate(scale) != before)
    zoomed = editor.page.evaluate(scale)
    editor.page.wait_for_timeout(300)
    editor.page.locator(".sa-canvas").focus()
    _turn_wheel(editor, editor.place(160, 120), 4)
    assert editor.page.evaluate(scale) == zoomed
    editor.page.mouse.click(*editor.place(160, 120))
    near(editor.points, [(160, 120, 1)], editor)
    # The pixel under the pointer stays there.
    x, y = editor.place(200, 100)
    editor.page.mouse.click(x, y)
    first = editor.points[-1]
    editor.press("Delete")
    _turn_wheel(editor, (x, y), 2)
    editor.page.mouse.click(x, y)
    near([first], editor.points[1:], editor)
    # Without zoom it would be 200.
    assert 160 < first[0] < 180
    editor.press("Delete")
    editor.page.locator(".sa-fit").click()
    editor.click(40, 40)
    near(editor.points[1:], [(40, 40, 1)], editor)


def test_another_tab_and_back(editor):
    editor.click(160, 120)
    run = "app.extensionManager.command.execute('{}')"
    editor.page.evaluate(run.format("Comfy.NewBlankWorkflow"))
    editor.wait(lambda: editor.page.locator(".sa-editor").count(), 0)
    editor.page.evaluate(run.format("Workspace.PreviousOpenedWorkflow"))
    editor.wait(lambda: editor.drawn, "image")
    editor.page.wait_for_timeout(300)
    editor.click(30, 30)
    near(editor.points, [(160, 120, 1), (30, 30, 1)], editor)


def test_app_mode(editor):
    """There the editor stands in a narrow panel beside the results."""
    editor.click(160, 120)
    with editor.remaking():
        editor.page.evaluate(
            """() => {
              const graph = JSON.parse(JSON.stringify(app.graph.serialize()));
              const { id } = graph.nodes.find((node) => node.type === "SegmentAnywherePoint");
              const linearData = { inputs: [[id, "editor"]], outputs: [id] };
              graph.extra = { ...graph.extra, linearMode: true, linearData };
              return app.loadGraphData(graph);
            }"""
        )
    editor.skip_welcome()
    editor.click(40, 200)
    near(editor.points, [(160, 120, 1), (40, 200, 1)], editor)
    editor.page.evaluate("app.extensionManager.command.execute('Comfy.ToggleLinear')")


@pytest.mark.one_frontend
def test_fingers_tap_drag_and_pinch(editor):
    with editor.fingers() as touch:
        touch([(160, 120)])
        touch([(20, 20)], [(80, 90)])
        editor.page.locator(".sa-subtract").click()
        touch([(300, 200)])
        near(editor.points, [(160, 120, 1), (300, 200, 0)], editor)
        assert len(editor.value["boxes"]) == 1
        touch([(140, 120), (180, 120)], [(100, 120), (220, 120)])
        editor.page.locator(".sa-fit").wait_for(state="visible")
        # Two fingers make nothing.
        assert len(editor.points) == 2


@pytest.mark.one_frontend
def test_a_picture_that_comes_late_is_shown(editor):
    """Nobody tells of it, and no hand comes near."""
    # Long after the editor has looked for what it does hear of.
    editor.page.wait_for_timeout(3500)
    green = editor.colour(10, 10)
    editor.page.evaluate(
        """([width, height]) => {
          const canvas = new OffscreenCanvas(width, height);
          const context = canvas.getContext("2d");
          context.fillStyle = "rgb(20, 40, 220)";
          context.fillRect(0, 0, width, height);
          return canvas.convertToBlob().then((blob) => {
            const image = new Image();
            image.src = URL.createObjectURL(blob);
            const loader = app.graph.nodes.find((node) => node.type === "LoadImage");
            loader.imgs = [image];
          });
        }""",
        list(editor.image_size),
    )
    editor.wait(lambda: editor.colour(10, 10), (20, 40, 220))
    assert green != (20, 40, 220)


def test_a_collapsed_node_comes_back(editor):
    editor.click(160, 120)
    editor.node("node.collapse()")
    editor.page.wait_for_timeout(200)
    editor.node("node.collapse()")
    editor.page.locator(".sa-canvas").wait_for(state="visible")
    editor.page.wait_for_timeout(200)
    editor.click(30, 30)
    assert len(editor.points) == 2


@pytest.mark.one_frontend
def test_it_names_itself_to_screen_readers(editor):
    canvas = editor.page.get_by_role("application", name="Image editor")
    assert "Delete removes" in canvas.get_attribute("aria-description")
    editor.click(160, 120)
    assert editor.page.locator("[aria-live=polite].sa-status").inner_text().find("Point at") >= 0
    names = ["Add to the object", "Not wanted", "Clear", "Show the points as text"]
    for name in names:
        assert editor.page.get_by_role("button", name=name, exact=True).count() == 1
    assert (
        editor.page.get_by_role("button", name="Not wanted").get_attribute("aria-pressed")
        == "false"
    )


def test_the_side_panel_does_not_freeze_the_width(editor):
    editor.node("(node.widgets.at(-1).width = 90, node.setSize([600, node.size[1]]))")
    editor.page.evaluate("app.canvas.setDirty(true, true)")
    editor.page.wait_for_timeout(300)
    width = editor.page.locator(".sa-editor").evaluate("(element) => element.clientWidth")
    assert width > 500
