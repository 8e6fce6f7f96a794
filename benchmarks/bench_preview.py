"""The live preview: from a click to the painted mask, with SAM 2.1 tiny at its official size.

    python benchmarks/bench_preview.py [--frontend 1.58.1] [--clicks 20]

Needs what the tests in tests/web need: playwright, Chromium and a frontend (`make frontends`). The
weights are random in the official layout: they take the same time. There is no peer to compare
with: none shows a mask without queueing. The reference is what a click costs without the preview, a
run of the node on the same kept embedding.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import conftest  # noqa: E402, I001 - makes the pack importable
import torch  # noqa: E402
from benchmarks.bench_sam2 import write_checkpoint  # noqa: E402
from segment_anywhere.core.previews import Previewer  # noqa: E402
from segment_anywhere.core.prompt_inputs import PromptInputs, read_sockets  # noqa: E402
from segment_anywhere.core.segmenter import MaskChoice  # noqa: E402
from segment_anywhere.nodes import host  # noqa: E402
from segment_anywhere.nodes.load_sam import LoadSAM  # noqa: E402

CHECKPOINT = "sam2/sam2.1_hiera_tiny.pt"
SIZE = (768, 1024)
# Times the sampler's step: a convolution block at the size of a latent, as a sampler has many.
_SAMPLER_SECONDS = 6.0
_CLICKS_PER_SECOND = 2.0
_WATCH = """() => {
  window.sent = [];
  const fetch = window.fetch;
  window.fetch = async (...values) => {
    const isPreview = String(values[0]).includes("segment_anywhere/preview");
    const start = performance.now();
    const answer = await fetch(...values);
    if (isPreview) window.sent.push(performance.now() - start);
    return answer;
  };
}"""
_CLICK = """({ x, y }) => new Promise((done) => {
  const canvas = document.querySelector(".sa-canvas");
  const prototype = CanvasRenderingContext2D.prototype;
  const draw = prototype.drawImage;
  const start = performance.now();
  // A mask's outline is the one OffscreenCanvas that is drawn; a new one is a new mask.
  const old = window.lastMask;
  prototype.drawImage = function (image, ...place) {
    draw.call(this, image, ...place);
    if (image instanceof OffscreenCanvas && image !== old) {
      window.lastMask = image;
      prototype.drawImage = draw;
      requestAnimationFrame(() => done(performance.now() - start));
    }
  };
  const options = { clientX: x, clientY: y, pointerId: 1, bubbles: true, button: 0 };
  canvas.setPointerCapture = () => {};
  canvas.dispatchEvent(new PointerEvent("pointerdown", options));
  canvas.dispatchEvent(new PointerEvent("pointerup", options));
})"""


def median_ms(call: Callable[[int], Any], repeats: int) -> float:
    """Median milliseconds of a call, the first not counted."""
    times = []
    for index in range(repeats + 1):
        start = time.perf_counter()
        call(index)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[1:])


def bench_core(model: host.SegmentModel, repeats: int) -> tuple[float, float]:
    """Milliseconds of a preview and of a run of the node's own work, embedding there."""
    frame = torch.rand(*SIZE, 3)
    segmenter = model.segmenter()
    with torch.inference_mode():
        image = segmenter.embed(frame).key
    sockets = read_sockets(PromptInputs(), 1, SIZE)[0]
    previewer = Previewer(segmenter)
    key = previewer.remember(image, sockets)
    point = [f"[[{300 + 7 * index}, 400]]" for index in range(repeats + 1)]
    best = MaskChoice.BEST
    preview = median_ms(lambda i: previewer.preview(key, point[i], best, 1024), repeats)
    from segment_anywhere.nodes.point_segment import PointSegment

    with torch.inference_mode():
        run = median_ms(
            lambda i: PointSegment.execute(model, frame[None], point[i], "best"), repeats
        )
    return preview, run


