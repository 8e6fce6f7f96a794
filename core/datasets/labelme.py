"""LabelMe's files (github.com/wkentaro/labelme), one beside each picture.

    dog.png
    dog.json                shapes with labels, in pixels

The parts of an object are polygons of one `group_id`, which is the object's id. The objects' scores
are in `score`, where X-AnyLabeling has them.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..results.compact_mask import compact
from ..results.segments import Instance
from .fields import Entry, points, read_json
from .files import Picture, stems, write_picture, write_whole
from .outlines import Raster, outlines
from .pages import Page

_VERSION = "5.5.0"
_SHAPES = "polygon, rectangle, circle or mask"


def known_stems(folder: Path) -> set[str]:
    """The names of what is in the folder, without suffixes."""
    return stems(folder)


def known_classes(folder: Path) -> list[str]:
    """None: a label is a text, and has no number."""
    return []


def write(
    folder: Path, pictures: Sequence[Picture], classes: Sequence[str], simplify: float
) -> list[Path]:
    """Write the pictures, and a file beside each."""
    written = []
    for picture in pictures:
        written += write_picture(folder, picture)
        text = json.dumps(_file(picture, simplify), ensure_ascii=False, indent=1) + "\n"
        written.append(write_whole(folder / f"{picture.stem}.json", text.encode()))
    return written


def _file(picture: Picture, simplify: float) -> dict[str, Any]:
    ids = [each.id for each in picture.objects]
    # Several results in one may have an id twice, which would make one object of two.
    groups = ids if len(set(ids)) == len(ids) else range(len(ids))
    shapes = [
        _shape(each, group, polygon.round(2).tolist())
        for each, group in zip(picture.objects, groups, strict=True)
        for polygon in outlines(each.mask, Raster.PIXELS, simplify)
    ]
    return {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": picture.file,
        "imageData": None,
        "imageHeight": picture.size[0],
        "imageWidth": picture.size[1],
    }


def _shape(each: Instance, group: int, polygon: list[list[float]]) -> dict[str, Any]:
    return {
        "label": each.label,
        "points": polygon,
        "group_id": group,
        "description": "",
        "shape_type": "polygon",
        "flags": {},
        "score": round(each.score, 4),
    }


def read(path: Path, data: dict[str, Any]) -> list[Page]:
    """The picture of a LabelMe file. Raises InputError for what is damaged or has no area."""
    file = Entry(data, str(path))
    size = file.size("imageHeight", "imageWidth")
    name = data.get("imagePath")
    shapes = file.entries("shapes")
    page = Page(
        name if isinstance(name, str) and name else f"{path.stem}.png",
        size,
        partial(_instances, shapes, size),
    )
    return [page]


def read_folder(folder: Path) -> list[Page]:
    """The pictures of all LabelMe files of a folder, by their names; other files are left out."""
    pages = []
    for path in sorted(folder.glob("*.json")):
        data = read_json(path)
        if isinstance(data, dict) and "shapes" in data:
            pages += read(path, data)
    return pages


def _instances(shapes: Sequence[Entry], size: tuple[int, int], frame: int) -> list[Instance]:
    """The objects: shapes of one group and label are one, a shape without a group is its own."""
    parts: dict[Any, list[Entry]] = {}
    for number, shape in enumerate(shapes):
        group = shape.value.get("group_id")
        alone = ("shape", number)
        parts.setdefault(alone if group is None else (group, shape.text("label")), []).append(shape)
    taken = {shape.optional_whole("group_id", -1) for shape in shapes}
    free = (number for number in range(len(shapes) + len(taken)) if number not in taken)
    found = []
    for members in parts.values():
        pixels = np.zeros(size, bool)
        for shape in members:
            pixels |= _pixels(shape, size)
        first = members[0]
        group = first.value.get("group_id")
        number = next(free) if group is None else first.whole("group_id")
        mask = compact(torch.from_numpy(pixels))
        found.append(Instance(mask, first.share("score"), first.text("label"), frame, number))
    return found


def _pixels(shape: Entry, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a shape, [H, W], filled as LabelMe itself fills them."""
    kind = shape.value.get("shape_type") or "polygon"
    corners = points(shape, "points", shape.value.get("points"), size)
    if kind == "mask":
        return _mask_pixels(shape, corners, size)
    canvas = Image.new("1", (size[1], size[0]))
    pen = ImageDraw.Draw(canvas)
    needed = 2 if kind in ("rectangle", "circle") else 3
    if len(corners) < needed:
        shape.refuse("points", f"at least {needed} points for a {kind}")
    flat = [tuple(corner) for corner in corners.tolist()]
    if kind == "polygon":
        pen.polygon(flat, outline=1, fill=1)
    elif kind == "rectangle":
        low, high = corners.min(axis=0), corners.max(axis=0)
        pen.rectangle([*low.tolist(), *high.tolist()], outline=1, fill=1)
    elif kind == "circle":
        (x, y), edge = flat[0], flat[1]
        radius = math.dist((x, y), edge)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], outline=1, fill=1)
    else:
        shape.refuse("shape_type", f"{_SHAPES}; others have no area")
    return np.array(canvas)


def _mask_pixels(
    shape: Entry, corners: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """A shape that is a picture of itself, in Base64, at its place."""
    if not len(corners):
        shape.refuse("points", "the corners of the mask")
    try:
        raw = base64.b64decode(shape.text("mask"), validate=True)
        with Image.open(io.BytesIO(raw)) as opened:
            part = np.array(opened.convert("L")) > 0
    except (binascii.Error, OSError, ValueError, Image.DecompressionBombError):
        shape.refuse("mask", "a PNG file in Base64")
    left, top = (int(number) for number in corners[0])
    if min(left, top) < 0 or top + part.shape[0] > size[0] or left + part.shape[1] > size[1]:
        shape.refuse("points", "a place at which the mask is inside the image")
    pixels = np.zeros(size, bool)
    pixels[top : top + part.shape[0], left : left + part.shape[1]] = part
    return pixels
