"""Records the README's moving picture: a click, its mask, a run. python -m tools.record_click

A real ComfyUI (in $COMFYUI_PATH or ~/comfy/ComfyUI) with its own frontend opens the template
*1 Click* in Chromium. The mouse does what a hand does; what is seen after each step is a frame.
"""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw

from tests.e2e.api import Api
from tests.e2e.comfy_server import ComfyServer, find_install
from tests.web.comfy_page import QUIET, ComfyPage, Look, chromium, new_page

from . import ROOT
from .templates.pictures import PICTURES
from .templates.writing import editor_path, lesson_named

OUT = ROOT / "web" / "docs" / "first_click.webp"
# The window, how large the graph is in it, and the width of the recording, in pixels.
WINDOW, ZOOM, WIDTH = (1440, 800), 0.72, 1080
# The flower in the middle, a second one below it, and how the mouse gets there.
FIRST, SECOND, START = (310, 215), (410, 410), (560, 90)
# A pixel of the second one that the mark of the click does not cover.
BESIDE = (372, 412)
_STEPS, _PACE = 5, 70
_QUALITY, _LIMIT = 80, 2_000_000
# A mouse pointer, from its tip.
_POINTER = ((0, 0), (0, 22), (5, 17), (9, 26), (13, 24), (9, 16), (16, 16))
_OPEN = """async ([saved, zoom]) => {
  await app.loadGraphData(saved);
  app.canvas.ds.scale = zoom;
  app.canvas.ds.offset = [105, 150];
  app.canvas.setDirty(true, true);
}"""


@dataclass
class Recording:
    """Frames of a page and how long each is shown, in ms; `mouse` is where its pointer is."""

    tab: ComfyPage
    mouse: tuple[float, float]
    frames: list[Image.Image] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    def take(self, time: int) -> None:
        """Add what is seen now."""
        frame = Image.open(io.BytesIO(self.tab.page.screenshot())).convert("RGB")
        outline = [(self.mouse[0] + x, self.mouse[1] + y) for x, y in _POINTER]
        ImageDraw.Draw(frame).polygon(outline, fill="white", outline="black")
        height = round(WIDTH * frame.height / frame.width)
        self.frames.append(frame.resize((WIDTH, height), Image.Resampling.LANCZOS))
        self.times.append(time)

    def move(self, goal: tuple[float, float]) -> None:
        """Move the mouse in steps, each of which is seen."""
        start = self.mouse
        for step in range(1, _STEPS + 1):
            way = step / _STEPS
            self.mouse = tuple(a + (b - a) * way for a, b in zip(start, goal, strict=True))
            self.tab.page.mouse.move(*self.mouse)
            self.take(_PACE)

    def click(self) -> None:
        self.tab.page.mouse.click(*self.mouse)
        self.tab.page.wait_for_timeout(150)
        self.take(350)

    def save(self, path: Path) -> None:
        """Write an animation that starts again; raises ValueError where it is too large."""
        first, *others = self.frames
        settings = {"duration": self.times, "quality": _QUALITY, "method": 6, "loop": 0}
        first.save(path, save_all=True, append_images=others, **settings)
        if path.stat().st_size > _LIMIT:
            raise ValueError(f"{path} has {path.stat().st_size} bytes; lower _QUALITY or WIDTH")


def record(tab: ComfyPage, api: Api) -> Recording:
    """Click two flowers, see their mask, run, see the cut-out."""
    tab.page.set_viewport_size({"width": WINDOW[0], "height": WINDOW[1]})
    tab.image_size = PICTURES["dahlia"].size
    saved = json.loads(editor_path(lesson_named("click")).read_text(encoding="utf-8"))
    tab.page.evaluate(_OPEN, [saved, ZOOM])
    tab.wait(lambda: tab.drawn, "image")
    recording = Recording(tab, tab.place(*START))
    recording.take(900)
    recording.move(tab.place(*FIRST))
    recording.click()
    _show_mask(tab, recording)
    recording.take(1100)
    recording.move(tab.place(*SECOND))
    before = tab.colour(*BESIDE)
    recording.click()
    tab.wait(lambda: _differ(tab.colour(*BESIDE), before), seconds=60)
    recording.take(1100)
    button = tab.page.get_by_role("button", name="Run", exact=True).first
    box = button.bounding_box()
    assert box is not None
    earlier = set(api.http.get_json("/history"))
    recording.move((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))
    recording.click()
    tab.wait(lambda: bool(set(api.http.get_json("/history")) - earlier), seconds=120)
    tab.page.wait_for_timeout(2000)
    recording.take(2600)
    return recording


def _show_mask(tab: ComfyPage, recording: Recording) -> None:
    """Wait for the mask of the first click, and ask for it where it does not come by itself."""
    tab.page.wait_for_timeout(1500)
    button = tab.page.locator(".sa-encode")
    if tab.drawn != "mask" and button.is_visible():
        box = button.bounding_box()
        assert box is not None
        recording.move((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))
        recording.click()
    tab.wait(lambda: tab.drawn, "mask", seconds=90)


def _differ(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Whether a pixel was tinted by a mask."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) > 25


def main() -> None:
    with tempfile.TemporaryDirectory() as base:
        server = ComfyServer(find_install(), Path(base))
        server.start()
        try:
            Api(server.url).http.post_json("/settings", QUIET | {"Comfy.VueNodes.Enabled": False})
            with Api(server.url) as api, chromium() as browser:
                recording = record(new_page(browser, server.url, Look(vue=False)), api)
        finally:
            server.stop()
    recording.save(OUT)
    size = OUT.stat().st_size
    print(f"{OUT.relative_to(ROOT)}: {len(recording.frames)} frames, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
