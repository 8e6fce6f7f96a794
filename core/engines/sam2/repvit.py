"""RepViT, the image encoder of EdgeTAM, in its re-parameterised form.

In training every convolution has a batch normalisation behind it and some have a parallel branch.
For inference all of it folds into one convolution each, which is faster and equal up to rounding.
Source: Wang et al., "RepViT: Revisiting Mobile CNN From ViT Perspective" (2024), and the parameter
names of timm's `repvit_m1`, which the official EdgeTAM checkpoint carries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BATCH_NORM_EPS = 1e-5
_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_MLP_RATIO = 2


class RepViT(nn.Module):
    """Four stages at 1/4, 1/8, 1/16 and 1/32 of the input; a trunk for `Sam2VisionModel`.

    widths: channels per stage. depths: blocks per stage. squeeze: hidden channels of each stage's
    squeeze-and-excitation, which every other block has.
    """

    def __init__(self, widths: list[int], depths: list[int], squeeze: list[int]):
        super().__init__()
        first = widths[0]
        self.widths = widths
        self.stem = nn.ModuleList(
            [_convolution(3, first // 2, stride=2), _convolution(first // 2, first, stride=2)]
        )
        self.stages = nn.ModuleList()
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = [_Block(width, squeeze[index] if k % 2 == 0 else 0) for k in range(depth)]
            down = [_Downsample(widths[index - 1], width)] if index else []
            self.stages.append(nn.Sequential(*down, *blocks))

    def forward(self, pixel_values: Tensor, **_: object) -> SimpleNamespace:
        """[B, 3, H, W] -> the four feature maps, [B, h, w, C] each, fine to coarse."""
        features = self.stem[1](F.gelu(self.stem[0](pixel_values)))
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features.permute(0, 2, 3, 1))
        return SimpleNamespace(
            intermediate_hidden_states=tuple(maps),
            last_hidden_state=maps[-1],
            hidden_states=None,
            attentions=None,
        )


def _convolution(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, groups=groups)


class _ChannelMixer(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width * _MLP_RATIO, 1)
        self.conv2 = nn.Conv2d(width * _MLP_RATIO, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.gelu(self.conv1(x)))


class _SqueezeExcite(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Conv2d(width, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * gate.sigmoid()


class _Block(nn.Module):
    def __init__(self, width: int, squeeze: int):
        super().__init__()
        self.token_mixer = _convolution(width, width, groups=width)
        self.se = _SqueezeExcite(width, squeeze) if squeeze else nn.Identity()
        self.channel_mixer = _ChannelMixer(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.channel_mixer(self.se(self.token_mixer(x)))


class _Downsample(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.pre_block = _Block(inputs, squeeze=0)
        self.spatial_downsample = _convolution(inputs, inputs, stride=2, groups=inputs)
        self.channel_downsample = nn.Conv2d(inputs, outputs, 1)
        self.ffn = _ChannelMixer(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.spatial_downsample(self.pre_block(x))
        return self.ffn(self.channel_downsample(x))


def from_timm(state: Mapping[str, Tensor]) -> RepViT:
    """Build the encoder from timm's state dict (keys as `stem.conv1.c.weight`), fp32.

    Raises KeyError where a weight is missing, RuntimeError where one has another shape or is
    unknown.
    """
    stages = sorted({int(key.split(".")[0][7:]) for key in state if key.startswith("stages_")})
    first = [f"stages_{stage}.blocks.0." for stage in stages]
    widths = [state[block + "channel_mixer.conv2.c.weight"].shape[0] for block in first]
    squeeze = [state[block + "se.fc1.weight"].shape[0] for block in first]
    depths = [
        len({key.split(".")[2] for key in state if key.startswith(f"stages_{stage}.blocks.")})
        for stage in stages
    ]
    with torch.device("meta"):
        encoder = RepViT(widths, depths, squeeze)
    encoder.load_state_dict(_fuse(state), strict=True, assign=True)
    return encoder


def _fuse(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    fused: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if ".se." in key:
            fused[_rename(key)] = tensor.float()
        elif key.endswith(".c.weight") and not key.endswith("token_mixer.conv1.c.weight"):
            name = key.removesuffix(".c.weight")
            weight, bias = _fold(state, name)
            if name.endswith("token_mixer.conv"):
                weight, bias = _add_branches(weight, bias, *_fold(state, name + "1"))
            name = _rename(name.removesuffix(".conv"))
            fused[name + ".weight"], fused[name + ".bias"] = weight, bias
    return fused


def _fold(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """A convolution and the batch normalisation behind it as one convolution."""
    norm = {part: state[f"{name}.bn.{part}"].float() for part in _NORM_PARTS}
    scale = norm["weight"] / torch.sqrt(norm["running_var"] + _BATCH_NORM_EPS)
    weight = state[f"{name}.c.weight"].float() * scale[:, None, None, None]
    return weight, norm["bias"] - norm["running_mean"] * scale


def _add_branches(
    weight: Tensor, bias: Tensor, point_weight: Tensor, point_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """A 3x3 convolution, a parallel 1x1 and the identity as one 3x3."""
    weight = weight.clone()
    weight[:, :, 1:2, 1:2] += point_weight + 1.0
    return weight, bias + point_bias


def _rename(key: str) -> str:
    """timm's names -> ours: the downsampling is the first module of its stage."""
    stem = re.sub(r"^stem\.conv(\d)", lambda match: f"stem.{int(match[1]) - 1}", key)
    stage = re.match(r"stages_(\d+)\.", stem)
    if not stage:
        return stem
    offset = 1 if int(stage[1]) else 0
    stem = re.sub(r"\.blocks\.(\d+)\.", lambda match: f".{int(match[1]) + offset}.", stem)
    return stem.replace(".downsample.", ".0.").replace("stages_", "stages.")
