"""ViTMatte: equal to transformers' own processor and model, and folders that are none."""

from __future__ import annotations

import json

import pytest
import torch
import transformers as tf
from segment_anywhere.core.engines.matting.vitmatte import TILE, VitMatte, load_matting
from segment_anywhere.core.errors import CheckpointError

from tests.support.live_bytes import LiveBytes
from tests.support.matting_models import SETTINGS, make_vitmatte


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_vitmatte(tmp_path_factory.mktemp("matting") / "vitmatte")


def _tile(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Random pixels and a trimap of all three values: [h, w, 4]."""
    generator = torch.Generator().manual_seed(seed)
    # Of 8 bits, as the official processor takes them.
    colours = torch.randint(0, 256, (height, width, 3), generator=generator) / 255
    known = torch.randint(0, 3, (height, width, 1), generator=generator) / 2
    return torch.cat([colours, known], dim=2)


@pytest.mark.parametrize("size", [(64, 96), (50, 75), (128, 33)])
@torch.inference_mode()
def test_alphas_are_those_of_the_official_processor_and_model(folder, size):
    tile = _tile(*size)
    processor = tf.VitMatteImageProcessor.from_pretrained(folder)
    image = (tile[..., :3] * 255).round().to(torch.uint8).numpy()
    known = (tile[..., 3] * 255).numpy()
    inputs = processor(images=image, trimaps=known, return_tensors="pt")["pixel_values"]
    ours = load_matting(folder, torch.float32)
    assert torch.allclose(ours._pixels([tile]), inputs.float(), atol=1e-5)
    official = tf.VitMatteForImageMatting.from_pretrained(folder).eval()
    expected = official(inputs.float()).alphas[0, 0, : size[0], : size[1]]
    (alpha,) = ours.alphas([tile])
    assert alpha.std() > 0.01
    assert (alpha - expected).abs().max() < 1e-4


def test_tiles_together_are_tiles_one_by_one(folder):
    model = load_matting(folder, torch.float32)
    tiles = [_tile(64, 96, seed) for seed in range(3)]
    together = model.alphas(tiles)
    assert together.shape == (3, 64, 96)
    for tile, alpha in zip(tiles, together, strict=True):
        assert (model.alphas([tile])[0] - alpha).abs().max() < 1e-5


def test_half_precision_is_for_the_image_encoder(folder):
    model = load_matting(folder, torch.bfloat16)
    dtypes = {name.split(".")[0]: each.dtype for name, each in model.module.named_parameters()}
    assert dtypes == {"backbone": torch.bfloat16, "decoder": torch.float32}
    tile = _tile(64, 96)
    alphas = model.alphas([tile])
    assert alphas.dtype == torch.float32
    exact = load_matting(folder, torch.float32).alphas([tile])
    assert 0 < (alphas - exact).abs().max() < 0.1


def test_a_folder_without_image_settings_has_the_usual_ones(folder, tmp_path):
    bare = make_vitmatte(tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    model, tile = load_matting(bare, torch.float32), _tile(32, 32)
    assert model.multiple == 32
    assert torch.allclose(model._pixels([tile])[0, :3], 2 * tile[..., :3].permute(2, 0, 1) - 1)
    assert SETTINGS["image_mean"] != [0.5, 0.5, 0.5]


def _without_weights(folder):
    (folder / "model.safetensors").unlink()


def _cut(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])


def _config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def _without_config(folder):
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_config, "cannot be read. .* needs config.json and model.safetensors"),
        (_without_weights, "no .safetensors file beside config.json"),
        (_cut, "model.safetensors: incomplete or damaged"),
        (_config(model_type="clipseg"), "model type 'clipseg'; accepted: vitmatte"),
        (_config(backbone="some/hub-model"), "names the backbone 'some/hub-model'; accepted is"),
        (_config(backbone_config=None), "names the backbone None; accepted is"),
        (_config(backbone_config={"model_type": "dinov2"}), "names the backbone 'dinov2'"),
        (_config(hidden_size=48), "cannot be loaded"),
        (_config(convstream_hidden_sizes=[8, 12]), "cannot be loaded"),
    ],
)
def test_folders_that_cannot_be_used(damage, message, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = make_vitmatte(tmp_path / "vitmatte")
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        load_matting(folder, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", [{"hidden_size": 384, "num_attention_heads": 6}, {}])
def test_a_model_needs_what_it_says(sizes, dtype):
    """At the published widths: small, and base, whose sizes are the default."""
    backbone = tf.VitDetConfig(
        num_channels=4,
        image_size=TILE,
        window_size=14,
        window_block_indices=[0, 1, 3, 4, 6, 7, 9, 10],
        residual_block_indices=[2, 5, 8, 11],
        use_relative_position_embeddings=True,
        out_features=["stage12"],
        **sizes,
    )
    config = tf.VitMatteConfig(
        backbone_config=backbone,
        hidden_size=backbone.hidden_size,
        convstream_hidden_sizes=[48, 96, 192],
        fusion_hidden_sizes=[256, 128, 64, 32],
    )
    with torch.inference_mode(), torch.device("meta"):
        # Statistics of its own, which no other test has brought to this device.
        settings = {"image_mean": [0.25, 0.5, 0.75]}
        model = VitMatte(tf.VitMatteForImageMatting(config), settings, dtype)
        tile = torch.empty(TILE, TILE, 4)
        with LiveBytes() as counted:
            model.alphas([tile])
    needed = counted.peak
    assert needed <= model.activation_bytes() <= 1.5 * needed
