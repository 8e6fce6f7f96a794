"""The SAM 3 engine: against the official implementation, with points and with words.

The reference outputs are those of the official image model (sam3 0.1.4) on the same weights, of its
interactive predictor and of its detector, made by tests/parity/make_sam3_reference.py. The weights
are random and the model narrow.
"""

from __future__ import annotations

import pytest
import torch
from conftest import FIXTURES
from predictor_cases import TOLERANCE, Reference
from segment_anywhere.core.engines import sam3
from segment_anywhere.core.engines.checkpoints import read_weights
from segment_anywhere.core.engines.clip_tokens import load_tokenizer
from segment_anywhere.core.engines.sam3_text import ConceptDetector

FOLDER = FIXTURES / "sam3_parity"
REFERENCE = Reference(FOLDER)
PHRASES = {entry["name"]: entry for entry in REFERENCE.config["phrases"]}


@pytest.fixture(scope="module")
def engine() -> sam3.Sam3Engine:
    state = read_weights(REFERENCE.checkpoint)
    return sam3.from_official(state, torch.float32, REFERENCE.config["image_size"])


@pytest.fixture(scope="module")
def embeddings(engine) -> list:
    return [engine.encode(frame) for frame in REFERENCE.frames()]


@pytest.fixture(scope="module")
def detector(engine) -> ConceptDetector:
    return ConceptDetector(engine, load_tokenizer([FOLDER]))


@pytest.mark.parametrize("name", REFERENCE.cases)
def test_prompts_equal_the_official_predictor(name, engine, embeddings):
    case = REFERENCE.cases[name]
    REFERENCE.check(engine, embeddings[case["image"]], case)


def test_the_reference_tells_right_from_wrong():
    REFERENCE.check_itself()


@pytest.mark.parametrize("name", PHRASES)
def test_words_equal_the_official_detector(name, embeddings, detector):
    entry = PHRASES[name]
    embedding = embeddings[entry["image"]]
    scores, boxes, masks = (
        torch.from_numpy(REFERENCE.arrays[f"{name}.{key}"]) for key in ("scores", "boxes", "masks")
    )
    height, width = embedding.size
    boxes = boxes.clamp(min=0).minimum(torch.tensor([width, height] * 2))
    (found,) = detector.detect(embedding, [entry["phrase"]], threshold=0.0)
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
