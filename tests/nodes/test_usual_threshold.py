"""The lowest score of Text Segment and Track Segments: the detector's own, unless one is set."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.engines.families import DETECTOR_FAMILIES, FAMILIES
from segment_anywhere.core.tasks.segmenter import Finder
from segment_anywhere.nodes.text_segment import TextSegment
from segment_anywhere.nodes.track_segments import TrackSegments

from tests.support.nodes import BUILT_IN, load, noise, segment_words

DETECTORS = [
    ("owlv2/random-owlv2", 0.2),
    ("clipseg/trained", 0.4),
    ("grounding-dino/random-grounding-dino", 0.4),
]


@pytest.fixture
def asked(monkeypatch) -> list[float]:
    """The thresholds that detectors are asked with, which answer as ever."""
    thresholds: list[float] = []
    find_all = Finder.find_all

    def noting(self, frames, phrases, threshold, *others):
        thresholds.append(threshold)
        return find_all(self, frames, phrases, threshold, *others)

    monkeypatch.setattr(Finder, "find_all", noting)
    return thresholds


def test_which_threshold_is_usual():
    families = [each for each in (*FAMILIES, *DETECTOR_FAMILIES) if each.capabilities.words]
    usual = {family.name: family.usual_threshold for family in families}
    assert usual == {
        "sam3": 0.4,
        "grounding_dino": 0.4,
        "owlv2": 0.2,
        "clipseg": 0.4,
        "detr": 0.5,
        "segformer": 0.4,
        "florence2": 0.4,
    }


@pytest.mark.parametrize("node", [TextSegment, TrackSegments])
def test_the_widget_begins_at_the_detectors_own(node):
    (widget,) = (each for each in node.GET_SCHEMA().inputs if each.id == "threshold")
    assert (widget.default, widget.min) == (0.0, 0.0)


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize(("detector", "usual"), DETECTORS)
@pytest.mark.parametrize("given", [0.0, 0.01, 0.4, 1.0])
def test_what_text_segment_asks_the_detector(given, detector, usual, asked):
    segment_words(load(BUILT_IN), noise(), "dog", detector, threshold=given, max_objects=1)
    assert asked == [given or usual]


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize(("detector", "usual"), DETECTORS)
@pytest.mark.parametrize("given", [{}, {"threshold": 0.0}, {"threshold": 0.4}])
def test_what_track_segments_asks_the_detector(given, detector, usual, asked):
    words = {"prompt": "dog", "detector": detector, "max_objects": 1, **given}
    TrackSegments.execute(load(BUILT_IN), noise(2), "", direction="both", overlap="keep", **words)
    assert set(asked) == {given.get("threshold") or usual}


@pytest.mark.usefixtures("shelf")
def test_the_line_names_the_threshold_that_counted():
    grey = torch.full((1, 160, 160, 3), 0.45)
    output = segment_words(load(BUILT_IN), grey, "red circle", threshold=0.0)
    assert output.ui["text"][0].startswith('nothing >= 0.40 for "red circle"; best 0.')
