"""Every family: our engine beside the official predictor, same random weights, same run.

    python -m benchmarks.bench_families [--models sam2-tiny sam-b ...] [--device cuda]

The official figures need the packages `sam2` (1.1.0), `segment_anything` (1.0) and
`segment_anything_hq` (0.3) with torchvision in the same environment; where one is missing, and for
families whose official code is not on the package index, only ours are measured. Times are medians
in milliseconds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.engines.precision import Precision, encoder_dtype
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.tasks.segmenter import MaskChoice, Segmenter

from . import peers
from .harness import HEAD, ROOT, Row, alternate, memory, random_frames

FIXTURES = ROOT / "tests" / "fixtures"
HEIGHT, WIDTH = 768, 1024
BATCH = 8
_MEMORY_PROBE = """
from benchmarks import bench_families as bench
bench.print_load_memory({path!r}, {precision!r})
"""


@dataclass(frozen=True)
class Model:
    """One published size: where its keys and shapes are listed, and its official predictor."""

    title: str
    keys: Path
    entry: str | None
    peer: peers.MakePeer | None = None
    dtype: torch.dtype = torch.float32

    def shapes(self) -> dict[str, list[int]]:
        with gzip.open(self.keys, "rt") as file:
            content = json.load(file)
        return content[self.entry]["keys"] if self.entry else content


def _sam2(size: str, letter: str) -> Model:
    keys = FIXTURES / "sam2_parity" / "official_keys.json.gz"
    config = f"sam2.1_hiera_{letter}"
    return Model(f"SAM 2.1 {size}", keys, f"sam2.1_hiera_{size}", peers.sam2(config))


def _sam(title: str, fixture: str, package: str, size: str) -> Model:
    keys = FIXTURES / fixture / "official_keys.json.gz"
    return Model(f"{title} {size}", keys, size, peers.sam(package, size))


MODELS = {
    "sam-b": _sam("SAM", "sam_parity", "segment_anything", "vit_b"),
    "sam-l": _sam("SAM", "sam_parity", "segment_anything", "vit_l"),
    "sam-h": _sam("SAM", "sam_parity", "segment_anything", "vit_h"),
    "sam_hq-b": _sam("HQ-SAM", "sam_hq_parity", "segment_anything_hq", "vit_b"),
    "sam_hq-l": _sam("HQ-SAM", "sam_hq_parity", "segment_anything_hq", "vit_l"),
    "sam_hq-h": _sam("HQ-SAM", "sam_hq_parity", "segment_anything_hq", "vit_h"),
    "sam2-tiny": _sam2("tiny", "t"),
    "sam2-small": _sam2("small", "s"),
    "sam2-base_plus": _sam2("base_plus", "b+"),
    "sam2-large": _sam2("large", "l"),
    "edgetam": Model("EdgeTAM", FIXTURES / "edgetam_parity" / "official_keys.json.gz", "edgetam"),
    "sam3": Model(
        "SAM 3.1", FIXTURES / "sam3_keys" / "sam31_comfy.json.gz", None, dtype=torch.float16
    ),
}
DEFAULT = ("sam-b", "sam_hq-b", "sam2-tiny", "edgetam", "sam3")


def write_checkpoint(model: Model, folder: Path) -> Path:
    """Random weights in the official layout of one size."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in model.shapes().items():
        drawn = torch.randn(shape, generator=generator) * 0.02
        # A variance below 0 would make everything NaN.
        state[key] = (drawn.abs() + 1 if "running_var" in key else drawn).to(model.dtype)
    path = folder / "checkpoint.pt"
    # SAM 2's official loader wants the weights below this key, SAM's wants them bare.
    torch.save({"model": state} if "SAM 2" in model.title else state, path)
    return path


class Ours:
    """The engine behind its cache, as the nodes use it."""

    def __init__(self, path: Path, device: torch.device, precision: Precision):
        self.engine = load_engine(path, encoder_dtype(precision, device))
        self.engine.module.to(device)
        self.segmenter = Segmenter(self.engine)

    def set_image(self, frame: np.ndarray) -> None:
        self.frame = torch.from_numpy(frame).float() / 255

    def forget(self) -> None:
        self.segmenter = Segmenter(self.engine)

    def click(self, x: float, y: float) -> Any:
        prompts = [ObjectPrompt("object 0", (Point(x, y),))]
        return self.segmenter.segment(self.frame, prompts, MaskChoice.BEST)


