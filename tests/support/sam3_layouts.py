"""One SAM 3 in every layout that circulates, from the official one of the fixture.

The names are those of the key lists in tests/fixtures/sam3_keys; test_sam3_layout.py compares.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from segment_anywhere.core.engines.files.checkpoints import read_weights
from segment_anywhere.core.engines.sam3 import engine as sam3
from torch import Tensor

from tests.support.paths import FIXTURES

State = dict[str, Tensor]

# What ComfyUI's single files do without.
_COMPUTED = re.compile(r"\.freqs_cis$|\.encoder\.text_projection$")
_DECODER = re.compile(r"^tracker\.(sam_prompt_encoder|sam_mask_decoder)\.")
_VISION = "detector.backbone.vision_backbone."


def as_comfy(state: State) -> State:
    """ComfyUI's single file of SAM 3."""
    return {key: x for key, x in state.items() if not _COMPUTED.search(key)}


def as_comfy_31(state: State) -> State:
    """ComfyUI's single file of SAM 3.1, whose video tracker holds other numbers.

    Only what a still image needs is the fixture's; the rest is noise, so that taking it shows.
    """
    renamed: State = {}
    for key, x in as_comfy(state).items():
        if key.startswith(_VISION + "convs.3."):
            continue
        if key.startswith(_VISION + "sam2_convs."):
            level = key.removeprefix(_VISION + "sam2_convs.")
            if not level.startswith("3."):
                renamed[f"{_VISION}interactive_convs.{level}"] = x
                renamed[f"{_VISION}propagation_convs.{level}"] = torch.rand_like(x.float()).to(x)
        elif _DECODER.match(key):
            renamed[key.replace("tracker.", "tracker.model.interactive_", 1)] = x
            if "sam_mask_decoder" in key:
                other = key.replace("tracker.", "tracker.model.", 1)
                renamed[other] = torch.rand_like(x.float()).to(x)
        elif key == "tracker.no_mem_embed":
            renamed["tracker.model.interactivity_no_mem_embed"] = x
        elif key.startswith("tracker."):
            renamed[key.replace("tracker.", "tracker.model.", 1)] = x
        else:
            renamed[key] = x
    return renamed


def write_sam3_layouts(folder: Path) -> None:
    """Put the fixture into a model folder, once in each layout."""
    folder.mkdir(parents=True)
    checkpoint = shutil.copy(FIXTURES / "sam3_parity" / "checkpoint.pt", folder / "official.pt")
    state = read_weights(Path(checkpoint))
    comfy = {key: x.contiguous() for key, x in as_comfy_31(state).items()}
    save_file(comfy, folder / "comfy_3.1.safetensors")
    write_folder(sam3.from_official(state, torch.float32), folder / "transformers")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(FIXTURES / "sam3_parity" / name, folder / "transformers")


def write_folder(engine: sam3.Sam3Engine, folder: Path, model_type: str = "sam3_video") -> Path:
    """A transformers folder of an engine's weights: the whole, or the tracker or detector alone."""
    module = engine.module
    tracker = module.config.to_dict()
    state = {key: x.clone().contiguous() for key, x in module.state_dict().items()}
    if model_type == "sam3_video":
        tracker["model_type"] = "sam3_tracker_video"
        config = {"tracker_config": tracker, "detector_config": module.detector.config.to_dict()}
        state = {_name_in_video_model(key): x for key, x in state.items()}
        width = state["tracker_neck.fpn_layers.2.proj1.weight"].shape[0]
        state["tracker_neck.fpn_layers.3.proj1.bias"] = torch.ones(width)
    else:
        config = tracker
        state = {key: x for key, x in state.items() if "detector" not in key}
        state = {key: x for key, x in state.items() if not key.startswith("text_encoder.")}
    folder.mkdir(parents=True)
    text = json.dumps({**config, "model_type": model_type}, default=str)
    (folder / "config.json").write_text(text)
    save_file(state, folder / "model.safetensors")
    return folder


def _name_in_video_model(key: str) -> str:
    for own, theirs in (
        ("vision_encoder.backbone.", "detector_model.vision_encoder.backbone."),
        ("vision_encoder.detector_neck.", "detector_model.vision_encoder.neck."),
        ("vision_encoder.neck.", "tracker_neck."),
        ("text_encoder.", "detector_model.text_encoder.text_model."),
        ("detector.", "detector_model."),
    ):
        if key.startswith(own):
            return theirs + key.removeprefix(own)
    return f"tracker_model.{key}"
