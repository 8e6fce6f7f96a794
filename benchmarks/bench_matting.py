"""Mask Refine with edge = matting beside the model's own time on the tiles that it needs.

    python -m benchmarks.bench_matting [--threads 2] [--repeats 3]

The model has the sizes of ViTMatte small and random weights: what it finds is of no account for
the time. The mask is an ellipse of 60 % of the image's sides. Runs of the node and of the model
alternate, so that a machine that slows down slows both. Times are medians in milliseconds of wall
clock, and the processor time of one thread, in which other programs have no part; the peak of
memory is that of a process of its own (Linux).
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from segment_anywhere.core.engines.matting.tiles import all_tiles
from segment_anywhere.core.engines.matting.vitmatte import TILE
from torch import Tensor

from .harness import HEAD, ROOT, Row, alternate, memory, run_node, start_nodes

SIZES = {"1080p": (1080, 1920), "4K": (2160, 3840)}
BANDS = {"1080p": 40.0, "4K": 60.0}
_NAME = "random-small"
_PROBE = """
import sys; sys.argv = ["bench_matting"]
from benchmarks import bench_matting as bench
bench.print_peak({name!r}, {threads})
"""


def make_model(folder: Path) -> None:
    """A ViTMatte of the published small size, with random weights."""
    import transformers as tf

    backbone = tf.VitDetConfig(
        hidden_size=384,
        num_attention_heads=6,
        num_channels=4,
        image_size=512,
        window_size=14,
        window_block_indices=[0, 1, 3, 4, 6, 7, 9, 10],
        residual_block_indices=[2, 5, 8, 11],
        use_relative_position_embeddings=True,
        out_features=["stage12"],
    )
    config = tf.VitMatteConfig(
        backbone_config=backbone,
        hidden_size=384,
        convstream_hidden_sizes=[48, 96, 192],
        fusion_hidden_sizes=[256, 128, 64, 32],
    )
    tf.VitMatteForImageMatting(config).save_pretrained(folder)


def ellipse(size: tuple[int, int]) -> Tensor:
    """[1, H, W] float32: 1 within an ellipse."""
    y = (torch.arange(size[0])[:, None] - size[0] / 2) / (0.3 * size[0])
    x = (torch.arange(size[1])[None] - size[1] / 2) / (0.3 * size[1])
    return (torch.hypot(x, y) < 1).float()[None]


def start(name: str) -> tuple[Tensor, Tensor, Path]:
    """The host with the model in its folder; a mask and an image."""
    start_nodes()
    folders = importlib.import_module("segment_anywhere.nodes.host.folders")
    folder = folders.model_folder_paths("vitmatte")[0] / _NAME
    make_model(folder)
    mask = ellipse(SIZES[name])
    return mask, torch.rand(1, *SIZES[name], 3), folder


def refine(mask: Tensor, image: Tensor, edge: str, band: float = 0.0) -> Tensor:
    """The node as a graph runs it: its mask."""
    from segment_anywhere.nodes.mask_refine import MaskRefine

    inputs = {"matting_model": f"vitmatte/{_NAME}", "edge": edge, "band": band}
    return run_node(MaskRefine, mask=mask, image=image, **inputs)[0]


def rows(name: str, repeats: int) -> list[Row]:
    """The node beside the model on as many tiles, and beside guided edges."""
    mask, image, folder = start(name)
    models = importlib.import_module("segment_anywhere.nodes.host.models")
    matter = models.matting_model(folder).ready()
    before = matter.tiles
    refine(mask, image, "matting", BANDS[name])
    tiles = matter.tiles - before
    dtype = next(matter.engine.module.backbone.parameters()).dtype
    print(f"{name}, band of {BANDS[name]:.0f} px, encoder in {dtype}: {tiles_text(name, tiles)}")
    tile = torch.rand(TILE, TILE, 4)

    def model_alone(_: int) -> None:
        for _ in range(tiles):
            matter.engine.alphas([tile])

    def node(_: int) -> None:
        refine(mask, image, "matting", BANDS[name])

    times = alternate(repeats, node, model_alone)
    guided = alternate(repeats, lambda _: refine(mask, image, "guided"))
    return [
        Row(f"node, matting {name} (peer: the model on {tiles} tiles)", *times),
        Row(f"node, guided {name}", *guided),
        Row("node, matting, processor time", *map(processor_time, (node, model_alone))),
    ]


def processor_time(call: Callable[[int], None]) -> float:
    """Milliseconds of processor time on one thread, of a call that has run before."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    call(0)
    torch.set_num_threads(usual)
    return (time.process_time() - start) * 1000


def tiles_text(name: str, used: int) -> str:
    """The tiles that the model looked at, of those that the whole image takes."""
    return f"{used} of {len(all_tiles(SIZES[name], TILE))} tiles"


def peak(name: str, threads: int) -> list[float]:
    """Gigabytes of memory at most, of a whole process and of the node alone, and its tiles."""
    code = _PROBE.format(name=name, threads=threads)
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return [float(number) for number in output.split()[-3:]]


def print_peak(name: str, threads: int) -> None:
    """Run the node once on a large image and say how much memory that took (Linux)."""
    torch.set_num_threads(threads)
    mask, image, folder = start(name)
    models = importlib.import_module("segment_anywhere.nodes.host.models")
    Path("/proc/self/clear_refs").write_text("5")
    before = memory()[1]
    refine(mask, image, "matting", BANDS[name])
    highest, tiles = memory()[1], models.matting_model(folder).ready().tiles
    print(highest / 1e9, (highest - before) / 1e9, tiles)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads")
    measured = rows("1080p", options.repeats)
    print(f"\n{'':<54}{HEAD}")
    for row in measured:
        print(row)
    print()
    whole, alone, tiles = peak("4K", options.threads)
    print(f"4K, band of {BANDS['4K']:.0f} px: {tiles_text('4K', int(tiles))}, ", end="")
    print(f"{whole:.2f} GB at most, of which the node with its model takes {alone:.2f} GB")


if __name__ == "__main__":
    main()
