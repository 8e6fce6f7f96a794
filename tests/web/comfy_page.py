"""A page with ComfyUI's frontend in it, and the hand that works on it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from segment_anywhere.core.engines.families import BUILT_IN_CHOICE

from tests.support.needs import missing

from .page_scripts import (
    BUILD,
    CAPTURE,
    CLEAR,
    COLOURS,
    EDITOR,
    GRAPH,
    INTO_SUBGRAPH,
    NODE,
    NOTED,
    READY,
    REGISTERED,
    SET,
    TEXT,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

IMAGE_SIZE = (320, 240)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Settings with which a frontend shows the graph and nothing else.
QUIET = {
    "Comfy.TutorialCompleted": True,
    "Comfy.InstalledVersion": "1.40.0",
    "Comfy.VueNodes.AutoScaleLayout": False,
    "Comfy.Workflow.Persist": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.UseNewMenu": "Top",
    "Comfy.Graph.CanvasInfo": False,
    # The workflow that is shown at first has nodes that this server has not.
    "Comfy.Workflow.ShowMissingNodesWarning": False,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
}


# Errors of the frontend itself: our server lacks most of ComfyUI, and the newest frontends ask a
# model hub for the files of their own first workflow.
_FOREIGN = (
    "ComfyApp graph accessed",
    "Failed to load resource",
    "net::ERR_",
    "https://huggingface.co/",
    "https://api.comfy.org/",
)

# Of the window, in pixels.
_WIDTH, _HEIGHT = 1300, 900


@dataclass(frozen=True)
class Look:
    """How the frontend is shown. zoom: the graph's."""

    vue: bool
    density: float = 1.0
    zoom: float = 1.0


