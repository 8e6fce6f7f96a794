"""Frames that are encoded together: every model, up to rounding, as one by one."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.engines.base import Encoder
from segment_anywhere.core.engines.detectors.base import load_detector

from tests.support.engines import MODELS, engine_of
from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference
from tests.support.word_models import MAKERS

FRAMES = torch.rand(3, 72, 96, 3, generator=torch.Generator().manual_seed(0))
# Of the largest number of a feature.
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}


def _check(engine: Encoder, rounding: float) -> None:
    together = engine.encode_batch([engine.prepare(frame) for frame in FRAMES])
    assert len(together) == len(FRAMES)
    for frame, embedding in zip(FRAMES, together, strict=True):
        alone = engine.encode(frame)
        assert embedding.size == alone.size == (72, 96)
        for feature, expected in zip(embedding.features, alone.features, strict=True):
            assert feature.shape == expected.shape and feature.dtype == expected.dtype
            most = rounding * expected.float().abs().max()
            torch.testing.assert_close(feature.float(), expected.float(), atol=float(most), rtol=0)


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("family", MODELS)
def test_engines(family, dtype):
    _check(Reference(FIXTURES / f"{family}_parity").engine(dtype), ROUNDING[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_detectors(name, dtype, tmp_path):
    MAKERS[name](tmp_path / name)
    _check(load_detector(tmp_path / name, dtype), ROUNDING[dtype])


def test_the_engine_without_weights():
    _check(engine_of("grabcut"), 0.0)
