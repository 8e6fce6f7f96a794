"""Edges that follow the image, and the colours of what a mask selects without its background."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..opencv import cv2
from ..tensors import FrameArea, row_bands
from .filters import box_blur, shrink, stretch

# The window of the guided filter as a share of the image's long side: 12 pixels at 1920.
_WINDOW_SHARE = 1 / 160
_SMALLEST_WINDOW = 3
# Variance of colour below which an area counts as flat.
_FLATNESS = 1e-4
# The filter leaves a trace of selection outside and of background inside; this much is cut off.
_CUT = 0.08
# Colours are spread on a copy of about this long side: they hardly change within the edge.
_SPREAD_SIDE = 1024
# An antialiased edge, which is mixed along a line of one pixel, counts as soft.
_SOFT = 32.0
# Alpha within this much of 1 begins to count as pure, of 0 as empty.
_SURE = 0.1
# Colours and their weight, slopes and their offset: numbers per pixel of what is worked on.
_PLANES = 4


class GuidedEdges:
    """Aligns masks with their image by the guided filter; an `Aligner`, see refine."""

    in_threads = True

    def margin(self, size: tuple[int, int]) -> float:
        """The filter looks as far beyond what it may change."""
        return 2.0 * window_radius(size)

    def align(self, mask: Tensor, guide: FrameArea, size: tuple[int, int]) -> Tensor:
        """`follow_edges` with the window of an image of `size`, (H, W)."""
        return follow_edges(mask, guide, window_radius(size))


def window_radius(size: tuple[int, int]) -> int:
    """How far from the contour `follow_edges` may move it, in pixels, in an image of (H, W)."""
    return max(_SMALLEST_WINDOW, round(max(size) * _WINDOW_SHARE))


def follow_edges(mask: Tensor, guide: FrameArea, radius: int) -> Tensor:
    """Let the contour follow the image's own edges: guided filter (He, Sun and Tang, 2013).

    mask: [H, W] float32, 0..1. guide: the same rectangle of the image. radius: of the windows, in
    pixels. In each window the mask is taken to be an affine function of the colour; it is fitted
    on a smaller copy (the fast guided filter, He and Sun, 2015) and applied to every pixel.
    Returns [H, W] float32, 0..1. Raises InputError where the image holds NaN.
    """
    height, width = mask.shape
    factor = max(1, min(radius // _SMALLEST_WINDOW, height, width))
    bands = list(row_bands(mask, _PLANES, factor))
    small = torch.cat([shrink(guide.rgb(rows).to(mask.device), factor) for rows in bands])
    small_mask = shrink(mask[..., None], factor)[..., 0]
    planes = small.permute(2, 0, 1).contiguous()
    fit = _affine_fit(planes, small_mask, max(1, round(radius / factor)))
    alpha = torch.empty_like(mask)
    for rows in bands:
        colours = guide.rgb(rows).to(mask.device)
        *slopes, fitted = stretch(fit, factor, rows, width)
        for channel, slope in enumerate(slopes):
            fitted.addcmul_(slope, colours[..., channel])
        alpha[rows] = fitted.sub_(_CUT).div_(1.0 - 2.0 * _CUT).clamp_(0.0, 1.0)
    return alpha


def _affine_fit(guide: Tensor, mask: Tensor, radius: int) -> Tensor:
    """[4, H, W]: three slopes and the offset, averaged over the windows that hold a pixel.

    guide: [3, H, W]. mask: [H, W].
    """
    means = [box_blur(plane, radius) for plane in guide]
    mask_mean = box_blur(mask, radius)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    variance = [
        box_blur(guide[one] * guide[two], radius).addcmul_(means[one], means[two], value=-1.0)
        for one, two in pairs
    ]
    covariance = [
        box_blur(plane * mask, radius).addcmul_(mean, mask_mean, value=-1.0)
        for plane, mean in zip(guide, means, strict=True)
    ]
    slopes = _solve_symmetric(variance, covariance)
    offset = mask_mean
    for slope, mean in zip(slopes, means, strict=True):
        offset.addcmul_(slope, mean, value=-1.0)
    return torch.stack([box_blur(plane, radius) for plane in (*slopes, offset)])


def _solve_symmetric(matrix: list[Tensor], right: list[Tensor]) -> list[Tensor]:
    """Solve a symmetric 3x3 system for every pixel by Cramer's rule.

    matrix: the upper triangle by rows, to whose diagonal the flatness is added; right: three;
    all [H, W]. Returns three of the same.
    """
    rr, rg, rb, gg, gb, bb = matrix
    rr, gg, bb = rr + _FLATNESS, gg + _FLATNESS, bb + _FLATNESS
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * c_rr + rg * c_rg + rb * c_rb
    x, y, z = right
    solved = (
        c_rr * x + c_rg * y + c_rb * z,
        c_rg * x + c_gg * y + c_gb * z,
        c_rb * x + c_gb * y + c_bb * z,
    )
    return [each / determinant for each in solved]


def foreground_colours(frame: FrameArea, alpha: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The colours of what is selected, free of the background that shows through at its edges.

    frame: the image, whole. alpha: [H, W] float32, 0..1. At the edge a pixel is a mixture of the
    object's colour F and the background's B. Both are spread into the edge from where they are
    pure, and F is corrected by what the mixture leaves unexplained (Germer et al., 2020; Forte,
    2021). A hard mask ends on mixed pixels all the same, so the outermost two count as partly
    mixed; near soft edges alpha itself tells what is pure, in a strand of one pixel too. Where
    nothing is selected the nearest selected colours stand, so that no background is left in the
    file. Yields rows and their colours, [rows, W, 3] float32, 0..1.
    """
    factor = max(1, min(round(max(alpha.shape) / _SPREAD_SIDE), *alpha.shape))
    bands = list(row_bands(alpha, _PLANES, factor))
    # -1 far outside, 1 far inside, in between within two pixels of an edge.
    depth = box_blur(alpha, 2).mul_(2.0).sub_(1.0)
    softness = _softness(alpha)
    pure, empty = [], []
    for rows in bands:
        colours = frame.rgb(rows).to(alpha.device)
        purity = _purity(alpha[rows], depth[rows], softness[rows])
        emptiness = _purity(1.0 - alpha[rows], -depth[rows], softness[rows])
        pure.append(shrink(_weighted(colours, purity), factor))
        empty.append(shrink(_weighted(colours, emptiness), factor))
    foreground, background = _spread(torch.cat(pure)), _spread(torch.cat(empty))
    width = alpha.shape[1]
    for rows in bands:
        # Less than alpha says, for a mask is never quite right: outside of it is background.
        share = torch.minimum(alpha[rows], depth[rows]).clamp_(0.0, 1.0)
        share.lerp_(alpha[rows] ** 3, softness[rows])
        inner = stretch(foreground, factor, rows, width)
        mixture = stretch(background, factor, rows, width).lerp_(inner, alpha[rows])
        unexplained = mixture.neg_().add_(frame.rgb(rows).to(alpha.device).permute(2, 0, 1))
        yield rows, inner.addcmul_(unexplained, share).clamp_(0.0, 1.0).permute(1, 2, 0)


