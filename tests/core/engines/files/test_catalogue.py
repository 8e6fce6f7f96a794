"""What is on the lists of downloads is complete."""

from __future__ import annotations

from pathlib import Path

import pytest
from segment_anywhere.core.engines.families import family_named
from segment_anywhere.core.engines.files.catalogue import CATALOGUE, DETECTORS, MATTING


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.file)
def test_the_catalogue_is_complete(entry):
    assert entry.size > 10**6
    assert entry.licence
    assert family_named(entry.family).module and entry.folder
    (file,) = entry.files
    assert file.sha256 is None or len(file.sha256) == 64
    assert Path(entry.file).suffix in (".pt", ".pth", ".safetensors")


@pytest.mark.parametrize("entry", DETECTORS, ids=lambda entry: entry.file)
def test_a_detectors_folder_is_complete(entry):
    """Weights, tokenizer, how images are made, and last what makes the folder count as a model."""
    names = [file.name for file in entry.files]
    assert names[0] == "model.safetensors" and names[-1] == "config.json"
    assert {"tokenizer.json", "vocab.json"} & set(names)
    assert "preprocessor_config.json" in names
    assert family_named(entry.family).capabilities.words and entry.folder
    assert all(len(file.sha256) == 64 and file.size > 0 for file in entry.files)
    assert len(entry.revision) == 40


@pytest.mark.parametrize("entry", MATTING, ids=lambda entry: entry.file)
def test_a_matting_models_folder_is_complete(entry):
    names = [file.name for file in entry.files]
    assert names == ["model.safetensors", "preprocessor_config.json", "config.json"]
    assert family_named(entry.family).module and entry.folder == "vitmatte"
    assert all(len(file.sha256) == 64 and file.size > 0 for file in entry.files)
    assert len(entry.revision) == 40 and entry.licence
