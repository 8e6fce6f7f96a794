"""What is known of objects in the frames of a clip, at the size at which they are followed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...opencv import cv2
from ..base import Candidates
from ..grabcut.marks import fit
from .looks import Cells, Look, cells_of, similarity
from .motion import GrayImage
from .shapes import REACH, BoolMap, FloatMap

# Longest side in pixels at which frames are compared and masks kept.
_WORK_SIDE = 640
# Fewer pixels of the working size are no object.
_LEAST_AREA = 12


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
    whole = np.ascontiguousarray(pixels.detach().cpu().numpy())
    size = fit((whole.shape[0], whole.shape[1]), _WORK_SIDE)
    if size != whole.shape[:2]:
        whole = cv2.resize(whole, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    rgb: NDArray[np.uint8] = np.rint(np.clip(whole, 0, 1) * 255).astype(np.uint8)
    return Picture(index, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint8), cells_of(rgb))


@dataclass(frozen=True)
class Trace:
    """Of an object when it was last seen: its pixels, and (x, y) of their middle."""

    area: int = 0
    middle: tuple[float, float] = (0.0, 0.0)


def trace_of(mask: BoolMap) -> Trace:
    """The trace of a mask [h, w]."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return Trace()
    return Trace(len(rows), (float(columns.mean()), float(rows.mean())))


@dataclass(frozen=True)
class Sighting:
    """An object in a picture, or that it is not seen there.

    logits: [h, w] float32, what the caller gets. field: [h, w] float32, distances to the outline,
    which are carried on. score: 0..1. trace: of this picture, or of the last one with the object.
    """

    picture: Picture
    logits: FloatMap
    field: FloatMap
    score: float
    trace: Trace

    @property
    def mask(self) -> BoolMap:
        return self.field > 0

    @property
    def candidates(self) -> Candidates:
        return Candidates(torch.from_numpy(self.logits)[None], torch.tensor([self.score]))


def unseen(picture: Picture, trace: Trace) -> Sighting:
    """That an object is not in a picture."""
    nowhere = np.full(picture.size, -REACH, np.float32)
    return Sighting(picture, nowhere, nowhere, 0.0, trace)


@dataclass(frozen=True)
class KeyFrame:
    """What an object is in a key frame. look: None where it is not seen there. is_drawn: whether
    the engine draws much the same mask when it is asked with it."""

    sighting: Sighting
    look: Look | None
    is_drawn: bool


@dataclass(frozen=True)
class KeyFrames:
    """All key frames of one object, by their place in the clip."""

    frames: dict[int, KeyFrame] = field(default_factory=dict)

    @property
    def looks(self) -> list[Look]:
        return [key.look for key in self.frames.values() if key.look is not None]

    def nearest(self, index: int) -> KeyFrame:
        """The one nearest in time; of two as near, the one that was there first."""
        return self.frames[min(self.frames, key=lambda place: abs(place - index))]

    def is_drawn(self, index: int) -> bool:
        """Whether the engine draws the object, by the nearest key frame in which it is seen."""
        seen = {place: key for place, key in self.frames.items() if key.look is not None}
        return bool(seen) and KeyFrames(seen).nearest(index).is_drawn

    def similarity(self, picture: Picture, mask: BoolMap) -> float:
        """How alike the colours under a mask are to those of the most similar key frame, 0..1; 0
        for a speck."""
        if int(mask.sum()) < _LEAST_AREA:
            return 0.0
        return max((similarity(look, picture.cells, mask) for look in self.looks), default=0.0)

    def areas(self, trace: Trace) -> tuple[int, int]:
        """The least and the most pixels that the object had in key frames and where last seen."""
        seen = [key.sighting.trace.area for key in self.frames.values() if key.look is not None]
        seen += [trace.area] if trace.area else []
        return min(seen, default=0), max(seen, default=0)
