"""What some tests need and not every machine has."""

from __future__ import annotations

import pytest
import transformers

needs_sam3 = pytest.mark.skipif(
    not hasattr(transformers, "Sam3Model"), reason="SAM 3 needs transformers 5"
)
