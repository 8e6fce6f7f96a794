"""The presets of Mask Refine in the frontends: what a choice fills in, and what leaves it alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from segment_anywhere.core.masks.presets import AS_SET, PRESETS
from segment_anywhere.core.masks.refine import Refinement

from .comfy_page import ComfyPage

WIDGETS = [field.name for field in fields(Refinement)]
_BUILD = """(zoom) => {
  const node = LiteGraph.createNode("SegmentAnywhereMaskRefine");
  node.pos = [100, 100];
  app.graph.add(node);
  app.canvas.ds.scale = zoom;
  [app.canvas.ds.offset[0], app.canvas.ds.offset[1]] = [60, 60];
  app.canvas.setDirty(true, true);
}"""
_NODE = 'app.graph.nodes.find((node) => node.type === "SegmentAnywhereMaskRefine")'
_VALUES = f"Object.fromEntries({_NODE}.widgets.map((widget) => [widget.name, widget.value]))"
# Where on the page a widget lies that the canvas draws: its right end, or its middle.
_PLACE = f"""([name, share]) => {{
  const [node, {{ ds, canvas }}] = [{_NODE}, app.canvas];
  const {{ last_y }} = node.widgets.find((widget) => widget.name === name);
  const {{ left, top }} = canvas.getBoundingClientRect();
  const at = [node.pos[0] + node.size[0] * share, node.pos[1] + last_y + 10];
  return [left + (at[0] + ds.offset[0]) * ds.scale, top + (at[1] + ds.offset[1]) * ds.scale];
}}"""
_LOAD = "async (saved) => { await app.loadGraphData(saved); }"


# What no preset changes.
UNTOUCHED = {"matting_model": "auto", "band": 0}


class Hand:
    """Works on the widgets of the node, as the renderer shows them."""

    def __init__(self, tab: ComfyPage) -> None:
        self.tab, self.page = tab, tab.page

    @property
    def values(self) -> dict[str, Any]:
        return self.page.evaluate(_VALUES)

    def shows(self, preset: str, /, **changed: Any) -> None:
        """Wait until the node has a preset's values, but for some, and its name or another."""
        settings = PRESETS.get(preset, Refinement())
        wanted = {name: getattr(settings, name) for name in WIDGETS}
        self.tab.wait(lambda: self.values, {**wanted, **UNTOUCHED, "preset": preset, **changed})

    def choose(self, preset: str) -> None:
        if self.tab.look.vue:
            self._widget("preset").get_by_role("combobox").click()
            self.page.get_by_role("option", name=preset, exact=True).click()
        else:
            self.page.mouse.click(*self.page.evaluate(_PLACE, ["preset", 0.5]))
            self.page.locator(".litecontextmenu .litemenu-entry", has_text=preset).click()

    def step(self, name: str) -> None:
        """One step of a number upwards."""
        if self.tab.look.vue:
            self._widget(name).get_by_test_id("increment").click()
        else:
            self.page.mouse.click(*self.page.evaluate(_PLACE, [name, 0.91]))

    def toggle(self, name: str) -> None:
        if self.tab.look.vue:
            self._widget(name).get_by_role("switch").click()
        else:
            self.page.mouse.click(*self.page.evaluate(_PLACE, [name, 0.8]))

    def undo(self, key: str) -> None:
        """With z; redo with y. Waits until the frontend has made the graph anew."""
        self.page.evaluate(f"void (window.before = {_NODE})")
        self.page.keyboard.press(f"Control+{key}")
        self.page.wait_for_function(f"{_NODE} && {_NODE} !== window.before")
        self.page.wait_for_timeout(200)

    def _widget(self, name: str) -> Any:
        return self.page.locator(".lg-node-widget", has=self.page.get_by_text(name, exact=True))


@pytest.fixture
def hand(tab: ComfyPage) -> Iterator[Hand]:
    tab.clear()
    tab.page.evaluate(_BUILD, tab.look.zoom)
    tab.page.wait_for_timeout(300)
    tab.capture()
    yield Hand(tab)
    assert not tab.errors


@pytest.mark.parametrize("preset", PRESETS)
def test_a_choice_fills_in_the_numbers(hand, preset):
    hand.choose(preset)
    hand.shows(preset)


def test_a_change_by_hand_is_nobodys_preset(hand):
    hand.choose("soft portrait")
    hand.shows("soft portrait")
    hand.step("expand")
    hand.shows("soft portrait", expand=-2.5, preset=AS_SET)
    hand.choose("inpainting")
    hand.toggle("invert")
    hand.shows("inpainting", invert=True, preset=AS_SET)
    hand.choose("hair and fur")
    hand.shows("hair and fur")


def test_as_set_changes_nothing(hand):
    hand.choose("inpainting")
    hand.choose(AS_SET)
    hand.shows("inpainting", preset=AS_SET)


def test_a_choice_is_one_step_to_undo(hand):
    hand.choose("clean cut-out")
    hand.shows("clean cut-out")
    hand.tab.capture()
    hand.choose("inpainting")
    hand.shows("inpainting")
    hand.tab.capture()
    hand.undo("z")
    hand.shows("clean cut-out")
    hand.undo("z")
    hand.shows(AS_SET)
    hand.undo("y")
    hand.shows("clean cut-out")
    hand.step("feather")
    hand.shows("clean cut-out", feather=2.5, preset=AS_SET)


def test_a_saved_graph_keeps_its_values(hand):
    """Whatever its preset says: numbers may have changed since, or be linked."""
    hand.choose("clean cut-out")
    saved = hand.page.evaluate("app.graph.serialize()")
    (node,) = saved["nodes"]
    names = [each["name"] for each in node["inputs"] if "widget" in each]
    node["widgets_values"][names.index("smooth")] = 7.5
    hand.page.evaluate(_LOAD, saved)
    hand.page.wait_for_timeout(100)
    hand.shows("clean cut-out", smooth=7.5)
    # As a pack without presets saved it.
    node["inputs"] = [each for each in node["inputs"] if each["name"] != "preset"]
    node["widgets_values"] = [-1, 200, -1.0, 4.0, 2.0, "none", 0.0, True]
    hand.page.evaluate(_LOAD, saved)
    hand.page.wait_for_timeout(100)
    hand.shows("clean cut-out", invert=True, preset=AS_SET)
    hand.choose("inpainting")
    hand.shows("inpainting")
