"""Files of other programs, read; and damaged ones, refused with file, field, found and accepted."""

from __future__ import annotations

import base64
import copy
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from segment_anywhere.core.datasets.load import load
from segment_anywhere.core.errors import InputError

from tests.support.datasets import pixels_of

BOX = np.zeros((20, 30), bool)
BOX[5:12, 4:16] = True
SQUARE = [4, 5, 16, 5, 16, 12, 4, 12]


def _coco(**annotation: Any) -> dict:
    """A COCO file of one picture with one object, which is BOX unless told otherwise."""
    found = {"id": 1, "image_id": 5, "category_id": 2, "segmentation": [SQUARE], **annotation}
    return {
        "images": [{"id": 5, "file_name": "train/dog.jpg", "height": 20, "width": 30}],
        "categories": [{"id": 2, "name": "dog"}],
        "annotations": [found],
    }


def _shape(**shape: Any) -> dict:
    """A LabelMe file of one shape, which is BOX unless told otherwise."""
    corners = [[4, 5], [15, 5], [15, 11], [4, 11]]
    found = {"label": "dog", "points": corners, "shape_type": "polygon", **shape}
    return {
        "shapes": [found],
        "imagePath": "..\\photos\\dog.jpg",
        "imageHeight": 20,
        "imageWidth": 30,
    }


def _ours(**entry: Any) -> list:
    """The JSON of Select Segments with one object."""
    found = {"frame": 0, "id": 3, "label": "dog", "score": 0.5, "rle": _runs(), **entry}
    return [found]


def _runs() -> dict:
    packed: Any = coco_mask.encode(np.asfortranarray(BOX, np.uint8))
    return {"size": [20, 30], "counts": packed["counts"].decode()}


def _plain_runs() -> dict:
    """Uncompressed, as COCO has its crowds."""
    flat = np.concatenate(([False], BOX.T.flatten(), [False]))
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff([0, *changes, BOX.size])
    return {"size": [20, 30], "counts": runs[runs > 0].tolist() if not BOX[0, 0] else []}


def _picture_of_itself() -> str:
    stream = io.BytesIO()
    Image.fromarray(BOX[5:12, 4:16]).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


READABLE = {
    "COCO polygon": _coco(),
    "COCO parts that overlap": _coco(
        segmentation=[[4, 5, 12, 5, 12, 12, 4, 12], [8, 5, 16, 5, 16, 12, 8, 12]]
    ),
    "COCO compact run lengths": _coco(segmentation=_runs()),
    "COCO crowd": _coco(segmentation=_plain_runs(), iscrowd=1),
    "COCO box alone": _coco(segmentation=[], bbox=[4, 5, 12, 7]),
    "COCO without segmentation": _coco(segmentation=None, bbox=[4.2, 5.3, 12, 7]),
    "LabelMe polygon": _shape(),
    "LabelMe of an old version, without a type": _shape(shape_type=None),
    "LabelMe rectangle": _shape(shape_type="rectangle", points=[[15, 11], [4, 5]]),
    "LabelMe mask": _shape(shape_type="mask", points=[[4, 5], [15, 11]], mask=_picture_of_itself()),
    "ours": _ours(),
}


def _write(folder: Path, data: Any) -> Path:
    path = folder / "a.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


@pytest.mark.parametrize("case", READABLE)
def test_every_way_to_write_an_object_is_read(tmp_path, case):
    found = load(_write(tmp_path, READABLE[case]))
    assert found.labels == ("dog",)
    assert found.size == (20, 30)
    assert np.array_equal(pixels_of(found)[0], BOX)


def test_a_circle_is_round(tmp_path):
    data = _shape(shape_type="circle", points=[[15, 10], [15, 4]])
    (pixels,) = pixels_of(load(_write(tmp_path, data)))
    y, x = np.nonzero(pixels)
    assert (x.min(), x.max(), y.min(), y.max()) == (9, 21, 4, 16)
    assert abs(pixels.sum() - np.pi * 6.5**2) < 12


def test_what_a_file_does_not_say_is_filled_in(tmp_path):
    found = load(_write(tmp_path, _coco()))
    assert found.scores.tolist() == [1.0]
    assert found.ids.tolist() == [0]


