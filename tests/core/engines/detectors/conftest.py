"""Detectors of known classes with random weights, and a photograph for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.engines.detectors import base, segformer
from segment_anywhere.core.engines.detectors.base import load_detector

from tests.support.class_models import MAKERS
from tests.support.paths import FIXTURES

SIZE = (120, 200)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("classes")
    for name, make in MAKERS.items():
        make(root / name)
    return root


@pytest.fixture(scope="module")
def load(folders):
    return lambda name, dtype=torch.float32: load_detector(folders / name, dtype)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """[120, 200, 3] uint8."""
    return np.asarray(Image.open(FIXTURES / "photo.jpg").convert("RGB").resize(SIZE[::-1]))


@pytest.fixture(scope="module")
def frame(photo) -> torch.Tensor:
    return torch.tensor(photo).float() / 255


@pytest.fixture
def all_parts(monkeypatch):
    """Nothing is taken for a repetition or for noise, as in the official post-processing."""
    monkeypatch.setattr(base, "_SAME_OBJECT", 2.0)
    monkeypatch.setattr(segformer, "_SMALLEST", 0)
