"""What is added to the text of a COCO file is what reading and writing all of it would give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from segment_anywhere.core.datasets import coco
from segment_anywhere.core.datasets.coco_text import take_apart
from segment_anywhere.core.datasets.save import Place, save
from segment_anywhere.core.errors import InputError

from tests.support.datasets import photo, result

EMPTY = '{"info": {"description": "Segment Anywhere"}, "licenses": [], "images": [], '
NAMES = ["one", "", "two", "one", '], "annotations": [', "", 'say "], "categories": ["', "two"]
RESULTS = [
    result(("cat", "disc")),
    result(('], "annotations": [{"id": 9, ', "ring"), ("cat", "disc")),
    result(),
]


def _save_all(folder: Path) -> str:
    for number, name in enumerate(NAMES):
        place = Place(folder, "image", name)
        save(RESULTS[number % len(RESULTS)], photo(), place, simplify=number % 2)
    return (folder / coco.FILE).read_text(encoding="utf-8")


def test_texts_are_those_of_reading_all_of_it(tmp_path, monkeypatch):
    """New pictures, replaced ones, numbered ones, without objects, and with names like the text."""
    added = _save_all(tmp_path / "added")
    assert added == json.dumps(json.loads(added), ensure_ascii=False) + "\n"
    monkeypatch.setattr(coco, "take_apart", lambda text: None)
    assert _save_all(tmp_path / "whole") == added
    assert len(json.loads(added)["images"]) == 6


def test_objects_are_not_read_for_a_picture_more(tmp_path, monkeypatch):
    save(RESULTS[1], photo(), Place(tmp_path, "image", "one"))
    monkeypatch.setattr(coco, "read_json", lambda path: pytest.fail("all of it was read"))
    save(RESULTS[0], photo(), Place(tmp_path, "image", "two"))
    monkeypatch.undo()
    assert [each["id"] for each in coco.read_json(tmp_path / coco.FILE)["annotations"]] == [1, 2, 3]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        EMPTY,
        EMPTY + '"annotations": [], "categories": []}',
        EMPTY + '"annotations": [], "categories": [], "mine": []}\n',
        EMPTY + '"annotations": [7], "categories": []}\n',
        EMPTY + '"annotations": [{"id": "a", "x": 1}], "categories": []}\n',
        EMPTY + '"annotations": [], "categories": [{"id": 1}]}\n',
        EMPTY + '"annotations": [], "categories": [], "annotations": [], "categories": []}\n',
        EMPTY.replace('"images": []', '"images": [3]') + '"annotations": [], "categories": []}\n',
        EMPTY.replace('"images": []', '"images": [{]') + '"annotations": [], "categories": []}\n',
        EMPTY.replace("Segment", "Others") + '"annotations": [], "categories": []}\n',
    ],
)
def test_what_is_not_as_this_pack_writes_it_is_read_whole(text):
    assert take_apart(text) is None


@pytest.mark.parametrize("images", ["[3]", '[{"id": 1}]', '[{"id": true, "file_name": "a.png"}]'])
def test_a_damaged_list_of_pictures_is_refused(tmp_path, images):
    text = EMPTY.replace('"images": []', f'"images": {images}')
    (tmp_path / coco.FILE).write_text(text + '"annotations": [], "categories": []}\n')
    with pytest.raises(InputError, match=r"annotations\.json.*images"):
        save(RESULTS[0], photo(), Place(tmp_path, "image", "two"))