class ComfyPage:
    """One tab. Coordinates given to the hand are pixels of the image in the editor."""

    def __init__(self, context: BrowserContext, url: str, look: Look) -> None:
        self.look = look
        self.image_size = IMAGE_SIZE
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        # Nothing leaves this machine.
        self.page.route(
            lambda address: not address.startswith((url, "data:", "blob:")),
            lambda route: route.abort(),
        )
        self.page.set_default_timeout(30_000)
        self.page.goto(url, timeout=60_000)
        self.start()

    def start(self) -> None:
        """Wait until the frontend is there."""
        self.page.wait_for_function(READY, timeout=60_000)
        self.page.wait_for_function(REGISTERED, timeout=30_000)
        self._close_dialogs()

    def _close_dialogs(self) -> None:
        """Leave the welcome of the newest frontends, and what the first workflow lacks."""
        self.page.wait_for_timeout(500)
        self.skip_welcome()
        while self.page.locator(".p-dialog").count():
            self.press("Escape")
            self.page.wait_for_timeout(200)

    def skip_welcome(self) -> None:
        skip = self.page.get_by_role("button", name="Skip", exact=True)
        if skip.count():
            skip.first.click()
            skip.first.wait_for(state="hidden")

    def _note(self, message: Any) -> None:
        if message.type == "error" and not any(part in message.text for part in _FOREIGN):
            self.errors.append(message.text)

    def clear(self) -> None:
        """Leave nothing of what was there: an empty graph, in a window of the usual size."""
        self.page.set_viewport_size({"width": _WIDTH, "height": _HEIGHT})
        self.page.evaluate(CLEAR)
        self.page.wait_for_timeout(300)
        self.errors.clear()

    def build(
        self, model: str = "", file: str = "", image_size: tuple[int, int] = IMAGE_SIZE
    ) -> None:
        """A graph of Load Image, Load SAM and Point Segment alone; waits for the image."""
        self._build("SegmentAnywherePoint", image_size, model=model, file=file)

    def build_track(self, model: str, file: str, image_size: tuple[int, int]) -> None:
        """A graph of Load Image, which has a clip, Load SAM and Track Segments."""
        self._build("SegmentAnywhereTrack", image_size, model=model, file=file, height=1300)

    def build_text(self) -> None:
        """A graph of Load Image, Load SAM and Text Segment, whose inputs stand above the editor."""
        self._build("SegmentAnywhereText", IMAGE_SIZE, height=1500)

    def build_clip(self, kind: str, model: str) -> None:
        """A graph of a clip, Load SAM and Point Segment or Track Segments, which has run once."""
        # Its inputs stand above the editor.
        self._build(kind, IMAGE_SIZE, model=model, source="ClipOfSquare", height=1300)
        self.encode()
        self.page.locator(".sa-frames").wait_for(state="visible")
        self._settle()
        # What is kept over an undo goes with the graph's id, which the oldest frontends give a new
        # graph with the first one.
        self.click(10, 10)
        self.undo()

    def build_remote(self, provider: str, **inputs: str) -> None:
        """A graph of Load Image and Remote Provider Segment, with values below the provider."""
        values = {"provider": provider}
        values |= {f"provider.{name}": value for name, value in inputs.items()}
        # Its many inputs stand above the editor, and all of it has to be in view.
        self._build("SegmentAnywhereRemote", IMAGE_SIZE, values=values, height=1500)

    def _build(
        self,
        kind: str,
        image_size: tuple[int, int],
        model: str = "",
        file: str = "",
        values: dict[str, str] | None = None,
        height: int = _HEIGHT,
        source: str = "LoadImage",
    ) -> None:
        self.page.set_viewport_size({"width": _WIDTH, "height": height})
        self.image_size = image_size
        self.errors.clear()
        asked = {"zoom": self.look.zoom, "type": kind, "source": source, "file": file}
        asked["model"] = model or BUILT_IN_CHOICE
        self.page.evaluate(CLEAR)
        self.page.evaluate(BUILD, asked | {"values": values or {}})
        if source == "LoadImage":
            self.wait(lambda: self.drawn, "image")
        self._settle()
        self.capture()

    def capture(self) -> None:
        """Have the frontend note the graph as it is, for undo; it does so by itself, in time."""
        self.page.evaluate(CAPTURE)
        self.page.evaluate(NOTED)

    def wait(self, value: Callable[[], Any], wanted: Any = True, seconds: float = 30.0) -> None:
        """Wait until a value is as wanted."""
        deadline = time.monotonic() + seconds
        found = value()
        while found != wanted and time.monotonic() < deadline:
            self.page.wait_for_timeout(30)
            found = value()
        assert found == wanted, f"{found!r} is not {wanted!r}; the editor says {self.status!r}"

    @property
    def text(self) -> str:
        """The value of the `points` widget, "" where there is none."""
        return self.page.evaluate(TEXT) or ""

    @property
    def value(self) -> dict:
        return json.loads(self.text) if self.text else {"points": [], "boxes": []}

    @property
    def points(self) -> list[tuple[float, float, int]]:
        return [(point["x"], point["y"], point["label"]) for point in self.value["points"]]

    @property
    def drawn(self) -> str | None:
        """ "image" or "mask"."""
        canvas = self.page.locator(".sa-canvas")
        return canvas.get_attribute("data-drawn") if canvas.count() else None

    @property
    def status(self) -> str:
        status = self.page.locator(".sa-status")
        return status.inner_text() if status.count() else "(no editor)"

    @property
    def limits(self) -> str:
        """The line that names what is there and would be refused."""
        return self.page.locator(".sa-limits").inner_text()

    def node(self, expression: str) -> Any:
        """Evaluate an expression on the node with the editor, called `node`."""
        return self.page.evaluate(f"((node) => {expression})({NODE})")

    def set(self, name: str, value: str) -> None:
        """Choose a value of the node, as a hand does."""
        self.page.evaluate(SET, [name, value])

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where on the page an image pixel is, with the whole image in view."""
        box = self.page.locator(".sa-canvas").first.bounding_box()
        width, height = self.image_size
        scale = min(box["width"] / width, box["height"] / height)
        return (
            box["x"] + box["width"] / 2 + (x - width / 2) * scale,
            box["y"] + box["height"] / 2 + (y - height / 2) * scale,
        )

    @property
    def tolerance(self) -> float:
        """A CSS pixel in pixels of the image, for the mouse stands on whole ones."""
        box = self.page.locator(".sa-canvas").first.bounding_box()
        width, height = self.image_size
        return max(width / box["width"], height / box["height"]) + 0.05

    def click(self, x: float, y: float, button: str = "left", keys: tuple[str, ...] = ()) -> None:
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self.place(x, y), button=button)
        for key in keys:
            self.page.keyboard.up(key)

    def drag(self, start: tuple[float, float], end: tuple[float, float], button="left") -> None:
        self.page.mouse.move(*self.place(*start))
        self.page.mouse.down(button=button)
        self.page.mouse.move(*self.place(*end), steps=6)
        self.page.mouse.up(button=button)

    @contextmanager
    def fingers(self) -> Iterator[Callable[..., None]]:
        """A hand of fingers: give it where each one lies down, and the places they move to."""
        session = self.page.context.new_cdp_session(self.page)
        emulation = "Emulation.setTouchEmulationEnabled"
        session.send(emulation, {"enabled": True, "maxTouchPoints": 2})

        def touch(*moves: Sequence[tuple[float, float]]) -> None:
            for kind, move in [("touchStart", moves[0]), *(("touchMove", m) for m in moves[1:])]:
                places = [self.place(*at) for at in move]
                points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
                session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

        yield touch
        session.send(emulation, {"enabled": False})
        session.detach()

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def undo(self) -> None:
        with self.remaking():
            self.press("Control+z")

    def redo(self) -> None:
        with self.remaking():
            self.press("Control+y")

    @contextmanager
    def remaking(self) -> Iterator[None]:
        """For what makes the whole graph anew; waits until its editor is there and lies still."""
        self.page.evaluate(f"window.before = {EDITOR}")
        yield
        is_new = f"{EDITOR} && {EDITOR} !== window.before && {EDITOR}.isConnected"
        self.page.wait_for_function(is_new)
        self.page.wait_for_function(f"{EDITOR}.querySelector('.sa-canvas').dataset.drawn")
        self._settle()

    def _settle(self) -> None:
        """Wait until graph and editor stay as they are: sizes follow once images have loaded."""
        canvas, before = self.page.locator(".sa-canvas").first, None
        while (now := (self.page.evaluate(GRAPH), canvas.bounding_box())) != before:
            before = now
            self.page.wait_for_timeout(150)

    @contextmanager
    def in_subgraph(self) -> Iterator[None]:
        """Our nodes in a subgraph, which is open meanwhile."""
        self.page.evaluate(INTO_SUBGRAPH)
        self.page.locator(".sa-canvas").wait_for(state="visible")
        self.wait(lambda: self.drawn, "image")
        try:
            yield
        finally:
            # What is in a subgraph stays on the page when the graph around it goes.
            self.page.evaluate("(app.canvas.graph.clear(), app.canvas.setGraph(app.graph))")
            self.page.wait_for_timeout(200)

    def encode(self) -> None:
        """Press the button and wait until the key is there."""
        self.page.locator(".sa-encode").click()
        self.page.locator(".sa-encode").wait_for(state="hidden", timeout=90_000)

    def masked(self, x: float, y: float) -> bool:
        """Whether the editor shows the first object's colour at an image pixel."""
        return self.mask([x], [y])[0][0]

    def mask(self, xs: Sequence[float], ys: Sequence[float]) -> list[list[bool]]:
        """The same for a grid of pixels, by rows."""
        # The pictures have hardly any blue, the colour has much.
        colours = self._colours([(x, y) for y in ys for x in xs])
        found = [colour[2] > 90 for colour in colours]
        return [found[row * len(xs) : (row + 1) * len(xs)] for row in range(len(ys))]

    def colour(self, x: float, y: float) -> tuple[int, int, int]:
        return self._colours([(x, y)])[0]

    def _colours(self, pixels: Sequence[tuple[float, float]]) -> list[tuple[int, int, int]]:
        found = self.page.evaluate(COLOURS, {"pixels": pixels, "size": self.image_size})
        return [tuple(colour) for colour in found]

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium, driven by playwright; skips where one of the two is not there.

    While it is open, the thread has a running event loop, and nothing else can run one.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        missing("no Chromium here: install Debian's package chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def new_page(browser: Browser, url: str, look: Look) -> ComfyPage:
    context = browser.new_context(
        viewport={"width": _WIDTH, "height": _HEIGHT},
        device_scale_factor=look.density,
        permissions=["clipboard-read", "clipboard-write"],
    )
    return ComfyPage(context, url, look)


def near(
    found: Sequence[tuple[float, float, int]],
    wanted: Sequence[tuple[float, float, int]],
    editor: ComfyPage,
) -> None:
    """Points (x, y, label) lie where the hand was, as exactly as the mouse can say."""
    assert [one[2] for one in found] == [one[2] for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one[:2] == pytest.approx(other[:2], abs=editor.tolerance)
