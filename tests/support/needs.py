"""What some tests need and not every machine has."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest
import transformers

needs_sam3 = pytest.mark.skipif(
    not hasattr(transformers, "Sam3Model"), reason="SAM 3 needs transformers 5"
)
needs_rf_detr = pytest.mark.skipif(
    not hasattr(transformers, "RfDetrForInstanceSegmentation"),
    reason="RF-DETR needs transformers 5.9",
)

needs_timm = pytest.mark.timm


def missing(reason: str) -> NoReturn:
    """Skip a test for what this machine has not; with CI set, where all of it is, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
