"""SAM 3's answers to words and example boxes against the official detector's (sam3 0.1.4).

Points, boxes and masks are compared with those of the other families, in test_parity.py.
"""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.engines.base import Detections
from segment_anywhere.core.engines.sam3.engine import Sam3Engine
from segment_anywhere.core.engines.sam3.tokens import load_tokenizer
from segment_anywhere.core.engines.sam3.words import ConceptDetector
from segment_anywhere.core.prompts.examples import VISUAL
from segment_anywhere.core.prompts.prompts import Box

from tests.support.needs import needs_sam3
from tests.support.paths import FIXTURES
from tests.support.predictor_cases import TOLERANCE, Reference

FOLDER = FIXTURES / "sam3_parity"
REFERENCE = Reference(FOLDER)
PHRASES = {entry["name"]: entry for entry in REFERENCE.config["phrases"]}
EXAMPLES = {entry["name"]: entry for entry in REFERENCE.config["examples"]}

pytestmark = needs_sam3


@pytest.fixture(scope="module")
def engine() -> Sam3Engine:
    return REFERENCE.engine()


@pytest.fixture(scope="module")
def embeddings(engine) -> list:
    return [engine.encode(frame) for frame in REFERENCE.frames()]


@pytest.fixture(scope="module")
def detector(engine) -> ConceptDetector:
    return ConceptDetector(engine, load_tokenizer([FOLDER]))


@pytest.mark.parametrize("name", PHRASES)
def test_words_equal_the_official_detector(name, embeddings, detector):
    entry = PHRASES[name]
    embedding = embeddings[entry["image"]]
    (found,) = detector.detect(embedding, [entry["phrase"]], threshold=0.0)
    _check(found, name, embedding.size)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_boxes_equal_the_official_detector(name, embeddings, detector):
    entry = EXAMPLES[name]
    embedding = embeddings[entry["image"]]
    height, width = embedding.size
    boxes = tuple(
        Box(x1 * width, y1 * height, x2 * width, y2 * height, positive=box["positive"])
        for box in entry["boxes"]
        for x1, y1, x2, y2 in [box["corners"]]
    )
    phrase = entry["phrase"] or VISUAL
    plain, found = detector.detect_like(embedding, [phrase, phrase], [(), boxes], threshold=0.0)
    assert not torch.allclose(plain.scores, found.scores, atol=0.01)
    _check(found, name, embedding.size)


def _check(found: Detections, name: str, size: tuple[int, int]) -> None:
    scores, boxes, masks = (
        torch.from_numpy(REFERENCE.arrays[f"{name}.{key}"]) for key in ("scores", "boxes", "masks")
    )
    height, width = size
    boxes = boxes.clamp(min=0).minimum(torch.tensor([width, height] * 2))
    assert (found.scores.diff() <= 0).all()
    assert found.best == found.scores[0]
    # Scores may tie, so queries are known by their boxes.
    query = torch.cdist(found.boxes, boxes).argmin(dim=1)
    assert sorted(query.tolist()) == list(range(len(scores)))
    close = {"atol": TOLERANCE, "rtol": 0}
    torch.testing.assert_close(found.scores, scores[query], **close)
    in_sides = torch.tensor([width, height] * 2)
    torch.testing.assert_close(found.boxes / in_sides, boxes[query] / in_sides, **close)
    stored = query < len(masks)
    torch.testing.assert_close(found.logits[stored], masks[query[stored]], **close)
