"""Mask Refine beside what other nodes do for the same result, in one run.

    python benchmarks/bench_refine.py [--threads 2] [--repeats 5] [--device cuda]

The peers are ComfyUI's GrowMask (SciPy's `grey_dilation` once per pixel, needs scipy) and its
FeatherMask, 3x3 maxima repeated as KJNodes' GrowMaskWithBlur does, and Pillow's MaxFilter. Runs of
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
from pathlib import Path

import cv2
import numpy as np
import torch
from harness import HEAD, ROOT, Row, alternate
from PIL import Image, ImageFilter
from segment_anywhere.core.masks.filters import gaussian_blur
from segment_anywhere.core.masks.refine import Edge, Refinement, refine
from segment_anywhere.core.pictures.render import cutout
from torch import Tensor

SIZES = {"1080p": (1080, 1920), "4K": (2160, 3840)}
WHOLE = Refinement(0.5, -1, 100, 20.0, 4.0, 8.0, Edge.GUIDED, True)
BATCH = 16
_MEMORY_PROBE = """
import sys; sys.argv = ["bench_refine"]; sys.path.insert(0, {folder!r})
import bench_refine as bench
bench.print_memory({size!r}, {soft!r})
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
        Row("cut-out", *alternate(repeats, lambda _: cutout(image, mask), device=device)),
    ]
    if name == "1080p":
        masks, images = mask.repeat(BATCH, 1, 1), image.expand(BATCH, -1, -1, -1)
        whole = alternate(2, lambda _: refine(masks, WHOLE, images), device=device)[0]
        rows.append(Row(f"batch of {BATCH}, per mask (peer: a single one)", whole / BATCH, single))
    return rows


def memory_row(name: str, soft: bool) -> Row:
    """Peak memory of all stages in a fresh process, beside the size of the mask."""
    code = _MEMORY_PROBE.format(folder=str(Path(__file__).parent), size=name, soft=soft)
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kind = "soft mask" if soft else "hard mask"
    return Row(f"peak memory, copies of the {kind}", float(output.split()[-1]), None, "copies")


def print_memory(name: str, soft: bool) -> None:
    """Run all stages once on a small mask, then measure the large one (Linux)."""
    cpu = torch.device("cpu")
    refine(disc((64, 64), cpu), WHOLE, photograph((64, 64), cpu))
    mask, image = disc(SIZES[name], cpu), photograph(SIZES[name], cpu)
    settings = WHOLE
    if soft:
        mask, settings = gaussian_blur(mask[0], 6.0)[None], replace(WHOLE, threshold=0.0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    refine(mask, settings, image)
    print((_memory("VmHWM") - before) / (mask.numel() * 4))


def _memory(field: str) -> int:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    print(f"torch {torch.__version__}, OpenCV {cv2.__version__}, {device}, {args.threads} threads")
    for name, size in SIZES.items():
        print(f"\n{name:<54}{HEAD}")
        for row in peer_rows(disc(size, device), args.repeats, device):
            print(row)
        for row in pipeline_rows(name, args.repeats, device):
            print(row)
        for soft in (False, True):
            print(memory_row(name, soft))


if __name__ == "__main__":
    main()
