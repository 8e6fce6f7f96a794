"""Masks and results that the tests of datasets write and read."""

from __future__ import annotations

import numpy as np
import torch
from segment_anywhere.core.results.compact_mask import INSIDE, compact
from segment_anywhere.core.results.segments import Instance, Segments

SIZE = (160, 200)


def shapes() -> dict[str, np.ndarray]:
    """[160, 200] bool by name: with holes, in parts, at the border, as small as can be."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    radius = np.hypot(x - 90, y - 80)
    found = {
        "disc": radius < 60,
        "ring": (radius < 60) & (radius > 25),
        "rings in a ring": (radius < 70) & ~((radius > 20) & (radius < 40)) & (radius > 8),
        "two holes": (radius < 60) & (np.hypot(x - 70, y - 80) > 12) & (abs(x - 115) + y % 7 > 9),
        "parts": (radius < 40) | (np.hypot(x - 175, y - 20) < 18) | ((x > 150) & (y > 120)),
        "at all borders": (x < 30) | (y < 20) | (x >= 190) | (y >= 155),
        "everything": np.ones(SIZE, bool),
        "corners that touch": (x // 40 + y // 40) % 2 == 0,
        "one pixel": (x == 7) & (y == 9),
        "a line": (y == 50) & (x > 20) & (x < 180),
        "last pixel": (x == SIZE[1] - 1) & (y == SIZE[0] - 1),
    }
    return {name: np.ascontiguousarray(pixels) for name, pixels in found.items()}


def result(*named: tuple[str, str], batch: int = 1) -> Segments:
    """Objects of (label, shape), the same in every frame, with ids and scores of their own."""
    known = shapes()
    instances = [
        Instance(compact(torch.from_numpy(known[shape])), 0.5 + place / 100, label, frame, place)
        for frame in range(batch)
        for place, (label, shape) in enumerate(named)
    ]
    return Segments.from_instances(instances, SIZE, batch)


def photo(batch: int = 1, seed: int = 0) -> torch.Tensor:
    """IMAGE [batch, 160, 200, 3] of random pixels."""
    return torch.rand(batch, *SIZE, 3, generator=torch.Generator().manual_seed(seed))


def pixels_of(segments: Segments) -> list[np.ndarray]:
    """The masks of a result, bool."""
    return [mask.pixels().numpy() >= INSIDE for mask in segments.masks]
