"""Write the EdgeTAM reference fixtures that the test suite compares its own loader against.

As for SAM 2 (make_sam2_reference.py, whose images, prompts and checks are used here): the official
implementation runs once, on a narrow model with random weights. It is on no package index; take a
checkout of https://github.com/facebookresearch/EdgeTAM (made with commit 9cc44bf), whose package is
called `sam2` too, and put it first on the path of an environment that has what it imports:

    python3 -m venv edgetam-reference
    edgetam-reference/bin/pip install torch==2.11.0 torchvision==0.26.0 timm==1.0.31 \\
        hydra-core==1.3.8 iopath==0.1.10 tqdm pillow
    PYTHONPATH=EdgeTAM edgetam-reference/bin/python -m tests.parity.make_edgetam_reference

Written to `tests/fixtures/edgetam_parity` (or to the folder given with `--out`):

    checkpoint.pt          {"model": state dict} as in the released `edgetam.pt`, but in float16;
                           the reference ran on exactly these values, widened to float32.
    reference.npz          images, mask prompts and, per case, the outputs of `predict`.
    config.json            the narrow architecture and the prompt of each case.
    official_keys.json.gz  names and shapes of all tensors in the official configuration.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import sam2
import torch
from sam2.build_sam import build_sam2
from sam2.modeling.backbones import timm as official_trunk
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from . import make_sam2_reference as shared
from . import narrow_models
from .reference_files import halved, print_sizes, write_packed, write_reference

# Chosen among many: check_informative accepts few seeds, as random networks tend to be one-sided.
SEED = 14
BASE_CONFIG = "configs/edgetam.yaml"
TRUNK_WIDTHS = (8, 16, 32, 64)
TRUNK_DEPTHS = (2, 1, 3, 2)
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "edgetam_parity"

HIDDEN_DIM = shared.HIDDEN_DIM
MEMORY_DIM = shared.MEMORY_DIM
# As GAINS of SAM 2. Every block adds to its input, twice; this keeps the features' size.
TRUNK_GAINS = {
    "token_mixer.conv.c": 0.35,
    "token_mixer.conv1.c": 0.5,
    "spatial_downsample.c": 0.5,
    "channel_downsample.c": 0.8,
    "channel_mixer.conv2.c": 0.7,
    "ffn.conv2.c": 0.7,
    "": 1.2,
}
# Widths only. The memory modules never run for single images, they are here for their keys.
NARROW_OVERRIDES = (
    f"model.image_size={shared.IMAGE_SIZE}",
    f"model.image_encoder.neck.d_model={HIDDEN_DIM}",
    f"model.image_encoder.neck.position_encoding.num_pos_feats={HIDDEN_DIM}",
    f"model.image_encoder.neck.backbone_channel_list={list(reversed(TRUNK_WIDTHS))}",
    f"model.memory_attention.d_model={HIDDEN_DIM}",
    "model.memory_attention.num_layers=1",
    f"model.memory_attention.layer.d_model={HIDDEN_DIM}",
    "model.memory_attention.layer.dim_feedforward=16",
    f"model.memory_attention.layer.self_attention.embedding_dim={HIDDEN_DIM}",
    f"model.memory_attention.layer.cross_attention.embedding_dim={HIDDEN_DIM}",
    f"model.memory_attention.layer.cross_attention.kv_in_dim={MEMORY_DIM}",
    f"model.memory_encoder.out_dim={MEMORY_DIM}",
    f"++model.memory_encoder.in_dim={HIDDEN_DIM}",
    f"model.memory_encoder.position_encoding.num_pos_feats={MEMORY_DIM}",
    f"++model.memory_encoder.mask_downsampler.embed_dim={HIDDEN_DIM}",
    "++model.memory_encoder.mask_downsampler.total_stride=4",
    f"model.memory_encoder.fuser.layer.dim={HIDDEN_DIM}",
    f"model.spatial_perceiver.dim={MEMORY_DIM}",
    f"model.spatial_perceiver.dim_head={MEMORY_DIM}",
    "model.spatial_perceiver.num_latents=16",
    "model.spatial_perceiver.num_latents_2d=16",
    f"model.spatial_perceiver.position_encoding.num_pos_feats={MEMORY_DIM}",
)


def build(overrides: tuple[str, ...] = (), **trunk: Any) -> SAM2Base:
    """Build the official model; trunk: arguments of timm's RepViT other than the official ones."""
    create = official_trunk.create_model

    def create_untrained(name: str, pretrained: bool, **kwargs: Any) -> nn.Module:
        # The official trunk downloads weights which the checkpoint then replaces.
        return create(name, pretrained=False, **kwargs, **trunk)

    official_trunk.create_model = create_untrained
    try:
        return build_sam2(BASE_CONFIG, device="cpu", hydra_overrides_extra=list(overrides))
    finally:
        official_trunk.create_model = create


def build_narrow_model() -> SAM2Base:
    """Build the official model at the narrow widths, with the weights drawn here."""
    model = build(NARROW_OVERRIDES, embed_dim=TRUNK_WIDTHS, depth=TRUNK_DEPTHS)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(draw(model, name, tensor, generator).half().float())
    return model


def draw(model: nn.Module, name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Random values for one tensor, none of them neutral."""
    owner_name, _, leaf = name.rpartition(".")
    owner = model.get_submodule(owner_name)
    if isinstance(owner, nn.BatchNorm2d):
        noise = torch.randn(like.shape, generator=generator)
        if leaf == "running_var":
            return (0.3 * noise).exp()
        return 1 + 0.2 * noise if leaf == "weight" else 0.2 * noise
    if ".trunk.body." in name and leaf == "weight" and like.ndim == 4:
        noise = torch.randn(like.shape, generator=generator)
        gain = next(gain for end, gain in TRUNK_GAINS.items() if owner_name.endswith(end))
        return gain / math.sqrt(like[0].numel()) * noise
    return narrow_models.draw(model, name, like, generator, shared.GAINS)


def write_fixtures(out: Path) -> None:
    """Build, run, check and store everything."""
    model = build_narrow_model()
    arrays, entries = shared.run_cases(model)
    shared.check_informative(arrays, entries)
    # Enlarging the masks is the same code as SAM 2's, whose fixtures test it.
    for entry in entries:
        arrays.pop(entry["outputs"].pop("full", ""), None)
    config = {
        "official": {"repository": "facebookresearch/EdgeTAM", "config": BASE_CONFIG},
        "image_size": shared.IMAGE_SIZE,
        "hidden_dim": HIDDEN_DIM,
        "trunk": {"widths": TRUNK_WIDTHS, "depths": TRUNK_DEPTHS},
        "decoder": shared.decoder_summary(model),
        "images": [f"image_{index}" for index in range(len(shared.IMAGE_SHAPES))],
        "cases": entries,
    }
    checkpoint = {"model": halved(model.state_dict())}
    write_reference(out / "checkpoint.pt", checkpoint, arrays, config)
    keys = {name: list(value.shape) for name, value in build().state_dict().items()}
    write_packed(out / "official_keys.json.gz", {"edgetam": {"keys": keys}})


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write the EdgeTAM reference fixtures.")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="folder to write to")
    out = parser.parse_args().out
    if not (Path(sam2.__file__).parent / "configs" / "edgetam.yaml").is_file():
        parser.error(f"{sam2.__file__} is not EdgeTAM; put its checkout first on PYTHONPATH")
    torch.set_num_threads(1)
    write_fixtures(out)
    print_sizes(out)


if __name__ == "__main__":
    main()
