"""MobileSAM: SAM's prompt encoder and mask decoder behind a small image encoder, a TinyViT.

Source: Zhang et al., "Faster Segment Anything: Towards Lightweight SAM for Mobile Applications"
(2023); the encoder is Wu et al., "TinyViT" (2022), on timm's `TinyVit`. Equal to the official
implementation, see tests/parity.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...errors import MissingLibrary
from ...libraries import install_sentence
from ..image_model import FRAME_BYTES
from ..lineage import weights
from ..lineage.layouts import compiled
from . import engine as sam
from .layout import Encoder, to_transformers

_TITLE = "MobileSAM"
_TRUNK = "vision_encoder.trunk."
_PATCH = 16
# Maps of the first stage's hidden width, at 1/4 of the input, that are there at a time.
_WIDE_MAPS = 4
# timm's names. It counts what leads to a stage as that stage's, the official code as the one's
# before. What classified images in training has no part in a SAM.
_RENAMES = compiled(
    (r"^image_encoder\.patch_embed\.seq\.0\.", _TRUNK + "patch_embed.conv1."),
    (r"^image_encoder\.patch_embed\.seq\.2\.", _TRUNK + "patch_embed.conv2."),
    (r"^image_encoder\.layers\.", _TRUNK + "stages."),
    (r"^(vision_encoder\..*)\.c\.", r"\1.conv."),
)
_CLASSIFIER = re.compile(r"^image_encoder\.(norm_head|head)\.")
_DOWNSAMPLE = re.compile(r"\.stages\.(\d+)\.downsample\.")


class MobileSamEngine(sam.SamEngine):
    """A MobileSAM model: the image encoder in `dtype`, prompt encoder and mask decoder in fp32."""

    family = "mobile_sam"

    def activation_bytes(self) -> int:
        """The first stage's blocks, whose hidden maps are the widest."""
        encoder = cast("_TinyVitEncoder", self.module.vision_encoder)
        hidden: int = encoder.trunk.stages[0].blocks[0].conv1.out_channels
        return _WIDE_MAPS * hidden * (self._image_size // 4) ** 2 * self._dtype.itemsize + (
            FRAME_BYTES
        )


class _TinyVitEncoder(nn.Module):
    """A TinyViT and SAM's neck, in the place of SAM's own image encoder."""

    def __init__(self, trunk: Any, neck: Any):
        super().__init__()
        self.trunk: Any = trunk
        self.neck = neck

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        """[B, 3, S, S] -> `last_hidden_state` [B, C, S / 16, S / 16]."""
        features = self.trunk.forward_features(pixel_values)
        return SimpleNamespace(last_hidden_state=self.neck(features.permute(0, 2, 3, 1)))


@dataclass(frozen=True)
class _Trunk:
    """What differs between TinyViTs, stage by stage; the first has no attention. expansion: of the
    first stage's blocks. mlp: hidden channels of the others' for each of their own."""

    widths: list[int]
    depths: list[int]
    heads: list[int]
    windows: list[int]
    expansion: float
    mlp: float


def from_official(
    state: Mapping[str, Tensor], dtype: torch.dtype, image_size: int = 1024
) -> MobileSamEngine:
    """Build the engine from an official state dict. image_size: no weight tells it; pixels.

    Raises MissingLibrary where timm is not installed, CheckpointError for weights that do not fit.
    """
    state = {key: tensor for key, tensor in state.items() if not _CLASSIFIER.match(key)}
    trunk = _infer_trunk(state)
    stand_in = Encoder(
        image_size=image_size,
        patch_size=_PATCH,
        width=trunk.widths[-1],
        depth=0,
        heads=1,
        window=0,
        global_blocks=(),
        mlp=trunk.widths[-1],
    )
    model = sam.empty_model("Sam", sam.official_config(stand_in, state))
    model.vision_encoder = _TinyVitEncoder(_build_trunk(trunk), model.vision_encoder.neck)
    weights.adopt_weights(model, _renamed(state), _TITLE)
    _fold_norms(model.vision_encoder.trunk)
    return MobileSamEngine(model, dtype)


def _infer_trunk(state: Mapping[str, Tensor]) -> _Trunk:
    """Read the encoder's architecture from the keys and shapes; a table of relative positions has
    a row for each head and a column for each offset within a window."""
    blocks = [f"image_encoder.layers.{stage}.blocks." for stage in range(_count(state, "layers"))]
    tables = [state[f"{block}0.attn.attention_biases"] for block in blocks[1:]]
    first, second = state[f"{blocks[0]}0.conv1.c.weight"], state[f"{blocks[1]}0.mlp.fc1.weight"]
    return _Trunk(
        widths=[
            first.shape[1],
            *(state[f"{each}0.attn.norm.weight"].shape[0] for each in blocks[1:]),
        ],
        depths=[_count(state, block.removeprefix("image_encoder.")[:-1]) for block in blocks],
        heads=[1, *(table.shape[0] for table in tables)],
        windows=[1, *(math.isqrt(table.shape[1]) for table in tables)],
        expansion=first.shape[0] / first.shape[1],
        mlp=second.shape[0] / second.shape[1],
    )


def _count(state: Mapping[str, Tensor], name: str) -> int:
    """How many numbered parts the encoder has under a name."""
    prefix = f"image_encoder.{name}."
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})


def _build_trunk(trunk: _Trunk) -> Any:
    """timm's model, with weights that are yet to be replaced."""
    try:
        from timm.models.tiny_vit import TinyVit
    except ImportError as error:
        raise MissingLibrary(
            f"{_TITLE} needs the library timm for its image encoder ({error}). "
            f"{install_sentence('timm')} EdgeTAM and SAM 2.1 tiny are as small and need no more "
            "than ComfyUI has."
        ) from error
    # Other nodes may draw from PyTorch's own random numbers.
    with torch.random.fork_rng(devices=[]):
        model: Any = TinyVit(
            num_classes=0,
            embed_dims=tuple(trunk.widths),
            depths=tuple(trunk.depths),
            num_heads=tuple(trunk.heads),
            window_sizes=tuple(trunk.windows),
            mlp_ratio=trunk.mlp,
            mbconv_expand_ratio=trunk.expansion,
            drop_path_rate=0.0,
        )
    model.head = nn.Identity()
    # SAM's map is at 1/16: the last stage keeps the size of the one before.
    model.stages[-1].downsample.conv2.conv.stride = (1, 1)
    return model


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> those of the model that `from_official` builds."""
    own = {}
    for key, tensor in state.items():
        for pattern, replacement in _RENAMES:
            key = pattern.sub(replacement, key)
        own[_DOWNSAMPLE.sub(lambda match: f".stages.{int(match[1]) + 1}.downsample.", key)] = tensor
    return to_transformers(own)


def _fold_norms(trunk: nn.Module) -> None:
    """Make one convolution, in fp32, of each with a batch normalisation behind it: faster, and
    equal up to rounding."""
    trunk.float().eval()
    for parent in list(trunk.modules()):
        for name, part in list(parent.named_children()):
            convolution, norm = getattr(part, "conv", None), getattr(part, "bn", None)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parent.register_module(name, fuse_conv_bn_eval(convolution, norm))
