"""A family's weights in every layout that circulates, from the official ones of the fixtures.

SAM 3 has more of them: sam3_layouts.py.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from segment_anywhere.core.engines.files.checkpoints import load_engine, read_weights

from tests.support.paths import FIXTURES


def write_layouts(family: str, folder: Path, stem: str) -> None:
    """Put a fixture into a model folder: as published, as .safetensors and for transformers."""
    folder.mkdir(parents=True, exist_ok=True)
    (official,) = (FIXTURES / f"{family}_parity").glob("checkpoint.*")
    shutil.copy(official, folder / f"{stem}{official.suffix}")
    state = {key: x.contiguous() for key, x in read_weights(official).items()}
    save_file(state, folder / f"{stem}.safetensors")
    if family == "edgetam":
        write_edgetam_folder(official, folder / stem)
    else:
        load_engine(official, torch.float32).module.save_pretrained(folder / stem)


def write_edgetam_folder(official: Path, folder: Path) -> Path:
    """A transformers folder: timm's names for the encoder, transformers' for the rest."""
    module = load_engine(official, torch.float32).module
    body = "image_encoder.trunk.body."
    weights = {
        key.replace(body, "vision_encoder.backbone.timm_model."): x
        for key, x in read_weights(official).items()
        if key.startswith(body)
    }
    own = module.state_dict()
    weights |= {key: x for key, x in own.items() if not key.startswith("vision_encoder.backbone.")}
    folder.mkdir()
    config = {**module.config.to_dict(), "model_type": "edgetam"}
    (folder / "config.json").write_text(json.dumps(config, default=str))
    save_file({key: x.clone() for key, x in weights.items()}, folder / "model.safetensors")
    return folder
