"""Puts the pictures that a template made together into its card in the templates panel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

SIZE = (600, 400)
_GROUND = (245, 245, 245)
# The squares that stand for transparency, and their side in pixels.
_LIGHT, _DARK, _SQUARE = 237, 204, 16


def one(pictures: Sequence[Image.Image]) -> Image.Image:
    """The first picture, filling the card."""
    return _filling(pictures[0], SIZE)


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """The first picture and the last, side by side and whole."""
    half = (SIZE[0] // 2, SIZE[1])
    page = Image.new("RGB", SIZE, _GROUND)
    for column, each in enumerate((pictures[0], pictures[-1])):
        shown = ImageOps.contain(_opaque(each).convert("RGB"), (half[0] - 4, half[1] - 4))
        corner = (column * half[0] + 2, (half[1] - shown.height) // 2)
        page.paste(shown, corner)
    return page


def halves(pictures: Sequence[Image.Image]) -> Image.Image:
    """The first picture and the last, side by side, each cut to the middle of its half."""
    half = (SIZE[0] // 2, SIZE[1])
    page = Image.new("RGB", SIZE, _GROUND)
    for column, each in enumerate((pictures[0], pictures[-1])):
        page.paste(_filling(each, half), (column * half[0], 0))
    return page


def grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """Four pictures in two rows: of more, such as the frames of a clip, four from first to last."""
    tile = (SIZE[0] // 2, SIZE[1] // 2)
    page = Image.new("RGB", SIZE, _GROUND)
    for place, index in enumerate(np.linspace(0, len(pictures) - 1, 4).round().astype(int)):
        corner = (place % 2 * tile[0], place // 2 * tile[1])
        page.paste(_filling(pictures[index], tile), corner)
    return page


def _filling(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture scaled and cut to a size, on squares where it is transparent."""
    fitted = ImageOps.fit(_opaque(picture), size, Image.Resampling.LANCZOS)
    return fitted.convert("RGB")


def _opaque(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    rows, columns = np.mgrid[: picture.height, : picture.width] // _SQUARE
    squares = np.where((rows + columns) % 2, _LIGHT, _DARK).astype(np.uint8)
    ground = Image.fromarray(squares).convert("RGBA")
    return Image.alpha_composite(ground, picture)
