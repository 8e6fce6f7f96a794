"""A Python that has no OpenCV, for as long as a block lasts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from segment_anywhere.core import opencv


@contextmanager
def without_opencv() -> Iterator[None]:
    """`import cv2` fails as it does where none of OpenCV's packages is installed."""
    with patch.dict(sys.modules, {"cv2": None}):
        opencv._load.cache_clear()
        try:
            yield
        finally:
            opencv._load.cache_clear()
