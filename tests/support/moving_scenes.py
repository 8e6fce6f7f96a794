"""Synthetic clips of the shapes of ``scenes.py`` in motion, the same for the same seed.

The tiny tracker under ``tests/fixtures`` is trained on these clips, with seeds from 1,000,000 up.
Seeds below that are free for tests: no model has seen them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from tests.support.scenes import (
    CANVAS,
    COLORS,
    KINDS,
    MIN_VISIBLE_AREA,
    Shape,
    outline_distance,
    paint_background,
    paint_shape,
)

FRAMES = 8
# A shape is seen where it shows at least so many pixels of a drawing of 128: four of the tiny
# tracker's masks.
SEEN = 64
# Pixels of a drawing of 128 by which one shape covers another that it crosses, at least.
_MIN_COVERED = 150
# Kinds without holes, behind which another shape is hidden.
_SOLID = ("circle", "square")


class Motion(Enum):
    """What happens in a clip.

    DRIFT: three shapes move about. CROSSING: two of like size change sides, one in front of the
    other. HIDDEN: a small one passes behind a large one and is not seen at all for 1 to 3 frames.
    """

    DRIFT = "drift"
    CROSSING = "crossing"
    HIDDEN = "hidden"


@dataclass(frozen=True)
class Clip:
    """A drawn clip of T frames.

    images: float32 [T, H, W, 3], RGB, 0..1. masks: bool [N, T, H, W], the visible part of each
    shape, from the rearmost to the foremost; in clips with something hidden that is the first.
    """

    images: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True)
class _Path:
    """A shape on its way: its place on the first and the last frame in canvas units, how far it
    is off the straight line half-way, and by how many radians it turns in all."""

    shape: Shape
    end: tuple[float, float]
    bend: float
    turn: float

    def at(self, share: float) -> Shape:
        """The shape when this share of the time, 0..1, has passed."""
        start = np.array([self.shape.x, self.shape.y])
        way = np.array(self.end) - start
        aside = np.array([-way[1], way[0]]) / max(1.0, float(np.hypot(*way)))
        x, y = start + share * way + 4 * share * (1 - share) * self.bend * aside
        return replace(
            self.shape, x=float(x), y=float(y), angle=self.shape.angle + share * self.turn
        )


def _shape(
    rng: np.random.Generator, radius: tuple[float, float], kinds: tuple[str, ...] = KINDS
) -> Shape:
    """A shape in the middle of the canvas."""
    return Shape(
        kind=kinds[int(rng.integers(len(kinds)))],
        x=CANVAS / 2,
        y=CANVAS / 2,
        radius=float(rng.uniform(*radius)),
        angle=float(rng.uniform(0.0, 2.0 * np.pi)),
    )


def _through_middle(rng: np.random.Generator, shape: Shape, angle: float, reach: float) -> _Path:
    """From one side of the canvas through about its middle to the other."""
    along = reach * np.array([np.cos(angle), np.sin(angle)])
    middle = CANVAS / 2 + rng.uniform(-4.0, 4.0, size=2)
    start, end = middle - along, middle + along
    placed = replace(shape, x=float(start[0]), y=float(start[1]))
    bend, turn = rng.uniform(-5.0, 5.0), rng.uniform(-0.8, 0.8)
    return _Path(placed, (float(end[0]), float(end[1])), float(bend), float(turn))


def _drift(rng: np.random.Generator) -> list[_Path]:
    paths = []
    for _ in range(3):
        start = rng.uniform(22.0, CANVAS - 22.0, size=2)
        end = np.clip(start + rng.uniform(-48.0, 48.0, size=2), 22.0, CANVAS - 22.0)
        shape = replace(_shape(rng, (18.0, 26.0)), x=float(start[0]), y=float(start[1]))
        bend, turn = rng.uniform(-10.0, 10.0), rng.uniform(-0.8, 0.8)
        paths.append(_Path(shape, (float(end[0]), float(end[1])), float(bend), float(turn)))
    return paths


def _crossing(rng: np.random.Generator) -> list[_Path]:
    shape = _shape(rng, (19.0, 25.0))
    other = replace(_shape(rng, (0.9, 1.1)), radius=shape.radius * float(rng.uniform(0.9, 1.1)))
    angle = float(rng.uniform(0.0, 2.0 * np.pi))
    # Not quite head-on.
    across = angle + np.pi + float(rng.uniform(-0.6, 0.6))
    return [
        _through_middle(rng, shape, angle, float(rng.uniform(34.0, 42.0))),
        _through_middle(rng, other, across, float(rng.uniform(34.0, 42.0))),
    ]


def _hidden(rng: np.random.Generator) -> list[_Path]:
    small = _shape(rng, (16.0, 19.0), ("circle", "square", "triangle"))
    large = _shape(rng, (29.0, 34.0), _SOLID)
    angle = float(rng.uniform(0.0, 2.0 * np.pi))
    passing = _through_middle(rng, small, angle, float(rng.uniform(46.0, 54.0)))
    across = float(rng.uniform(0.0, 2.0 * np.pi))
    return [passing, _through_middle(rng, large, across, float(rng.uniform(0.0, 8.0)))]


_LAYOUTS: dict[Motion, Callable[[np.random.Generator], list[_Path]]] = {
    Motion.DRIFT: _drift,
    Motion.CROSSING: _crossing,
    Motion.HIDDEN: _hidden,
}


def _visible(distances: np.ndarray) -> np.ndarray:
    """Signed distances [N, T, H, W] of shapes, rearmost first -> where each is seen, bool."""
    covered = distances < 0
    masks = covered.copy()
    for front in range(1, len(masks)):
        masks[:front] &= ~covered[front]
    return masks


def _distances(paths: list[_Path], size: int) -> np.ndarray:
    """[N, FRAMES, size, size] float32, canvas units."""
    shares = np.linspace(0.0, 1.0, FRAMES)
    rows = [[outline_distance(path.at(share), size) for share in shares] for path in paths]
    return np.array(rows, dtype=np.float32)


def _fits(motion: Motion, distances: np.ndarray) -> bool:
    """Whether every shape can be clicked on the first frame and what is to happen happens."""
    areas = _visible(distances).sum(axis=(2, 3))
    full = (distances < 0).sum(axis=(2, 3))
    if areas[:, 0].min() < MIN_VISIBLE_AREA:
        return False
    if motion is Motion.DRIFT:
        return True
    if (areas[:, -1] < 0.9 * full[:, -1]).any() or areas[:, -1].min() < MIN_VISIBLE_AREA:
        return False
    if motion is Motion.CROSSING:
        return bool((full[0] - areas[0]).max() >= _MIN_COVERED)
    return 1 <= int((areas[0] == 0).sum()) <= 3


def draw_clip(seed: int, motion: Motion, size: int = 128) -> Clip:
    """Draw shapes of different colours that move for FRAMES frames over a background at rest.

    seed: names the clip; the same seed and motion are the same paths at every size. size: height
    and width in pixels. On the first frame of a drawing of 128 every shape shows at least 400
    pixels.
    """
    rng = np.random.default_rng((seed, list(Motion).index(motion)))
    paths = _LAYOUTS[motion](rng)
    while not _fits(motion, _distances(paths, CANVAS)):
        paths = _LAYOUTS[motion](rng)
    names = list(COLORS)
    colors = [names[int(pick)] for pick in rng.permutation(len(names))[: len(paths)]]
    background = paint_background(rng, size)
    noise = float(rng.uniform(0.01, 0.04))
    shades = [int(rng.integers(2**31)) for _ in paths]
    distances = _distances(paths, size)
    images = np.empty((FRAMES, size, size, 3), dtype=np.float32)
    for frame, share in enumerate(np.linspace(0.0, 1.0, FRAMES)):
        image = background
        for row, path in enumerate(paths):
            # A shape keeps its shade from frame to frame.
            shade = np.random.default_rng(shades[row])
            distance = distances[row, frame]
            image = paint_shape(image, path.at(share), colors[row], distance, shade)
        image = image + noise * rng.standard_normal(image.shape, dtype=np.float32)
        images[frame] = np.clip(image, 0.0, 1.0)
    return Clip(images, _visible(distances))
