"""The layouts of EdgeTAM."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from segment_anywhere.core.engines.files.checkpoints import load_engine, read_weights
from segment_anywhere.core.engines.sam2 import edgetam
from segment_anywhere.core.errors import CheckpointError

from tests.support.layouts import write_edgetam_folder
from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference

REFERENCE = Reference(FIXTURES / "edgetam_parity")


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return read_weights(REFERENCE.checkpoint)


def test_the_official_size_is_recognised():
    engine = edgetam.from_official(REFERENCE.official_state("edgetam"), torch.float32)
    trunk = engine.module.vision_encoder.backbone
    assert trunk.widths == [48, 96, 192, 384]
    assert [len(stage) for stage in trunk.stages] == [2, 3, 15, 3]


FRAME = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))


def test_every_layout_gives_the_same_model(state, tmp_path):
    expected = load_engine(REFERENCE.checkpoint, torch.float32).encode(FRAME).features[-1]
    path = tmp_path / "edgetam.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    assert torch.equal(load_engine(path, torch.float32).encode(FRAME).features[-1], expected)
    folder = write_edgetam_folder(REFERENCE.checkpoint, tmp_path / "EdgeTAM")
    engine = load_engine(folder, torch.float32)
    assert engine.family == "edgetam"
    assert torch.equal(engine.encode(FRAME).features[-1], expected)


@pytest.mark.parametrize(
    "key",
    [
        "stem.conv1.c.weight",
        "stages_0.blocks.0.se.fc1.weight",
        "stages_1.downsample.ffn.conv1.bn.bias",
    ],
)
def test_a_missing_weight(key, state, tmp_path):
    path = tmp_path / "cut.pt"
    torch.save({k: x for k, x in state.items() if not k.endswith(key)}, path)
    with pytest.raises(CheckpointError, match="cut.pt"):
        load_engine(path, torch.float32)
