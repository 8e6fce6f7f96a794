"""COCO's instance annotations (cocodataset.org, *Data format*), as pycocotools reads them.

    annotations.json        every picture, object and class
    images/dog.png          the pictures

An object is polygons, one for each connected part: every loader reads those, and with `simplify` 0
pycocotools makes exactly the mask of them. Run lengths would be as exact, but COCO has them for
crowds, and loaders for training skip them or stop.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..results import rle
from ..results.compact_mask import compact
from ..results.segments import Instance
from .coco_text import INFO, Parts, take_apart
from .fields import Entry, points, read_json
from .files import IMAGES, Picture, split_suffix, write_picture, write_whole
from .outlines import Raster, outlines
from .pages import Page

FILE = "annotations.json"
_EMPTY: dict[str, Any] = {
    "info": INFO,
    "licenses": [],
    "images": [],
    "annotations": [],
    "categories": [],
}


def known_stems(folder: Path) -> set[str]:
    """The names of the pictures in the file, without suffixes."""
    parts = _parts(folder)
    return set(_image_ids(parts.images if parts else _read(folder)["images"]))


def known_classes(folder: Path) -> list[str]:
    """The classes in the file, by their ids."""
    parts = _parts(folder)
    categories = parts.categories if parts else _read(folder)["categories"]
    return [each["name"] for each in sorted(categories, key=lambda each: each["id"])]


def write(
    folder: Path, pictures: Sequence[Picture], classes: Sequence[str], simplify: float
) -> list[Path]:
    """Add pictures to the file, or replace what it holds of pictures of the same name.

    A picture keeps its id, as a class does; the objects of a replaced one get new ids. What else
    is in the file stays. Raises InputError where the file is no COCO file.
    """
    parts = _parts(folder)
    if parts is not None and not {each.stem for each in pictures} & set(_image_ids(parts.images)):
        text = _added(parts, pictures, classes, simplify)
    else:
        text = _replaced(_read(folder), pictures, classes, simplify)
    written = [path for each in pictures for path in write_picture(folder / IMAGES, each)]
    return [write_whole(folder / FILE, text.encode()), *written]


def _added(
    parts: Parts, pictures: Sequence[Picture], classes: Sequence[str], simplify: float
) -> str:
    """A file's text with pictures that it does not have yet."""
    categories = list(parts.categories)
    class_ids = _class_ids(categories, classes)
    next_image, next_annotation = _next_id(parts.images), parts.last_annotation_id + 1
    images = [_image(number, each) for number, each in enumerate(pictures, next_image)]
    objects = [
        _annotation(each, number, class_ids[each.label], simplify)
        for number, picture in enumerate(pictures, next_image)
        for each in picture.objects
    ]
    annotations = [{"id": id, **each} for id, each in enumerate(objects, next_annotation)]
    return parts.with_more(images, annotations, categories)


def _replaced(
    data: dict[str, Any], pictures: Sequence[Picture], classes: Sequence[str], simplify: float
) -> str:
    """The text of a file with pictures, some of which it may have already."""
    class_ids = _class_ids(data["categories"], classes)
    image_ids = _image_ids(data["images"])
    next_image, next_annotation = _next_id(data["images"]), _next_id(data["annotations"])
    for picture in pictures:
        number = image_ids.get(picture.stem)
        if number is None:
            number, next_image = next_image, next_image + 1
        _put_image(data, number, picture)
        for each in picture.objects:
            entry = _annotation(each, number, class_ids[each.label], simplify)
            data["annotations"].append({"id": next_annotation, **entry})
            next_annotation += 1
    return json.dumps(data, ensure_ascii=False) + "\n"