def bench_model(
    model: Model, device: torch.device, precision: Precision, repeats: int
) -> Iterator[Row]:
    """All measurements of one model, as they are done."""
    frames = random_frames(BATCH, HEIGHT, WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        path = write_checkpoint(model, Path(folder))
        yield from load_memory(path, precision)
        ours = Ours(path, device, precision)
        peer = model.peer(path, device) if model.peer else None
        yield from _click_rows(ours, peer, frames, device, repeats)
        yield _batch_row(ours, frames, device)


def _click_rows(
    ours: Ours,
    peer: peers.Peer | None,
    frames: list[np.ndarray],
    device: torch.device,
    repeats: int,
) -> list[Row]:
    def our_first(repeat: int) -> None:
        ours.set_image(frames[repeat % BATCH])
        ours.forget()
        ours.click(300, 400)

    def our_second(repeat: int) -> None:
        ours.click(310 + repeat, 420)

    def peer_first(repeat: int) -> None:
        peer.encode(frames[repeat % BATCH])
        peer.click(300, 400)

    def peer_second(repeat: int) -> None:
        peer.click(310 + repeat, 420)

    pairs = (
        ("first click (encode and decode)", our_first, peer_first),
        ("second click on the same image", our_second, peer_second),
    )
    rows = []
    for name, mine, theirs in pairs:
        calls = (mine, theirs) if peer else (mine,)
        rows.append(Row(name, *alternate(repeats, *calls, device=device)))
    rows.append(Row("second click (peer: our first click)", rows[1].ours, rows[0].ours))
    return rows


def _batch_row(ours: Ours, frames: list[np.ndarray], device: torch.device) -> Row:
    """A batch of 8 beside one frame of it, per frame."""

    def batch(repeat: int) -> None:
        ours.forget()
        for frame in frames:
            ours.set_image(frame)
            ours.click(300, 400)

    def single(repeat: int) -> None:
        ours.forget()
        ours.set_image(frames[repeat % BATCH])
        ours.click(300, 400)

    whole, one = alternate(1, batch, single, device=device)
    return Row(f"batch of {BATCH}, per frame (peer: our single frame)", whole / BATCH, one)


def load_memory(path: Path, precision: Precision) -> list[Row]:
    """Peak memory of loading in a fresh process, beside the weights' size in that precision."""
    code = _MEMORY_PROBE.format(path=str(path), precision=precision.value)
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
    private, total, size, seconds = (float(value) for value in output.split()[-4:])
    return [
        Row("load: time", seconds * 1000),
        Row("load: private memory (peer: size of weights)", private / 2**20, size / 2**20, "MiB"),
        Row("load: with mapped file (peer: size of weights)", total / 2**20, size / 2**20, "MiB"),
    ]


def print_load_memory(path: str, precision: str) -> None:
    """Load a checkpoint, use every weight once, and print what that took (bytes, seconds)."""
    dtype = encoder_dtype(Precision(precision), torch.device("cpu"))
    _import_model_code()
    before = memory()
    start = time.perf_counter()
    module = load_engine(Path(path), dtype).module
    sum(parameter.sum().item() for parameter in module.parameters())
    seconds = time.perf_counter() - start
    after = memory()
    size = sum(p.numel() * p.element_size() for p in module.parameters())
    print(after[0] - before[0], after[1] - before[1], size, seconds)


def _import_model_code() -> None:
    import transformers

    for name in ("SamModel", "SamHQModel", "Sam2Model", "Sam3Model", "Sam3TrackerModel"):
        getattr(transformers, name, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=DEFAULT)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=[p.value for p in Precision], default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    device = torch.device(args.device)
    precision = Precision(args.precision)
    print(
        f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, encoder in "
        f"{encoder_dtype(precision, device)}, image {HEIGHT}x{WIDTH}"
    )
    for name in args.models:
        model = MODELS[name]
        print(f"\n{model.title:<54}{HEAD}")
        for row in bench_model(model, device, precision, args.repeats):
            print(row, flush=True)


if __name__ == "__main__":
    main()
