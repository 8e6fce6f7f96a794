"""What is known of objects in the frames of a clip, at the size at which they are followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base import Candidates
from ..grabcut.marks import fit
from .looks import Cells, Look, cells_of
from .motion import GrayImage
from .shapes import REACH, BoolMap, FloatMap

# Longest side in pixels at which frames are compared and masks kept.
_WORK_SIDE = 640


@dataclass(frozen=True)
class Picture:
    """A frame at the working size: its place in the clip, its greys and colour cells, [h, w]."""

    index: int
    gray: GrayImage
    cells: Cells

    @property
    def size(self) -> tuple[int, int]:
        return self.gray.shape[0], self.gray.shape[1]


def shrink(index: int, pixels: Tensor) -> Picture:
    """The picture of a frame [H, W, 3] float32, 0..1, on any device: no side above 640 pixels."""
    import cv2

    whole = np.ascontiguousarray(pixels.detach().cpu().numpy())
    size = fit((whole.shape[0], whole.shape[1]), _WORK_SIDE)
    if size != whole.shape[:2]:
        whole = cv2.resize(whole, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    rgb: NDArray[np.uint8] = np.rint(np.clip(whole, 0, 1) * 255).astype(np.uint8)
    return Picture(index, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint8), cells_of(rgb))


@dataclass(frozen=True)
class Sighting:
    """An object in a picture, or that it is not seen there.

    logits: [h, w] float32, what the caller gets. field: [h, w] float32, distances to the outline,
    which are carried on. score: 0..1. area: of the object in pixels when last seen.
    """

    picture: Picture
    logits: FloatMap
    field: FloatMap
    score: float
    area: int

    @property
    def mask(self) -> BoolMap:
        return self.field > 0

    @property
    def candidates(self) -> Candidates:
        return Candidates(torch.from_numpy(self.logits)[None], torch.tensor([self.score]))


def unseen(picture: Picture, area: int) -> Sighting:
    """That an object of an area, when last seen, is not in a picture."""
    nowhere = np.full(picture.size, -REACH, np.float32)
    return Sighting(picture, nowhere, nowhere, 0.0, area)


@dataclass(frozen=True)
class KeyFrame:
    """What an object is in a key frame. look: None where it is not seen there. is_drawn: whether
    the engine draws much the same mask when it is asked with it."""

    sighting: Sighting
    look: Look | None
    is_drawn: bool
