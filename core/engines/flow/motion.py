"""Where the pixels of one frame are in another, how far that is known, and a shape carried along.

Frames are at the working size: [h, w], pixels counted from the centre of the top left one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...opencv import cv2
from .shapes import BoolMap, FloatMap

# Small frames are enlarged to about this longest side: DIS compares patches of 8 pixels at half the
# size, which beside a small object's outline would hold as much of what is around it. It also
# needs a few patches in both directions on the coarsest level of its pyramid.
_FLOW_SIDE, _MOST_ENLARGED, _LEAST_SIDE = 512, 8, 32
# Points that the motion of an object as a whole is fitted to, and how far in pixels one may be off.
_FITTED, _TOLERANCE = 1000, 1.5
# Fewer points fit anything.
_LEAST_FITTED = 8
# Any number will do: OpenCV draws samples of the points.
_SEED = 2012

GrayImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Motion:
    """What moved where between a reference and a frame, in pixels.

    back: [h, w, 2] float32, (x, y) from each pixel of the frame to where it was in the reference.
    known: [h, w] bool, where the way there and on again ends where it began. ahead, known_ahead:
    the same from the reference's pixels to the frame.
    """

    back: FloatMap
    known: BoolMap
    ahead: FloatMap
    known_ahead: BoolMap


def measure(reference: GrayImage, frame: GrayImage) -> Motion:
    """The motion between two frames, [h, w] uint8 each, by DIS optical flow in both directions.

    Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (ECCV 2016), as OpenCV
    has it. A pixel's motion is known where both directions agree, by the rule of Sundaram et al.,
    "Dense Point Trajectories by GPU-accelerated Large Displacement Optical Flow" (ECCV 2010): what
    is hidden in one of the frames has no counterpart.
    """
    # The fast presets stop at a quarter of the size and are off by up to a third of a pixel, which
    # adds up over the frames.
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    first, second = _enlarge(reference), _enlarge(frame)
    still = np.zeros((*first.shape, 2), np.float32)
    ahead = _shrink(flow.calc(first, second, still.copy()), frame.shape)
    back = _shrink(flow.calc(second, first, still), frame.shape)
    return Motion(back, _agree(back, ahead), ahead, _agree(ahead, back))


def _factor(size: tuple[int, int]) -> int:
    return int(np.clip(_FLOW_SIDE // max(size), 1, _MOST_ENLARGED))


def _enlarge(image: GrayImage) -> GrayImage:
    """An image for DIS: enlarged, and continued at its right and bottom where it is too small."""
    factor = _factor(image.shape)
    if factor > 1:
        size = (image.shape[1] * factor, image.shape[0] * factor)
        image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)
    missing = [max(0, _LEAST_SIDE - side) for side in image.shape]
    return np.pad(image, [(0, more) for more in missing], "edge")


def _shrink(flow: NDArray, size: tuple[int, int]) -> FloatMap:
    """The flow of an enlarged image, in pixels of the image of (H, W): [H, W, 2] float32."""
    height, width = size
    factor = _factor(size)
    blocks = flow[: height * factor, : width * factor].reshape(height, factor, width, factor, 2)
    return blocks.mean(axis=(1, 3), dtype=np.float32) / np.float32(factor)


def _agree(flow: FloatMap, other: FloatMap) -> BoolMap:
    """Where a flow [h, w, 2] and the other one at its end cancel out: [h, w] bool.

    The difference may grow with the motion: a hundredth of its square, and half a pixel squared.
    """
    ends = _places(flow.shape[:2]) + flow
    returned = cv2.remap(other, ends[..., 0], ends[..., 1], cv2.INTER_LINEAR)
    off = np.square(flow + returned).sum(axis=2)
    length = np.square(flow).sum(axis=2) + np.square(returned).sum(axis=2)
    return off < 0.01 * length + 0.5


def _places(size: tuple[int, int]) -> FloatMap:
    """The (x, y) of each pixel: [h, w, 2] float32."""
    return np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=2).astype(np.float32)


def carry(field: FloatMap, motion: Motion) -> tuple[FloatMap, float]:
    """Carry a shape on from the reference to the frame.

    field: [h, w] float32, positive inside, about the distance to the outline in pixels. Distances
    move an outline by fractions of a pixel and can be carried on again and again, which would make
    a mask ragged or blurred. Where a pixel's motion is not known, that of the object as a whole
    stands in. A shape that the border cuts off is taken to go on outside. Returns the field in the
    frame and the share, 0..1, of the object's pixels whose motion is known.
    """
    inside = field > 0
    followed = inside & motion.known_ahead
    share = float(followed.sum()) / max(1, int(inside.sum()))
    places = _places(field.shape)
    sources = places + motion.back
    whole = fit_motion(places[followed], (places + motion.ahead)[followed])
    there = cv2.transform(places, cv2.invertAffineTransform(whole)).astype(np.float32)
    sources = np.where(motion.known[..., None], sources, there)
    moved = cv2.remap(
        field, sources[..., 0], sources[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return moved.astype(np.float32, copy=False), share


def fit_motion(before: FloatMap, after: FloatMap) -> NDArray[np.float64]:
    """The shift, turn and zoom that takes most of the points along: [2, 3] float64.

    before, after: [n, 2] float32, (x, y) of the same points. Points that move otherwise, up to half
    of them, have no say (RANSAC). Of too few points for that, the shift alone, by their median.
    """
    step = max(1, len(before) // _FITTED)
    before, after = np.ascontiguousarray(before[::step]), np.ascontiguousarray(after[::step])
    found = None
    if len(before) >= _LEAST_FITTED:
        cv2.setRNGSeed(_SEED)
        found, _ = cv2.estimateAffinePartial2D(before, after, ransacReprojThreshold=_TOLERANCE)
    if found is not None and abs(np.linalg.det(found[:, :2])) > 0.1:
        return found.astype(np.float64, copy=False)
    shift = np.median(after - before, axis=0) if len(before) else np.zeros(2)
    return np.column_stack([np.eye(2), shift]).astype(np.float64)
