"""The layouts of EdgeTAM."""

from __future__ import annotations

import json

import pytest
import torch
from conftest import FIXTURES
from predictor_cases import Reference
from safetensors.torch import save_file
from segment_anywhere.core.engines import edgetam
from segment_anywhere.core.engines.checkpoints import load_engine, read_weights
from segment_anywhere.core.errors import CheckpointError

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
    folder = _write_folder(state, tmp_path / "EdgeTAM")
    engine = load_engine(folder, torch.float32)
    assert engine.family == "edgetam"
    assert torch.equal(engine.encode(FRAME).features[-1], expected)


def _write_folder(state, folder):
    """A transformers folder: timm's names for the encoder, transformers' for the rest."""
    engine = load_engine(REFERENCE.checkpoint, torch.float32)
    config = engine.module.config.to_dict()
    config["model_type"] = "edgetam"
    official = "image_encoder.trunk.body."
    weights = {
        key.replace(official, "vision_encoder.backbone.timm_model."): tensor
        for key, tensor in state.items()
        if key.startswith(official)
    }
    own = engine.module.state_dict()
    weights |= {key: x for key, x in own.items() if not key.startswith("vision_encoder.backbone.")}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config, default=str))
    save_file({key: x.clone() for key, x in weights.items()}, folder / "model.safetensors")
    return folder


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
