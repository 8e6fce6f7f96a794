"""The one place that decides which number type a model's encoder runs in."""

from __future__ import annotations

import time
from enum import Enum
from functools import cache

import torch
import torch.nn.functional as F


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
# How much less time bf16 has to take: what is no multiplication gains nothing by it.
_WORTH_IT = 0.8
_TRIALS = 6


def encoder_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of image encoders on a device. Decoders and all that follows run in fp32."""
    if precision is not Precision.AUTO:
        return _DTYPES[precision]
    if device.type == "cuda":
        return _cuda_dtype(device)
    if device.type == "cpu":
        return torch.bfloat16 if _cpu_is_fast_at_bf16() else torch.float32
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


@cache
def _cpu_is_fast_at_bf16() -> bool:
    """Whether a CPU multiplies in bf16, and gains by it; tried once in each process.

    Without the instructions it converts back and forth and is slower. With AVX-512's alone some
    gain (AMD Zen 5), and others take twice as long as in fp32 (Intel Emerald Rapids where AMX is
    hidden), so the rates are measured, in some 70 ms with two threads.
    """
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return False
    return _matmul_seconds(torch.bfloat16) < _WORTH_IT * _matmul_seconds(torch.float32)


def _matmul_seconds(dtype: torch.dtype) -> float:
    """The least time of a few multiplications such as image encoders are made of."""
    rows, weight = torch.ones(1024, 384, dtype=dtype), torch.ones(1536, 384, dtype=dtype)
    times = []
    for _ in range(_TRIALS):
        start = time.perf_counter()
        F.linear(rows, weight)
        times.append(time.perf_counter() - start)
    return min(times)
