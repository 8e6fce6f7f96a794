"""The one place that decides which number type a model's encoder runs in."""

from __future__ import annotations

from enum import Enum

import torch


class Precision(str, Enum):
    """What the user asks for; AUTO picks what the device is fast at."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


_DTYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}


def encoder_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of image encoders on a device. Decoders and all that follows run in fp32."""
    if precision is not Precision.AUTO:
        return _DTYPES[precision]
    if device.type == "cuda":
        return _cuda_dtype(device)
    if device.type == "cpu":
        return torch.bfloat16 if _cpu_multiplies_bf16() else torch.float32
    if device.type == "xpu":
        return torch.bfloat16 if torch.xpu.is_bf16_supported() else torch.float32
    # Every Apple GPU multiplies fp16; bf16 needs newer ones, and macOS 14.
    return torch.float16 if device.type == "mps" else torch.float32


def _cuda_dtype(device: torch.device) -> torch.dtype:
    # Emulated bf16 (before Ampere) is slower than fp16, and before Volta fp16 is slower than fp32.
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    major, _ = torch.cuda.get_device_capability(device)
    return torch.float16 if major >= 7 else torch.float32


def _cpu_multiplies_bf16() -> bool:
    """Without these instructions a CPU converts bf16 back and forth and is slower than in fp32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
