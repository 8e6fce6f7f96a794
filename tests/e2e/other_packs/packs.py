"""Other people's packs beside ours, from the custom_nodes of the ComfyUI that is tested with."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

IMPACT = "comfyui-impact-pack"
KJNODES = "comfyui-kjnodes"
VIDEO_HELPER = "comfyui-videohelpersuite"
CROP_AND_STITCH = "comfyui-inpaint-cropandstitch"
NAMES = (IMPACT, KJNODES, VIDEO_HELPER, CROP_AND_STITCH)
STUBS = "stub-models"
# The Impact Pack of 2024 has a script for values of an older frontend, which makes every BOOLEAN
# widget of today's throw, whatever node it is on.
_LEFT_OUT = shutil.ignore_patterns(".git", "comboBoolMigration.js")


@dataclass(frozen=True)
class OtherPacks:
    """Those that are installed: their folders by their names in lower case."""

    folders: dict[str, Path]

    @classmethod
    def of(cls, root: Path) -> OtherPacks:
        """Those of a ComfyUI, however their folders are written."""
        found = {path.name.lower(): path for path in (root / "custom_nodes").iterdir()}
        return cls({name: found[name] for name in NAMES if name in found})

    def copy_to(self, custom_nodes: Path) -> tuple[str, ...]:
        """Copy them, since they write into their own folders; returns the names of all packs."""
        for name, folder in self.folders.items():
            shutil.copytree(folder, custom_nodes / name, ignore=_LEFT_OUT)
        stubs = custom_nodes / STUBS
        stubs.mkdir()
        (stubs / "__init__.py").write_text(_STUBS)
        return (*self.folders, STUBS)


def needs(packs: OtherPacks, *names: str) -> None:
    """Skip a test for packs that are not there."""
    missing = [name for name in names if name not in packs.folders]
    if missing:
        pytest.skip(f"not in the custom_nodes of this ComfyUI: {', '.join(missing)}")


# A sampler's models that weigh nothing, of which the VAE makes everything red, and a track of two
# rectangles as ComfyUI's SAM 3 gives it.
_STUBS = """
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import torch


class Net(torch.nn.Module):
    def __init__(self, device=None, operations=None, **config):
        super().__init__()
        self.dtype = torch.float32
        self.weight = torch.nn.Parameter(torch.zeros(1, device=device))

    def forward(self, x, timesteps, **others):
        return torch.zeros_like(x)


class RedVAE:
    def encode(self, pixels):
        batch, height, width, _ = pixels.shape
        return torch.zeros(batch, 4, height // 8, width // 8)

    def decode(self, latent):
        batch, _, height, width = latent.shape
        return torch.tensor([1.0, 0.0, 0.0]).expand(batch, height * 8, width * 8, 3).clone()


class StubModels:
    RETURN_TYPES = ("MODEL", "CLIP", "VAE", "CONDITIONING")
    FUNCTION = "make"
    CATEGORY = "stubs"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def make(self):
        config = comfy.supported_models.SD15({"context_dim": 768})
        cpu = torch.device("cpu")
        model = comfy.model_base.BaseModel(config, device=cpu, unet_model=Net)
        patcher = comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)
        return patcher, None, RedVAE(), [[torch.zeros(1, 77, 768), {}]]


class StubTrack:
    RETURN_TYPES = ("SAM3_TRACK_DATA",)
    FUNCTION = "make"
    CATEGORY = "stubs"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",)}}

    def make(self, image):
        frames, height, width, _ = image.shape
        packed = torch.zeros(frames, 2, height, -(-width // 8), dtype=torch.uint8)
        packed[:, 0, : height // 2, : width // 16] = 255
        packed[:, 1, height // 2 :, width // 16 :] = 255
        size = (height, width)
        return ({"packed_masks": packed, "orig_size": size, "n_frames": frames, "scores": []},)


NODE_CLASS_MAPPINGS = {"StubModels": StubModels, "StubTrack": StubTrack}
"""
