"""What a result costs: the memory of its masks, and the time of the pictures drawn of it.

    python -m benchmarks.bench_results [--repeats 9]

Memory is that of all that `Segments` holds, beside a byte for every pixel of the image. Times are
medians in milliseconds for one frame of 1920x1080 with three objects of a tenth of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from segment_anywhere.core.pictures.cutout import CutOutSettings, cut_out
from segment_anywhere.core.pictures.render import Drawing, Style, draw
from segment_anywhere.core.pictures.thumbnails import (
    image_pictures,
    mask_pictures,
    prompt_picture,
    result_pictures,
)
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments, union_masks

from .harness import HEAD, Row, alternate, random_frames

MEGABYTE = 2**20
FULL_HD, UHD = (1080, 1920), (2160, 3840)
SHARE = 0.1


def ellipse(size: tuple[int, int], number: int) -> torch.Tensor:
    """An ellipse that covers a share of an image of (H, W): [H, W] bool; the number moves it."""
    radius = (SHARE / torch.pi) ** 0.5
    rows = torch.linspace(-0.5, 0.5, size[0])[:, None] - 0.02 * (number % 7 - 3)
    columns = torch.linspace(-0.5, 0.5, size[1]) - 0.02 * (number % 5 - 2)
    return rows**2 + columns**2 <= radius**2


def result(size: tuple[int, int], frames: int, count: int) -> Segments:
    """So many objects in each frame; no two share their pixels' memory."""
    masks = [compact(ellipse(size, number)) for number in range(count)]
    instances = [
        Instance(replace(mask, data=mask.data.copy()), 0.9, "object", frame, number)
        for frame in range(frames)
        for number, mask in enumerate(masks)
    ]
    return Segments.from_instances(instances, size, frames)


def held_bytes(segments: Segments) -> int:
    """Bytes of all that a result holds."""
    columns = (segments.boxes, segments.scores, segments.frames, segments.ids)
    return sum(mask.data.nbytes for mask in segments.masks) + sum(each.nbytes for each in columns)


def memory_rows() -> Iterator[Row]:
    cases = (
        ("200 objects of a tenth at 3840x2160", UHD, 1, 200),
        ("800 frames of 1920x1080, 3 objects of a tenth", FULL_HD, 800, 3),
    )
    for name, size, frames, count in cases:
        segments = result(size, frames, count)
        full = len(segments) * size[0] * size[1]
        yield Row(name, held_bytes(segments) / MEGABYTE, full / MEGABYTE, "MiB")
    hard = ellipse(FULL_HD, 0)
    soft = torch.where(hard, 200, 0).to(torch.uint8)
    for name, mask in (("a hard mask", hard), ("a soft mask", soft)):
        kept = compact(mask)
        pixels = (kept.right - kept.left) * (kept.bottom - kept.top)
        yield Row(
            f"{name}, per 1000 pixels of its box", 1000 * kept.data.nbytes / pixels, 1000, "B"
        )


def picture_rows(repeats: int) -> Iterator[Row]:
    segments = result(FULL_HD, 1, 3)
    image = torch.from_numpy(random_frames(1, *FULL_HD)[0]).float()[None] / 255
    mask, drawn = union_masks(segments), torch.empty(1, *FULL_HD, 3)
    cut = torch.empty(1, *FULL_HD, 4)
    layers = [(each.id, each.mask) for each in segments]
    whole = (slice(0, FULL_HD[0]), slice(0, FULL_HD[1]))

    def drawing(style: Style) -> Callable[[int], object]:
        return lambda _: list(draw(image, segments, Drawing(style), drawn))

    def cutting(clean: bool) -> Callable[[int], object]:
        return lambda _: list(cut_out(image, mask, whole, CutOutSettings(clean), cut))

    calls: dict[str, Callable[[int], object]] = {
        "Draw Segments, fill": drawing(Style.FILL),
        "Draw Segments, contour": drawing(Style.CONTOUR),
        "Draw Segments, label map": drawing(Style.LABEL_MAP),
        "Cut Out, clean edges": cutting(True),
        "Cut Out, plain": cutting(False),
        "picture in a segment node (limit 15)": lambda _: list(result_pictures(image, segments)),
        "picture in a mask node (limit 15)": lambda _: list(mask_pictures(mask)),
        "picture of a cut-out (limit 15)": lambda _: list(image_pictures(cut)),
        "mask in the editor (limit 15)": lambda _: prompt_picture(layers, FULL_HD),
    }
    for name, call in calls.items():
        yield Row(name, *alternate(repeats, call))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'':<54}{HEAD}")
    for row in memory_rows():
        print(row, flush=True)
    for row in picture_rows(options.repeats):
        print(row, flush=True)


if __name__ == "__main__":
    main()
