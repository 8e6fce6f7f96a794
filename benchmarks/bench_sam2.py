"""SAM 2.1: our engine beside the official `SAM2ImagePredictor`, same random weights, same run.

    python benchmarks/bench_sam2.py [--sizes tiny small base_plus large] [--device cuda]

The official figures need the package `sam2` (1.1.0) and torchvision in the same environment;
without them only ours are measured. Runs of the two alternate, so that a machine that slows down
slows both. Times are medians in milliseconds.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
_package = types.ModuleType("segment_anywhere")
_package.__path__ = [str(ROOT)]
sys.modules["segment_anywhere"] = _package

from segment_anywhere.core.engines.checkpoints import load_engine  # noqa: E402
from segment_anywhere.core.engines.precision import Precision, encoder_dtype  # noqa: E402
from segment_anywhere.core.prompts import ObjectPrompt, Point  # noqa: E402
from segment_anywhere.core.segmenter import MaskChoice, Segmenter  # noqa: E402

KEYS = ROOT / "tests" / "fixtures" / "sam2_parity" / "official_keys.json.gz"
SIZES = ("tiny", "small", "base_plus", "large")
HEIGHT, WIDTH = 768, 1024
BATCH = 8
_MEMORY_PROBE = """
import sys; sys.argv = ["bench_sam2"]; sys.path.insert(0, {folder!r})
import bench_sam2 as bench
bench.print_load_memory({path!r}, {precision!r})
"""


@dataclass(frozen=True)
class Row:
    """One line of the table; times in milliseconds, the peer's None where it is not installed."""

    name: str
    ours: float
    peer: float | None = None
    unit: str = "ms"

    def __str__(self) -> str:
        peer = f"{self.peer:>10.1f}" if self.peer is not None else f"{'-':>10}"
        ratio = f"{self.ours / self.peer:>8.3f}" if self.peer else f"{'-':>8}"
        return f"{self.name:<44}{self.ours:>10.1f}{peer}{ratio}  {self.unit}"


def write_checkpoint(size: str, folder: Path) -> Path:
    """Random weights in the official layout of one size."""
    with gzip.open(KEYS, "rt") as file:
        keys = json.load(file)[f"sam2.1_hiera_{size}"]["keys"]
    generator = torch.Generator().manual_seed(0)
    state = {key: torch.randn(shape, generator=generator) * 0.02 for key, shape in keys.items()}
    path = folder / f"sam2.1_hiera_{size}.pt"
    torch.save({"model": state}, path)
    return path


def random_frames(count: int) -> list[np.ndarray]:
    """Smooth random pictures, [H, W, 3] uint8."""
    generator = np.random.default_rng(0)
    coarse = generator.random((count, 12, 16, 3), dtype=np.float32)
    grown = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).permute(0, 3, 1, 2), (HEIGHT, WIDTH), mode="bicubic"
    )
    return [np.asarray(f) for f in (grown.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1)]


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


class Official:
    """The official predictor with the official way of running it: autocast to bf16 on a GPU."""

    def __init__(self, path: Path, size: str, device: torch.device):
        from sam2.build_sam import build_sam2
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        letter = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}[size]
        config = f"configs/sam2.1/sam2.1_hiera_{letter}.yaml"
        self.predictor = SAM2ImagePredictor(build_sam2(config, str(path), device=str(device)))
        self.device = device

    def set_image(self, frame: np.ndarray) -> None:
        self.frame = frame

    def encode(self) -> None:
        with torch.inference_mode(), self._autocast():
            self.predictor.set_image(self.frame)

    def click(self, x: float, y: float) -> Any:
        with torch.inference_mode(), self._autocast():
            return self.predictor.predict(np.array([[x, y]]), np.array([1]), multimask_output=True)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


def alternate(device: torch.device, repeats: int, *calls: Callable[[int], Any]) -> list[float]:
    """Median milliseconds of each call, run in turn; the first round does not count."""
    times: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats + 1):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call(repeat)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                own.append((time.perf_counter() - start) * 1000)
    return [statistics.median(own) for own in times]


def bench_size(size: str, device: torch.device, precision: Precision, repeats: int) -> list[Row]:
    """All measurements of one model size."""
    frames = random_frames(BATCH)
    has_official = importlib.util.find_spec("sam2") is not None
    with tempfile.TemporaryDirectory() as folder:
        path = write_checkpoint(size, Path(folder))
        rows = [*load_memory(path, precision)]
        ours = Ours(path, device, precision)
        official = Official(path, size, device) if has_official else None
    rows += _click_rows(ours, official, frames, device, repeats)
    rows.append(_batch_row(ours, frames, device))
    return rows


def _click_rows(
    ours: Ours,
    official: Official | None,
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

    def official_first(repeat: int) -> None:
        official.set_image(frames[repeat % BATCH])
        official.encode()
        official.click(300, 400)

    def official_second(repeat: int) -> None:
        official.click(310 + repeat, 420)

    pairs = (
        ("first click (encode and decode)", our_first, official_first),
        ("second click on the same image", our_second, official_second),
    )
    rows = []
    for name, mine, theirs in pairs:
        calls = (mine, theirs) if official else (mine,)
        rows.append(Row(name, *alternate(device, repeats, *calls)))
    if official:
        rows.append(Row("second click; the peer encodes each time", rows[1].ours, rows[0].peer))
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
        ours.set_image(frames[repeat])
        ours.click(300, 400)

    whole, one = alternate(device, 3, batch, single)
    return Row(f"batch of {BATCH}, per frame (peer: our single frame)", whole / BATCH, one)


def load_memory(path: Path, precision: Precision) -> list[Row]:
    """Peak memory of loading in a fresh process, beside the weights' size in that precision."""
    code = _MEMORY_PROBE.format(
        folder=str(Path(__file__).parent), path=str(path), precision=precision.value
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
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
    import transformers  # noqa: F401

    transformers.Sam2Model  # noqa: B018 (imports the model code before the measurement)
    before = _memory()
    start = time.perf_counter()
    module = load_engine(Path(path), dtype).module
    sum(parameter.sum().item() for parameter in module.parameters())
    seconds = time.perf_counter() - start
    after = _memory()
    size = sum(p.numel() * p.element_size() for p in module.parameters())
    print(after[0] - before[0], after[1] - before[1], size, seconds)


def _memory() -> tuple[int, int]:
    """This process's private memory now, and its highest resident set, in bytes (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(status[name].split()[0]) * 1024 for name in ("RssAnon", "VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["tiny"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=[p.value for p in Precision], default="auto")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    device = torch.device(args.device)
    precision = Precision(args.precision)
    print(
        f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, encoder in "
        f"{encoder_dtype(precision, device)}, image {HEIGHT}x{WIDTH}"
    )
    for size in args.sizes:
        print(f"\nSAM 2.1 {size:<36}{'ours':>10}{'peer':>10}{'ratio':>8}")
        for row in bench_size(size, device, precision, args.repeats):
            print(row)


if __name__ == "__main__":
    main()
