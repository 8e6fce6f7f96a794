"""For everybody: names for a screen reader, contrast, and everything in reach at 200 % zoom.

What axe-core (https://github.com/dequelabs/axe-core) finds in the editor, and what it cannot find.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe

from .comfy_page import ComfyPage

# Boxes of the buttons and of what holds them, in CSS pixels.
_BOXES = """(root) => {
  const box = (one) => {
    const { x, y, right, bottom } = one.getBoundingClientRect();
    return [x, y, right, bottom];
  };
  const name = (one) => one.getAttribute("aria-label") || one.textContent;
  const all = [...root.querySelectorAll("button, input")].filter((one) => one.checkVisibility());
  return { room: box(root), parts: all.map((one) => [name(one), box(one)]) };
}"""


def as_it_opens(tab: ComfyPage) -> None:
    pass


def with_two_objects(tab: ComfyPage) -> None:
    tab.click(160, 120)
    tab.page.keyboard.press("n")
    tab.drag((20, 20), (90, 90))


def with_a_text_that_cannot_be_read(tab: ComfyPage) -> None:
    tab.set("points", "[[1,")


def in_a_window(tab: ComfyPage) -> None:
    with_two_objects(tab)
    tab.page.locator(".sa-full").click()
    tab.page.locator(".sa-full-size").wait_for(state="visible")


STATES = (as_it_opens, with_two_objects, with_a_text_that_cannot_be_read, in_a_window)


def violations(tab: ComfyPage) -> list[str]:
    """What axe finds in the editor, all of its rules asked."""
    found = Axe().run(tab.page, context={"include": [".sa-editor"]}).response["violations"]
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


@pytest.fixture
def closed(editor: ComfyPage):
    yield editor
    if editor.page.locator(".sa-full-size").count():
        editor.page.locator(".sa-full").click()


@pytest.mark.one_renderer
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_finds_nothing(closed: ComfyPage, state: Callable[[ComfyPage], None]):
    state(closed)
    assert violations(closed) == []


@pytest.mark.one_frontend
def test_axe_would_find_a_button_without_a_name(editor: ComfyPage):
    editor.page.evaluate(
        "document.querySelector('.sa-editor').append(document.createElement('button'))"
    )
    assert any(line.startswith("button-name") for line in violations(editor))


@pytest.mark.one_frontend
def test_at_twice_the_size_every_button_of_the_window_is_in_reach(closed: ComfyPage):
    """A browser at 200 % has half as many of its pixels for the page, here those of a laptop."""
    in_a_window(closed)
    closed.page.set_viewport_size({"width": 683, "height": 384})
    found = closed.page.locator(".sa-editor").evaluate(_BOXES)
    left, top, right, bottom = found["room"]
    assert (left, top) >= (0, 0) and right <= 683 and bottom <= 384
    for name, (x0, y0, x1, y1) in found["parts"]:
        assert left <= x0 < x1 <= right and top <= y0 < y1 <= bottom, name
    canvas = closed.page.locator(".sa-canvas").bounding_box()
    assert canvas is not None and canvas["height"] > 384 / 3
