"""A drawn portrait with loose strands of hair, of which colours and alpha are known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Strands are drawn so many times as large: their alpha is what of a pixel they cover.
_FINE = 4
_SKIN, _SHIRT = (0.87, 0.68, 0.55), (0.30, 0.22, 0.36)


@dataclass(frozen=True)
class Portrait:
    """image: what a camera sees, `over(background)`. foreground, background: [H, W, 3]. alpha: of
    the person, [H, W]. rough: what a segmenter gives, 0 or 1, without the strands. All are float32,
    0..1.
    """

    foreground: Tensor
    background: Tensor
    alpha: Tensor
    rough: Tensor

    @property
    def image(self) -> Tensor:
        return self.over(self.background)

    def over(self, ground: Tensor) -> Tensor:
        """The person on another ground, [3] or [H, W, 3]: [H, W, 3]."""
        return torch.lerp(ground.expand_as(self.foreground), self.foreground, self.alpha[..., None])


def portrait(size: int = 256, seed: int = 0, strands: int = 400) -> Portrait:
    """A head with hair on a blurred ground, size x size pixels; the same for the same seed."""
    random = np.random.default_rng(seed)
    fine = size * _FINE
    hair = np.zeros((fine, fine), np.uint8)
    _ellipse(hair, (0.5, 0.46), (0.21, 0.26))
    for _ in range(strands):
        cv2.polylines(hair, [_strand(random, fine)], False, 255, random.integers(2, 6), cv2.LINE_AA)
    skin, shirt = np.zeros_like(hair), np.zeros_like(hair)
    _ellipse(skin, (0.5, 0.54), (0.14, 0.19))
    _ellipse(skin, (0.5, 0.74), (0.09, 0.12))
    _ellipse(shirt, (0.5, 1.08), (0.36, 0.30))
    planes = [_area(each, size) for each in (hair, skin, shirt)]
    alpha = np.maximum.reduce(planes)
    hues = random.uniform(0.7, 1.0, (3, 1)) * np.array(((0.34, 0.20, 0.10), _SKIN, _SHIRT))
    foreground = np.broadcast_to(hues[0], (size, size, 3))
    for plane, hue in zip(planes[1:], hues[1:], strict=True):
        foreground = foreground + plane[..., None] * (hue - foreground)
    shade = cv2.GaussianBlur(random.normal(0, 1, (size, size)), (0, 0), size / 64)
    foreground = np.clip(foreground * (1 + 0.6 * shade[..., None]), 0, 1)
    return Portrait(*map(_tensor, (foreground, _ground(random, size), alpha, _rough(alpha))))


def _strand(random: np.random.Generator, fine: int) -> NDArray[np.int32]:
    """A curve that begins in the hair and leaves it, [points, 2]."""
    angle = random.uniform(0.75, 2.25) * np.pi
    start = np.array((0.5, 0.46)) + 0.9 * np.array((0.21 * np.cos(angle), 0.26 * np.sin(angle)))
    turn = angle + np.cumsum(np.full(24, random.normal(0, 0.06)))
    steps = np.stack((np.cos(turn), np.sin(turn)), axis=1) * (0.04 + 0.2 * random.beta(1, 3)) / 24
    return np.round((start + np.cumsum(steps, axis=0)) * fine).astype(np.int32)


def _ellipse(
    plane: NDArray[np.uint8], centre: tuple[float, float], axes: tuple[float, float]
) -> None:
    side = plane.shape[0]
    at = (round(centre[0] * side), round(centre[1] * side))
    radii = (round(axes[0] * side), round(axes[1] * side))
    cv2.ellipse(plane, at, radii, 0, 0, 360, 255, -1)


def _area(plane: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    return cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA) / 255.0


def _ground(random: np.random.Generator, size: int) -> NDArray[np.float64]:
    """A soft, light and colourful ground, as out of focus."""
    patches = random.uniform(0.45, 1.0, (6, 6, 3)) * np.array((0.75, 1.0, 0.9))
    return np.clip(cv2.resize(patches, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def _rough(alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    side = max(3, alpha.shape[0] // 24 | 1)
    solid = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx((alpha > 0.5).astype(np.uint8), cv2.MORPH_OPEN, solid)
    return opened.astype(np.float64)


def _tensor(plane: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(plane.astype(np.float32))
