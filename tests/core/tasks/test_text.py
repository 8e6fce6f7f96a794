"""Text Segment's work as a plain script does it, and which detector is the usual one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.engines.families import DETECTOR_FAMILIES, FAMILIES, family_named
from segment_anywhere.core.engines.files.catalogue import CLIPSEG, GROUNDING_DINO
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.phrases import read_query
from segment_anywhere.core.tasks.segmenter import Embedder, Finder, Segmenter
from segment_anywhere.core.tasks.shown import uncounted
from segment_anywhere.core.tasks.words import Refine, segment_words, usual_detector

from tests.support.paths import FIXTURES
from tests.support.scenes import Scene, draw_scene

GRABCUT = family_named("grabcut")


@pytest.fixture
def finder() -> Finder:
    detector = load_detector(FIXTURES / "clipseg_tiny", torch.float32)
    return Finder(Embedder(detector), detector)


def _by_name(scene: Scene) -> dict[str, np.ndarray]:
    shapes = zip(scene.colors, scene.kinds, scene.masks, strict=True)
    return {f"{color} {kind}": mask for color, kind, mask in shapes}


def _no_segmenter() -> Segmenter:
    raise AssertionError("the segmenter was loaded")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_has_a_usual_detector_or_understands_words(family):
    names = {detector.name for detector in DETECTOR_FAMILIES}
    assert family.capabilities.words or family.usual_detector in names


@pytest.mark.parametrize(
    ("family", "local", "chosen"),
    [
        ("sam3", {"clipseg/a": Path("a")}, None),
        ("sam2", {}, GROUNDING_DINO),
        ("grabcut", {}, CLIPSEG),
        ("grabcut", {"grounding-dino/x": Path("x")}, CLIPSEG),
        ("grabcut", {"clipseg/a": Path("a"), "clipseg/b": Path("b")}, Path("a")),
        (
            "sam2",
            {"grounding-dino/a": Path("a"), f"grounding-dino/{GROUNDING_DINO.file}": Path("usual")},
            Path("usual"),
        ),
    ],
)
def test_the_usual_detector(family, local, chosen):
    assert usual_detector(family_named(family), local) == chosen


@torch.inference_mode()
def test_a_plain_script_finds_the_shapes_that_words_name(finder):
    """Two scenes that the small CLIPSeg has not seen, in one batch."""
    drawn = [draw_scene(seed, 160) for seed in (500, 501)]
    image = torch.stack([torch.from_numpy(scene.image) for scene in drawn])
    names = [_by_name(scene) for scene in drawn]
    query = read_query(", ".join({**names[0], **names[1]}), "", 0.4, 1)
    found = segment_words(image, query, finder, GRABCUT, _no_segmenter)
    overlaps = []
    for instance in found.segments:
        truth = names[instance.frame].get(instance.label)
        if truth is not None:
            mask = instance.mask.pixels().numpy() >= 128
            overlaps.append((mask & truth).sum() / (mask | truth).sum())
    assert len(overlaps) >= 4 and sum(overlaps) / len(overlaps) > 0.7
    assert {instance.frame for instance in found.segments} == {0, 1}
    assert found.removed == []


@torch.inference_mode()
def test_the_detector_is_done_before_the_segmenter_is_loaded(finder):
    """A small GPU has room for one of the two."""
    image, events = torch.rand(2, 48, 64, 3), []

    def counted(items, total, step=0, steps=1):
        for index, item in enumerate(uncounted(items, total)):
            events.append((step, steps, index))
            yield item

    def load() -> Segmenter:
        events.append("load")
        return Segmenter(GrabCutEngine())

    query = read_query("dog", "", 0.01, 1)
    segment_words(image, query, finder, GRABCUT, load, Refine.ON, counted)
    assert events == [(0, 2, 0), (0, 2, 1), "load", (1, 2, 0), (1, 2, 1)]


def test_an_image_of_a_wrong_shape_is_refused_before_anything_is_loaded(finder):
    with pytest.raises(InputError, match="image: found a tensor of shape"):
        segment_words(
            torch.zeros(4, 4), read_query("a", "", 0.4, 0), finder, GRABCUT, _no_segmenter
        )
