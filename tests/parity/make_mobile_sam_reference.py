"""Write the MobileSAM reference fixtures that the test suite compares its own loader against.

As for SAM (make_sam_reference.py, whose images, prompts, decoder and checks are used here): the
official implementation runs once, on a narrow model with random weights. It is on no package index;
take a checkout of https://github.com/ChaoningZhang/MobileSAM (made with commit 34bbbfd) and put it
on the path of the environment that make_sam_reference.py asks for:

    PYTHONPATH=MobileSAM sam-reference/bin/python -m tests.parity.make_mobile_sam_reference

Written to `tests/fixtures/mobile_sam_parity` (or to the folder given with `--out`):

    checkpoint.pt          flat state dict as in the released `mobile_sam.pt`, but in float16; the
                           reference ran on exactly these values, widened to float32.
    reference.npz          images, mask prompts, the images' embeddings and, per case, the outputs
                           of the predictor.
    config.json            the narrow architecture and the prompt of each case.
    official_keys.json.gz  names and shapes of all tensors of the official model.

The official encoder has the side of its last map written into its code, 64 for images of 1024
pixels, and 256 channels behind it. `NarrowTinyViT` is that encoder for any side and width; the
script checks first that at the official size the two are equal.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import mobile_sam
import mobile_sam.modeling as mobile_modeling
import numpy as np
import torch
from mobile_sam.modeling.common import LayerNorm2d
from torch import Tensor, nn

from . import make_sam_reference as shared
from . import narrow_models
from .reference_files import halved, print_sizes, write_packed, write_reference
from .sam_architecture import decoder_summary

COMMIT = "34bbbfdface3c18e5221aa7de6032d7220c6c6a1"
# Chosen among many: check_informative accepts few seeds, as random networks tend to be one-sided.
SEED = 1
WIDTHS = (8, 16, 20, 40)
DEPTHS = (2, 2, 3, 2)
HEADS = (1, 2, 2, 4)
WINDOWS = (7, 7, 14, 7)
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "mobile_sam_parity"
FAMILY = shared.Family("mobile_sam", mobile_sam, mobile_modeling, COMMIT, SEED)
# As GAINS of SAM, for the encoder's convolutions and layers.
ENCODER_GAINS = {
    "attn.qkv": 1.4,
    "attn.proj": 1.2,
    "mlp.fc2": 1.2,
    "": 1.3,
}


class NarrowTinyViT(mobile_modeling.TinyViT):
    """The official encoder with a neck of another width, and a last map of any side."""

    def __init__(self, channels: int, **options: Any):
        super().__init__(**options)
        self.neck = nn.Sequential(
            nn.Conv2d(options["embed_dims"][-1], channels, kernel_size=1, bias=False),
            LayerNorm2d(channels),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(channels),
        )
        # The official code strides by a look at the width, which is the last stage's in all sizes.
        self.layers[-2].downsample.conv2.c.stride = (1, 1)

    def forward_features(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, channels, H / 16, W / 16]."""
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        side = math.isqrt(x.shape[1])
        return self.neck(x.transpose(1, 2).unflatten(2, (side, side)))


def check_encoder() -> None:
    """Refuse to go on where `NarrowTinyViT` differs from the official encoder at its own size."""
    torch.manual_seed(0)
    official = mobile_sam.sam_model_registry["vit_t"]().image_encoder.eval()
    ours = NarrowTinyViT(
        256,
        img_size=1024,
        embed_dims=[64, 128, 160, 320],
        depths=[2, 2, 6, 2],
        num_heads=[2, 4, 5, 10],
        window_sizes=[7, 7, 14, 7],
    )
    ours.load_state_dict(official.state_dict())
    pixels = torch.randn(1, 3, 1024, 1024)
    with torch.inference_mode():
        if not torch.equal(official(pixels), ours.eval()(pixels)):
            raise ValueError("NarrowTinyViT is not the official encoder")


def build_narrow_model() -> nn.Module:
    """The official modules at narrow widths, with the weights drawn here."""
    tokens = shared.IMAGE_SIZE // shared.PATCH
    encoder = NarrowTinyViT(
        shared.HIDDEN_DIM,
        img_size=shared.IMAGE_SIZE,
        embed_dims=list(WIDTHS),
        depths=list(DEPTHS),
        num_heads=list(HEADS),
        window_sizes=list(WINDOWS),
        num_classes=3,
    )
    prompts = mobile_modeling.PromptEncoder(
        embed_dim=shared.HIDDEN_DIM,
        image_embedding_size=(tokens, tokens),
        input_image_size=(shared.IMAGE_SIZE, shared.IMAGE_SIZE),
        mask_in_chans=shared.MASK_CHANNELS,
    )
    model = mobile_modeling.Sam(encoder, prompts, shared.build_decoder(FAMILY))
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(draw(model, name, tensor, generator).half().float())
    # Its attention takes its biases over when it leaves training.
    return model.train().eval()


def draw(model: nn.Module, name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Random values for one tensor, none of them neutral."""
    owner_name, _, leaf = name.rpartition(".")
    owner = model.get_submodule(owner_name)
    if isinstance(owner, nn.BatchNorm2d):
        noise = torch.randn(like.shape, generator=generator)
        if leaf == "running_var":
            return (0.3 * noise).exp()
        return 1 + 0.2 * noise if leaf == "weight" else 0.2 * noise
    gains = ENCODER_GAINS if name.startswith("image_encoder.") else shared.GAINS
    return narrow_models.draw(model, name, like, generator, gains)


def run_cases(model: nn.Module) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """All arrays of reference.npz and all case entries of config.json.

    Enlarging the masks is the same code as SAM's, whose fixtures test it.
    """
    arrays, entries = shared.run_cases(FAMILY, model)
    entries = [entry for entry in entries if entry["resize"] == "pil"]
    for entry in entries:
        entry["outputs"].pop("full", None)
    kept = {name for entry in entries for name in entry["outputs"].values()}
    arrays = {
        name: array
        for name, array in arrays.items()
        if name in kept or name.startswith(("image_", "mask_input_")) and "." not in name
    }
    predictor = mobile_sam.SamPredictor(model)
    for index in range(len(shared.IMAGE_SHAPES)):
        predictor.set_image(arrays[f"image_{index}"])
        arrays[f"embedding_{index}"] = predictor.get_image_embedding().numpy()
    return arrays, entries


def write_fixtures(out: Path) -> None:
    """Build, run, check and store everything."""
    model = build_narrow_model()
    arrays, entries = run_cases(model)
    shared.check_informative(arrays, entries)
    config = {
        "official": {"repository": "ChaoningZhang/MobileSAM", "commit": COMMIT},
        "image_size": shared.IMAGE_SIZE,
        "encoder": {"widths": WIDTHS, "depths": DEPTHS, "heads": HEADS, "windows": WINDOWS},
        "decoder": decoder_summary(model.mask_decoder),
        "images": [f"image_{index}" for index in range(len(shared.IMAGE_SHAPES))],
        "cases": entries,
    }
    write_reference(out / "checkpoint.pt", halved(model.state_dict()), arrays, config)
    state = mobile_sam.sam_model_registry["vit_t"]().state_dict()
    keys = {name: list(value.shape) for name, value in state.items()}
    write_packed(out / "official_keys.json.gz", {"vit_t": {"keys": keys}})


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write the MobileSAM reference fixtures.")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="folder to write to")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    check_encoder()
    write_fixtures(out)
    print_sizes(out)


if __name__ == "__main__":
    main()
