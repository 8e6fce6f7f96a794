"""Reading weights: every layout that circulates, and files that are no weights."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from segment_anywhere.core.engines.files.checkpoints import (
    find_family,
    load_engine,
    read_weights,
)
from segment_anywhere.core.errors import CheckpointError

from tests.support.paths import FIXTURES

OFFICIAL = FIXTURES / "sam2_parity" / "checkpoint.pt"
FRAME = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return read_weights(OFFICIAL)


def _features(path: Path, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return load_engine(path, dtype).encode(FRAME).features[-1]


@pytest.fixture(scope="module")
def expected() -> torch.Tensor:
    return _features(OFFICIAL)


def _as_legacy_pickle(state, folder: Path) -> Path:
    path = folder / "legacy.pth"
    torch.save(dict(state), path, _use_new_zipfile_serialization=False)
    return path


def _as_safetensors(state, folder: Path) -> Path:
    path = folder / "sam2.1_hiera_tiny-fp16.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    return path


def _as_flat_pickle(state, folder: Path) -> Path:
    path = folder / "renamed by somebody.bin"
    torch.save(dict(state), path)
    return path


def _as_training_checkpoint(state, folder: Path) -> Path:
    path = folder / "training.pt"
    torch.save({"epoch": 3, "state_dict": dict(state)}, path)
    return path


def _as_transformers_folder(state, folder: Path) -> Path:
    path = folder / "sam2.1-hiera-tiny"
    load_engine(OFFICIAL, torch.float32).module.save_pretrained(path)
    return path


def _as_misnamed_safetensors(state, folder: Path) -> Path:
    return _as_safetensors(state, folder).rename(folder / "model.pt")


LAYOUTS = [
    _as_misnamed_safetensors,
    _as_legacy_pickle,
    _as_safetensors,
    _as_flat_pickle,
    _as_training_checkpoint,
    _as_transformers_folder,
]


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
def test_every_layout_gives_the_same_model(write, state, expected, tmp_path):
    assert torch.equal(_features(write(state, tmp_path)), expected)


@pytest.mark.parametrize("kept", ["shared_image_embedding", "prompt_encoder.shared_embedding"])
def test_a_positional_matrix_saved_once_serves_both(kept, state, expected, tmp_path):
    path = _as_transformers_folder(state, tmp_path) / "model.safetensors"
    weights = {
        key: tensor.clone()
        for key, tensor in read_weights(path).items()
        if "positional_embedding" not in key or key.startswith(kept)
    }
    save_file(weights, path)
    assert torch.equal(_features(path.parent), expected)


def test_a_folder_with_a_part_of_the_memory_loads_as_an_image_model(state, expected, tmp_path):
    path = _as_transformers_folder(state, tmp_path)
    config = path / "config.json"
    config.write_text(
        config.read_text().replace('"model_type": "sam2"', '"model_type": "sam2_video"')
    )
    weights = read_weights(path / "model.safetensors")
    assert load_engine(path, torch.float32).memory is not None
    kept = {key: x for key, x in weights.items() if not key.startswith("memory_attention.")}
    save_file(kept, path / "model.safetensors")
    assert torch.equal(_features(path), expected)
    assert load_engine(path, torch.float32).memory is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_encoder_runs_in_each_number_type_and_the_rest_in_fp32(dtype, expected):
    engine = load_engine(OFFICIAL, dtype)
    assert {p.dtype for p in engine.module.vision_encoder.parameters()} == {dtype}
    assert {p.dtype for p in engine.module.mask_decoder.parameters()} == {torch.float32}
    features = engine.encode(FRAME).features[-1]
    assert features.dtype == dtype
    error = (features.float() - expected).abs().mean() / expected.abs().mean()
    assert error < {torch.float32: 1e-6, torch.bfloat16: 0.05, torch.float16: 0.01}[dtype]


class _Payload:
    def __reduce__(self):
        return (Path.touch, (Path("segment_anywhere_was_hacked"),))


def _write_html(path: Path) -> None:
    path.write_text("\n<!doctype html><html><title>mobile_sam.pt</title></html>")


def _write_marked_html(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + b" " * 40 + b"<HTML><head>")


def _write_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")


def _write_empty(path: Path) -> None:
    path.touch()


def _write_truncated(path: Path) -> None:
    data = OFFICIAL.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _write_code(path: Path) -> None:
    torch.save({"model": _Payload()}, path)


def _write_bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Payload()))


def _write_noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def _write_unknown(path: Path) -> None:
    torch.save({"encoder.first.weight": torch.zeros(2), "encoder.second": torch.ones(1)}, path)


def _write_list(path: Path) -> None:
    torch.save([torch.zeros(2)], path)


def _write_numbers(path: Path) -> None:
    torch.save({"epoch": 3}, path)


def _write_numbered(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(2), 7: torch.zeros(2)}}, path)


def _write_loop(path: Path) -> None:
    path.symlink_to(path)


def _write_broken_link(path: Path) -> None:
    path.symlink_to(path.with_name("gone.pt"))


def _write_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


REFUSED = [
    (_write_html, "web page.*Delete it and download"),
    (_write_marked_html, "web page"),
    (_write_pointer, "Git LFS pointer.*git lfs pull"),
    (_write_empty, "empty.*download it again"),
    (_write_truncated, "incomplete or damaged, .*Delete it from .*cannot be read as weights"),
    (_write_code, "refused.*safetensors"),
    (_write_bare_pickle, "refused.*safetensors"),
    (_write_noise, "damaged|cannot be read"),
    (_write_unknown, "first keys are encoder.first.weight, encoder.second. Accepted: SAM, HQ"),
    (_write_list, "holds a list"),
    (_write_numbers, "holds no weights"),
    (_write_numbered, "a weight under the int 7; accepted are names.*Choose another file"),
    (_write_loop, "a link that leads to no file.*Choose another model"),
    (_write_broken_link, "a link that leads to no file.*Choose another model"),
    (_write_archive, "cannot be read as weights|damaged"),
]


@pytest.mark.parametrize(
    ("write", "message"), REFUSED, ids=lambda value: getattr(value, "__name__", "")
)
def test_files_that_are_no_weights(write, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    write(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_engine(path, torch.float32)
    assert "model.pt" in str(caught.value)
    assert not (tmp_path / "segment_anywhere_was_hacked").exists()


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5])
def test_broken_safetensors(keep, state, tmp_path):
    whole = _as_safetensors(state, tmp_path).read_bytes()
    path = tmp_path / "broken.safetensors"
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"broken.safetensors"):
        load_engine(path, torch.float32)


def test_a_pickle_named_safetensors_says_how_to_rename_it(state, tmp_path):
    path = _as_flat_pickle(state, tmp_path).rename(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"a .pt file under another name. Rename it"):
        load_engine(path, torch.float32)


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_engine(tmp_path / "gone.pt", torch.float32)


@pytest.mark.parametrize("read", [find_family, lambda path: load_engine(path, torch.float32)])
def test_a_name_that_no_file_can_have(read, tmp_path):
    with pytest.raises(CheckpointError, match=r"xxx.pt: cannot be opened .*Choose another model"):
        read(tmp_path / ("x" * 300 + ".pt"))


STRUCTURE = [
    "sam_mask_decoder.iou_token.weight",
    "sam_mask_decoder.mask_tokens.weight",
    "sam_mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight",
    "sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight",
    "sam_mask_decoder.iou_prediction_head.layers.0.weight",
    "sam_prompt_encoder.point_embeddings.2.weight",
    "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    "image_encoder.trunk.pos_embed",
    "image_encoder.trunk.pos_embed_window",
    "image_encoder.trunk.blocks.0.mlp.layers.0.weight",
    "image_encoder.trunk.blocks.11.mlp.layers.1.weight",
    "image_encoder.trunk.blocks.3.mlp.layers.1.weight",
    "image_encoder.neck.convs.0.conv.weight",
    "no_mem_embed",
]


@pytest.mark.parametrize("key", STRUCTURE)
@pytest.mark.parametrize("shape", [None, (1, 3), (0, 0)])
def test_a_weight_that_is_missing_or_of_another_shape(key, shape, state, tmp_path):
    path = tmp_path / "odd.pt"
    changed = {name: tensor for name, tensor in state.items() if name != key}
    torch.save(changed if shape is None else {**changed, key: torch.zeros(shape)}, path)
    with pytest.raises(CheckpointError, match="SAM 2"):
        load_engine(path, torch.float32)


def test_a_sparse_weight_counts_as_missing(state, tmp_path):
    path = tmp_path / "odd.pt"
    torch.save({**state, STRUCTURE[0]: state[STRUCTURE[0]].float().to_sparse()}, path)
    with pytest.raises(CheckpointError, match="SAM 2.*missing"):
        load_engine(path, torch.float32)


def test_weights_of_a_relative_are_not_taken_for_sam2(state, tmp_path):
    path = tmp_path / "hq.pt"
    torch.save({**state, "sam_mask_decoder.hf_token.weight": torch.zeros(1, 32)}, path)
    with pytest.raises(CheckpointError, match="unknown weights: 1.*hf_token"):
        load_engine(path, torch.float32)


def test_a_safetensors_header_that_begins_like_a_page(tmp_path):
    """The first bytes are a length, and 60 is the code of "<"."""
    for padding in range(8):
        tensor = {"a" * 20 + "b" * padding: torch.zeros(1)}
        path = tmp_path / "x.safetensors"
        save_file(tensor, path)
        head = path.read_bytes()
        if head[0] % 8 == 0:
            grown = json.loads(head[8 : 8 + head[0]])
            grown["__metadata__"] = {"note": "n" * (0x203C - 256)}
            text = json.dumps(grown).encode()
            text += b" " * (0x203C - len(text))
            path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
            assert list(read_weights(path)) == list(tensor)
            return
    raise AssertionError("no header of a suitable length")


@pytest.mark.parametrize("seed", range(30))
def test_damaged_pickles_always_give_a_sentence(seed, state, tmp_path):
    path = _as_legacy_pickle(state, tmp_path)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, 3000, size=6):
        data[place] = int(rng.integers(256))
    path.write_bytes(data)
    try:
        load_engine(path, torch.float32)
    except CheckpointError as error:
        assert "legacy.pth" in str(error) or "SAM 2" in str(error)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "config.json: cannot be read"),
        ("{", "config.json: cannot be read"),
        ("[]", "holds a list"),
        ("null", "holds a NoneType"),
        pytest.param(
            '{"a":' * 100_000, "config.json: cannot be read. Download .*recursion", id="too deep"
        ),
        ('{"model_type": "bert"}', "model type 'bert'"),
        ('{"model_type": "sam2"}', "no .safetensors file"),
    ],
)
def test_folders_that_are_no_models(config, message, tmp_path):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match=message):
        load_engine(tmp_path, torch.float32)


@pytest.mark.parametrize("has_classes", [True, False])
def test_an_old_transformers_says_what_to_update(has_classes, monkeypatch):
    """Also one that has the model, but which the tests do not run on."""
    old = types.ModuleType("transformers")
    old.__version__ = "4.50.3"
    if has_classes:
        old.Sam2Model = object
    monkeypatch.setitem(sys.modules, "transformers", old)
    with pytest.raises(
        CheckpointError, match=r"needs transformers 4.57.*4\.50\.3.*pip install .transformers~=4.57"
    ):
        load_engine(OFFICIAL, torch.float32)


def test_loading_leaves_the_file_alone(tmp_path):
    path = shutil.copy(OFFICIAL, tmp_path / "copy.pt")
    before = Path(path).read_bytes()
    engine = load_engine(Path(path), torch.float32)
    with torch.no_grad():
        for parameter in engine.module.parameters():
            parameter.add_(1.0)
    assert Path(path).read_bytes() == before


def test_a_folder_whose_config_makes_no_sense(state, tmp_path):
    path = _as_transformers_folder(state, tmp_path)
    config = json.loads((path / "config.json").read_text())
    config["vision_config"]["fpn_hidden_size"] = "wide"
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="config.json does not describe a model"):
        load_engine(path, torch.float32)
