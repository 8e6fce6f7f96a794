"""Following objects by memory: ours beside the official video predictor, same random weights.

    python -m benchmarks.bench_track [--sizes tiny large] [--objects 1 3] [--frames 24]
        [--precisions fp32 bf16] [--device cuda]

The official figures need the package `sam2` (1.1.0) in the same environment; without it only ours
are measured. The two take turns frame by frame, so that a machine that slows down slows both. Both
encode each frame once, whatever the number of objects, and bring the masks to the frames' size; the
official one runs under autocast where ours runs in bf16. Times are means per frame in milliseconds
over all frames but the first three, in which memories fill. The second line of a size is a whole
second run of the task behind Track Segments, in which one object got one more click, beside the
first run.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from segment_anywhere.core.engines.base import ClipFrame
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.engines.precision import Precision, encoder_dtype
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.tasks.key_frames import read_subjects
from segment_anywhere.core.tasks.segmenter import Segmenter
from segment_anywhere.core.tasks.tracking import follow

from .bench_families import MODELS, write_checkpoint
from .harness import HEAD, Row, random_frames

HEIGHT, WIDTH = 480, 854
# Frames whose time does not count.
FILLING = 3
Boxes = list[tuple[float, float, float, float]]


def boxes(count: int) -> Boxes:
    """Of the objects, side by side on the first frame."""
    step = WIDTH / (count + 1)
    return [(step * n + 20, 100, step * (n + 1), 380) for n in range(count)]


def ours(
    path: Path, frames: list[np.ndarray], marked: Boxes, dtype: torch.dtype, device: torch.device
) -> Iterator[None]:
    """Follows the objects, a frame with each step."""
    engine = load_engine(path, dtype)
    engine.module.to(device)
    session = engine.track(16)
    objects = list(range(len(marked)))
    prompts = {n: ObjectPrompt(str(n), box=Box(*corners)) for n, corners in enumerate(marked)}
    for index, pixels in enumerate(frames):
        image = torch.from_numpy(pixels).float() / 255
        frame = ClipFrame(index, image, engine.encode(image))
        found = session.step(frame, objects) if index else session.start(frame, prompts)
        for candidates in found.values():
            session.to_logits(candidates.logits, (HEIGHT, WIDTH))
        yield


def official(
    config: str,
    path: Path,
    frames: list[np.ndarray],
    marked: Boxes,
    dtype: torch.dtype,
    device: torch.device,
) -> Iterator[None]:
    """As `ours`, with the predictor of the package sam2."""
    from sam2.build_sam import build_sam2_video_predictor

    predictor: Any = build_sam2_video_predictor(config, str(path), device=str(device))
    if device.type == "cpu":
        # It cannot fill holes there, and says so for each frame.
        predictor.fill_hole_area = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16),
    ):
        for index, pixels in enumerate(frames):
            Image.fromarray(pixels).save(Path(folder) / f"{index:05d}.jpg")
        state = predictor.init_state(folder)
        for number, corners in enumerate(marked):
            predictor.add_new_points_or_box(state, 0, number, box=np.array(corners))
        for _ in predictor.propagate_in_video(state):
            yield


def per_frame(runs: list[Iterator[None]], frames: int, device: torch.device) -> list[float]:
    """Mean milliseconds of a frame of each run, in turn."""
    spent = [0.0] * len(runs)
    for index in range(frames):
        for place, run in enumerate(runs):
            start = time.perf_counter()
            next(run)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if index >= FILLING:
                spent[place] += time.perf_counter() - start
    return [1000 * total / (frames - FILLING) for total in spent]


def again(size: str, objects: int, precision: Precision, count: int, device: torch.device) -> Row:
    """A run after one more click on one object, towards the clip's end, beside the run before."""
    images = torch.from_numpy(np.stack(random_frames(count, HEIGHT, WIDTH))).float() / 255
    marked = boxes(objects)
    starts = [ObjectPrompt(str(n), box=Box(*xyxy), number=n) for n, xyxy in enumerate(marked)]
    click = ObjectPrompt("0", (Point(marked[0][0] + 60.0, 240.0),), number=0)
    times = []
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = write_checkpoint(MODELS[f"sam2-{size}"], Path(folder))
        engine = load_engine(path, encoder_dtype(precision, device))
        engine.module.to(device)
        segmenter = Segmenter(engine)
        for prompts in ({0: starts}, {0: starts, count * 5 // 6: [click]}):
            subjects = read_subjects(prompts, None, count, (HEIGHT, WIDTH))
            start = time.perf_counter()
            follow(segmenter, images, subjects)
            times.append((time.perf_counter() - start) * 1000)
    first, second = times
    name = f"a second run after a click, {precision.value}, objects: {objects}"
    return Row(name, second, first, unit="ms")


def bench(size: str, objects: int, precision: Precision, count: int, device: torch.device) -> Row:
    model = MODELS[f"sam2-{size}"]
    dtype = encoder_dtype(precision, device)
    frames = random_frames(count, HEIGHT, WIDTH)
    marked = boxes(objects)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = write_checkpoint(model, Path(folder))
        runs = [ours(path, frames, marked, dtype, device)]
        if importlib.util.find_spec("sam2") is not None:
            letter = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}[size]
            config = f"configs/sam2.1/sam2.1_hiera_{letter}.yaml"
            runs.append(official(config, path, frames, marked, dtype, device))
        times = per_frame(runs, count, device)
    return Row(f"SAM 2.1 {size}, {precision.value}, objects: {objects}", *times, unit="ms/frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["tiny"])
    parser.add_argument("--objects", nargs="+", type=int, default=[1, 3])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads")
    print(f"{'':<54}{HEAD}")
    for size in options.sizes:
        for precision in map(Precision, options.precisions):
            for objects in options.objects:
                print(bench(size, objects, precision, options.frames, device), flush=True)
                print(again(size, objects, precision, options.frames, device), flush=True)


if __name__ == "__main__":
    main()