def _parts(folder: Path) -> Parts | None:
    """The file of a folder where it is as this pack writes it; what is wrong with another one is
    said by `_read`."""
    try:
        return take_apart((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read(folder: Path) -> dict[str, Any]:
    """The file of a folder, checked as far as adding to it needs; empty where there is none."""
    path = folder / FILE
    if not path.exists():
        return {key: value.copy() for key, value in _EMPTY.items()}
    data = read_json(path)
    file = Entry(data if isinstance(data, dict) else {}, str(path))
    for image in file.entries("images"):
        image.whole("id")
        image.text("file_name")
    for annotation in file.entries("annotations"):
        annotation.whole("id")
        annotation.whole("image_id")
    for category in file.entries("categories"):
        category.whole("id")
        category.text("name")
    return data


def _image_ids(images: Iterable[dict[str, Any]]) -> dict[str, int]:
    """The ids of pictures by their names without suffixes."""
    return {split_suffix(image["file_name"])[0]: image["id"] for image in images}


def _class_ids(categories: list[dict[str, Any]], classes: Sequence[str]) -> dict[str, int]:
    """The ids of the classes; those that the categories lack are added to them."""
    ids = {each["name"]: each["id"] for each in categories}
    for name in classes:
        if name not in ids:
            ids[name] = _next_id(categories)
            categories.append({"id": ids[name], "name": name, "supercategory": ""})
    return ids


def _next_id(items: Iterable[dict[str, Any]]) -> int:
    # From 1: pycocotools takes an object of id 0 for one that was not found.
    return max((each["id"] for each in items), default=0) + 1


def _put_image(data: dict[str, Any], number: int, picture: Picture) -> None:
    """Enter a picture in place of what the file has of this number, without objects."""
    image = _image(number, picture)
    places = {each["id"]: place for place, each in enumerate(data["images"])}
    if number in places:
        data["images"][places[number]] = image
        data["annotations"] = [a for a in data["annotations"] if a["image_id"] != number]
    else:
        data["images"].append(image)


def _image(number: int, picture: Picture) -> dict[str, Any]:
    height, width = picture.size
    return {"id": number, "file_name": picture.file, "height": height, "width": width}


def _annotation(each: Instance, image: int, category: int, simplify: float) -> dict[str, Any]:
    left, top, right, bottom = each.mask.box()
    # Corners of pixels, which are whole numbers.
    polygons = outlines(each.mask, Raster.CENTRES, simplify)
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": [polygon.astype(int).flatten().tolist() for polygon in polygons],
        "area": each.mask.pixel_count(),
        "bbox": [left, top, right - left, bottom - top],
        "iscrowd": 0,
        "score": round(each.score, 4),
        "track_id": each.id,
    }


def read(path: Path, data: dict[str, Any]) -> list[Page]:
    """The pictures of a COCO file, in its order.

    Objects are polygons, run lengths or, where they have neither, their box. `score` and `track_id`
    are read where they are there. Raises InputError for what is damaged or missing.
    """
    file = Entry(data, str(path))
    names = {each.whole("id"): each.text("name") for each in file.entries("categories")}
    found: defaultdict[int, list[Entry]] = defaultdict(list)
    for annotation in file.entries("annotations"):
        found[annotation.whole("image_id")].append(annotation)
    pages = []
    for image in file.entries("images"):
        size = image.size("height", "width")
        objects = partial(_instances, found.pop(image.whole("id"), []), names, size)
        pages.append(Page(image.text("file_name"), size, objects))
    for number, strays in found.items():
        strays[0].refuse("image_id", f"the id of one of the images; none has {number}")
    return pages


def _instances(
    annotations: Sequence[Entry], names: dict[int, str], size: tuple[int, int], frame: int
) -> list[Instance]:
    found = []
    for number, annotation in enumerate(annotations):
        category = annotation.whole("category_id")
        if category not in names:
            annotation.refuse("category_id", "the id of one of the categories")
        mask = compact(torch.from_numpy(_pixels(annotation, size) != 0))
        score, track = annotation.share("score"), annotation.optional_whole("track_id", number)
        found.append(Instance(mask, score, names[category], frame, track))
    return found


def _pixels(annotation: Entry, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask of an object, [H, W] of 0 and 1."""
    segmentation = annotation.value.get("segmentation")
    if isinstance(segmentation, dict):
        return _run_lengths(annotation, segmentation, size)
    if segmentation is None or segmentation == []:
        return _box_pixels(annotation, size)
    if not isinstance(segmentation, list):
        annotation.refuse("segmentation", "a list of polygons, or an object of size and counts")
    from pycocotools import mask as coco

    height, width = size
    polygons = [points(annotation, "segmentation", each, size) for each in segmentation]
    if any(len(polygon) < 3 for polygon in polygons):
        annotation.refuse("segmentation", "polygons of at least three points")
    runs = coco.frPyObjects([polygon.flatten().tolist() for polygon in polygons], height, width)
    return coco.decode(coco.merge(runs))


def _run_lengths(
    annotation: Entry, segmentation: dict[str, Any], size: tuple[int, int]
) -> NDArray[np.uint8]:
    if segmentation.get("size") != list(size):
        annotation.refuse("segmentation", f"run lengths of the image's size, {list(size)}")
    try:
        return rle.decode(segmentation.get("counts", ""), size)
    except InputError as error:
        raise InputError(f"file {annotation.place}: segmentation: {error}") from error


def _box_pixels(annotation: Entry, size: tuple[int, int]) -> NDArray[np.uint8]:
    (x, y), (width, height) = _box(annotation, size)
    mask = np.zeros(size, np.uint8)
    left, top, right, bottom = (round(max(0.0, each)) for each in (x, y, x + width, y + height))
    mask[top:bottom, left:right] = 1
    return mask


def _box(annotation: Entry, size: tuple[int, int]) -> list[list[float]]:
    box = points(annotation, "bbox", annotation.value.get("bbox"), size)
    if len(box) != 2 or (box[1] < 0).any():
        annotation.refuse("bbox", "x, y, width and height")
    return box.tolist()
