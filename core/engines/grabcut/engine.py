"""The built-in engine: GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004). It needs no weights.

Clicks, boxes and rough masks become a rough region with sure parts. GrabCut solves that region on a
small window first, where it may move freely, and then once more at the working resolution, where
only a band along the outline is open: a graph cut costs by its open pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ... import opencv
from ...masks.parts import label_parts, number_parts
from ...opencv import cv2
from ...prompts.prompts import ObjectPrompt
from ..base import Candidates, Embedding, Prepared, TrackCache, TrackSession
from ..families import BUILT_IN, BUILT_IN_CHOICE
from .marks import (
    SEARCH_SIDE,
    Marks,
    RgbImage,
    fit,
    pixels_of,
    read_prompt,
    resize_area,
    shrink_rgb,
    window_of,
)
from .regions import (
    HOLE_SHARE,
    BoolMap,
    ColorField,
    FloatMap,
    Pixel,
    fill_small_holes,
    keep_components,
    objectness,
    outline_contrast,
    seed_map,
)

# Longest sides in pixels: of the kept image, of the first solution.
_WORK_SIDE = 640
_SOLVE_SIDE = 160
# GrabCut starts from the trimap.
_NO_BOX = (0, 0, 0, 0)
# Any number will do: OpenCV's clustering draws from a generator that must start the same each time.
_SEED = 2004
_INSIDE, _OUTSIDE = 6.0, -6.0
# Parts below this share of the largest one are noise in the answer to a box or a mask.
_SMALLEST_PART = 0.05
# An answer below this share of the rough region is none; the rough region itself is better.
_SMALLEST_ANSWER = 0.02
# One of several clicked regions that shrinks below this share has been lost, not refined.
_KEPT_SHARE = 0.7


@dataclass(frozen=True)
class _Solution:
    """A mask [h, w] bool, GrabCut's two colour models (outside, inside), and the stability.

    stability: IoU of the mask with the mask after one more step.
    """

    mask: BoolMap
    models: tuple[NDArray[np.float64], NDArray[np.float64]]
    stability: float


class GrabCutEngine:
    """Segments from clicks, boxes and rough masks by colour and contrast, on the CPU."""

    family = BUILT_IN.name
    module = None

    def __init__(self) -> None:
        opencv.require(BUILT_IN_CHOICE, "Or choose another model in Load SAM.")

    def encode(self, frame: Tensor) -> Embedding:
        """Keep a copy of a frame, [H, W, 3] float32, 0..1, no longer than 640 pixels a side.

        The one feature is [h, w, 3] uint8 RGB on the CPU, averaged over areas.
        """
        height, width = frame.shape[:2]
        pixels = np.ascontiguousarray(frame.detach().cpu().numpy())
        size = fit((height, width), _WORK_SIDE)
        if size != (height, width):
            pixels = cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        small = torch.from_numpy(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
        return Embedding((small,), (height, width))

    def prepare(self, frame: Tensor) -> Prepared:
        """The frame as it is."""
        return Prepared(frame, (frame.shape[0], frame.shape[1]))

    def encode_batch(self, frames: Sequence[Prepared]) -> list[Embedding]:
        """One by one, as `encode` does."""
        return [self.encode(frame.pixels) for frame in frames]

    def for_decoder(self, embedding: Embedding) -> Embedding:
        """The same: there is no device to bring it to."""
        return embedding

    def decode(
        self, embedding: Embedding, prompts: Sequence[ObjectPrompt], multimask: bool
    ) -> list[Candidates]:
        """One candidate for each object: logits [1, h, w] in -6..6, scores [1] in 0..1.

        Every positive click lies inside, every negative one outside (it wins where two clicks are
        closer than two pixels of the kept image). The score is the IoU of the mask with the mask
        after one more GrabCut step, lowered where the outline has little contrast. multimask makes
        no difference: the search has picked the best region already.
        """
        rgb = embedding.features[0].cpu().numpy()
        return [_segment(rgb, prompt, embedding.size) for prompt in prompts]

    def to_logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits [K, h, w] -> [K, H, W] float32, bilinear."""
        return F.interpolate(logits[:, None], size=size, mode="bilinear")[:, 0]

    def to_masks(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits [K, h, w] -> [K, H, W] bool: bilinear, above 0."""
        return self.to_logits(logits, size) > 0

    def activation_bytes(self) -> int:
        """No device memory: all work is done by the CPU."""
        return 0

    def cpu_decoder(self) -> GrabCutEngine:
        """Itself: it holds no state."""
        return self

    def track(self, frames: int, known: TrackCache | None = None) -> TrackSession:
        """Follow objects by optical flow."""
        from ..flow.session import FlowSession

        return FlowSession(self)


def _segment(rgb: RgbImage, prompt: ObjectPrompt, size: tuple[int, int]) -> Candidates:
    """The one candidate for a prompt in pixels of the image's size, from its kept image."""
    work = rgb.shape[:2]
    positive = pixels_of([point for point in prompt.points if point.positive], size, work)
    negative = pixels_of([point for point in prompt.points if not point.positive], size, work)
    marks = read_prompt(rgb, prompt, size, positive, negative)
    mask, stability = np.zeros(work, bool), 0.0
    if marks.rough.any():
        window = window_of(marks)
        mask[window], stability = _solve(rgb[window], marks.crop(window))
    logits = _to_logits(mask, marks, positive, negative, size != work)
    small = fit(work, SEARCH_SIDE)
    contrast = outline_contrast(
        ColorField(shrink_rgb(rgb, small)).lab, resize_area(logits > 0, small) > 0.5
    )
    certainty = float(contrast.mean()) if len(contrast) else 0.0
    score = torch.tensor([stability * (0.4 + 0.6 * certainty)], dtype=torch.float32)
    return Candidates(torch.from_numpy(logits)[None], score)


def _solve(rgb: RgbImage, marks: Marks) -> tuple[BoolMap, float]:
    """Cut the window: its mask [h, w] and the stability of the solution."""
    size = fit(rgb.shape[:2], _SOLVE_SIDE)
    small = marks.shrink(size)
    solution = _solve_freely(shrink_rgb(rgb, size), small)
    if size == rgb.shape[:2]:
        return solution.mask, solution.stability
    mask = resize_area(solution.mask, rgb.shape[:2]) > 0.5
    band = 2.0 * max(rgb.shape[:2]) / max(size)
    trimap = _trimap(replace(marks, rough=mask, reach=band))
    mask = _cut(rgb, trimap, solution.models, 1, learn=False)
    return _tidy(mask, marks), solution.stability


def _solve_freely(rgb: RgbImage, marks: Marks) -> _Solution:
    """GrabCut from the rough region, on a small window."""
    trimap = _trimap(marks)
    models = (np.zeros((1, 65)), np.zeros((1, 65)))
    mask = _tidy(_cut(rgb, trimap, models, 2, learn=True), marks)
    lab = ColorField(rgb).lab
    # Colours that object and surroundings share can make the cut flee to a speck or to everything.
    fled = objectness(lab, mask) < 0.6 * objectness(lab, marks.rough)
    if fled or mask.sum() < _SMALLEST_ANSWER * marks.rough.sum():
        mask = marks.rough
    if not marks.loose and _has_several_clicks(marks):
        mask = mask | _lost_parts(marks.rough & ~marks.outside, mask)
    further = _tidy(_cut(rgb, _update(trimap, mask), models, 1, learn=False), marks)
    union = int((mask | further).sum())
    return _Solution(mask, models, float((mask & further).sum()) / union if union else 0.0)


def _lost_parts(rough: BoolMap, mask: BoolMap) -> BoolMap:
    """The connected parts of the rough region of which the cut left too little.

    It happens where two clicks mark parts of different colours, one of them common outside too.
    """
    count, labels = number_parts(rough, connectivity=4)
    areas = np.bincount(labels.ravel(), minlength=count)
    kept = np.bincount(labels[mask], minlength=count)
    lost = kept < _KEPT_SHARE * areas
    lost[0] = False
    return lost[labels]


def _has_several_clicks(marks: Marks) -> bool:
    # The first part is what is outside of all.
    return number_parts(marks.inside)[0] > 2


def _trimap(marks: Marks) -> RgbImage:
    """[h, w] uint8 of GrabCut's four labels; only the band within reach of the outline is open."""
    depth = cv2.distanceTransform(marks.rough.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    away = cv2.distanceTransform(
        (~marks.rough).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    trimap = np.where(marks.rough, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[depth > marks.reach] = cv2.GC_FGD
    trimap[away > marks.reach] = cv2.GC_BGD
    trimap[marks.outside] = cv2.GC_BGD
    trimap[marks.inside] = cv2.GC_FGD
    return trimap


def _update(trimap: RgbImage, mask: BoolMap) -> RgbImage:
    """The trimap with its open pixels split by a mask."""
    is_open = (trimap == cv2.GC_PR_FGD) | (trimap == cv2.GC_PR_BGD)
    return np.where(is_open, np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD), trimap).astype(np.uint8)


def _cut(
    rgb: RgbImage,
    trimap: RgbImage,
    models: tuple[NDArray[np.float64], NDArray[np.float64]],
    steps: int,
    learn: bool,
) -> BoolMap:
    """Run GrabCut from a trimap: [h, w] bool. The colour models are learnt anew or taken over."""
    front = (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)
    # GrabCut needs samples of both sides to learn from.
    if front.all() or not front.any():
        return front
    labels = trimap.copy()
    mode = cv2.GC_INIT_WITH_MASK if learn else cv2.GC_EVAL
    cv2.setRNGSeed(_SEED)
    cv2.grabCut(np.ascontiguousarray(rgb), labels, _NO_BOX, *models, steps, mode)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _tidy(mask: BoolMap, marks: Marks) -> BoolMap:
    """Drop the parts that no prompt speaks for, fill specks."""
    kept = keep_components(mask, marks.inside)
    if marks.loose:
        labels, areas = label_parts(mask, connectivity=4)
        areas[0] = 0
        kept |= (areas >= max(1.0, _SMALLEST_PART * areas.max()))[labels]
    return fill_small_holes(kept, HOLE_SHARE, marks.outside)


def _to_logits(
    mask: BoolMap,
    marks: Marks,
    positive: Sequence[Pixel],
    negative: Sequence[Pixel],
    is_reduced: bool,
) -> FloatMap:
    """[h, w] float32, -6..6: a softened mask that is right at every click.

    Where the kept image is smaller than the original, a click's neighbours are set too, for the
    enlargement mixes them.
    """
    # Soft enough for round outlines after enlarging, not so much that thin parts vanish.
    sigma = min(1.0, 0.004 * max(mask.shape))
    soft = mask.astype(np.float32)
    if sigma > 0.3:
        blurred = cv2.GaussianBlur(soft, (0, 0), sigma)
        soft = blurred if (blurred > 0.5).any() else soft
    logits = (2 * soft - 1) * _INSIDE
    size, radius = mask.shape, int(is_reduced)
    logits[seed_map(size, positive, radius)] = _INSIDE
    logits[seed_map(size, negative, radius)] = _OUTSIDE
    if positive and not marks.loose:
        anchors = seed_map(size, positive) & (logits > 0)
        logits[(logits > 0) & ~keep_components(logits > 0, anchors)] = _OUTSIDE
    return logits
