"""Florence-2 among language models, where other packs keep it: what of them is listed and loads."""

from __future__ import annotations

import json
from pathlib import Path

import folder_paths
import pytest
from segment_anywhere.nodes import model_choices
from segment_anywhere.nodes.load_sam import LoadSAM
from segment_anywhere.nodes.model_choices import DETECTOR_MODELS, MATTING_MODELS

from tests.support.nodes import noise, segment_words
from tests.support.word_models import make_florence2


@pytest.fixture
def language_models(models) -> Path:
    """The folder with a Florence-2, one of its first release, and models of other kinds."""
    folder = models / "LLM"
    make_florence2(folder / "mine" / "Florence-2-base")
    for name, config in {
        "first-release": {"model_type": "florence2", "auto_map": {"AutoConfig": "x.Y"}},
        "llama": {"model_type": "llama"},
        "list": [],
    }.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
        (folder / name / "model.safetensors").touch()
    (folder / "broken").mkdir()
    (folder / "broken" / "config.json").write_text("{")
    (folder / "mistral.safetensors").touch()
    return folder


def _listed(listing=DETECTOR_MODELS) -> list[str]:
    return [each for each in model_choices.options(listing) if each.startswith("LLM/")]


def test_of_all_language_models_florence_alone_is_listed(language_models):
    assert _listed() == ["LLM/mine/Florence-2-base"]
    assert _listed(MATTING_MODELS) == _listed(model_choices.SAM_MODELS) == []
    assert "not on this machine" in LoadSAM.validate_inputs("LLM/mine/Florence-2-base")


def test_the_folders_of_the_users_own_settings_are_looked_through(language_models, monkeypatch):
    elsewhere = (language_models.rename(language_models.parent / "texts"), {".safetensors"})
    names = folder_paths.folder_names_and_paths
    monkeypatch.setitem(names, "LLM", ([str(elsewhere[0])], elsewhere[1]))
    assert _listed() == ["LLM/mine/Florence-2-base"]


def test_without_such_a_folder_nothing_is_listed(models):
    assert _listed() == []


@pytest.mark.usefixtures("language_models")
def test_it_finds_and_draws(monkeypatch):
    """With the built-in engine the outlines are its own."""
    (model,) = LoadSAM.execute(model_choices.SAM_MODELS.first, "fp32").args
    output = segment_words(model, noise(), "red dog, a", "LLM/mine/Florence-2-base")
    mask, segments, bboxes, _ = output.args
    assert len(segments) == len(bboxes[0]) > 0
    assert set(segments.scores.tolist()) == {1.0}
    assert mask.any()