def test_shapes_of_one_group_are_one_object(tmp_path):
    data = _shape()
    part, other = data["shapes"][0], [[20, 2], [25, 2], [25, 4]]
    data["shapes"] = [
        {**part, "group_id": 1},
        {**part, "group_id": 1, "points": other},
        {**part, "group_id": 1, "label": "cat"},
        {**part, "points": other},
        part,
    ]
    found = load(_write(tmp_path, data))
    assert found.labels == ("dog", "cat", "dog", "dog")
    assert found.ids.tolist() == [1, 1, 0, 2]
    assert pixels_of(found)[0].sum() > BOX.sum()


def _many() -> dict:
    data = _coco()
    data["images"] = [
        {"id": number, "file_name": f"set/{name}.jpg", "height": 20, "width": 30}
        for number, name in ((5, "dog"), (2, "cat"), (9, "7"), (3, "cow"))
    ]
    first = data["annotations"][0]
    data["annotations"] = [
        {**first, "id": number, "image_id": image, "score": image / 10}
        for number, image in enumerate((9, 5, 2, 9))
    ]
    return data


CHOICES = {
    "": [(0.5, 0), (0.2, 1), (0.9, 2), (0.9, 2)],
    "dog": [(0.5, 0)],
    "dog.jpg": [(0.5, 0)],
    "set/dog.jpg": [(0.5, 0)],
    " cat ": [(0.2, 0)],
    "7": [(0.9, 0), (0.9, 0)],
    "0": [(0.5, 0)],
    "2, 0-1": [(0.9, 0), (0.9, 0), (0.5, 1), (0.2, 2)],
    "3": [],
    "1-90": [(0.2, 0), (0.9, 1), (0.9, 1)],
}


@pytest.mark.parametrize("choice", CHOICES)
def test_pictures_are_chosen_by_name_or_place(tmp_path, choice):
    found = load(_write(tmp_path, _many()), choice)
    pairs = zip(found.scores.tolist(), found.frames.tolist(), strict=True)
    assert [(round(score, 4), frame) for score, frame in pairs] == CHOICES[choice]


@pytest.mark.parametrize("choice", ["doge", "4", "2-1", "dog, cat"])
def test_a_picture_that_is_not_there_is_refused_with_what_is(tmp_path, choice):
    with pytest.raises(InputError, match=r"image_name: found .*set/dog.jpg.*the 4 pictures"):
        load(_write(tmp_path, _many()), choice)


def test_sizes_that_differ_are_one_result_only_one_by_one(tmp_path):
    data = _many()
    data["images"][1]["width"] = 40
    path = _write(tmp_path, data)
    with pytest.raises(InputError, match=r"2 sizes, 30x20, 40x20"):
        load(path)
    assert load(path, "cat").size == (20, 40)


