"""What crops cost: 20 objects of a frame of 3840x2160, each half a hundredth of it, there and back.

    python -m benchmarks.bench_crops [--repeats 5]

Times are medians in milliseconds for all objects together; all that is not about a crop's own
rectangle is the one copy of the frame that the result is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from segment_anywhere.core.pictures.crops import CropSettings, crop, plan_crops
from segment_anywhere.core.pictures.stitch import Stitch, stitch_frames
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments

from .harness import HEAD, Row, alternate, random_frames

UHD = (2160, 3840)
ROWS, COLUMNS = 4, 5
RADIUS = 115


def objects() -> Segments:
    """Discs in rows and columns."""
    y, x = torch.meshgrid(*(torch.arange(side) for side in UHD), indexing="ij")
    instances = []
    for number in range(ROWS * COLUMNS):
        row, column = divmod(number, COLUMNS)
        middle = UHD[0] * (row + 0.5) / ROWS, UHD[1] * (column + 0.5) / COLUMNS
        disc = torch.hypot(y - middle[0], x - middle[1]) < RADIUS
        instances.append(Instance(compact(disc), 0.9, "object", 0, number))
    return Segments.from_instances(instances, UHD, 1)


def rows(repeats: int, size: int) -> Iterator[Row]:
    """There and back, with crops of that size."""
    image = torch.from_numpy(random_frames(1, *UHD)[0]).float()[None] / 255
    out = torch.empty_like(image)
    places = plan_crops(objects(), CropSettings(size=size))
    crops = [crop(image, place)[0] for place in places]
    stitch = Stitch(image, 1, tuple(places), tuple(each[None] for each in crops))
    changed = [1.0 - each for each in crops]
    pixels = sum(place.size[0] * place.size[1] for place in places) / 1e6
    cutting, plain, feathered, copying = alternate(
        repeats,
        lambda _: [crop(image, place) for place in places],
        lambda _: list(stitch_frames(stitch, changed, 0.0, out)),
        lambda _: list(stitch_frames(stitch, changed, 8.0, out)),
        lambda _: out.copy_(image),
    )
    yield Row(f"Crop Segments, size {size}, {pixels:.1f} million pixels", cutting)
    yield Row(f"Stitch Segments, size {size}, beside a copy", plain, copying)
    yield Row(f"Stitch Segments, size {size}, feather 8, beside a copy", feathered, copying)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'':<54}{HEAD}")
    for size in (0, 1024):
        for row in rows(options.repeats, size):
            print(row, flush=True)


if __name__ == "__main__":
    main()
