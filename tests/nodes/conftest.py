"""Models that understand words, for all tests of nodes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.nodes import random_detector
from tests.support.paths import FIXTURES
from tests.support.word_models import MAKERS


@pytest.fixture(scope="session")
def word_models(tmp_path_factory) -> Path:
    """Every kind of detector with random weights, and the trained CLIPSeg, made once."""
    root = tmp_path_factory.mktemp("words")
    for name, make in MAKERS.items():
        make(root / random_detector(name))
    shutil.copytree(FIXTURES / "clipseg_tiny", root / "clipseg" / "trained")
    return root


@pytest.fixture
def shelf(models, word_models) -> Path:
    """The models folder with all of them."""
    for folder in word_models.iterdir():
        shutil.copytree(folder, models / folder.name)
    return models