def _softness(alpha: Tensor) -> Tensor:
    """[H, W], 0..1: how far the edge within two pixels is soft; 0 along a hard one."""
    mixed = alpha.mul(_SOFT).mul_(1.0 - alpha)
    return box_blur(mixed, 2).clamp_(0.0, 1.0)


def _purity(alpha: Tensor, depth: Tensor, softness: Tensor) -> Tensor:
    """What of a pixel is sure to be selected: by its depth at hard edges, by alpha at soft ones."""
    sure = alpha.sub(1.0 - _SURE).div_(_SURE).clamp_(0.0, 1.0)
    return torch.minimum(alpha, depth).clamp_(0.0, 1.0).lerp_(sure, softness)


def _weighted(colours: Tensor, purity: Tensor) -> Tensor:
    """[H, W, 4]: colours times weight, and the weight, which falls off fast with purity."""
    weighted = torch.empty((*purity.shape, 4), device=purity.device)
    weight = torch.pow(purity, 3, out=weighted[..., 3])
    torch.mul(colours, weight[..., None], out=weighted[..., :3])
    return weighted


def _spread(planes: Tensor) -> Tensor:
    """Spread the colours of the weighty pixels over all others, the nearest the strongest.

    planes: [H, W, 4], colours times weight, and weight. Push and pull over an image pyramid
    (Gortler et al., 1996): every level is filled from the next coarser one as far as its own
    weight does not reach. Returns [3, H, W]; black where nothing has weight.
    """
    filled = torch.from_numpy(_pull(planes.cpu().contiguous().numpy()))
    return filled.permute(2, 0, 1).contiguous().to(planes.device)


def _pull(planes: np.ndarray) -> np.ndarray:
    """[H, W, 4], colours times weight and weight -> [H, W, 3], colours everywhere."""
    colours, weight = cv2.cvtColor(planes, cv2.COLOR_BGRA2BGR), cv2.extractChannel(planes, 3)
    if max(weight.shape) == 1:
        return colours / np.maximum(weight, 1e-12)
    coarse = _pull(cv2.pyrDown(planes))
    behind = cv2.pyrUp(coarse, dstsize=weight.shape[::-1])
    return cv2.add(colours, cv2.multiply(behind, cv2.cvtColor(1.0 - weight, cv2.COLOR_GRAY2BGR)))
