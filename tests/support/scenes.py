"""Synthetic scenes of coloured shapes with exact masks, the same for the same seed.

The tiny models under ``tests/fixtures`` are trained on these scenes, with seeds from 1,000,000 up.
Seeds below that are free for tests: no model has seen them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

KINDS: tuple[str, ...] = ("circle", "square", "triangle", "ring", "cross")

COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.88, 0.12, 0.12),
    "green": (0.12, 0.68, 0.18),
    "blue": (0.14, 0.24, 0.90),
    "yellow": (0.95, 0.88, 0.12),
    "purple": (0.62, 0.14, 0.78),
    "cyan": (0.12, 0.84, 0.90),
    "white": (0.96, 0.96, 0.96),
}

# Shapes are laid out on a canvas of this many units a side, whatever size is drawn.
CANVAS = 128
# The smallest visible part of a shape, in pixels of a CANVAS-sized drawing.
MIN_VISIBLE_AREA = 400
# A shape hidden more than this much is no longer recognisable as its kind.
MIN_VISIBLE_SHARE = 0.6
MIN_SHAPES = 2
MAX_SHAPES = 4
MAX_TRIES = 80


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    image: float32 [H, W, 3], RGB, 0..1.
    masks: bool [N, H, W], the visible part of each shape, from the rearmost to the foremost.
    kinds: N names out of ``KINDS``.
    colors: N names out of ``COLORS``, each at most once in a scene.
    """

    image: np.ndarray
    masks: np.ndarray
    kinds: list[str]
    colors: list[str]


@dataclass(frozen=True)
class Shape:
    """A shape on the canvas: centre and radius in canvas units, angle in radians."""

    kind: str
    x: float
    y: float
    radius: float
    angle: float


