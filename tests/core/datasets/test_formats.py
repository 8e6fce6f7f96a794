"""What is written, read with the programs that it is for; and read back."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import supervision
import torch
from PIL import Image
from pycocotools.coco import COCO
from segment_anywhere.core.datasets.load import load
from segment_anywhere.core.datasets.save import Format, Place, Saved, save
from segment_anywhere.core.pictures.render import region_colours
from segment_anywhere.core.results.coco import to_json
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments

from tests.support.datasets import SIZE, photo, pixels_of, result, shapes
from tests.support.overlap import iou

HARD = result(*((f"a {name}", name) for name in shapes()))
# What supervision's rounding leaves alone: it makes COCO's corners one pixel wider.
LARGE = result(("cat", "disc"), ("dog", "ring"), ("cat", "parts"), ("bird", "everything"))


def _save(folder: Path, segments: Segments, format: Format, name: str = "dog", **more) -> Saved:
    image = more.pop("image", photo(segments.batch))
    return save(segments, image, Place(folder, "image", name), format, **more)


def test_pycocotools_makes_exactly_our_masks_of_the_coco_file(tmp_path):
    _save(tmp_path, HARD, Format.COCO)
    coco = COCO(tmp_path / "annotations.json")
    (image,) = coco.loadImgs(coco.getImgIds())
    assert (image["file_name"], image["height"], image["width"]) == ("dog.png", *SIZE)
    annotations = coco.loadAnns(coco.getAnnIds())
    names = [coco.loadCats(each["category_id"])[0]["name"] for each in annotations]
    assert names == list(HARD.labels)
    for each, pixels, box in zip(annotations, pixels_of(HARD), HARD.boxes.tolist(), strict=True):
        assert np.array_equal(coco.annToMask(each) > 0, pixels)
        assert each["area"] == pixels.sum()
        x, y, width, height = each["bbox"]
        assert [x, y, x + width, y + height] == box
        assert each["iscrowd"] == 0
    assert [each["id"] for each in annotations] == list(range(1, len(HARD) + 1))


def test_pycocotools_scores_the_file_against_itself_as_perfect(tmp_path):
    """Ids of 0, areas that do not fit or crowds would cost points."""
    from pycocotools.cocoeval import COCOeval

    _save(tmp_path, LARGE, Format.COCO)
    truth = COCO(tmp_path / "annotations.json")
    found = [
        {
            "image_id": each["image_id"],
            "category_id": each["category_id"],
            "segmentation": truth.annToRLE(each),
            "score": each["score"],
        }
        for each in truth.loadAnns(truth.getAnnIds())
    ]
    scored = COCOeval(truth, truth.loadRes(found), "segm")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == pytest.approx(1.0)


def _yolo_lines(folder: Path, stem: str = "dog") -> list[tuple[int, np.ndarray]]:
    lines = (folder / "labels" / f"{stem}.txt").read_text().splitlines()
    numbers = [line.split() for line in lines]
    return [(int(each[0]), np.array(each[1:], float).reshape(-1, 2)) for each in numbers]


@pytest.mark.parametrize("simplify", [0.0, 1.0])
def test_yolo_polygons_filled_as_ultralytics_does_are_our_masks(tmp_path, simplify):
    _save(tmp_path, HARD, Format.YOLO, simplify=simplify)
    lines = _yolo_lines(tmp_path)
    assert [number for number, _ in lines] == list(range(len(HARD)))
    for (_, polygon), (name, pixels) in zip(lines, shapes().items(), strict=True):
        assert polygon.min() >= 0 and polygon.max() <= 1
        filled = np.zeros(SIZE, np.uint8)
        whole = (polygon * SIZE[::-1]).astype(np.int32)
        cv2.fillPoly(filled, [whole], 1)
        if simplify:
            assert pixels.sum() < 1000 or iou(filled > 0, pixels) > 0.97, name
        else:
            assert iou(filled > 0, pixels) > 0.99, name


def test_yolo_boxes_are_centre_and_size(tmp_path):
    _save(tmp_path, HARD, Format.YOLO_BOXES)
    for (_, numbers), (left, top, right, bottom) in zip(
        _yolo_lines(tmp_path), HARD.boxes.tolist(), strict=True
    ):
        centre, size = numbers * SIZE[::-1]
        assert centre - size / 2 == pytest.approx([left, top], abs=1e-3)
        assert centre + size / 2 == pytest.approx([right, bottom], abs=1e-3)


def _supervised(folder: Path, format: Format) -> supervision.DetectionDataset:
    if format is Format.COCO:
        return supervision.DetectionDataset.from_coco(
            str(folder / "images"), str(folder / "annotations.json"), force_masks=True
        )
    return supervision.DetectionDataset.from_yolo(
        str(folder / "images"),
        str(folder / "labels"),
        str(folder / "data.yaml"),
        force_masks=format is Format.YOLO,
    )


@pytest.mark.parametrize("format", [Format.COCO, Format.YOLO, Format.YOLO_BOXES])
def test_supervision_loads_pictures_classes_boxes_and_masks(tmp_path, format):
    for name in ("dog", "cat"):
        _save(tmp_path, LARGE, format, name, image=photo(seed=len(name)))
    dataset = _supervised(tmp_path, format)
    assert dataset.classes == ["cat", "dog", "bird"]
    assert len(dataset) == 2
    for path, picture, found in dataset:
        assert picture.shape == (*SIZE, 3)
        assert Path(path).stem in ("dog", "cat")
        assert [dataset.classes[number] for number in found.class_id] == list(LARGE.labels)
        # Polygons lie inside the boxes of whole pixels.
        assert np.abs(found.xyxy - LARGE.boxes.numpy()).max() <= 1.0
        if format is not Format.YOLO_BOXES:
            for mask, pixels in zip(found.mask, pixels_of(LARGE), strict=True):
                assert iou(mask, pixels) > (0.99 if format is Format.YOLO else 0.95)


def test_supervision_gets_our_pixels(tmp_path):
    image = photo()
    _save(tmp_path, LARGE, Format.YOLO, image=image)
    (_, picture, _), *_ = _supervised(tmp_path, Format.YOLO)
    assert np.array_equal(picture[..., ::-1], (image[0] * 255).round().byte().numpy())


READABLE = {Format.COCO: "annotations.json", Format.LABELME: "dog.json"}


@pytest.mark.parametrize("format", READABLE)
def test_what_is_saved_comes_back(tmp_path, format):
    _save(tmp_path, HARD, format)
    found = load(tmp_path / READABLE[format])
    assert found.labels == HARD.labels
    assert found.size == HARD.size and found.batch == 1
    assert torch.equal(found.ids, HARD.ids)
    assert torch.allclose(found.scores, HARD.scores, atol=1e-4)
    for one, other in zip(pixels_of(found), pixels_of(HARD), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("source", ["annotations.json", "folder", "list.json"])
def test_a_batch_comes_back_frame_by_frame(tmp_path, source):
    clip = result(("cat", "disc"), ("", "ring"), batch=3)
    place = tmp_path
    if source == "list.json":
        (tmp_path / source).write_text(to_json(clip))
        place = tmp_path / source
    elif source == "folder":
        _save(tmp_path, clip, Format.LABELME, "")
    else:
        _save(tmp_path, clip, Format.COCO, "")
        place = tmp_path / source
    found = load(place)
    assert found.batch == 3
    assert found.frames.tolist() == clip.frames.tolist()
    assert found.ids.tolist() == clip.ids.tolist()
    assert found.labels[0] == "cat"
    for one, other in zip(pixels_of(found), pixels_of(clip), strict=True):
        assert np.array_equal(one, other)


def test_labelme_gets_a_file_beside_each_picture(tmp_path):
    _save(tmp_path, result(("cat", "parts"), ("dog", "ring")), Format.LABELME)
    assert sorted(path.name for path in tmp_path.glob("dog*")) == ["dog.json", "dog.png"]
    data = json.loads((tmp_path / "dog.json").read_text())
    assert data["imagePath"] == "dog.png"
    assert data["imageData"] is None
    assert (data["imageHeight"], data["imageWidth"]) == SIZE
    groups = [(shape["label"], shape["group_id"]) for shape in data["shapes"]]
    assert sorted(groups) == [("cat", 0), ("cat", 0), ("cat", 0), ("dog", 1)]
    assert {shape["shape_type"] for shape in data["shapes"]} == {"polygon"}


def test_objects_of_one_id_stay_two(tmp_path):
    one, other = result(("cat", "disc"), ("cat", "at all borders"))
    twins = [Instance(each.mask, each.score, "cat", 0, 0) for each in (one, other)]
    _save(tmp_path, Segments.from_instances(twins, SIZE, 1), Format.LABELME)
    assert len(load(tmp_path / "dog.json")) == 2


def test_an_indexed_png_has_class_numbers_and_colours(tmp_path):
    segments = result(("bird", "everything"), ("cat", "disc"), ("dog", "one pixel"))
    _save(tmp_path, segments, Format.INDEXED, classes="dog, cat, bird, horse")
    with Image.open(tmp_path / "masks" / "dog.png") as picture:
        assert picture.mode == "P"
        pixels, palette = np.array(picture), picture.getpalette()
    assert pixels.shape == SIZE
    known = shapes()
    assert (pixels[known["one pixel"]] == 1).all()
    assert (pixels[known["disc"] & ~known["one pixel"]] == 2).all()
    assert (pixels[~known["disc"] & ~known["one pixel"]] == 3).all()
    assert palette[:12] == [0, 0, 0, *(part for colour in region_colours(3) for part in colour)]
    assert (tmp_path / "classes.txt").read_text() == "dog\ncat\nbird\nhorse\n"


def test_background_is_nothing(tmp_path):
    _save(tmp_path, result(("cat", "disc")), Format.INDEXED)
    with Image.open(tmp_path / "masks" / "dog.png") as picture:
        assert np.array_equal(np.array(picture) == 1, shapes()["disc"])


def test_a_png_of_each_object_keeps_soft_edges(tmp_path):
    soft = torch.zeros(SIZE, dtype=torch.uint8)
    soft[10:20, 10:20], soft[10:20, 20] = 255, 77
    objects = [Instance(compact(soft), 0.5, "a/b", 0), *result(("cat", "ring"))]
    _save(tmp_path, Segments.from_instances(objects, SIZE, 1), Format.OBJECTS)
    found = sorted((tmp_path / "masks" / "dog").iterdir())
    assert [path.name for path in found] == ["000_a_b.png", "001_cat.png"]
    with Image.open(found[0]) as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.array(picture), soft.numpy())


def test_masks_of_a_picture_that_is_replaced_are_gone(tmp_path):
    _save(tmp_path, result(("cat", "ring"), ("cat", "disc")), Format.OBJECTS)
    saved = _save(tmp_path, result(("dog", "disc")), Format.OBJECTS)
    assert [path.name for path in (tmp_path / "masks" / "dog").iterdir()] == ["000_dog.png"]
    assert all(path.is_file() for path in saved.paths)


@pytest.mark.parametrize("format", Format)
def test_without_objects_there_is_still_the_picture(tmp_path, format):
    nothing = Segments.from_instances([], SIZE, 1)
    saved = _save(tmp_path, nothing, format)
    assert (saved.pictures, saved.objects) == (1, 0)
    assert any(path.name == "dog.png" for path in saved.paths)
    if format is Format.COCO:
        assert len(COCO(tmp_path / "annotations.json").getImgIds()) == 1
        assert len(load(tmp_path / "annotations.json")) == 0
    if format is Format.YOLO:
        assert (tmp_path / "labels" / "dog.txt").read_text() == ""
        assert len(_supervised(tmp_path, format)) == 1


@pytest.mark.parametrize("format", Format)
def test_without_an_image_only_what_is_known_of_it_is_written(tmp_path, format):
    saved = _save(tmp_path, result(("cat", "disc")), format, "photos/dog.jpg", image=None)
    assert not (tmp_path / "images").exists()
    assert all(path.is_file() for path in saved.paths)
    if format is Format.COCO:
        (image,) = json.loads((tmp_path / "annotations.json").read_text())["images"]
        assert image["file_name"] == "dog.jpg"
    if format is Format.LABELME:
        assert json.loads((tmp_path / "dog.json").read_text())["imagePath"] == "dog.jpg"


def test_yolo_names_survive_yaml(tmp_path):
    odd = ["yes", "no: really", '"quoted"', "3", "猫", "# not a comment"]
    _save(tmp_path, result(*((name, "disc") for name in odd)), Format.YOLO)
    assert _supervised(tmp_path, Format.YOLO).classes == odd
