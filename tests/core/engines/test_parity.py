"""The engines against the official implementations.

The reference outputs are those of the official image predictors on the same weights, made by the
scripts in tests/parity. The weights are random and the models narrow; every parameter that a still
image uses takes part in the outputs.
"""

from __future__ import annotations

import functools

import pytest
import torch
from segment_anywhere.core.engines.base import Embedding
from segment_anywhere.core.engines.lineage.prompted import PromptedEngine

from tests.support.needs import needs_sam3, needs_timm
from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference

MARKS = {
    "sam": (),
    "sam_hq": (),
    "mobile_sam": needs_timm,
    "sam2": (),
    "edgetam": (),
    "sam3": needs_sam3,
}
REFERENCES = {family: Reference(FIXTURES / f"{family}_parity") for family in MARKS}
FAMILIES = [pytest.param(family, marks=marks) for family, marks in MARKS.items()]
CASES = [
    pytest.param(family, name, marks=MARKS[family])
    for family, one in REFERENCES.items()
    for name in one.cases
]
FRAME = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))


@functools.cache
def _engine(family: str) -> PromptedEngine:
    return REFERENCES[family].engine()


@functools.cache
def _embeddings(family: str) -> list[Embedding]:
    return [_engine(family).encode(frame) for frame in REFERENCES[family].frames()]


@pytest.mark.parametrize(("family", "name"), CASES)
def test_equals_the_official_predictor(family, name):
    case = REFERENCES[family].cases[name]
    REFERENCES[family].check(_engine(family), _embeddings(family)[case["image"]], case)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_tells_right_from_wrong(family):
    REFERENCES[family].check_itself()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision(family, dtype):
    """The encoder runs in it, the rest in fp32, and the features stay close."""
    engine = REFERENCES[family].engine(dtype)
    assert {p.dtype for p in engine.module.vision_encoder.parameters()} == {dtype}
    assert {p.dtype for p in engine.module.mask_decoder.parameters()} == {torch.float32}
    pairs = zip(engine.encode(FRAME).features, _engine(family).encode(FRAME).features, strict=True)
    for features, expected in pairs:
        assert features.dtype == dtype
        error = (features.float() - expected).abs().mean() / expected.abs().mean()
        assert error < {torch.bfloat16: 0.05, torch.float16: 0.01}[dtype]
