"""Synthetic pictures of hair-like strands over textured grounds, with the alpha they are made of.

The tiny model under ``tests/fixtures/vitmatte_tiny`` is trained on these pictures, with seeds from
1,000,000 up. Seeds below that are free for tests: no model has seen them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Strands are drawn this much larger, then averaged: coverage to a sixteenth of a pixel.
_SCALE = 4


@dataclass(frozen=True)
class Strands:
    """A drawn picture.

    image: [H, W, 3] float32, 0..1: foreground * alpha + background * (1 - alpha), with a little
    noise. alpha: [H, W] float32, 0..1. foreground, background: [H, W, 3] float32, 0..1, everywhere.
    mask: [H, W] float32, 0 or 1: what a segmentation model makes of it, which sees no hair.
    """

    image: np.ndarray
    alpha: np.ndarray
    foreground: np.ndarray
    background: np.ndarray
    mask: np.ndarray


def draw_strands(seed: int, size: tuple[int, int] = (192, 192), reach: float = 14.0) -> Strands:
    """Draw a body with strands of up to about `reach` pixels that stand away from it.

    seed: names the picture. size: (H, W) in pixels.
    """
    rng = np.random.default_rng(seed)
    body, alpha = _body_and_alpha(rng, size, reach)
    foreground, background = _grounds(rng, size)
    image = background + alpha[..., None] * (foreground - background)
    image = image + rng.uniform(0.002, 0.012) * rng.standard_normal(image.shape)
    mask = (cv2.GaussianBlur(body, (0, 0), 1.5) > 0.5).astype(np.float32)
    return Strands(np.clip(image, 0.0, 1.0).astype(np.float32), alpha, foreground, background, mask)


def _body_and_alpha(
    rng: np.random.Generator, size: tuple[int, int], reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """A round body, and the coverage of it and its strands: [H, W] float32 each."""
    height, width = (side * _SCALE for side in size)
    canvas = np.zeros((height, width), np.uint8)
    middle = np.array([width, height]) * rng.uniform(0.4, 0.6, size=2)
    radii = min(size) * _SCALE * rng.uniform(0.22, 0.34, size=2)
    turns = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    wobble = 1 + 0.06 * np.sin(rng.integers(2, 5) * turns + rng.uniform(0, 6))
    rim = middle + wobble[:, None] * radii * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    cv2.fillPoly(canvas, [rim.astype(np.int32)], 255)
    body = _shrunk(canvas, size)
    around = float(2 * np.pi * radii.mean())
    for turn in rng.uniform(0, 2 * np.pi, size=int(around / _SCALE * rng.uniform(0.25, 0.6))):
        _draw_strand(rng, canvas, middle, radii, turn, reach)
    return body, _shrunk(canvas, size)


def _draw_strand(
    rng: np.random.Generator,
    canvas: np.ndarray,
    middle: np.ndarray,
    radii: np.ndarray,
    turn: float,
    reach: float,
) -> None:
    """A curve from inside the body outwards, bent to one side, from half a pixel to two wide."""
    outwards = np.array([np.cos(turn), np.sin(turn)])
    aside = np.array([-outwards[1], outwards[0]])
    steps = np.linspace(0, 1, 12)[:, None]
    length = _SCALE * reach * rng.uniform(0.4, 1.1)
    bend = rng.uniform(-0.9, 0.9) * length
    root = middle + 0.9 * radii * outwards
    curve = root + steps * (0.1 * radii + length) * outwards + steps**2 * bend * aside
    thickness = int(rng.integers(2, 2 * _SCALE + 1))
    cv2.polylines(canvas, [np.round(curve).astype(np.int32)], False, 255, thickness)


def _shrunk(canvas: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    small = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def _grounds(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Foreground and background that differ in colour on the whole, if not everywhere."""
    while True:
        first, second = rng.uniform(0.08, 0.92, size=(2, 3))
        if np.abs(first - second).max() > 0.35:
            return (
                _texture(rng, size, first, rng.uniform(0.02, 0.08)),
                _texture(rng, size, second, rng.uniform(0.05, 0.18)),
            )


def _texture(
    rng: np.random.Generator, size: tuple[int, int], colour: np.ndarray, strength: float
) -> np.ndarray:
    """Blots of several sizes about a colour: [H, W, 3] float32, 0..1."""
    texture = np.zeros((*size, 3), np.float32)
    for sigma in (1.0, 3.0, 9.0):
        noise = cv2.GaussianBlur(rng.standard_normal((*size, 3)).astype(np.float32), (0, 0), sigma)
        grey = noise.mean(axis=2, keepdims=True)
        texture += (0.5 * noise + grey) / max(1e-6, float(noise.std()))
    return np.clip(colour + strength * texture / 2, 0.0, 1.0).astype(np.float32)
