"""Masks as pictures: a PNG file for each object, or one with a class in every pixel.

masks/dog/000_cat.png   an object, 255 inside, soft edges as they are
masks/dog.png           the classes, a palette picture: 0 is background, 1 the first class
classes.txt             the classes of palette pictures, one a line
images/dog.png          the pictures
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from ..pictures.render import region_colours
from ..results.compact_mask import INSIDE
from .classes import read_class_file, write_class_file
from .files import (
    IMAGES,
    Picture,
    grey_png,
    plain_name,
    png,
    stems,
    write_picture,
    write_whole,
)

MASKS = "masks"
_MOST_CLASSES = 255


class ObjectMasks:
    """A grey PNG file for each object."""

    def known_stems(self, folder: Path) -> set[str]:
        """The names of the pictures that have masks."""
        return stems(folder / MASKS)

    def known_classes(self, folder: Path) -> list[str]:
        """None: the label is in the file's name."""
        return []

    def write(
        self, folder: Path, pictures: Sequence[Picture], classes: Sequence[str], simplify: float
    ) -> list[Path]:
        """Write pictures and masks; masks that a picture of the name had before are removed."""
        written = []
        for picture in pictures:
            written += write_picture(folder / IMAGES, picture)
            place = folder / MASKS / picture.stem
            before = set(place.glob("*.png"))
            now = [
                write_whole(place / _name(number, each.label), grey_png(each.mask.pixels().numpy()))
                for number, each in enumerate(picture.objects)
            ]
            for path in before - set(now):
                path.unlink()
            written += now
        return written


class IndexedMasks:
    """One palette PNG file for each picture, whose pixels are class numbers from 1.

    Where objects overlap, the smaller one is on top.
    """

    def known_stems(self, folder: Path) -> set[str]:
        """The names of the pictures that have masks."""
        return stems(folder / MASKS)

    def known_classes(self, folder: Path) -> list[str]:
        """The classes of the dataset, by their numbers."""
        return read_class_file(folder)

    def write(
        self, folder: Path, pictures: Sequence[Picture], classes: Sequence[str], simplify: float
    ) -> list[Path]:
        """Write classes, pictures and masks. Raises InputError for more classes than a byte has."""
        if len(classes) > _MOST_CLASSES:
            raise InputError(
                f"format: found {len(classes)} classes; an indexed PNG has room for "
                f"{_MOST_CLASSES}. Choose COCO, or fewer classes."
            )
        written = [write_class_file(folder, classes)]
        for picture in pictures:
            written += write_picture(folder / IMAGES, picture)
            indexed = png(_indexed(picture, classes))
            written.append(write_whole(folder / MASKS / f"{picture.stem}.png", indexed))
        return written


def _name(number: int, label: str) -> str:
    return f"{number:03}_{plain_name(label) or 'object'}.png"


def _indexed(picture: Picture, classes: Sequence[str]) -> Image.Image:
    pixels = np.zeros(picture.size, np.uint8)
    for each in sorted(picture.objects, key=lambda each: -each.mask.pixel_count()):
        inside = each.mask.crop().numpy() >= INSIDE
        pixels[each.mask.area][inside] = classes.index(each.label) + 1
    image = Image.fromarray(pixels).convert("P")
    image.putpalette([0, 0, 0, *(part for colour in region_colours(255) for part in colour)])
    return image
