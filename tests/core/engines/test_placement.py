"""Every model on a device beside the CPU, wherever image, masks and embedding are.

Nothing is mixed up on the way, and as the kernels are the CPU's so are the answers, to the bit.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from segment_anywhere.core.engines.base import Detections
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.engines.families import family_named
from segment_anywhere.core.engines.matting.vitmatte import VitMatte
from segment_anywhere.core.engines.sam3.tokens import load_tokenizer
from segment_anywhere.core.engines.sam3.words import ConceptDetector
from segment_anywhere.core.masks.refine import Edge, Refinement, refine
from segment_anywhere.core.prompts.inputs import PromptInputs, read_sockets
from segment_anywhere.core.prompts.phrases import read_query
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.results.segments import Instance
from segment_anywhere.core.tasks.everything import GridSettings, segment_everything
from segment_anywhere.core.tasks.live_preview import Previewer
from segment_anywhere.core.tasks.matting import Matter
from segment_anywhere.core.tasks.segmenter import (
    Finder,
    MaskChoice,
    Resident,
    Segmenter,
    WordEmbedder,
    segment_frames,
)
from segment_anywhere.core.tasks.words import Refine, segment_words
from torch import Tensor

from tests.support.clip_reference import ClipReference, clip_frames, follow
from tests.support.engines import MODELS, engine_of
from tests.support.matting_models import small_vitmatte
from tests.support.needs import needs_sam3
from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference
from tests.support.pretended import DEVICE, copies, placed
from tests.support.scenes import draw_scene
from tests.support.word_models import MAKERS

HOST = torch.device("cpu")
SIZE = (72, 96)
FRAME = torch.from_numpy(draw_scene(500, SIZE[1]).image[: SIZE[0]])
MASK = (FRAME[..., 0] > 0.5).float()
# Where the image and a mask are has nothing to do with the number type.
PLACES = [(torch.float32, HOST), (torch.bfloat16, HOST), (torch.float16, DEVICE)]
PROMPTS = [
    ObjectPrompt("click", (Point(20, 30),)),
    ObjectPrompt("pair", (Point(20, 30), Point(50, 10, positive=False))),
    ObjectPrompt("box", box=Box(10, 5, 60, 40)),
    ObjectPrompt("box and click", (Point(20, 30),), Box(10, 5, 60, 40)),
    ObjectPrompt("mask", mask=MASK),
    ObjectPrompt("mask and click", (Point(20, 30),), mask=MASK),
]
PHRASES = ["green triangle", "white cross"]
# For each detector a score that some of what it proposes reaches.
THRESHOLDS = {
    "grounding-dino": 0.1,
    "mm-grounding-dino": 0.1,
    "owlv2": 0.2,
    "clipseg": 0.2,
    "sam3": 1e-6,
}
# Four clicks, which are one decoder run on a CPU as on a GPU; with thresholds and without.
GRIDS = [GridSettings(2, least, least) for least in (1e-9, 0.0)]


def _name(value: object) -> str | None:
    """What a row of a table is called; None for pytest's own name."""
    return str(value) if isinstance(value, torch.dtype | torch.device) else None


def _seen(found: list[Instance]) -> list[tuple[float, Tensor]]:
    return [(one.score, one.mask.pixels()) for one in found]


def _segmenter(family: str, dtype: torch.dtype = torch.float32) -> Segmenter:
    return Segmenter(Reference(FIXTURES / f"{family}_parity").engine(dtype))


def _answers(segmenter: Segmenter, place: torch.device) -> list[object]:
    """From a fresh embedding, then from the cache."""
    frame = FRAME.to(place)
    prompts = [p if p.mask is None else replace(p, mask=p.mask.to(place)) for p in PROMPTS]
    fresh = segmenter.segment(frame, prompts, MaskChoice.BEST)
    kept = segmenter.segment(frame, prompts, MaskChoice.SMALLEST)
    return [segmenter.embed(frame).features, _seen(fresh), _seen(kept)]


def _frames(segmenter: Segmenter, place: torch.device) -> list[object]:
    """A batch whose frames go through the encoder in groups of two."""
    segmenter.need = Resident(2)
    image = torch.stack([FRAME, 1 - FRAME, FRAME / 2]).to(place)
    clicks = [PROMPTS[:1]] * 3
    return [_seen(f.instances) for f in segment_frames(segmenter, image, clicks, MaskChoice.BEST)]


def _regions(segmenter: Segmenter, place: torch.device) -> list[object]:
    return [_seen(segment_everything(segmenter, FRAME.to(place), grid)) for grid in GRIDS]


def _picture(segmenter: Segmenter, place: torch.device) -> list[object]:
    """A preview, which is decoded on the CPU."""
    embedding = segmenter.embed(FRAME.to(place))
    (sockets,) = read_sockets(PromptInputs(mask=MASK.to(place)[None]), 1, SIZE)
    previewer = Previewer(segmenter)
    key = previewer.remember(embedding.key, sockets)
    return list(previewer.preview(key, "[[20, 30]]", MaskChoice.BEST, SIZE[1]).png)


