"""Model handles under the host's memory management."""

from __future__ import annotations

import gc
import shutil
import weakref

import comfy.model_management
import pytest
import torch
from segment_anywhere.core.engines.precision import Precision
from segment_anywhere.core.errors import CheckpointError
from segment_anywhere.nodes.host import models as host_models

from tests.support.needs import needs_sam3
from tests.support.nodes import load, noise, segment_points
from tests.support.paths import FIXTURES

pytestmark = pytest.mark.usefixtures("models")


def test_a_second_node_on_the_same_image_encodes_nothing():
    first, second = load(), load()
    segment_points(first, noise())
    segment_points(second, noise(), "[[5, 6]]")
    assert first is second
    assert first.segmenter().counters.encodes == 1


@pytest.fixture
def loads(monkeypatch):
    """What the host is asked for: handles on weights, and options."""
    calls = []
    load_models = comfy.model_management.load_models_gpu

    def record(patchers, **options):
        calls.append((patchers, options))
        load_models(patchers, **options)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", record)
    return calls


def test_every_run_asks_the_host_for_what_works(loads):
    """Another node may have evicted it, and plain modules cannot run half on the GPU."""
    model = load()
    segment_points(model, noise())
    engine = model.engine
    (whole, of_whole), (decoder, of_decoder) = loads
    assert whole == [model.patcher]
    assert of_whole == {"force_full_load": True, "memory_required": engine.activation_bytes()}
    assert of_decoder == {"force_full_load": True, "memory_required": engine.decoder_bytes(1)}
    assert 0 < of_decoder["memory_required"] < of_whole["memory_required"]
    parts = {id(weight) for weight in decoder[0].model.parameters()}
    assert parts == {id(weight) for weight in engine.decoder.parameters()}


def test_a_later_click_asks_for_nothing_but_the_decoder(loads):
    model = load()
    segment_points(model, noise())
    _, (decoder, _) = loads
    loads.clear()
    segment_points(model, noise(), "[[5, 6]]")
    assert [patchers for patchers, _ in loads] == [decoder]


def test_nothing_outlives_its_last_handle():
    model = load()
    segment_points(model, noise())
    gc.collect()
    alive = sum(tensor.numel() for tensor in _tensors())
    size = sum(parameter.numel() for parameter in model.engine.module.parameters())
    comfy.model_management.unload_all_models()
    comfy.model_management.current_loaded_models.clear()
    del model
    gc.collect()
    assert alive - sum(tensor.numel() for tensor in _tensors()) >= size


def _tensors() -> list[torch.Tensor]:
    return [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]


@pytest.mark.parametrize(
    ("path", "title"),
    [(None, "GrabCut"), (FIXTURES / "sam2_parity" / "checkpoint.pt", "SAM 2 / 2.1")],
)
def test_a_model_without_a_text_head_says_what_has_one(path, title):
    model = host_models.segment_model(path, Precision.FP32)
    with pytest.raises(CheckpointError, match=f"detector: {title} understands no words by itself"):
        model.finder(None)


@needs_sam3
def test_a_vocabulary_lies_beside_a_file_as_it_lies_in_a_folder(tmp_path, monkeypatch):
    for name in ("checkpoint.pt", "vocab.json", "merges.txt"):
        shutil.copy(FIXTURES / "sam3_parity" / name, tmp_path)
    monkeypatch.setattr(host_models.comfy.model_management, "__file__", str(tmp_path / "x" / "y"))
    model = host_models.segment_model(tmp_path / "checkpoint.pt", Precision.FP32)
    assert model.finder(None).embedder is model.segmenter()


def test_the_last_four_detectors_stay(tmp_path):
    """One that is asked for again counts as the last."""
    store = host_models.DetectorStore()
    folders = [tmp_path / str(number) for number in range(5)]
    for folder in folders:
        folder.mkdir()
    handles = [store.get(folder, Precision.FP32) for folder in folders[:4]]
    assert store.get(folders[0], Precision.FP32) is handles[0]
    kept = [weakref.ref(handle) for handle in handles]
    handles.clear()
    store.get(folders[4], Precision.FP32)
    gc.collect()
    assert [each() is not None for each in kept] == [True, False, True, True]


def test_weights_that_went_away_outside_of_a_run_work_in_the_next():
    """ComfyUI runs nodes in inference mode, and serves POST /free between two of them without it.

    Another number type stands for another device: both give the weights a new place.
    """
    model = load()
    with torch.inference_mode():
        before = segment_points(model, noise(), "[[5, 6]]").args[0]
    model.patcher.model.to(torch.float64)
    with torch.inference_mode():
        model.patcher.model.to(torch.float32)
        after = segment_points(model, noise(), "[[5, 6]]").args[0]
    assert before.any() and torch.equal(after, before)
