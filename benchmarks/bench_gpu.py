"""A GPU: clicks, boxes, batches, words and Mask Refine, with every family, size and number type.

    python -m benchmarks.bench_gpu [--device cuda] [--models sam2-tiny ...] [--budget 450]

Prints Markdown under the card's name. Weights are random at the official architectures; on a CPU
the smallest ones run on small pictures, to see that the command works. Beside them stand the
official predictors, where their packages are installed (see bench_families). Times are medians in
milliseconds, an image's upload and the masks' way back included; copies are those of a later click,
peaks are PyTorch's, weights included. What the budget, in seconds, leaves no time for is left out,
and said so.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.engines.precision import Precision, encoder_dtype
from segment_anywhere.core.masks.refine import Refinement, refine
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.tasks.segmenter import (
    Embedder,
    Finder,
    MaskChoice,
    Resident,
    Segmenter,
    segment_frames,
)
from torch import Tensor

from . import bench_refine, bench_text, peers
from .bench_families import MODELS, Model, write_checkpoint
from .harness import alternate, random_frames

PRECISIONS = (Precision.BF16, Precision.FP16, Precision.FP32)


@dataclass(frozen=True)
class Scale:
    """How large everything is. sizes: (H, W) by name. at_once: frames encoded together."""

    sizes: dict[str, tuple[int, int]]
    models: Sequence[str]
    precisions: Sequence[Precision]
    detectors: Sequence[str]
    boxes: int
    batch: int
    repeats: int
    at_once: int


GPU = Scale(bench_refine.SIZES, tuple(MODELS), PRECISIONS, tuple(bench_text.FINDERS), 64, 32, 5, 8)
CPU = Scale(
    {"96x128": (96, 128)}, ("edgetam",), (Precision.FP32,), ("clipseg",), boxes=2, batch=2,
    repeats=1, at_once=2,
)  # fmt: skip


class Budget:
    """The seconds that are left, and what there was no time for."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.left_out: list[str] = []

    def allows(self, case: str) -> bool:
        if time.monotonic() < self._end:
            return True
        self.left_out.append(case)
        return False


def copies(device: torch.device, work: Callable[[], Any]) -> tuple[str, str]:
    """How often work copies to the GPU and back, as CUDA's own profile has it."""
    if device.type != "cuda":
        return "-", "-"
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    names = [event.name for event in profile.events()]
    up, down = (sum(f"Memcpy {way}" in name for name in names) for way in ("HtoD", "DtoH"))
    return str(up), str(down)


def peak(device: torch.device, work: Callable[[], Any]) -> str:
    """The most that PyTorch held on the GPU meanwhile, MiB."""
    if device.type != "cuda":
        return "-"
    torch.cuda.reset_peak_memory_stats()
    work()
    return f"{torch.cuda.max_memory_allocated() / 2**20:.0f}"


def pictures(size: tuple[int, int], batch: int) -> Tensor:
    """An IMAGE of different frames, [batch, H, W, 3]."""
    (frame,) = random_frames(1, *size)
    first = torch.from_numpy(frame).float() / 255
    return torch.stack([first.roll(index, dims=0) for index in range(batch)])


class Case:
    """One model at one number type, on pictures of one size."""

    def __init__(self, path: Path, precision: Precision, image: Tensor, scale: Scale, device):
        self._engine = load_engine(path, encoder_dtype(precision, device))
        self._engine.module.to(device)
        self._device, self._scale, self._image = device, scale, image
        self._forget()

    def _forget(self) -> None:
        self._segmenter = Segmenter(self._engine)
        self._segmenter.need = Resident(self._scale.at_once)

    def _click(self, repeat: int) -> None:
        height, width = self._image.shape[1:3]
        prompt = ObjectPrompt("", (Point(0.3 * width + repeat, 0.5 * height),))
        self._segmenter.segment(self._image[0], [prompt])

    def _first_click(self, repeat: int) -> None:
        self._forget()
        self._click(repeat)

    def _boxes(self, repeat: int) -> None:
        height, width = self._image.shape[1:3]
        starts = np.random.default_rng(repeat).random((self._scale.boxes, 2)) * 0.6
        prompts = [
            ObjectPrompt("", box=Box(x * width, y * height, (x + 0.3) * width, (y + 0.3) * height))
            for x, y in starts.tolist()
        ]
        self._segmenter.segment(self._image[0], prompts)

    def _batch(self, repeat: int) -> None:
        self._forget()
        prompts = [[ObjectPrompt("", (Point(20 + repeat, 20),))]] * len(self._image)
        for _ in segment_frames(self._segmenter, self._image, prompts, MaskChoice.BEST):
            pass

    def columns(self) -> list[str]:
        """From the first click on."""
        run = partial(alternate, device=self._device)
        (first,) = run(self._scale.repeats, self._first_click)
        (later,) = run(self._scale.repeats, self._click)
        up, down = copies(self._device, partial(self._click, 99))
        (boxes,) = run(self._scale.repeats, self._boxes)
        (batch,) = run(1, self._batch)
        most = peak(self._device, partial(self._boxes, 99))
        times = (first, later, boxes, batch / len(self._image))
        return [*(f"{each:.1f}" for each in times), up, down, most]


