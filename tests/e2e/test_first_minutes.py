"""The first two minutes: from the templates panel to a cut-out of one's own photograph.

A hand with a mouse does all of it, its actions are counted, and nothing of the frontend's insides
is called: what it clicks on is found where the page shows it. Then the same with keys alone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.overlap import iou
from tests.support.paths import ROOT
from tests.web.comfy_page import ComfyPage
from tools.templates.writing import editor_path, lesson_named

from .api import Api
from .comfy_server import PACK_NAME

pytestmark = pytest.mark.xdist_group("comfyui")

ARTIFACTS = ROOT / "artifacts" / "first_minutes"
MOST_ACTIONS = 6
# A photograph's stand-in: an orange thing before something dark, away from the middle. The click is
# on it, and not in its centre.
SIZE, CENTRE, AXES, CLICK = (600, 400), (420, 150), (95, 70), (400, 165)
ORANGE, TEAL = (225, 130, 40), (20, 70, 70)
# In the classic canvas Load Image draws its button: where, from the node's upper left corner, and
# the margin around an editor, all in the graph's units.
_BUTTON, _MARGIN = (157, 82), 10
# Whether what is under a place of the page is a part of an element.
_IS_UNDER = """(element, [x, y]) => {
  const found = document.elementFromPoint(x, y);
  return found !== null && (element.contains(found) || found.contains(element));
}"""


@dataclass
class Hand:
    """A mouse. `actions` names what it did: a click, a choice of a file, a turn of the wheel."""

    tab: ComfyPage
    actions: list[str] = field(default_factory=list)

    def click(self, what: str, element) -> None:
        """Click into the middle of an element that is in view; nothing scrolls by itself."""
        self.click_at(what, *self.middle(what, element))

    def click_at(self, what: str, x: float, y: float) -> None:
        self.actions.append(what)
        self.tab.page.mouse.click(x, y)

    def choose(self, what: str, place: tuple[float, float], path: Path) -> None:
        """Click on what asks for a file, and choose one."""
        self.actions.append(what)
        _choose(self.tab, lambda: self.tab.page.mouse.click(*place), path)

    def turn_wheel(self, what: str, over, until) -> None:
        """Turn the wheel over an element until another is in view: one turn, however long."""
        self.actions.append(what)
        self.tab.page.mouse.move(*self.middle(what, over))
        for _ in range(40):
            if until.count() and self._is_in_view(until):
                return
            self.tab.page.mouse.wheel(0, 200)
            self.tab.page.wait_for_timeout(150)
        raise AssertionError(f"{what}: it never came into view")

    def _is_in_view(self, element) -> bool:
        box = element.bounding_box()
        return box is not None and element.evaluate(_IS_UNDER, _middle_of(box))

    def middle(self, what: str, element) -> tuple[float, float]:
        """The middle of an element, once it lies still and nothing covers it."""
        box = self.still_box(element)
        assert self._is_in_view(element), f"{what} is not in view"
        return _middle_of(box)

    def still_box(self, element) -> dict[str, float]:
        """Where an element lies, once it does not move any more."""
        element.wait_for(state="visible")
        before = None
        while (box := element.bounding_box()) != before:
            before = box
            self.tab.page.wait_for_timeout(600)
        return box


def _choose(tab: ComfyPage, ask: Callable[[], None], path: Path) -> None:
    """Choose a file in the dialog that something asks for.

    Once more where it did not come: on a busy machine the page may have drawn the button anew.
    """
    from playwright.sync_api import TimeoutError

    for _ in range(4):
        try:
            with tab.page.expect_file_chooser(timeout=8000) as chooser:
                ask()
        except TimeoutError:
            continue
        chooser.value.set_files(path)
        return
    raise AssertionError("no dialog came for a file")


def _middle_of(box: dict[str, float]) -> tuple[float, float]:
    return (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def _truth() -> np.ndarray:
    """Where the orange thing is: bool [H, W]."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    return ((x - CENTRE[0]) / AXES[0]) ** 2 + ((y - CENTRE[1]) / AXES[1]) ** 2 < 1


