"""What a folder says of its known classes and of its input, and folders that are refused."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.engines.detectors.classes import known_labels
from segment_anywhere.core.errors import CheckpointError

from tests.support.class_models import LABELS, MAKERS
from tests.support.word_models import make_clipseg


@pytest.mark.parametrize("name", MAKERS)
def test_labels_are_the_models_own(name, load, folders):
    assert load(name).labels == known_labels(folders / name) == LABELS


def test_a_model_of_any_words_has_no_labels(tmp_path):
    make_clipseg(tmp_path / "clipseg")
    assert known_labels(tmp_path / "clipseg") == ()


def test_classes_may_share_a_name_or_have_none(folders, tmp_path, frame, all_parts):
    """As in COCO's 91 numbers, of which 80 are in use."""
    folder = shutil.copytree(folders / "segformer", tmp_path / "model")
    path = folder / "config.json"
    names = {"0": "N/A", "1": "thing", "2": "thing", "3": "", "4": "dog ", "5": "N/A"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id2label": names}))
    assert known_labels(folder) == ("N/A", "thing", "dog")
    detector, plain = load_detector(folder, torch.float32), None
    assert detector.labels == ("N/A", "thing", "dog")
    plain = load_detector(folders / "segformer", torch.float32)

    def union(model, *labels):
        found = model.detect(model.encode(frame), labels, 0.0)
        return sum((each.logits > 0).any(dim=0) for each in found) > 0

    wanted = union(plain, "person", "traffic light")
    assert wanted.any() and torch.equal(union(detector, "things"), wanted)


def _without(pattern):
    def remove(folder):
        for path in folder.glob(pattern):
            path.unlink()

    return remove


def _with(file, **changes):
    def rewrite(folder):
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return rewrite


def _pickle_only(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("d_fine", _pickle_only, r"weights \(model.safetensors\) is missing beside config.json"),
        (
            "segformer",
            _with("config.json", architectures=["SegformerForImageClassification"]),
            "architecture SegformerForImageClassification; accepted: SegformerForSemantic",
        ),
        ("rt_detr_v2", _with("config.json", architectures=["RTDetrV2Model"]), "accepted: RTDetrV2"),
        ("d_fine", _with("preprocessor_config.json", size={"longest_edge": 9}), "found the size"),
        ("d_fine", _with("preprocessor_config.json", size="9"), "found the size '9'; accepted are"),
        ("segformer", _with("config.json", model_type="detr"), "model type 'detr'; accepted: "),
    ],
)
def test_folders_that_are_refused(name, spoil, message, folders, tmp_path):
    folder = shutil.copytree(folders / name, tmp_path / "model")
    spoil(folder)
    with pytest.raises(CheckpointError, match=message):
        load_detector(folder, torch.float32)


@pytest.mark.parametrize("names", [None, {}, ["person"], {"0": " "}])
def test_classes_without_names_are_refused(names, folders, tmp_path):
    folder = shutil.copytree(folders / "d_fine", tmp_path / "model")
    _with("config.json", id2label=names)(folder)
    with pytest.raises(
        CheckpointError, match="no names for the model's classes; accepted is an id"
    ):
        known_labels(folder)


def test_a_transformers_that_is_too_old(folders, tmp_path, monkeypatch):
    folder = shutil.copytree(folders / "d_fine", tmp_path / "model")
    config = {"model_type": "rf_detr", "architectures": ["RfDetrForObjectDetection"]}
    _with("config.json", **config)(folder)
    # transformers may put another module in its place when it imports a model.
    monkeypatch.setattr(sys.modules["transformers"], "__version__", "5.8.1")
    with pytest.raises(
        CheckpointError, match="needs transformers 5.9 or newer; found 5.8.1. .*pip"
    ):
        load_detector(folder, torch.float32)


@pytest.mark.parametrize(
    ("size", "image", "wanted"),
    [
        (64, (120, 200), (64, 64)),
        ({"height": 32, "width": 96}, (120, 200), (32, 96)),
        ({"shortest_edge": 60, "longest_edge": 90}, (120, 200), (54, 90)),
        ({"shortest_edge": 60, "longest_edge": 600}, (200, 120), (100, 60)),
    ],
)
def test_sizes_of_the_input(size, image, wanted, folders, tmp_path):
    folder = shutil.copytree(folders / "rt_detr", tmp_path / "model")
    _with("preprocessor_config.json", size=size)(folder)
    assert load_detector(folder, torch.float32)._input_size(image) == wanted
