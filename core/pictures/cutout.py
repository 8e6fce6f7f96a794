"""Cut-outs: what a mask selects, on transparency or on a colour, cropped to it if asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL import ImageColor
from torch import Tensor

from ..errors import InputError
from ..masks.matting import foreground_colours
from ..results.segments import Segments
from ..tensors import FrameArea

TRANSPARENT = "transparent"


@dataclass(frozen=True)
class CutOutSettings:
    """How to cut out. clean_edges: whether edges are freed of the colours of the old background.

    background: RGB, 0..1, None for transparency.
    """

    clean_edges: bool = True
    background: tuple[float, float, float] | None = None

    @property
    def channels(self) -> int:
        return 4 if self.background is None else 3


def read_background(text: str) -> tuple[float, float, float] | None:
    """Read `transparent` or a colour as CSS writes it (`white`, `#00ff00`, `rgb(0, 255, 0)`).

    Returns RGB, 0..1, or None for transparency. Raises InputError for anything else.
    """
    name = text.strip().lower()
    if name in ("", TRANSPARENT):
        return None
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise InputError(
            f"background: found {text!r}; accepted are {TRANSPARENT} and colours such as white, "
            "#00ff00 or rgb(0, 255, 0). Write one of these."
        ) from error
    return red / 255, green / 255, blue / 255


def cut_out(
    image: Tensor, mask: Tensor, area: tuple[slice, slice], settings: CutOutSettings, out: Tensor
) -> Iterator[Tensor]:
    """Cut what a mask selects out of the images, frame by frame.

    image: IMAGE [B, H, W, C]. mask: [B, H, W] float32, 0..1, on any device. area: the rows and
    columns to keep. out: [B, h, w, 3 or 4] float32 on the mask's device, into which the pictures
    are written, not premultiplied; they are given back one by one, as views of it. For the colours
    of clean edges see `foreground_colours`.
    """
    for index, alpha in enumerate(mask):
        cut = out[index]
        if settings.clean_edges:
            cut[..., :3] = _clean_colours(image, index, alpha)[area]
        else:
            cut[..., :3] = FrameArea(image, index, area).rgb(slice(None))
        if settings.background is None:
            cut[..., 3] = alpha[area]
        else:
            behind = cut.new_tensor(settings.background)
            torch.lerp(behind, cut, alpha[area][..., None], out=cut)
        yield cut


def cut_out_objects(
    image: Tensor, segments: Segments, settings: CutOutSettings, crop: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut every object of a result out on its own, in the result's order.

    image: IMAGE [B, H, W, C], of which the segments are. crop: to the object. Yields the picture,
    [1, h, w, 3 or 4] as of `cut_out`, and the object's mask in it, [1, h, w] float32, 0..1.
    """
    for each in segments:
        alpha = each.mask.pixels()[None] / 255.0
        area = selected_area(alpha) if crop else (slice(None), slice(None))
        kept = alpha[:, area[0], area[1]].contiguous()
        out = torch.empty((*kept.shape, settings.channels))
        (cut,) = cut_out(image[each.frame : each.frame + 1], alpha, area, settings, out)
        yield cut[None], kept


def _clean_colours(image: Tensor, index: int, alpha: Tensor) -> Tensor:
    """The colours of the whole frame: of a cropped one, the rim would count as inside."""
    whole = (slice(0, alpha.shape[0]), slice(0, alpha.shape[1]))
    clean = torch.empty((*alpha.shape, 3), device=alpha.device)
    for rows, colours in foreground_colours(FrameArea(image, index, whole), alpha):
        clean[rows] = colours
    return clean


def selected_area(mask: Tensor) -> tuple[slice, slice]:
    """The rows and columns that hold what is selected in any frame; all of them where nothing is.

    mask: [B, H, W] float32, 0..1. One rectangle for the batch, so that its frames stay in place.
    """
    rows, columns = (
        torch.stack([frame.amax(dim=dim) for frame in mask]).amax(dim=0).nonzero()[:, 0]
        for dim in (1, 0)
    )
    if not len(rows):
        return slice(0, mask.shape[1]), slice(0, mask.shape[2])
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
