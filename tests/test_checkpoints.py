"""Reading weights: every layout that circulates, and files that are no weights."""

from __future__ import annotations

import pickle
import shutil
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import FIXTURES
from safetensors.torch import save_file
from segment_anywhere.core.engines.checkpoints import load_engine, read_weights
from segment_anywhere.core.errors import CheckpointError

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


LAYOUTS = [
    _as_legacy_pickle,
    _as_safetensors,
    _as_flat_pickle,
    _as_training_checkpoint,
    _as_transformers_folder,
]


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
def test_every_layout_gives_the_same_model(write, state, expected, tmp_path):
    assert torch.equal(_features(write(state, tmp_path)), expected)


def test_a_video_models_folder_loads_its_image_part(state, expected, tmp_path):
    path = _as_transformers_folder(state, tmp_path)
    config = path / "config.json"
    config.write_text(
        config.read_text().replace('"model_type": "sam2"', '"model_type": "sam2_video"')
    )
    weights = read_weights(path / "model.safetensors")
    save_file({**weights, "memory_encoder.extra": torch.ones(2)}, path / "model.safetensors")
    assert torch.equal(_features(path), expected)


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


def _write_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


REFUSED = [
    (_write_html, "web page.*Delete it and download"),
    (_write_empty, "empty.*download it again"),
    (_write_truncated, "cannot be read as weights.*incomplete"),
    (_write_code, "refused.*safetensors"),
    (_write_bare_pickle, "refused.*safetensors"),
    (_write_noise, "damaged|cannot be read"),
    (_write_unknown, "first keys are encoder.first.weight, encoder.second.*Accepted: SAM 2"),
    (_write_list, "holds a list"),
    (_write_numbers, "holds no weights"),
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


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_engine(tmp_path / "gone.pt", torch.float32)


def test_a_checkpoint_with_a_missing_weight(state, tmp_path):
    path = tmp_path / "cut.pt"
    gone = "sam_mask_decoder.iou_token.weight"
    torch.save({key: tensor for key, tensor in state.items() if key != gone}, path)
    with pytest.raises(
        CheckpointError, match="missing weights: 1, the first is mask_decoder.iou_token"
    ):
        load_engine(path, torch.float32)


def test_a_checkpoint_with_a_weight_of_another_shape(state, tmp_path):
    path = tmp_path / "odd.pt"
    torch.save({**state, "sam_mask_decoder.iou_token.weight": torch.zeros(1, 3)}, path)
    with pytest.raises(CheckpointError, match=r"unexpected shape[\s\S]*iou_token"):
        load_engine(path, torch.float32)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "config.json: cannot be read"),
        ("{", "config.json: cannot be read"),
        ('{"model_type": "bert"}', "model type 'bert'"),
        ('{"model_type": "sam2"}', "no .safetensors file"),
    ],
)
def test_folders_that_are_no_models(config, message, tmp_path):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match=message):
        load_engine(tmp_path, torch.float32)


def test_an_old_transformers_says_what_to_update(monkeypatch):
    old = types.ModuleType("transformers")
    old.__version__ = "4.50.3"
    monkeypatch.setitem(sys.modules, "transformers", old)
    with pytest.raises(CheckpointError, match=r"needs transformers 4.57.*4\.50\.3.*pip install -U"):
        load_engine(OFFICIAL, torch.float32)


def test_loading_leaves_the_file_alone(tmp_path):
    path = shutil.copy(OFFICIAL, tmp_path / "copy.pt")
    before = Path(path).read_bytes()
    engine = load_engine(Path(path), torch.float32)
    with torch.no_grad():
        for parameter in engine.module.parameters():
            parameter.add_(1.0)
    assert Path(path).read_bytes() == before