def test_a_folder_of_labelme_files_is_a_batch(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(json.dumps(_shape(label=name)))
    (tmp_path / "other.json").write_text("[]")
    found = load(tmp_path)
    assert (found.batch, found.labels) == (2, ("a", "b"))


def _changed(data: Any, *path: Any, value: Any = None) -> Any:
    """A copy in which what is at the end of a path is another value, or gone."""
    data = copy.deepcopy(data)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return data


OBJECT, IMAGE, SHAPE = ("annotations", 0), ("images", 0), ("shapes", 0)
DAMAGED = {
    "no JSON": ("{", "found no JSON.*accepted are COCO"),
    "another kind": ('{"a": 1}', r'found an object with \["a"\]; accepted is a COCO file'),
    "a number": ("3", "found 3; accepted is"),
    "nothing in our list": ("[]", "an empty list"),
    "texts in our list": ('["a"]', r'a.json\[0\]: found "a"; accepted is an object'),
    "no images": (_changed(_coco(), "images"), "a.json: images: found nothing; accepted is a list"),
    "an empty list of images": (
        _changed(_changed(_coco(), "images", value=[]), *OBJECT),
        "found no picture in it",
    ),
    "no width": (
        _changed(_coco(), *IMAGE, "width"),
        r"a.json: images\[0\]: width: found nothing; accepted is a whole number from 1",
    ),
    "a width of 0": (_changed(_coco(), *IMAGE, "width", value=0), "width: found 0"),
    "more pixels than any": (
        _changed(_coco(), *IMAGE, "width", value=10**7),
        "height: found 20; accepted is no more than",
    ),
    "no such image": (_coco(image_id=6), r"annotations\[0\]: image_id: found 6"),
    "no such category": (_coco(category_id=3), "category_id: found 3"),
    "a category without a name": (
        _changed(_coco(), "categories", 0, "name"),
        r"categories\[0\]: name: found nothing",
    ),
    "two points": (_coco(segmentation=[[1, 2, 3, 4]]), "at least three points"),
    "half a point": (_coco(segmentation=[[*SQUARE, 4]]), "segmentation: found .*points x, y"),
    "texts for points": (_coco(segmentation=[["a", "b"]]), "segmentation: found"),
    "points far away": (_coco(segmentation=[[0, 0, 1e9, 0, 5, 5]]), "in the image or near it"),
    "points that are no numbers": (
        json.dumps(_coco(segmentation=[[0, 0, float("nan"), 0, 5, 5]])),
        "in the image or near it",
    ),
    "a segmentation of text": (_coco(segmentation="x"), "a list of polygons"),
    "runs of another size": (
        _coco(segmentation={**_runs(), "size": [30, 20]}),
        r"run lengths of the image's size, \[20, 30\]",
    ),
    "damaged runs": (_coco(segmentation={"size": [20, 30], "counts": [1]}), "add up to"),
    "neither outline nor box": (_coco(segmentation=[]), "bbox: found nothing"),
    "a box turned round": (_coco(segmentation=[], bbox=[4, 5, -2, 7]), "bbox: found"),
    "a score above 1": (_coco(score=1.5), "score: found 1.5; accepted is a number from 0 to 1"),
    "no shapes that are a list": (
        {"shapes": 3, "imageHeight": 2, "imageWidth": 2},
        "shapes: found 3",
    ),
    "no height": (_changed(_shape(), "imageHeight"), "imageHeight: found nothing"),
    "no label": (_changed(_shape(), *SHAPE, "label"), r"shapes\[0\]: label: found nothing"),
    "a shape without an area": (
        _shape(shape_type="linestrip"),
        "shape_type: found .linestrip.; accepted is polygon, rectangle, circle or mask",
    ),
    "two corners": (_shape(points=[[1, 2], [3, 4]]), "at least 3 points for a polygon"),
    "points of three numbers": (_shape(points=[[1, 2, 3], [3, 4, 5]]), "points: found"),
    "a mask that is none": (
        _shape(shape_type="mask", points=[[4, 5], [15, 11]], mask="AAAA"),
        "mask: found .AAAA.; accepted is a PNG file in Base64",
    ),
    "a mask outside": (
        _shape(shape_type="mask", points=[[25, 5], [36, 11]], mask=_picture_of_itself()),
        "a place at which the mask is inside",
    ),
    "a group that is a text": (_shape(group_id="x"), "group_id: found"),
    "no frame": (_changed(_ours(), 0, "frame"), r"a.json\[0\]: frame: found nothing"),
    "a frame out of all bounds": (_ours(frame=10**9), "frame: found 1000000000"),
    "no runs": (_changed(_ours(), 0, "rle"), "rle: found nothing"),
    "two sizes": ([*_ours(), *_ours(rle={"size": [2, 2], "counts": [4]})], "size of the others"),
    "runs too short": (_ours(rle={"size": [20, 30], "counts": [4]}), "rle: .*add up to"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_named(tmp_path, case):
    data, message = DAMAGED[case]
    path = _write(tmp_path, data)
    with pytest.raises(InputError, match=message) as raised:
        load(path)
    assert re.search(r"file \S*a\.json", str(raised.value))


def test_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(InputError, match="a folder without LabelMe files"):
        load(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
KINDS = {"COCO": _coco(), "LabelMe": _shape(), "ours": _ours(), "runs": _coco(segmentation=_runs())}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_no_change_of_a_file_ends_in_another_error(tmp_path_factory, kind, data):
    """Whatever stands in whatever place: objects, or an InputError."""
    changed = copy.deepcopy(KINDS[kind])
    places = list(_places(changed))
    place = data.draw(st.sampled_from(places))
    _put(changed, place, data.draw(JSON))
    path = tmp_path_factory.getbasetemp() / f"{kind}.json"
    path.write_text(json.dumps(changed))
    try:
        load(path)
    except InputError:
        pass


def _places(value: Any, path: tuple = ()) -> Any:
    """The path of every value inside another one."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*path, key))


def _put(value: Any, path: tuple, new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new