@torch.inference_mode()
def model_rows(
    name: str, images: dict[str, Tensor], scale: Scale, device: torch.device, budget: Budget
) -> Iterator[list[str]]:
    """A model at every number type and size, then its official predictor."""
    model = MODELS[name]
    with tempfile.TemporaryDirectory() as folder:
        if not budget.allows(model.title):
            return
        path = write_checkpoint(model, Path(folder))
        for precision in scale.precisions:
            for size, image in images.items():
                if budget.allows(f"{model.title} {precision.value} {size}"):
                    case = Case(path, precision, image, scale, device)
                    yield [model.title, precision.value, size, *case.columns()]
        if model.peer is not None and budget.allows(f"{model.title} official"):
            peer = model.peer(path, device)
            for size, image in images.items():
                yield _official_row(model, peer, size, image, scale, device)


def _official_row(
    model: Model,
    peer: peers.Peer,
    size: str,
    image: Tensor,
    scale: Scale,
    device: torch.device,
) -> list[str]:
    frame = (image[0] * 255).byte().numpy()

    def first(repeat: int) -> None:
        peer.encode(frame)
        peer.click(20 + repeat, 20)

    def later(repeat: int) -> None:
        peer.click(20 + repeat, 30)

    (one,) = alternate(scale.repeats, first, device=device)
    (other,) = alternate(scale.repeats, later, device=device)
    return [f"{model.title}, official", "its own", size, f"{one:.1f}", f"{other:.1f}", *"-" * 5]


@torch.inference_mode()
def word_rows(
    images: dict[str, Tensor], scale: Scale, device: torch.device, budget: Budget
) -> Iterator[list[str]]:
    """A phrase in a new image and in a known one, nothing drawn: no score reaches the threshold."""
    for name, precision in product(scale.detectors, scale.precisions):
        if not budget.allows(f"{name} {precision.value}, a phrase"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            dtype = encoder_dtype(precision, device)
            finder = bench_text.FINDERS[name](Path(folder), dtype)
        finder.embedder.engine.module.to(device)
        for size, image in images.items():
            ask = partial(_ask, finder, image[0])
            (new,) = alternate(scale.repeats, partial(ask, True), device=device)
            (known,) = alternate(scale.repeats, partial(ask, False), device=device)
            most = peak(device, partial(ask, True, 0))
            yield [name, precision.value, size, f"{new:.1f}", f"{known:.1f}", most]


def _ask(finder: Finder, frame: Tensor, is_new: bool, repeat: int) -> None:
    if is_new:
        finder = Finder(Embedder(finder.embedder.engine), finder.detector)
    finder.find(frame, bench_text.PHRASES[:1], 1.0)


@torch.inference_mode()
def refine_rows(scale: Scale, device: torch.device, budget: Budget) -> Iterator[list[str]]:
    """Mask Refine's stages, with the mask on the device and, as ComfyUI passes it, on the CPU."""
    stages = {"defaults": Refinement(), "all stages": bench_refine.WHOLE}
    for size, shape in scale.sizes.items():
        for name, settings in stages.items():
            if not budget.allows(f"Mask Refine, {name}, {size}"):
                continue
            times = []
            for place in (device, torch.device("cpu")):
                mask = bench_refine.disc(shape, place)
                image = bench_refine.photograph(shape, place)
                work = partial(_refine, mask, settings, image)
                times += alternate(scale.repeats, work, device=device)
            yield [name, size, *(f"{each:.1f}" for each in times)]


def _refine(mask: Tensor, settings: Refinement, image: Tensor, repeat: int) -> None:
    refine(mask, settings, image)


def print_table(head: Sequence[str], rows: Iterable[list[str]]) -> None:
    """A Markdown table, row by row as they are measured."""
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", choices=MODELS)
    parser.add_argument("--budget", type=float, default=450.0)
    args = parser.parse_args()
    device, budget = torch.device(args.device), Budget(args.budget)
    scale = CPU if device.type == "cpu" else GPU
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(f"## {card}\n\ntorch {torch.__version__}, {torch.get_num_threads()} threads")
    names = args.models or scale.models
    if not any(MODELS[name].peer for name in names):
        print("\nNo package of an official predictor is installed: only our figures are here.")
    head = ("Mask Refine", "image", "on the device", "on the CPU")
    print_table(head, refine_rows(scale, device, budget))
    images = {name: pictures(size, scale.batch) for name, size in scale.sizes.items()}
    head = (
        *("model", "encoder", "image", "first click", "later click", f"{scale.boxes} boxes"),
        *(f"batch of {scale.batch}, a frame", "copies up", "copies down", "peak MiB"),
    )
    rows = (model_rows(name, images, scale, device, budget) for name in names)
    print_table(head, chain.from_iterable(rows))
    head = ("words", "encoder", "image", "a phrase, new image", "known image", "peak MiB")
    print_table(head, word_rows(images, scale, device, budget))
    if budget.left_out:
        print(f"\nLeft out, as {args.budget:.0f} s had passed: {'; '.join(budget.left_out)}.")


if __name__ == "__main__":
    main()