@pytest.fixture
def photograph(request, tmp_path) -> Path:
    """A file that ComfyUI has never seen: of one it knows, a run would find all done already."""
    seed = zlib.crc32(request.node.name.encode())
    noise = np.random.default_rng(seed).normal(0, 12, (SIZE[1], SIZE[0], 3))
    light = np.linspace(0.8, 1.2, SIZE[0])[None, :, None]
    pixels = np.where(_truth()[..., None], ORANGE, TEAL) * light + noise
    path = tmp_path / "my holidays.png"
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def viewport():
    return (1920, 1080)


@pytest.fixture(scope="module")
def tab(page):
    page.image_size = SIZE
    return page


def _open_page(tab: ComfyPage, comfy, is_first_start: bool) -> None:
    """Open ComfyUI. At its first start of all it shows the templates panel by itself."""
    Api(comfy.url).http.post_json("/settings", {"Comfy.TutorialCompleted": not is_first_start})
    tab.errors.clear()
    tab.page.reload()
    tab.page.get_by_role("button", name="Run", exact=True).first.wait_for(timeout=60_000)
    if is_first_start:
        _panel(tab).wait_for(timeout=60_000)
    tab.page.wait_for_timeout(1500)


def _panel(tab: ComfyPage):
    return tab.page.locator(".p-dialog")


def _upload_button(hand: Hand) -> tuple[float, float]:
    """Where on the page Load Image's button is."""
    tab = hand.tab
    if tab.look.vue:
        label = tab.page.locator("label:has(input[aria-label='Upload'])")
        return hand.middle("Load Image's button", label)
    nodes = json.loads(editor_path(lesson_named("click")).read_text(encoding="utf-8"))["nodes"]
    segment, image = (
        next(node for node in nodes if node["type"] == kind)
        for kind in ("SegmentAnywherePoint", "LoadImage")
    )
    # The editor is the page's, and tells where the graph lies and how large it is: it ends at the
    # lower border of its node.
    box = hand.still_box(tab.page.locator(".sa-editor"))
    scale = box["width"] / (segment["size"][0] - 2 * _MARGIN)
    x = image["pos"][0] + _BUTTON[0] - segment["pos"][0] - _MARGIN
    y = image["pos"][1] + _BUTTON[1] - segment["pos"][1] - segment["size"][1] + _MARGIN
    return (box["x"] + x * scale, box["y"] + box["height"] + y * scale)


def _cut_out_own(hand: Hand, photograph: Path, output: Path) -> np.ndarray:
    """From the opened template on; the alpha of the cut-out, 0..1."""
    tab = hand.tab
    tab.page.locator(".sa-canvas").wait_for(state="visible")
    tab.wait(lambda: tab.drawn, "image")
    tab.page.wait_for_timeout(1000)
    hand.choose("Load Image's button, and the file", _upload_button(hand), photograph)
    tab.wait(lambda: np.abs(np.subtract(tab.colour(*CENTRE), ORANGE)).max() < 60)
    hand.click_at("the thing in the photograph", *tab.place(*CLICK))
    tab.wait(lambda: tab.drawn, "mask", seconds=120)
    button = tab.page.get_by_role("button", name="Run", exact=True).first
    alpha = _run(tab, output, lambda: hand.click("Run", button))
    assert alpha.shape == SIZE[::-1]
    return alpha


def _run(tab: ComfyPage, output: Path, start: Callable[[], None]) -> np.ndarray:
    """The alpha, 0..1, of the cut-out that a run saves."""
    before = set(output.glob("*.png"))
    start()
    tab.wait(lambda: len(set(output.glob("*.png")) - before), 1, seconds=120)
    (path,) = set(output.glob("*.png")) - before
    tab.page.wait_for_timeout(1500)
    with Image.open(path) as cut:
        return np.asarray(cut.convert("RGBA"))[..., 3] / 255


