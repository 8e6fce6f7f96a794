"""Scenes of small shapes in a grid, several of one colour: what looks like an example is there.

`tests/fixtures/sam3_tiny` is trained on these, with seeds from 1,000,000 up; tests
take seeds below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scenes import CANVAS, KINDS, Shape, outline_distance, paint_background, paint_shape

# Cells along the side of a square scene.
CELLS = 4
# That look least like one another.
SHOWN = ("red", "green", "blue", "yellow")
_CELL = CANVAS / CELLS


@dataclass(frozen=True)
class Grid:
    """A drawn scene.

    image: float32 [H, W, 3], RGB, 0..1. masks: bool [N, H, W], no two of which overlap. colors: N
    names out of `SHOWN`.
    """

    image: np.ndarray
    masks: np.ndarray
    colors: list[str]

    def boxes(self, color: str = "") -> list[tuple[int, int, int, int]]:
        """Around the shapes of a colour, or all: xyxy in pixels."""
        boxes = []
        for mask, name in zip(self.masks, self.colors, strict=True):
            if color in ("", name):
                rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
                boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        return [tuple(map(int, box)) for box in boxes]

    def union(self, color: str) -> np.ndarray:
        """All pixels of a colour: bool [H, W]."""
        shown = [mask for mask, name in zip(self.masks, self.colors, strict=True) if name == color]
        return np.any(shown, axis=0) if shown else np.zeros(self.image.shape[:2], dtype=bool)


def draw_grid(seed: int, size: int = CANVAS) -> Grid:
    """Draw 4 to 9 shapes over a noisy background, `size` pixels high and wide."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(CELLS * CELLS)[: int(rng.integers(4, 10))]
    image = paint_background(rng, size)
    masks, colors = [], []
    for cell in cells:
        row, column = divmod(int(cell), CELLS)
        radius = float(rng.uniform(10.0, 14.0))
        shape = Shape(
            kind=KINDS[int(rng.integers(3))],
            x=(column + 0.5) * _CELL + float(rng.uniform(-2.0, 2.0)),
            y=(row + 0.5) * _CELL + float(rng.uniform(-2.0, 2.0)),
            radius=radius,
            angle=float(rng.uniform(0.0, 2.0 * np.pi)),
        )
        color = SHOWN[int(rng.integers(len(SHOWN)))]
        distance = outline_distance(shape, size)
        image = paint_shape(image, shape, color, distance, rng)
        masks.append(distance < 0)
        colors.append(color)
    image = image + rng.uniform(0.01, 0.03) * rng.standard_normal(image.shape, dtype=np.float32)
    return Grid(np.clip(image, 0.0, 1.0).astype(np.float32), np.stack(masks), colors)


def half(grid: Grid, right: bool) -> Grid:
    """The left or right half of a scene, with the shapes that lie in it."""
    middle = grid.image.shape[1] // 2
    columns = slice(middle, None) if right else slice(0, middle)
    masks = grid.masks[:, :, columns]
    # Shapes keep to their cells, but for a pixel or two.
    kept = [row for row, mask in enumerate(masks) if 2 * mask.sum() > grid.masks[row].sum()]
    return Grid(grid.image[:, columns], masks[kept], [grid.colors[row] for row in kept])
