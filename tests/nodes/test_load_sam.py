"""Load SAM: what it hands out, and when that is another model."""

from __future__ import annotations

import os
import shutil

import pytest
from segment_anywhere.core.engines.files.catalogue import CATALOGUE
from segment_anywhere.core.errors import DownloadError
from segment_anywhere.nodes.load_sam import LoadSAM

from tests.support.nodes import BUILT_IN, load
from tests.support.paths import FIXTURES

pytestmark = pytest.mark.usefixtures("models")


def test_loaders_share_one_handle_per_file_and_precision(models):
    name = "sam2/random.pt"
    model = load(name)
    assert load(name) is model
    assert load(name, "bf16") is not model
    assert load(BUILT_IN) is load(BUILT_IN, "bf16")
    path = models / name
    path.write_bytes(path.read_bytes() + b" ")
    assert load(name) is not model


def test_a_folder_whose_weights_change_is_another_model(models):
    folder = models / "sam2" / "mine"
    shutil.copytree(FIXTURES / "sam2_tiny", folder)
    model, before = load("sam2/mine"), LoadSAM.fingerprint_inputs("sam2/mine", "fp32")
    weights = folder / "model.safetensors"
    os.utime(weights, (1, 1))
    assert LoadSAM.fingerprint_inputs("sam2/mine", "fp32") != before
    assert load("sam2/mine") is not model


def test_choosing_a_model_loads_nothing():
    model = load()
    assert model.engine is None
    assert model.patcher is None
    model.segmenter()
    assert model.engine is not None
    assert model.patcher.model.model is model.engine.module


def test_a_model_that_cannot_be_fetched_says_how_to_go_on(models, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="grabcut") as caught:
        load(f"sam2/{CATALOGUE[0].file}")
    assert str(models / "sam2" / CATALOGUE[0].file) in str(caught.value)
