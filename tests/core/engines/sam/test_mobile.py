"""MobileSAM: equal to the official code, loaded where timm is, refused in plain words elsewhere."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from segment_anywhere.core.engines.families import family_of_keys
from segment_anywhere.core.engines.files.checkpoints import (
    find_family,
    load_engine,
    read_weights,
)
from segment_anywhere.core.engines.sam import mobile
from segment_anywhere.core.errors import CheckpointError, MissingLibrary
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point

from tests.support.engines import engine_of
from tests.support.needs import needs_timm
from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference

REFERENCE = Reference(FIXTURES / "mobile_sam_parity")
FRAME = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))
CLICK = ObjectPrompt("click", (Point(20, 30),))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return read_weights(REFERENCE.checkpoint)


@needs_timm
def test_embeddings_equal_the_official_encoders():
    for index, frame in enumerate(REFERENCE.frames()):
        (found,) = engine_of("mobile_sam").encode(frame).features
        expected = torch.from_numpy(REFERENCE.arrays[f"embedding_{index}"])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@needs_timm
def test_the_official_size_is_recognised():
    official = REFERENCE.official_state("vit_t")
    assert family_of_keys(official).name == "mobile_sam"
    engine = mobile.from_official(official, torch.float32)
    trunk = engine.module.vision_encoder.trunk
    blocks = [stage.blocks for stage in trunk.stages]
    assert [len(each) for each in blocks] == [2, 2, 6, 2]
    assert [each[0].dim for each in blocks[1:]] == [128, 160, 320]
    assert [each[0].num_heads for each in blocks[1:]] == [4, 5, 10]
    assert [each[0].window_size for each in blocks[1:]] == [7, 14, 7]
    assert engine._image_size == 1024


@needs_timm
def test_every_norm_behind_a_convolution_is_folded_into_it():
    parts = list(engine_of("mobile_sam").module.vision_encoder.trunk.modules())
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in parts)


@needs_timm
def test_random_numbers_of_others_stay_as_they_are(state):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    mobile.from_official(state, torch.float32, 256)
    assert torch.equal(torch.rand(3), expected)


@needs_timm
def test_both_files_that_circulate_give_the_same_model(state, tmp_path):
    """The released one as it is, and with the same keys in .safetensors."""
    path = tmp_path / "mobile_sam.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    expected, found = (
        load_engine(each, torch.float32).encode(FRAME).features[0]
        for each in (REFERENCE.checkpoint, path)
    )
    assert find_family(path).name == "mobile_sam"
    assert torch.equal(found, expected)
    assert found.shape == (1, 32, 64, 64)


STRUCTURE = [
    "patch_embed.seq.0.c.weight",
    "layers.0.blocks.1.conv2.bn.running_var",
    "layers.0.downsample.conv1.c.weight",
    "layers.1.blocks.0.attn.attention_biases",
    "layers.2.blocks.2.mlp.fc1.weight",
    "layers.3.blocks.0.attn.norm.weight",
    "neck.2.weight",
]


@needs_timm
@pytest.mark.parametrize("shape", [None, (1, 3), (0, 0)])
@pytest.mark.parametrize("key", STRUCTURE)
def test_a_weight_that_is_missing_or_of_another_shape(key, shape, state, tmp_path):
    name = f"image_encoder.{key}"
    changed = {each: tensor for each, tensor in state.items() if each != name}
    if key == STRUCTURE[0] and shape is None:
        pytest.skip("nothing tells that it is a MobileSAM")
    path = tmp_path / "odd.pt"
    torch.save(changed if shape is None else {**changed, name: torch.zeros(shape)}, path)
    assert name in state
    with pytest.raises(CheckpointError, match="MobileSAM"):
        load_engine(path, torch.float32)


def test_without_timm_it_says_what_to_run(tmp_path, monkeypatch):
    """And only then: the file is known for what it is without the library."""
    for name in [each for each in sys.modules if each.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)
    assert find_family(REFERENCE.checkpoint).title == "MobileSAM"
    with pytest.raises(MissingLibrary, match=r"MobileSAM needs .* timm .* -m pip install timm`"):
        load_engine(REFERENCE.checkpoint, torch.float32)


@needs_timm
def test_it_is_decoded_as_a_sam():
    engine = engine_of("mobile_sam")
    (found,) = engine.decode(engine.encode(FRAME), [CLICK], multimask=True)
    assert found.logits.shape == (3, 64, 64)


def test_nothing_of_timm_is_imported_for_other_models():
    code = (
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from segment_anywhere.core.engines.files.checkpoints import load_engine\n"
        f"load_engine(Path({str(FIXTURES / 'sam_parity' / 'checkpoint.pth')!r}), torch.float32)\n"
        "assert 'timm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
