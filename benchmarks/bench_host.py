"""On a real ComfyUI: what a further click costs through the node, pictures and outputs included.

    python -m benchmarks.bench_host [--clicks 15] [--sizes 1024x768 1920x1080]

Run it with the Python of that ComfyUI (in $COMFYUI_PATH, around the pack, or in ~/comfy/ComfyUI),
after `pip install --no-deps -e .` with it, and with the package `sam2` (1.1.0) in it, whose decoder
alone stands beside our figures: SAM 2.1 tiny with the same random weights in fp32, in turn with the
clicks. Times are medians in milliseconds, ours from the start of the prompt's execution to its end,
as ComfyUI itself notes them, for a client that looks on.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from tests.e2e.api import Api
from tests.e2e.comfy_server import ComfyServer, find_install, write_pack

from .bench_families import MODELS, write_checkpoint
from .harness import HEAD, Row, random_frames

CHECKPOINT = "sam2/checkpoint.pt"
# Ends a graph without work of its own: ComfyUI runs only what an output node needs.
SINK = "bench-sink"
_SINK_FILES = {
    "__init__.py": """
class Sink:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"value": ("*",)}})
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "take"
    CATEGORY = "bench"

    def take(self, value):
        return {}


NODE_CLASS_MAPPINGS = {"BenchSink": Sink}
"""
}
REFINE = {
    "fill_holes": 0,
    "remove_islands": 0,
    "expand": 0.0,
    "smooth": 0.0,
    "feather": 0.0,
    "edge": "none",
    "threshold": 0.0,
    "invert": False,
}


def click_graph(image: str, x: float, y: float, refined: bool) -> dict[str, Any]:
    """A click on an image, and Mask Refine at its defaults behind it where asked for."""
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {
            "class_type": "SegmentAnywhereLoadSAM",
            "inputs": {"model": CHECKPOINT, "precision": "fp32"},
        },
        "3": {
            "class_type": "SegmentAnywherePoint",
            "inputs": {
                "model": ["2", 0],
                "image": ["1", 0],
                "points": f"[[{x}, {y}]]",
                "mask_choice": "best",
            },
        },
        "9": {"class_type": "BenchSink", "inputs": {"value": ["3", 3]}},
    }
    if refined:
        inputs = {**REFINE, "mask": ["3", 0], "segments": ["3", 1], "image": ["1", 0]}
        graph["4"] = {"class_type": "SegmentAnywhereMaskRefine", "inputs": inputs}
        graph["9"]["inputs"]["value"] = ["4", 0]
    return graph


class Clicker:
    """Clicks on one image, each time at another place, through ComfyUI."""

    def __init__(self, api: Api, name: str, width: int, height: int) -> None:
        self._api = api
        self._image = name
        self._size = width, height
        self._clicks = 0

    def click(self, refined: bool = False) -> float:
        """Milliseconds of one run."""
        self._clicks += 1
        x, y = 0.3 * self._size[0] + 3 * self._clicks, 0.5 * self._size[1]
        run = self._api.succeed(click_graph(self._image, x, y, refined))
        messages = run.messages
        return messages["execution_success"]["timestamp"] - messages["execution_start"]["timestamp"]


def bench_size(api: Api, checkpoint: Path, width: int, height: int, clicks: int) -> list[Row]:
    """Rows of one image size."""
    frame = random_frames(1, height, width)[0]
    name = api.upload(f"{width}x{height}.png", Image.fromarray(frame))
    clicker = Clicker(api, name, width, height)
    peer = MODELS["sam2-tiny"].peer(checkpoint, torch.device("cpu"))
    peer.encode(frame)
    first = clicker.click()
    clicker.click(refined=True)
    alone, behind, official = [], [], []
    for index in range(clicks):
        alone.append(clicker.click())
        start = time.perf_counter()
        peer.click(310 + index, 420)
        official.append((time.perf_counter() - start) * 1000)
        behind.append(clicker.click(refined=True))
    decode = statistics.median(official)
    click, with_refine = statistics.median(alone), statistics.median(behind)
    return [
        Row(f"{width}x{height}: first click", first),
        Row(f"{width}x{height}: second click (peer: official decode)", click, decode),
        Row(f"{width}x{height}: Mask Refine behind it adds", with_refine - click),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=15)
    parser.add_argument("--sizes", nargs="+", default=["1024x768", "1920x1080", "3840x2160"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-host-") as folder:
        base = Path(folder)
        models = base / "models" / "sam2"
        models.mkdir(parents=True)
        checkpoint = write_checkpoint(MODELS["sam2-tiny"], models)
        write_pack(base / "custom_nodes" / SINK, _SINK_FILES)
        server = ComfyServer(find_install(), base, (SINK,))
        server.start()
        try:
            print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
            print(f"{'':<54}{HEAD}")
            with Api(server.url) as api:
                for size in options.sizes:
                    width, height = map(int, size.split("x"))
                    for row in bench_size(api, checkpoint, width, height, options.clicks):
                        print(row, flush=True)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
