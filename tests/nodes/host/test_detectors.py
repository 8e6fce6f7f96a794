"""Detectors, which all loaders share: read once, kept as long as they should be."""

from __future__ import annotations

import gc
import shutil
import weakref

import pytest
from segment_anywhere.nodes.host import models as host_models

from tests.support.nodes import BUILT_IN, SAM2, detector_folder, load, noise, segment_words


@pytest.mark.usefixtures("shelf")
def test_a_second_run_loads_nothing_again():
    model = load(BUILT_IN)
    segment_words(model, noise(), "dog")
    finder = model.finder(detector_folder("clipseg/trained"))
    segment_words(load(BUILT_IN), noise(), "cat")
    assert model.finder(detector_folder("clipseg/trained")) == finder
    assert finder.embedder.counters.encodes == 1


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The detectors that are read, in their order."""
    names = []
    read = host_models.load_detector

    def note(path, dtype):
        names.append(path.name)
        return read(path, dtype)

    monkeypatch.setattr(host_models, "load_detector", note)
    return names


@pytest.mark.usefixtures("shelf")
def test_two_nodes_with_a_detector_each_read_it_once(reads):
    model = load(BUILT_IN)
    for _ in range(3):
        segment_words(model, noise(), "dog", "clipseg/trained")
        segment_words(model, noise(), "dog", "owlv2/random-owlv2")
    assert reads == ["trained", "random-owlv2"]


@pytest.mark.usefixtures("shelf")
def test_loaders_share_detectors(reads):
    loaders = [load(BUILT_IN), load(SAM2)]
    for model in loaders:
        segment_words(model, noise(), "dog", "clipseg/trained")
    assert reads == ["trained"]


def test_detectors_that_were_used_longest_ago_are_let_go(shelf, reads):
    for name in "abcde":
        shutil.copytree(shelf / "clipseg" / "trained", shelf / "clipseg" / name)
    model = load(BUILT_IN)
    for name in "abcdaecb":
        segment_words(model, noise(), "dog", f"clipseg/{name}")
    assert "".join(reads) == "abcdeb"


def test_a_detector_whose_files_change_takes_the_place_of_the_old_one(shelf, reads):
    model = load(BUILT_IN)
    segment_words(model, noise(), "dog")
    old = weakref.ref(model.detector(detector_folder("clipseg/trained")))
    path = shelf / "clipseg" / "trained" / "preprocessor_config.json"
    path.write_text(path.read_text() + " ")
    segment_words(model, noise(), "dog")
    gc.collect()
    assert reads == ["trained", "trained"]
    assert old() is None


@pytest.mark.usefixtures("shelf")
def test_detectors_live_as_long_as_any_loaders_output():
    """ComfyUI frees memory by letting go of outputs; what a module holds it cannot free."""
    one, other = load(BUILT_IN), load(SAM2)
    segment_words(one, noise(), "dog")
    detector = weakref.ref(one.detector(detector_folder("clipseg/trained")))
    del one
    gc.collect()
    assert detector() is not None
    del other
    gc.collect()
    assert detector() is None
