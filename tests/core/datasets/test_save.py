"""Datasets over many runs: names, numbers, classes; two programs at once; a crash in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pycocotools.coco import COCO
from segment_anywhere.core.datasets import files
from segment_anywhere.core.datasets.load import load
from segment_anywhere.core.datasets.save import Format, Place, save
from segment_anywhere.core.errors import InputError

from tests.support.datasets import SIZE, photo, result
from tests.support.paths import ROOT

CAT, DOG = result(("cat", "disc")), result(("dog", "ring"), ("cat", "disc"))


def _coco(folder: Path) -> dict:
    return json.loads((folder / "annotations.json").read_text())


def _save(folder: Path, segments=CAT, name="", format=Format.COCO, **more):
    return save(segments, more.pop("image", photo()), Place(folder, "image", name), format, **more)


def test_runs_append_and_no_id_ever_changes(tmp_path):
    seen: dict[str, dict[int, str]] = {"images": {}, "annotations": {}, "categories": {}}
    for segments in (CAT, DOG, CAT, result(("bird", "a line"))):
        _save(tmp_path, segments)
        data = _coco(tmp_path)
        for kind, known in seen.items():
            now = {each["id"]: json.dumps(each, sort_keys=True) for each in data[kind]}
            assert len(now) == len(data[kind])
            assert {number: now[number] for number in known} == known
            seen[kind] = now
    assert [each["file_name"] for each in data["images"]] == [
        f"image_0000{number}.png" for number in (1, 2, 3, 4)
    ]
    assert [each["name"] for each in data["categories"]] == ["cat", "dog", "bird"]
    assert sorted(seen["annotations"]) == [1, 2, 3, 4, 5]
    assert COCO(tmp_path / "annotations.json").getImgIds() == [1, 2, 3, 4]


@pytest.mark.parametrize("format", Format)
def test_a_picture_of_the_same_name_is_replaced(tmp_path, format):
    for segments in (DOG, CAT):
        for name in ("one.jpg", "two"):
            saved = _save(tmp_path, segments, name, format)
    again = _save(tmp_path, DOG, "one", format, image=photo(seed=1))
    assert set(again.paths) - set(saved.paths)
    folder = tmp_path if format is Format.LABELME else tmp_path / "images"
    assert sorted(path.name for path in folder.glob("*.png")) == ["one.png", "two.png"]
    if format is Format.COCO:
        data = _coco(tmp_path)
        assert [(each["id"], each["file_name"]) for each in data["images"]] == [
            (1, "one.png"),
            (2, "two.png"),
        ]
        assert [each["image_id"] for each in data["annotations"]] == [2, 1, 1]
        assert load(tmp_path / "annotations.json", "one").labels == ("dog", "cat")
        assert load(tmp_path / "annotations.json", "two.png").labels == ("cat",)
    if format is Format.LABELME:
        assert load(tmp_path / "one.json").labels == ("dog", "cat")


@pytest.mark.parametrize("format", Format)
def test_pictures_without_a_name_get_the_next_number(tmp_path, format):
    save(CAT, photo(), Place(tmp_path, "a", ""), format)
    clip = result(("cat", "disc"), batch=2)
    save(clip, photo(2), Place(tmp_path, "a", ""), format)
    save(CAT, photo(), Place(tmp_path, "ab", ""), format)
    folder = tmp_path if format is Format.LABELME else tmp_path / "images"
    found = sorted(path.stem for path in folder.glob("*.png"))
    assert found == ["a_00001", "a_00002", "a_00003", "ab_00001"]


def test_the_frames_of_a_named_clip_are_numbered_from_its_first(tmp_path):
    clip = result(("cat", "disc"), batch=2)
    for _ in range(2):
        _save(tmp_path, clip, "walk.mp4", image=photo(2))
    assert [each["file_name"] for each in _coco(tmp_path)["images"]] == [
        "walk.mp4_00000.png",
        "walk.mp4_00001.png",
    ]


def test_a_picture_that_is_there_is_not_overwritten_by_a_number(tmp_path):
    (tmp_path / "images").mkdir()
    theirs = tmp_path / "images" / "image_00007.png"
    theirs.write_bytes(b"theirs")
    _save(tmp_path)
    assert theirs.read_bytes() == b"theirs"
    assert (tmp_path / "images" / "image_00008.png").is_file()


NAMES = {
    "photos/dog.jpg": "dog.png",
    "C:\\photos\\dog.jpg": "dog.png",
    "../../dog": "dog.png",
    "a:b*c?.png": "a_b_c_.png",
    "v1.5": "v1.5.png",
    "猫.webp": "猫.png",
    " .hidden. ": "hidden.png",
    "x" * 300: "x" * 200 + ".png",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_never_leaves_the_folder(tmp_path, name):
    _save(tmp_path / "in", name=name)
    assert [path.name for path in (tmp_path / "in" / "images").iterdir()] == [NAMES[name]]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_classes_fix_the_numbers_whatever_comes_first(tmp_path):
    _save(tmp_path, DOG, classes="bird, cat\ndog")
    _save(tmp_path, CAT, classes="bird, cat, dog, horse")
    data = _coco(tmp_path)
    assert [(each["id"], each["name"]) for each in data["categories"]] == [
        (1, "bird"),
        (2, "cat"),
        (3, "dog"),
        (4, "horse"),
    ]
    assert [each["category_id"] for each in data["annotations"]] == [3, 2, 2]


@pytest.mark.parametrize(
    ("classes", "found"),
    [("", ["object", "cat"]), ("flower, object, cat", ["flower", "object", "cat"])],
)
def test_what_was_clicked_is_an_object_without_a_number(tmp_path, classes, found):
    clicked = result(("object 0", "disc"), ("object 12", "ring"), ("", "parts"), ("cat", "disc"))
    _save(tmp_path, clicked, classes=classes)
    data = _coco(tmp_path)
    assert [each["name"] for each in data["categories"]] == found
    first = found.index("object") + 1
    assert [each["category_id"] for each in data["annotations"]] == [first] * 3 + [len(found)]


def test_what_was_clicked_is_of_the_one_class_there_is(tmp_path):
    _save(tmp_path, result(("object 0", "disc"), ("object 1", "ring")), classes="flower")
    assert [each["name"] for each in _coco(tmp_path)["categories"]] == ["flower"]


WRONG_CLASSES = {
    "a label that is not in it": ("cat", "dog.*accepted are the classes cat"),
    "another order than the dataset's": ("dog, cat", "has cat, in this"),
    "a class twice": ("cat, dog, cat", "cat is there more than once"),
}


@pytest.mark.parametrize("format", [Format.COCO, Format.YOLO, Format.INDEXED])
@pytest.mark.parametrize("case", WRONG_CLASSES)
def test_classes_that_cannot_be_are_refused_before_anything_is_written(tmp_path, case, format):
    _save(tmp_path, CAT, "first", format)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    classes, message = WRONG_CLASSES[case]
    with pytest.raises(InputError, match=message):
        _save(tmp_path, DOG, "second", format, classes=classes)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_others_wrote_into_the_file_stays(tmp_path):
    theirs = {
        "info": {"year": 2020},
        "licenses": [{"id": 1}],
        "images": [{"id": 70, "file_name": "old.jpg", "height": 4, "width": 5, "license": 1}],
        "annotations": [{"id": 9, "image_id": 70, "category_id": 40, "bbox": [0, 0, 2, 2]}],
        "categories": [{"id": 40, "name": "dog"}, {"id": 3, "name": "bird"}],
        "mine": [1],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(theirs))
    _save(tmp_path, DOG)
    data = _coco(tmp_path)
    assert data["images"][0] == theirs["images"][0]
    assert data["annotations"][0] == theirs["annotations"][0]
    assert [(each["id"], each["name"]) for each in data["categories"]] == [
        (40, "dog"),
        (3, "bird"),
        (41, "cat"),
    ]
    assert [each["id"] for each in data["annotations"]] == [9, 10, 11]
    assert [each["category_id"] for each in data["annotations"]] == [40, 40, 41]
    assert data["images"][1]["id"] == 71
    assert (data["info"], data["licenses"], data["mine"]) == ({"year": 2020}, [{"id": 1}], [1])


@pytest.mark.parametrize("text", ["", "[1", "[]", '{"images": 3}', '{"images": [{"id": "a"}]}'])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path, text):
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(InputError, match="annotations.json"):
        _save(tmp_path)
    assert (tmp_path / "annotations.json").read_text() == text


def test_a_crash_in_the_middle_leaves_the_old_file_whole(tmp_path, monkeypatch):
    _save(tmp_path)
    before = (tmp_path / "annotations.json").read_bytes()

    def crash(source: str, target: Path) -> None:
        if Path(target).suffix == ".json":
            raise KeyboardInterrupt
        rename(source, target)

    rename = os.replace
    monkeypatch.setattr(files.os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        _save(tmp_path, DOG)
    monkeypatch.undo()
    assert (tmp_path / "annotations.json").read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))
    _save(tmp_path, DOG)
    assert len(_coco(tmp_path)["images"]) == 2


WRITER = """
import sys
from pathlib import Path
import tests.conftest
from segment_anywhere.core.datasets.save import Format, Place, save
from tests.support.datasets import photo, result
folder, label = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(12):
    save(result((label, "disc")), photo()[:, :160], Place(folder, "image"), Format.COCO)