@pytest.mark.parametrize(
    ("work", "dtype", "place"),
    [
        *[(_answers, dtype, place) for dtype, place in PLACES],
        (_frames, torch.float32, HOST),
        (_frames, torch.bfloat16, DEVICE),
        (_regions, torch.float32, DEVICE),
        (_picture, torch.float32, DEVICE),
    ],
    ids=_name,
)
@pytest.mark.parametrize("family", MODELS)
def test_prompts(family, work, dtype, place):
    segmenter = _segmenter(family, dtype)
    expected = work(segmenter, HOST)
    placed(segmenter.engine)
    with copies() as seen:
        found = work(Segmenter(segmenter.engine), place)
    assert seen.events
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


@pytest.mark.parametrize("family", ["sam2", "edgetam"])
def test_a_clip(family):
    """Kernels differ: what a CPU does in blocks a GPU does at once."""
    reference = ClipReference(FIXTURES / f"{family}_video_parity")
    engine = reference.engine()
    images = reference.images()
    mask = ObjectPrompt("mask", mask=(images[0, ..., 0] > 0.5).float())

    def answers(place: torch.device) -> Tensor:
        frames = clip_frames(engine, images[:5].to(place))
        session = engine.track(len(frames))
        session.start(frames[0], {1: PROMPTS[0], 2: replace(mask, mask=mask.mask.to(place))})
        session.step(frames[1], [1, 2])
        session.correct(frames[2], {1: PROMPTS[3]})
        return follow(session, frames, [1, 2])

    expected = answers(HOST)
    placed(engine)
    with copies():
        found = answers(DEVICE).to(HOST)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("work", [_answers, _picture])
def test_the_engine_without_weights(work):
    """It stays on the CPU, wherever images and masks are."""
    expected = work(Segmenter(engine_of("grabcut")), HOST)
    with copies():
        found = work(Segmenter(engine_of("grabcut")), DEVICE)
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("detectors")
    for name, make in MAKERS.items():
        make(root / name)
    return root


def _finder(name: str, folders: Path, dtype: torch.dtype = torch.float32) -> Finder:
    if name == "sam3":
        segmenter = _segmenter(name, dtype)
        tokenizer = load_tokenizer([FIXTURES / "sam3_parity"])
        return Finder(segmenter, ConceptDetector(segmenter.engine, tokenizer))
    trained = FIXTURES / "clipseg_tiny"
    detector = load_detector(trained if name == "clipseg" else folders / name, dtype)
    return Finder(WordEmbedder(detector), detector)


def _detections(finder: Finder, threshold: float, place: torch.device) -> list[object]:
    """Of new phrases on a fresh embedding, then of known ones on that from the cache."""
    runs = [finder.find(FRAME.to(place), PHRASES, threshold)[1] for _ in range(2)]
    assert any(map(len, runs[0]))
    return [[_on_host(each) for each in found] for found in runs]


def _on_host(found: Detections) -> tuple[object, ...]:
    logits = None if found.logits is None else found.logits.cpu()
    return found.scores.cpu(), found.boxes.cpu(), logits, found.best


@pytest.mark.parametrize(
    ("name", "dtype", "place"),
    [
        *[(name, *row) for name in ("grounding-dino", "owlv2", "clipseg") for row in PLACES],
        ("mm-grounding-dino", torch.float32, DEVICE),
        *[pytest.param("sam3", *row, marks=needs_sam3) for row in PLACES],
    ],
    ids=_name,
)
def test_words(name, dtype, place, folders):
    expected = _detections(_finder(name, folders, dtype), THRESHOLDS[name], HOST)
    # Another one, which knows no phrase yet.
    finder = _finder(name, folders, dtype)
    placed(finder.embedder.engine)
    with copies():
        found = _detections(finder, THRESHOLDS[name], place)
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("name", "refine"),
    [
        ("grounding-dino", Refine.ON),
        ("clipseg", Refine.OFF),
        ("clipseg", Refine.ON),
        pytest.param("sam3", Refine.OFF, marks=needs_sam3),
        pytest.param("sam3", Refine.ON, marks=needs_sam3),
    ],
)
def test_masks_of_words(name, refine, folders):
    """The detector's own, those drawn anew, and those that SAM 2 draws from boxes and clicks."""
    finder, segmenter = _finder(name, folders), _segmenter("sam2")
    query = read_query(", ".join(PHRASES), "", THRESHOLDS[name], 1)
    family = family_named("sam3" if name == "sam3" else "sam2")

    def draw(image: Tensor) -> list[object]:
        found = segment_words(image, query, finder, family, lambda: segmenter, refine)
        assert len(found.segments)
        return _seen(list(found.segments))

    expected = draw(FRAME[None])
    placed(finder.embedder.engine)
    placed(segmenter.engine)
    with copies():
        found = draw(FRAME[None].to(DEVICE))
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


@pytest.mark.parametrize(("dtype", "place"), PLACES, ids=_name)
def test_edges_of_masks(dtype, place):
    def matted(place: torch.device) -> Tensor:
        edges = Matter(model).edges(12.0)
        return refine(MASK[None].to(place), Refinement(edge=Edge.MATTING), image.to(place), edges)

    model, image = VitMatte(small_vitmatte(), {}, dtype), FRAME[None]
    expected = matted(HOST)
    assert not torch.equal(expected[0], MASK)
    placed(model)
    with copies() as seen:
        found = matted(place).to(HOST)
    assert seen.events
    # On a device distances are worked out by PyTorch alone; they are the same.
    torch.testing.assert_close(found, expected, atol=0, rtol=0)
