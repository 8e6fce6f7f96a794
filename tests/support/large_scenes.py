"""Large scenes of small shapes with exact masks, painted as those of `scenes.py` are."""

from __future__ import annotations

import numpy as np

from tests.support.scenes import (
    CANVAS,
    COLORS,
    Scene,
    Shape,
    outline_distance,
    paint_background,
    paint_shape,
)

_KINDS = ("circle", "square", "triangle")
# Shapes lie in cells of a grid, so that no two touch.
_CELLS = 8


def draw_large_scene(seed: int, size: int, shape_size: int, count: int) -> Scene:
    """So many shapes of about shape_size pixels on size x size, none over another.

    Their colours are red, blue and yellow in turn.
    """
    rng = np.random.default_rng(seed)
    image = paint_background(rng, size)
    masks = np.zeros((count, size, size), dtype=bool)
    kinds, colors = [], []
    side = 2 * shape_size
    for index, cell in enumerate(rng.permutation(_CELLS**2)[:count].tolist()):
        centre = (np.array(divmod(cell, _CELLS)) + rng.uniform(0.2, 0.8, 2)) * size / _CELLS
        top, left = np.clip(centre.astype(int) - shape_size, 0, size - side).tolist()
        kind, color = _KINDS[int(rng.integers(len(_KINDS)))], ("red", "blue", "yellow")[index % 3]
        angle = float(rng.uniform(0.0, 2.0 * np.pi))
        shape = Shape(kind, CANVAS / 2, CANVAS / 2, CANVAS / 4, angle)
        area = (slice(top, top + side), slice(left, left + side))
        distance = outline_distance(shape, side)
        image[area] = paint_shape(image[area], shape, color, distance, rng)
        masks[index][area] = distance < 0
        kinds.append(kind)
        colors.append(color)
    assert set(colors) <= set(COLORS)
    image = image + 0.02 * rng.standard_normal(image.shape, dtype=np.float32)
    return Scene(np.clip(image, 0.0, 1.0).astype(np.float32), masks, kinds, colors)
