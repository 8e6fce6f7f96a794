"""Clips made from pictures, with what is in them known exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from segment_anywhere.core.engines.base import ClipFrame, Engine


def motion(
    size: tuple[int, int], shift: tuple[float, float], turn: float = 0.0, zoom: float = 1.0
) -> np.ndarray:
    """A matrix [2, 3] that turns (degrees) and zooms an image of (H, W) about its middle, then
    shifts it by (x, y) pixels."""
    matrix = cv2.getRotationMatrix2D(((size[1] - 1) / 2, (size[0] - 1) / 2), turn, zoom)
    matrix[:, 2] += shift
    return matrix


def moved(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """An image [H, W, 3] float32, moved by a matrix; what comes in is its mirror image."""
    size = (image.shape[1], image.shape[0])
    return cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT_101)


def moved_mask(mask: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A mask [H, W] bool, moved by a matrix; nothing comes in."""
    size = (mask.shape[1], mask.shape[0])
    return cv2.warpAffine(mask.astype(np.float32), matrix, size) > 0.5


def texture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Grey and dull blots, small ones and large ones: [H, W, 3] float32, 0.1..0.6."""
    rng = np.random.default_rng(seed)
    noise = rng.random((*size, 3), dtype=np.float32) - 0.5
    noise = sum(sigma * cv2.GaussianBlur(noise, (0, 0), sigma) for sigma in (2.5, 6.0, 15.0))
    noise = 0.7 * noise.mean(axis=2, keepdims=True) + 0.3 * noise
    return (0.1 + 0.5 * (noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def disc(size: tuple[int, int], middle: tuple[float, float], radius: float) -> np.ndarray:
    """A disc about (x, y): [H, W] bool."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.hypot(x - middle[0], y - middle[1]) <= radius


def painted(image: np.ndarray, mask: np.ndarray, color: Sequence[float]) -> np.ndarray:
    """A copy of an image with a mask in a colour, with a pattern that goes along with the mask."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return image
    shift = (round(float(columns.mean())), round(float(rows.mean())))
    pattern = np.roll(texture(mask.shape, seed=100), shift, axis=(1, 0)).mean(axis=2)
    painting = image.copy()
    painting[mask] = np.asarray(color, np.float32) * (0.6 + pattern[mask])[:, None]
    return np.clip(painting, 0.0, 1.0)


def frames_of(
    engine: Engine, images: Sequence[np.ndarray], device: torch.device | str = "cpu"
) -> Iterator[ClipFrame]:
    """The frames of a clip of images [H, W, 3] float32, each embedded when its turn comes."""
    for index, image in enumerate(images):
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)
        yield ClipFrame(index, pixels, engine.encode(pixels))
