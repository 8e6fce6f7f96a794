"""ComfyUI's own SAM 3 among its checkpoints: what is listed, what counts as there, what is read."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths
import pytest
import safetensors
import torch
from safetensors.torch import save_file
from segment_anywhere.core.engines.files.checkpoints import family_of_header, read_weights
from segment_anywhere.nodes import model_choices
from segment_anywhere.nodes.load_sam import LoadSAM

from tests.support.paths import FIXTURES
from tests.support.sam3_layouts import as_comfy_31

ENTRY = next(each for each in model_choices.CATALOGUE if each.name == "SAM 3.1 fp16")
STABLE_DIFFUSION = {"model.diffusion_model.out.0.bias": torch.zeros(4)}


@pytest.fixture(scope="module")
def sam3() -> dict[str, torch.Tensor]:
    state = as_comfy_31(read_weights(FIXTURES / "sam3_parity" / "checkpoint.pt"))
    return {key: tensor.contiguous() for key, tensor in state.items()}


@pytest.fixture
def checkpoints(models, monkeypatch) -> Path:
    """The host's folder of checkpoints, with one that is none of ours."""
    folder = models / "checkpoints"
    folder.mkdir()
    _, suffixes = folder_paths.folder_names_and_paths["checkpoints"]
    place = ([str(folder)], suffixes)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "checkpoints", place)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    save_file(STABLE_DIFFUSION, folder / "sd15.safetensors")
    return folder


def _shared() -> list[str]:
    return [option for option in model_choices.options() if option.startswith("checkpoints/")]


def test_of_all_checkpoints_sam_3_alone_is_listed_after_our_own_folders(checkpoints, sam3):
    (checkpoints / "video").mkdir()
    save_file(sam3, checkpoints / "video" / "renamed.safetensors")
    torch.save(sam3, checkpoints / "pickled.pt")
    whole = (checkpoints / "video" / "renamed.safetensors").read_bytes()
    (checkpoints / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    (checkpoints / "page.safetensors").write_text("<!doctype html><html></html>")
    (checkpoints / "empty.safetensors").touch()
    (checkpoints / "gone.safetensors").symlink_to(checkpoints / "nowhere")
    local = [option for option in model_choices.options() if "download" not in option]
    assert local[-3:-1] == ["sam2/tiny", "checkpoints/video/renamed.safetensors"]
    assert _shared() == ["checkpoints/video/renamed.safetensors"]
    assert "not on this machine" in LoadSAM.validate_inputs("checkpoints/sd15.safetensors")


def test_a_listed_checkpoint_is_loaded_as_sam_3(checkpoints, sam3):
    save_file(sam3, checkpoints / "mine.safetensors")
    assert LoadSAM.validate_inputs("checkpoints/mine.safetensors") is True
    model = LoadSAM.execute("checkpoints/mine.safetensors", "fp32").args[0]
    assert model.family.name == "sam3"


@pytest.mark.parametrize("below", ["", "video"])
def test_what_lies_among_the_checkpoints_is_not_offered_for_download(below, checkpoints, sam3):
    name = f"{ENTRY.folder}/{ENTRY.file}"
    marked = f"{name} (download, 1.7 GB)"
    assert marked in model_choices.options()
    assert model_choices.resolve(name) is ENTRY
    path = checkpoints / below / ENTRY.file
    path.parent.mkdir(exist_ok=True)
    save_file(sam3, path)
    assert marked not in model_choices.options()
    assert model_choices.resolve(name) == model_choices.resolve(marked) == path
    own = checkpoints.parent / name
    own.parent.mkdir()
    own.touch()
    assert model_choices.resolve(name) == own


def test_another_model_under_the_published_name_is_no_sam_3(checkpoints):
    save_file(STABLE_DIFFUSION, checkpoints / ENTRY.file)
    assert model_choices.resolve(f"{ENTRY.folder}/{ENTRY.file}") is ENTRY


def test_a_header_is_read_once_until_its_file_changes(checkpoints, sam3, monkeypatch):
    opened = []
    real = safetensors.safe_open

    def counting(path: Path, **how: str) -> object:
        opened.append(path)
        return real(path, **how)

    monkeypatch.setattr(safetensors, "safe_open", counting)
    path = checkpoints / "sd15.safetensors"
    for _ in range(3):
        assert _shared() == []
    assert opened == [path]
    save_file(sam3, path)
    assert _shared() == _shared() == ["checkpoints/sd15.safetensors"]
    assert opened == [path, path]
    os.utime(path, ns=(0, 0))
    assert _shared() == ["checkpoints/sd15.safetensors"]
    assert opened == [path, path, path]


@pytest.mark.parametrize(
    ("keys", "family"),
    [
        (["detector.backbone.vision_backbone.trunk.blocks.0.attn.qkv.weight"], "sam3"),
        (
            ["image_encoder.trunk.patch_embed.proj.weight", "sam_mask_decoder.conv_s0.weight"],
            "sam2",
        ),
        (list(STABLE_DIFFUSION), None),
    ],
)
def test_a_header_says_which_family_it_is(keys, family, tmp_path):
    path = tmp_path / "any.safetensors"
    save_file({key: torch.zeros(1) for key in keys}, path)
    found = family_of_header(path)
    assert (found and found.name) == family