def bench_sampler(model: host.SegmentModel) -> tuple[float, float]:
    """Steps per second of a stand-in for a sampler, alone and while someone clicks."""
    frame = torch.rand(*SIZE, 3)
    with torch.inference_mode():
        image = model.segmenter().embed(frame).key
    previewer = model.start_previews()
    key = previewer.remember(image, read_sockets(PromptInputs(), 1, SIZE)[0])
    alone = _steps_per_second()
    stop = threading.Event()

    def click() -> None:
        from segment_anywhere.nodes.preview import _lower_priority

        _lower_priority()
        while not stop.wait(1 / _CLICKS_PER_SECOND):
            previewer.preview(key, "[[300, 400]]", MaskChoice.BEST, 512)

    thread = threading.Thread(target=click)
    thread.start()
    clicked = _steps_per_second()
    stop.set()
    thread.join()
    return alone, clicked


@torch.inference_mode()
def _steps_per_second() -> float:
    block = torch.nn.Conv2d(320, 320, 3, padding=1)
    latent = torch.rand(1, 320, 64, 64)
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < _SAMPLER_SECONDS:
        block(latent)
        steps += 1
    return steps / (time.perf_counter() - start)


def bench_browser(frontend: Path, clicks: int) -> tuple[float, float, int]:
    """Milliseconds from click to paint and of the request, and the most requests in flight."""
    from playwright.sync_api import sync_playwright
    from web.comfy_page import Look, new_page
    from web.stub_server import serving

    import shutil

    path = shutil.which("chromium") or shutil.which("google-chrome")
    with serving(frontend) as stub, sync_playwright() as driver:
        stub.settings["Comfy.VueNodes.Enabled"] = False
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = new_page(browser, stub.url, Look(vue=False))
        page.build(CHECKPOINT)
        page.page.evaluate(_WATCH)
        page.encode()
        painted = []
        for index in range(clicks):
            x, y = page.place(20 + 280 * index / clicks, 120)
            painted.append(page.page.evaluate(_CLICK, {"x": x, "y": y}))
            page.page.wait_for_timeout(100)
        sent = page.page.evaluate("window.sent")
        stub.most_flying = 0
        for index in range(20):
            page.click(20 + 14 * index, 30)
        page.page.wait_for_timeout(2000)
        browser.close()
        return statistics.median(painted[1:]), statistics.median(sent[1:]), stub.most_flying


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frontend", default="1.58.1")
    parser.add_argument("--clicks", type=int, default=20)
    options = parser.parse_args()
    host.has_editor = lambda: True
    folder = Path(tempfile.mkdtemp(prefix="bench-preview-"))
    (folder / "sam2").mkdir()
    write_checkpoint("tiny", folder / "sam2")
    conftest.folder_paths.add_model_folder_path("sam2", str(folder / "sam2"))
    model = LoadSAM.execute(CHECKPOINT, "fp32").args[0]
    preview, run = bench_core(model, options.clicks)
    print(f"{'decode and encode the picture':<44}{preview:>8.0f} ms")
    print(f"{'run of the node, embedding there':<44}{run:>8.0f} ms   ratio {preview / run:.2f}")
    alone, clicked = bench_sampler(model)
    slowed = 100 * (1 - clicked / alone)
    print(
        f"{'sampler steps/s alone, with 2 clicks/s':<44}{alone:>8.1f}{clicked:>8.1f}"
        f"   slowed by {slowed:.1f} %"
    )
    root = Path(sys.prefix) / "frontends" / options.frontend / "comfyui_frontend_package/static"
    painted, sent, flying = bench_browser(root, options.clicks)
    print(f"{'click to painted mask in the browser':<44}{painted:>8.0f} ms   budget 150")
    print(f"{'of which the request':<44}{sent:>8.0f} ms   budget 70")
    print(f"{'20 quick clicks: most requests in flight':<44}{flying:>8d}      budget 1")
    print(json.dumps({"preview_ms": preview, "painted_ms": painted, "request_ms": sent}))


if __name__ == "__main__":
    main()
