"""The choice of number types."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.engines import precision
from segment_anywhere.core.engines.precision import Precision, encoder_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("choice", "dtype"),
    [
        (Precision.FP32, torch.float32),
        (Precision.BF16, torch.bfloat16),
        (Precision.FP16, torch.float16),
    ],
)
def test_a_choice_is_kept_on_any_device(choice, dtype):
    assert encoder_dtype(choice, CPU) is dtype
    assert encoder_dtype(choice, torch.device("cuda")) is dtype


@pytest.fixture
def ask_anew():
    """The answer is kept for the process; here another CPU is asked."""
    precision._cpu_is_fast_at_bf16.cache_clear()
    yield
    precision._cpu_is_fast_at_bf16.cache_clear()


@pytest.mark.parametrize(
    ("avx512_bf16", "amx", "bf16_seconds", "dtype"),
    [
        (False, False, 0.1, torch.float32),
        (True, False, 0.5, torch.bfloat16),
        (False, True, 0.5, torch.bfloat16),
        (True, False, 0.9, torch.float32),
        (True, True, 2.0, torch.float32),
    ],
)
def test_auto_takes_bf16_on_a_cpu_only_where_it_gains_by_it(
    avx512_bf16, amx, bf16_seconds, dtype, monkeypatch, ask_anew
):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    seconds = {torch.float32: 1.0, torch.bfloat16: bf16_seconds}
    monkeypatch.setattr(precision, "_matmul_seconds", seconds.__getitem__)
    assert encoder_dtype(Precision.AUTO, CPU) is dtype


@pytest.mark.parametrize(
    ("bf16", "capability", "dtype"),
    [
        (True, (8, 0), torch.bfloat16),
        (False, (7, 5), torch.float16),
        (False, (6, 1), torch.float32),
    ],
)
def test_auto_on_nvidia(bf16, capability, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert encoder_dtype(Precision.AUTO, torch.device("cuda")) is dtype


@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_on_intel(bf16, dtype, monkeypatch):
    monkeypatch.setattr(torch.xpu, "is_bf16_supported", lambda: bf16)
    assert encoder_dtype(Precision.AUTO, torch.device("xpu")) is dtype


def test_auto_on_apple():
    assert encoder_dtype(Precision.AUTO, torch.device("mps")) is torch.float16


def test_this_cpu_is_asked_once(monkeypatch, ask_anew):
    asked = []
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: not asked.append(1))
    assert encoder_dtype(Precision.AUTO, CPU) is encoder_dtype(Precision.AUTO, CPU)
    assert len(asked) == 1 and precision._matmul_seconds(torch.float32) > 0
