"""Engines with the fixtures' weights, each made once, when a test first asks for it."""

from __future__ import annotations

import functools

import pytest
from segment_anywhere.core.engines.base import Engine
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine

from tests.support.needs import needs_sam3, needs_timm
from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference

MODELS = (
    "sam",
    "sam_hq",
    pytest.param("mobile_sam", marks=needs_timm),
    "sam2",
    "edgetam",
    pytest.param("sam3", marks=needs_sam3),
)
"""The families that have weights, to parametrize a test with."""


@functools.cache
def engine_of(family: str) -> Engine:
    """A family's engine; its random weights work on images of the fixture's size, mostly 256."""
    if family == "grabcut":
        return GrabCutEngine()
    return Reference(FIXTURES / f"{family}_parity").engine()
