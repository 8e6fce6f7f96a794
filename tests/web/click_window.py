"""The window of the editor that the menu of a node with a picture opens, and the hand in it."""

from __future__ import annotations

from .comfy_page import ComfyPage

ENTRY = "Segment by click…"
_TITLE = """(type) => {
  const { pos } = app.graph.nodes.find((node) => node.type === type);
  const { left, top } = app.canvas.canvas.getBoundingClientRect();
  const { scale, offset } = app.canvas.ds;
  return [left + (pos[0] + 90 + offset[0]) * scale, top + (pos[1] - 15 + offset[1]) * scale];
}"""


class ClickWindow:
    """Opened with the mouse, as a person does."""

    def __init__(self, tab: ComfyPage) -> None:
        self.tab, self.page = tab, tab.page

    def open(self, kind: str) -> None:
        """From the menu of the graph's node of a kind; waits until its picture is there."""
        self.page.mouse.click(*self.page.evaluate(_TITLE, kind), button="right")
        self.page.get_by_text(ENTRY).first.click()
        self.page.locator(".sa-full-size").wait_for(state="visible")
        canvas = self.page.locator(".sa-full-size .sa-canvas")
        self.tab.wait(lambda: canvas.get_attribute("data-drawn"), "image")

    def press(self, name: str) -> None:
        """A button of the window's."""
        window = self.page.locator(".sa-full-size")
        window.get_by_role("button", name=name, exact=True).click()

    @property
    def is_open(self) -> bool:
        return self.page.locator(".sa-full-size").count() == 1