def _check(hand: Hand, alpha: np.ndarray, name: str) -> None:
    look = "nodes2" if hand.tab.look.vue else "canvas"
    hand.tab.screenshot(ARTIFACTS / f"{name}-{look}.png")
    assert iou(alpha, _truth()) > 0.8
    assert len(hand.actions) <= MOST_ACTIONS, hand.actions
    assert not hand.tab.errors


def test_from_the_side_bar_with_a_word_in_the_search(tab, comfy, photograph):
    """The search has the focus when the panel opens, and finds the template among all."""
    _open_page(tab, comfy, is_first_start=False)
    hand = Hand(tab)
    hand.click("Templates", tab.page.get_by_role("button", name="Templates").first)
    _panel(tab).locator("input:focus").wait_for()
    tab.page.wait_for_timeout(1500)
    tab.page.keyboard.type("1 Click")
    tab.page.wait_for_timeout(1500)
    tab.screenshot(ARTIFACTS / f"panel-{'nodes2' if tab.look.vue else 'canvas'}.png")
    hand.click("the card", _panel(tab).get_by_text("1 Click", exact=True).first)
    alpha = _cut_out_own(hand, photograph, comfy.base / "output" / "segment_anywhere")
    _check(hand, alpha, "search")


def test_from_the_panel_of_a_first_start_with_the_mouse_alone(tab, comfy, photograph):
    _open_page(tab, comfy, is_first_start=True)
    hand = Hand(tab)
    hand.click(PACK_NAME, _panel(tab).get_by_text(PACK_NAME, exact=True).first)
    tab.page.wait_for_timeout(1500)
    tab.screenshot(ARTIFACTS / f"pack-{'nodes2' if tab.look.vue else 'canvas'}.png")
    # Its name is in the list at the side, and now above the cards.
    _panel(tab).get_by_text(PACK_NAME, exact=True).nth(1).wait_for()
    card = _panel(tab).get_by_text("1 Click", exact=True).first
    cards = _panel(tab).locator("img").first
    hand.turn_wheel("down to the card", cards, card)
    hand.click("the card", card)
    alpha = _cut_out_own(hand, photograph, comfy.base / "output" / "segment_anywhere")
    _check(hand, alpha, "first_start")


def _tab_to(tab: ComfyPage, selector: str) -> None:
    for _ in range(80):
        tab.page.keyboard.press("Tab")
        if tab.page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with Tab")


def test_with_the_keyboard_alone(tab, comfy, photograph):
    """ComfyUI's cards of templates take no keys, nor do nodes that its canvas draws."""
    _open_page(tab, comfy, is_first_start=False)
    keys, output = tab.page.keyboard, comfy.base / "output" / "segment_anywhere"
    _choose(tab, lambda: keys.press("Control+o"), editor_path(lesson_named("click")))
    tab.page.locator(".sa-canvas").wait_for(state="visible")
    tab.wait(lambda: tab.drawn, "image")
    if tab.look.vue:
        _tab_to(tab, "input[aria-label='Upload']")
        _choose(tab, lambda: keys.press("Enter"), photograph)
        tab.wait(lambda: np.abs(np.subtract(tab.colour(*CENTRE), ORANGE)).max() < 60)
    _tab_to(tab, ".sa-canvas")
    keys.press("Enter")
    # From the middle onto the thing; the flower of the template is in the middle.
    for _ in range(10 if tab.look.vue else 1):
        keys.press("Shift+ArrowRight")
    tab.wait(lambda: tab.drawn, "mask", seconds=120)
    alpha = _run(tab, output, lambda: keys.press("Control+Enter"))
    tab.screenshot(ARTIFACTS / f"keyboard-{'nodes2' if tab.look.vue else 'canvas'}.png")
    assert iou(alpha, _truth()) > 0.8 if tab.look.vue else 0.1 < alpha.mean() < 0.6
    assert not tab.errors
