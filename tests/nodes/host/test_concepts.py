"""The text head as the host hands it out: its vocabulary found, one for all who ask."""

from __future__ import annotations

import shutil

import pytest
import torch
from segment_anywhere.core.engines.files.checkpoints import read_weights
from segment_anywhere.core.engines.sam3 import engine as sam3
from segment_anywhere.core.errors import CheckpointError
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance
from segment_anywhere.nodes.host import models

from tests.support.needs import needs_sam3
from tests.support.paths import FIXTURES
from tests.support.sam3_layouts import write_folder

PARITY = FIXTURES / "sam3_parity"
FRAME = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))
pytestmark = needs_sam3


@pytest.fixture
def folder(tmp_path):
    """A transformers folder, as yet without a vocabulary."""
    state = read_weights(PARITY / "checkpoint.pt")
    return write_folder(sam3.from_official(state, torch.float32, 168), tmp_path / "sam3")


def _add_vocabulary(folder):
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(PARITY / name, folder)


def test_words_and_clicks_share_a_handle(folder):
    _add_vocabulary(folder)
    model = models.segment_model(folder, "fp32")
    finder = model.finder(None)
    assert models.segment_model(folder, "fp32").finder(None) == finder
    _, (found,) = finder.find(FRAME, ["dog"], 0.0)
    masks = model.engine.to_masks(found.logits[:2], (40, 60))
    assert masks.shape == (2, 40, 60)
    assert Instance(compact(masks[0] > 0), float(found.scores[0]), "dog", 0)
    assert model.segmenter().counters.encodes == 1


def test_the_vocabulary_of_comfyui_comes_second(folder, tmp_path, monkeypatch):
    comfy = tmp_path / "comfy"
    (comfy / "sd1_tokenizer").mkdir(parents=True)
    monkeypatch.setattr(models.comfy.model_management, "__file__", str(comfy / "x.py"))
    model = models.segment_model(folder, "fp32")
    with pytest.raises(CheckpointError, match=f"no tokenizer.*{folder}, {comfy}/sd1_tokenizer"):
        model.finder(None)
    _add_vocabulary(comfy / "sd1_tokenizer")
    assert model.finder(None)