"""


def test_two_programs_at_once_lose_nothing(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), label],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
            text=True,
        )
        for label in ("cat", "dog")
    ]
    for each in running:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    # Both begin when both have got ready.
    for each in running:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in running:
        each.communicate(timeout=120)
        assert each.returncode == 0
    data = _coco(tmp_path)
    assert [each["id"] for each in data["images"]] == list(range(1, 25))
    assert len({each["file_name"] for each in data["images"]}) == 24
    assert [each["id"] for each in data["annotations"]] == list(range(1, 25))
    numbers = {each["name"]: each["id"] for each in data["categories"]}
    owners = [each["category_id"] for each in data["annotations"]]
    assert {label: owners.count(number) for label, number in numbers.items()} == {
        "cat": 12,
        "dog": 12,
    }


def test_who_waits_too_long_for_another_program_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PATIENCE", 0.05)
    with (
        files.locked(tmp_path),
        pytest.raises(InputError, match="another program has been writing"),
    ):
        _save(tmp_path)


def test_the_image_decides_the_size_and_one_result_serves_all_images(tmp_path):
    image = torch.rand(2, SIZE[0] // 2, SIZE[1] // 2, 3)
    saved = _save(tmp_path, CAT, image=image)
    assert (saved.pictures, saved.objects) == (2, 2)
    assert load(tmp_path / "annotations.json").size == (80, 100)


def test_objects_without_a_pixel_are_left_out_and_counted(tmp_path):
    from segment_anywhere.core.results.compact_mask import compact
    from segment_anywhere.core.results.segments import Instance, Segments

    nothing = Instance(compact(torch.zeros(SIZE, dtype=torch.bool)), 1.0, "cat", 0)
    saved = _save(tmp_path, Segments.from_instances([nothing, *CAT], SIZE, 1))
    assert (saved.objects, saved.empty) == (1, 1)


REFUSED = {
    "fewer images than frames": ({"segments": result(("cat", "disc"), batch=3)}, "image: found 1"),
    "batches that do not fit": (
        {"segments": result(("cat", "disc"), batch=3), "image": photo(2)},
        "accepted are as many",
    ),
    "a name of nothing": ({"name": "???/"}, "image_name: found"),
    "pixels that are none": ({"image": photo() * float("nan")}, "NaN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_inputs_that_do_not_fit_are_refused(tmp_path, case):
    inputs, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        _save(tmp_path, **inputs)
    assert not (tmp_path / "annotations.json").exists()


def test_more_classes_than_a_byte_has_are_no_indexed_png(tmp_path):
    classes = "\n".join(["cat", *(f"class {number}" for number in range(255))])
    with pytest.raises(InputError, match="256 classes"):
        _save(tmp_path, CAT, format=Format.INDEXED, classes=classes)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "dataset").write_text("a file")
    with pytest.raises(InputError, match="filename_prefix: .*dataset.* cannot be written"):
        _save(tmp_path / "dataset")
