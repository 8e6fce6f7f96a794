"""YOLO's text labels (docs.ultralytics.com, *Datasets*): polygons for segmentation, or boxes.

    data.yaml               folders and classes
    classes.txt             the classes again, one a line, where this pack reads them back
    images/dog.png          the pictures
    labels/dog.txt          a line for each object: its class and numbers of 0..1

An object of several parts is one polygon, the parts joined by seams, as ultralytics joins them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..results.segments import Instance
from .classes import read_class_file, write_class_file
from .files import IMAGES, Picture, stems, write_picture, write_whole
from .outlines import Raster, joined, outlines

LABELS = "labels"
_DIGITS = 6


@dataclass(frozen=True)
class Yolo:
    """Labels as polygons, or as boxes."""

    boxes: bool

    def known_stems(self, folder: Path) -> set[str]:
        """The names of the pictures that have labels, without suffixes."""
        return stems(folder / LABELS)

    def known_classes(self, folder: Path) -> list[str]:
        """The classes of the dataset, by their numbers."""
        return read_class_file(folder)

    def write(
        self, folder: Path, pictures: Sequence[Picture], classes: Sequence[str], simplify: float
    ) -> list[Path]:
        """Write pictures, labels and classes; a picture without objects gets an empty file."""
        written = [_write_yaml(folder, classes), write_class_file(folder, classes)]
        for picture in pictures:
            written += write_picture(folder / IMAGES, picture)
            lines = [self._line(each, picture, classes, simplify) for each in picture.objects]
            text = "".join(f"{line}\n" for line in lines)
            written.append(write_whole(folder / LABELS / f"{picture.stem}.txt", text.encode()))
        return written

    def _line(
        self, each: Instance, picture: Picture, classes: Sequence[str], simplify: float
    ) -> str:
        height, width = picture.size
        numbers = _box(each) if self.boxes else _polygon(each, simplify)
        shares = (
            f"{min(number / side, 1.0):.{_DIGITS}f}"
            for number, side in zip(numbers, (width, height) * (len(numbers) // 2), strict=True)
        )
        return " ".join((str(classes.index(each.label)), *shares))


def _box(each: Instance) -> list[float]:
    """Centre x, y, width and height, in pixels."""
    left, top, right, bottom = each.mask.box()
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def _polygon(each: Instance, simplify: float) -> list[float]:
    return joined(outlines(each.mask, Raster.PIXELS, simplify)).flatten().tolist()


def _write_yaml(folder: Path, classes: Iterable[str]) -> Path:
    # A JSON string is a YAML one, whatever is in it.
    names = "".join(
        f"  {number}: {json.dumps(name, ensure_ascii=False)}\n"
        for number, name in enumerate(classes)
    )
    head = f"# All pictures are in one folder: split them before training.\ntrain: {IMAGES}\n"
    text = f"{head}val: {IMAGES}\nnames:\n{names}" if names else f"{head}val: {IMAGES}\nnames: []\n"
    return write_whole(folder / "data.yaml", text.encode())


SEGMENTATION = Yolo(boxes=False)
BOXES = Yolo(boxes=True)