def _circle(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    return np.hypot(u, v) - radius


def _square(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) - 0.82 * radius


def _triangle(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    slanted = 0.8660254 * np.abs(u) - 0.5 * v
    return np.maximum(slanted, v) - 0.6 * radius


def _ring(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    return np.abs(np.hypot(u, v) - 0.72 * radius) - 0.28 * radius


def _cross(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    width = np.abs(u)
    height = np.abs(v)
    lying = np.maximum(width - radius, height - 0.36 * radius)
    standing = np.maximum(width - 0.36 * radius, height - radius)
    return np.minimum(lying, standing)


_DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "ring": _ring,
    "cross": _cross,
}


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x [1, size] and y [size, 1] of the pixel centres, float32, in canvas units."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) * (CANVAS / size)
    return centres[None, :], centres[:, None]


def outline_distance(shape: Shape, size: int) -> np.ndarray:
    """Signed distance to the outline: float32 [size, size], canvas units, negative inside."""
    x, y = _grid(size)
    dx = x - np.float32(shape.x)
    dy = y - np.float32(shape.y)
    cos = np.float32(np.cos(shape.angle))
    sin = np.float32(np.sin(shape.angle))
    return _DISTANCES[shape.kind](cos * dx + sin * dy, cos * dy - sin * dx, shape.radius)


def _propose(rng: np.random.Generator) -> Shape:
    kind = KINDS[int(rng.integers(len(KINDS)))]
    # Thin arms would vanish in a mask that is a quarter of the image's size.
    smallest = 20.0 if kind in ("ring", "cross") else 16.0
    x, y = rng.uniform(10.0, CANVAS - 10.0, size=2)
    return Shape(
        kind=kind,
        x=float(x),
        y=float(y),
        radius=float(rng.uniform(smallest, 32.0)),
        angle=float(rng.uniform(0.0, 2.0 * np.pi)),
    )


def _layout(rng: np.random.Generator) -> list[Shape]:
    """Place shapes one over the other so that enough of each stays visible."""
    count = int(rng.integers(MIN_SHAPES, MAX_SHAPES + 1))
    shapes: list[Shape] = []
    visible: list[np.ndarray] = []
    areas: list[int] = []
    tries = 0
    while len(shapes) < MIN_SHAPES or (len(shapes) < count and tries < MAX_TRIES):
        tries += 1
        shape = _propose(rng)
        covered = outline_distance(shape, CANVAS) < 0
        area = int(covered.sum())
        remaining = [mask & ~covered for mask in visible]
        enough = all(
            mask.sum() >= max(MIN_VISIBLE_AREA, MIN_VISIBLE_SHARE * full)
            for mask, full in zip(remaining, areas, strict=True)
        )
        if area < MIN_VISIBLE_AREA or not enough:
            continue
        shapes.append(shape)
        visible = [*remaining, covered]
        areas.append(area)
    return shapes


def paint_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A dull colour with a gradient and a few waves: float32 [size, size, 3]."""
    x, y = _grid(size)
    x = x / CANVAS
    y = y / CANVAS
    level = rng.uniform(0.18, 0.5)
    slope_x, slope_y = rng.uniform(-0.15, 0.15, size=2).astype(np.float32)
    pattern = level + slope_x * (x - 0.5) + slope_y * (y - 0.5)
    for _ in range(3):
        freq_x, freq_y = rng.uniform(-9.0, 9.0, size=2).astype(np.float32)
        phase = np.float32(rng.uniform(0.0, 2.0 * np.pi))
        strength = np.float32(rng.uniform(0.01, 0.04))
        pattern = pattern + strength * np.sin(2.0 * np.pi * (freq_x * x + freq_y * y) + phase)
    tint = rng.uniform(-0.06, 0.06, size=3).astype(np.float32)
    return (pattern[..., None] + tint).astype(np.float32)


def paint_shape(
    image: np.ndarray, shape: Shape, color: str, distance: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Lay a softly shaded shape over the image: float32 [size, size, 3]."""
    size = image.shape[0]
    x, y = _grid(size)
    tone = np.array(COLORS[color]) + rng.uniform(-0.05, 0.05, size=3)
    slope_x, slope_y = rng.uniform(-0.1, 0.1, size=2)
    shading = slope_x * (x - shape.x) / shape.radius + slope_y * (y - shape.y) / shape.radius
    fill = tone.astype(np.float32) + shading[..., None].astype(np.float32)
    # One pixel of blending along the outline, as a camera or a drawing program would give.
    alpha = np.clip(0.5 - distance * (size / CANVAS), 0.0, 1.0)[..., None]
    return image + alpha * (fill - image)


def draw_scene(seed: int, size: int = 128) -> Scene:
    """Draw 2 to 4 shapes of different colours over a noisy background.

    seed: names the scene; the same seed is the same layout at every size.
    size: height and width in pixels. At 128 every shape shows at least 400 pixels.
    """
    rng = np.random.default_rng(seed)
    shapes = _layout(rng)
    names = list(COLORS)
    picks = rng.permutation(len(names))[: len(shapes)]
    colors = [names[int(pick)] for pick in picks]
    image = paint_background(rng, size)
    masks = np.zeros((len(shapes), size, size), dtype=bool)
    for index, (shape, color) in enumerate(zip(shapes, colors, strict=True)):
        distance = outline_distance(shape, size)
        image = paint_shape(image, shape, color, distance, rng)
        covered = distance < 0
        masks[:index] &= ~covered
        masks[index] = covered
    noise = rng.uniform(0.01, 0.04)
    image = image + noise * rng.standard_normal(image.shape, dtype=np.float32)
    image = np.clip(image, 0.0, 1.0).astype(np.float32)
    return Scene(image=image, masks=masks, kinds=[shape.kind for shape in shapes], colors=colors)


def interior_point(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) of a mask that lies farthest from its outline.

    mask: bool [H, W] with at least one pixel set. The edge of the image counts as outline.
    """
    # Imported here so that drawing needs numpy alone.
    import cv2

    if not mask.any():
        raise ValueError("an empty mask has no interior point")
    padded = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return int(x), int(y)


def as_image(*images: np.ndarray) -> torch.Tensor:
    """IMAGE of drawn scenes' images, [H, W, 3] each: [B, H, W, 3]."""
    return torch.stack([torch.from_numpy(image) for image in images])
