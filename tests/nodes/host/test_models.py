"""What the host says where a model is asked for words that it does not understand."""

from __future__ import annotations

import pytest
from segment_anywhere.core.engines.precision import Precision
from segment_anywhere.core.errors import CheckpointError
from segment_anywhere.nodes.host import models as host_models

from tests.support.paths import FIXTURES


@pytest.mark.parametrize(
    ("path", "title"),
    [(None, "GrabCut"), (FIXTURES / "sam2_parity" / "checkpoint.pt", "SAM 2 / 2.1")],
)
def test_a_model_without_a_text_head_says_what_has_one(path, title):
    model = host_models.segment_model(path, Precision.FP32)
    with pytest.raises(CheckpointError, match=f"detector: {title} understands no words by itself"):
        model.finder(None)
