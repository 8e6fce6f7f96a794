"""Segment Everything: ours beside the official SAM 2 generator, same weights, same run.

    python -m benchmarks.bench_everything [--repeats 2]

The official figures need the package `sam2` (1.1.0) with torchvision in the same environment, else
only ours are measured. The small model of the tests is trained, so what passes the thresholds is
realistic; SAM 2.1 tiny has random weights, of which nothing passes, and shows what encoding and
decoding cost at the official size. All on the CPU, medians in milliseconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.tasks.everything import GridSettings, segment_everything
from segment_anywhere.core.tasks.segmenter import Segmenter

from tests.support.scenes import draw_scene

from . import peers
from .bench_families import MODELS, write_checkpoint
from .harness import HEAD, ROOT, Row, alternate, memory

TRAINED = ROOT / "tests" / "fixtures" / "sam2_tiny"
HEIGHT, WIDTH = 720, 1280
SCENES = 4
# Of the small model's masks, few pass the usual thresholds.
DENSE = GridSettings(points_per_side=16, score_threshold=0.5, stability_threshold=0.7)
_MEMORY_PROBE = """
from benchmarks import bench_everything as bench
bench.print_peak({ours!r})
"""


def pictures() -> list[np.ndarray]:
    """Scenes with shapes, [720, 1280, 3] uint8."""
    squares = (draw_scene(seed, WIDTH).image[:HEIGHT] for seed in range(SCENES))
    return [(image * 255).round().astype(np.uint8) for image in squares]


class Ours:
    """The generator on an engine; `forget` empties the cache of embeddings."""

    def __init__(self, path: Path, settings: GridSettings):
        self.engine = load_engine(path, torch.float32)
        self.settings = settings
        self.forget()

    def forget(self) -> None:
        self.segmenter = Segmenter(self.engine)

    def generate(self, picture: np.ndarray) -> int:
        """How many regions were found."""
        frame = torch.from_numpy(picture).float() / 255
        return len(segment_everything(self.segmenter, frame, self.settings))


def official(settings: GridSettings) -> dict[str, Any]:
    """The official generator's names of our settings."""
    return {
        "points_per_side": settings.points_per_side,
        "pred_iou_thresh": settings.score_threshold,
        "stability_score_thresh": settings.stability_threshold,
        "crop_n_layers": settings.crop_layers,
    }


def compare(name: str, ours: Ours, peer: peers.Generate | None, repeats: int) -> Row:
    """Both on pictures that neither has in a cache."""
    frames = pictures()

    def mine(repeat: int) -> None:
        ours.forget()
        ours.generate(frames[repeat % SCENES])

    def theirs(repeat: int) -> None:
        peer(frames[repeat % SCENES])

    calls: tuple[Callable[[int], None], ...] = (mine, theirs) if peer else (mine,)
    return Row(name, *alternate(repeats, *calls))


def trained_rows(repeats: int) -> list[Row]:
    rows = []
    for name, settings in (
        ("trained, 16x16 clicks", DENSE),
        ("trained, 8x8 clicks, one crop layer", replace(DENSE, points_per_side=8, crop_layers=1)),
    ):
        peer = peers.trained_generator(official(settings))
        rows.append(compare(name, Ours(TRAINED, settings), peer, repeats))
    return rows


def official_size_rows(repeats: int) -> list[Row]:
    settings = GridSettings(points_per_side=8, score_threshold=1.0)
    with tempfile.TemporaryDirectory() as folder:
        path = write_checkpoint(MODELS["sam2-tiny"], Path(folder))
        ours = Ours(path, settings)
        peer = peers.sam2_generator("sam2.1_hiera_t", path, official(settings))
    frame = pictures()[0]
    rows = [compare("SAM 2.1 tiny, 8x8 clicks", ours, peer, repeats)]
    ours.generate(frame)

    def again(repeat: int) -> None:
        ours.settings = replace(settings, stability_threshold=0.9 - repeat / 100)
        ours.generate(frame)

    (cached,) = alternate(repeats, again)
    rows.append(Row("SAM 2.1 tiny, other thresholds, same image", cached, rows[0].peer))
    return rows


def memory_row() -> Row:
    """Peak memory above what was there before the first picture, each in a fresh process."""
    peaks = []
    for ours in (True, False):
        code = _MEMORY_PROBE.format(ours=ours)
        command = [sys.executable, "-c", code]
        output = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=ROOT
        ).stdout
        peaks.append(float(output.split()[-1]))
    mine, theirs = peaks
    name = "trained, 16x16 clicks: peak memory"
    return Row(name, mine / 2**20, theirs / 2**20 if theirs else None, "MiB")


def print_peak(ours: bool) -> None:
    """Segment one picture and print by how many bytes the process has grown, 0 for no peer."""
    settings = DENSE
    frame = pictures()[0]
    generator = (
        Ours(TRAINED, settings).generate if ours else peers.trained_generator(official(settings))
    )
    if generator is None:
        print(0)
        return
    # The first run brings in code and the allocator's pools.
    generator(frame[::8, ::8])
    before = memory()[1]
    generator(frame)
    print(memory()[1] - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2)
    repeats = parser.parse_args().repeats
    print(
        f"torch {torch.__version__}, cpu, {torch.get_num_threads()} threads, fp32, image "
        f"{HEIGHT}x{WIDTH}\n\n{'Segment Everything':<44}{HEAD}"
    )
    for row in (*trained_rows(repeats), *official_size_rows(repeats), memory_row()):
        print(row, flush=True)


if __name__ == "__main__":
    main()
