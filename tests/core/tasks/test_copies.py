"""What goes between the host and a GPU for each thing that is asked: copies, bytes and waits.

Bytes are those of small models and of an image of 72x96.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
import torch
import transformers
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.engines.lineage.prompted import PromptedEngine
from segment_anywhere.core.engines.sam3.tokens import load_tokenizer
from segment_anywhere.core.engines.sam3.words import ConceptDetector
from segment_anywhere.core.prompts.inputs import PromptInputs, read_sockets
from segment_anywhere.core.prompts.phrases import TextQuery
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.tasks.everything import GridSettings, segment_everything
from segment_anywhere.core.tasks.live_preview import Previewer
from segment_anywhere.core.tasks.segmenter import (
    Finder,
    MaskChoice,
    Resident,
    Segmenter,
    WordEmbedder,
)
from segment_anywhere.core.tasks.words import Draw, draw_frame, draw_own, draw_refined
from segment_anywhere.core.tensors import rgb_frames
from torch import Tensor

from tests.support.live_bytes import LiveBytes
from tests.support.needs import needs_sam3
from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference
from tests.support.pretended import Pretended, copies, placed
from tests.support.traffic import Counts, Traffic
from tests.support.word_models import MAKERS

SIZE = (72, 96)
FRAME = torch.rand(*SIZE, 3, generator=torch.Generator().manual_seed(0))
IMAGE_ON_DEVICE = Pretended(FRAME[None])
CLICK = ObjectPrompt("click", (Point(20, 30),))
MASK_ON_DEVICE = ObjectPrompt("mask", mask=Pretended(torch.ones(SIZE)))
BOXES = [ObjectPrompt("box", box=Box(x, x / 2, x + 30, x / 2 + 30)) for x in range(64)]
# 64 clicks in two decoder runs, of whose masks EdgeTAM's all pass.
GRID = GridSettings(8, score_threshold=1e-9, stability_threshold=1e-9)
# As on most GPUs.
DTYPE = torch.bfloat16


def _encode_another(segmenter: Segmenter) -> None:
    """After which a model's constants are on the device."""
    segmenter.embed(1 - FRAME)


def _encode(segmenter: Segmenter) -> None:
    segmenter.embed(FRAME)


def _click(segmenter: Segmenter) -> None:
    segmenter.segment(FRAME, [CLICK])


def _click_there(segmenter: Segmenter) -> None:
    """In an image that is on the device."""
    for _, frame in rgb_frames(IMAGE_ON_DEVICE):
        segmenter.segment(frame, [CLICK])


def _mask_there(segmenter: Segmenter) -> None:
    segmenter.segment(FRAME, [MASK_ON_DEVICE])


def _boxes(segmenter: Segmenter) -> None:
    assert len(segmenter.segment(FRAME, BOXES)) == len(BOXES)


def _everything(segmenter: Segmenter) -> None:
    segment_everything(segmenter, FRAME, GRID)


def _dog(finder: Finder) -> None:
    finder.find(FRAME, ["dog"], 0.0)


def _circle(finder: Finder) -> None:
    finder.find(FRAME, ["red circle"], 0.0)


def _both(finder: Finder) -> None:
    finder.find(FRAME, ["dog", "red circle"], 0.0)


def _draw(finder: Finder) -> None:
    """The masks of a phrase's 16 best objects."""
    ((frame, (found,)),) = finder.find_all([(0, FRAME)], ["dog"], 0.0)
    draw_own([found.first(16)], ["dog"], frame)


def _draw_anew(finder: Finder) -> None:
    ((frame, (found,)),) = finder.find_all([(0, FRAME)], ["dog"], 0.0)
    draw_refined(finder.detector, [found.first(16)], ["dog"], frame)


# A model, what it has done before, and what is then asked. The most that may be copied for that to
# the device, in times and bytes, and to the host, and how often the host may wait: these numbers
# may only fall.
PROMPTS = [
    ("sam", _encode_another, _encode, Counts(1, 147456, 1, 16384, 1)),
    ("sam_hq", _encode_another, _encode, Counts(1, 147456, 2, 49152, 1)),
    ("sam2", _encode_another, _encode, Counts(1, 82944, 3, 65536, 1)),
    pytest.param("sam3", _encode_another, _encode, Counts(1, 82944, 4, 55296, 1), marks=needs_sam3),
    ("sam", _encode, _click, Counts(3, 16396, 3, 908, 0)),
    ("sam_hq", _encode, _click, Counts(5, 49188, 3, 900, 0)),
    ("sam2", _encode, _click, Counts(5, 65548, 3, 908, 0)),
    pytest.param("sam3", _encode, _click, Counts(5, 36876, 3, 908, 0), marks=needs_sam3),
    ("sam2", _encode, _click_there, Counts(5, 65548, 5, 83860, 0)),
    ("sam2", _encode, _mask_there, Counts(5, 65560, 4, 932, 0)),
    ("sam", _encode, _boxes, Counts(9, 17920, 3, 57600, 0)),
    ("sam2", _encode, _boxes, Counts(11, 67072, 3, 57600, 0)),
    ("edgetam", _encode, _everything, Counts(18, 82784, 8, 3150464, 4)),
]
WORDS = [
    ("sam3", _dog, _circle, Counts(5, 19688, 2, 1232, 2)),
    ("sam3", _dog, _dog, Counts(4, 18848, 1, 80, 0)),
    ("sam3", _dog, _draw, Counts(4, 18848, 3, 14416, 0)),
    ("sam3", _dog, _draw_anew, Counts(9, 55728, 3, 14416, 0)),
    ("grounding-dino", _both, _both, Counts(7, 21664, 2, 960, 4)),
    ("owlv2", _dog, _circle, Counts(4, 4288, 3, 1408, 1)),
    ("owlv2", _dog, _dog, Counts(2, 4224, 2, 1280, 0)),
    ("clipseg", _dog, _circle, Counts(6, 7296, 2, 36992, 1)),
    ("clipseg", _dog, _dog, Counts(4, 7232, 1, 36864, 0)),
]


def _traffic(
    subject: Segmenter | Finder, before: Callable[..., None], work: Callable[..., None]
) -> Traffic:
    with copies():
        before(subject)
    with copies() as seen:
        work(subject)
    return seen


@cache
def _engine(family: str) -> PromptedEngine:
    return placed(Reference(FIXTURES / f"{family}_parity").engine(DTYPE))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("detectors")
    for name in ("grounding-dino", "owlv2", "clipseg"):
        MAKERS[name](root / name)
    return root


def _finder(name: str, folders: Path) -> Finder:
    """A detector that knows no phrase yet."""
    if name == "sam3":
        tokenizer = load_tokenizer([FIXTURES / "sam3_parity"])
        return Finder(Segmenter(_engine(name)), ConceptDetector(_engine(name), tokenizer))
    detector = placed(load_detector(folders / name, DTYPE))
    return Finder(WordEmbedder(detector), detector)


@pytest.mark.parametrize(
    ("family", "most"),
    [
        ("sam", Counts(4, 4 * 147456, 4, 4 * 16384, 1)),
        ("sam2", Counts(4, 4 * 82944, 12, 4 * 65536, 1)),
    ],
)
def test_four_frames_together_cost_four_times_one_and_wait_once(family, most):
    segmenter = Segmenter(_engine(family))
    segmenter.need = Resident(4)
    frames = [(index, FRAME * (index + 1) / 4) for index in range(4)]
    seen = _traffic(segmenter, _encode_another, lambda own: list(own.embed_all(frames)))
    assert segmenter.counters.encodes == 5
    assert seen.counts <= most, f"{seen.counts}\n{seen}"


@pytest.mark.parametrize(("family", "before", "work", "most"), PROMPTS)
def test_prompts(family, before, work, most):
    seen = _traffic(Segmenter(_engine(family)), before, work)
    assert seen.counts <= most, f"{seen.counts}\n{seen}"


@pytest.mark.skipif(
    not hasattr(transformers, "Sam3Model"), reason="transformers 4 copies and waits more by itself"
)
@pytest.mark.parametrize(("name", "before", "work", "most"), WORDS)
def test_words(name, before, work, most, folders):
    seen = _traffic(_finder(name, folders), before, work)
    assert seen.counts <= most, f"{seen.counts}\n{seen}"


def _drawn_peak(finder: Finder, phrases: list[str], draw: Draw, hold: Callable = iter) -> int:
    """The most that tensors take at a time while phrases are found and drawn in a known image.

    hold: what becomes of the detections on their way.
    """
    query = TextQuery(tuple(phrases), (), 0.0, 0)
    with LiveBytes() as counted, copies():
        ((frame, found),) = finder.find_all([(0, FRAME)], phrases, query.threshold)
        draw_frame(hold(found), query, frame, draw)
    return counted.peak


@pytest.mark.parametrize(
    ("name", "is_redrawn"),
    [
        pytest.param("sam3", False, marks=needs_sam3),
        pytest.param("sam3", True, marks=needs_sam3),
        ("clipseg", False),
    ],
)
def test_the_masks_of_a_phrase_are_gone_before_the_next(name, is_redrawn, folders):
    finder = _finder(name, folders)
    draw = partial(draw_refined, finder.detector) if is_redrawn else draw_own
    with copies():
        _dog(finder)
    one, many = (_drawn_peak(finder, ["dog"] * count, draw) for count in (1, 6))
    assert many == one
    assert _drawn_peak(finder, ["dog"] * 6, draw, hold=list) > 1.2 * one


def test_a_preview_asks_nothing_of_the_device():
    segmenter = Segmenter(_engine("sam2"))
    (sockets,) = read_sockets(PromptInputs(), 1, SIZE)
    with copies():
        previewer = Previewer(segmenter)
        key = previewer.remember(segmenter.embed(FRAME).key, sockets)
    with copies() as seen:
        previewer.preview(key, "[[20, 30]]", MaskChoice.BEST, SIZE[1])
    assert not seen.events, str(seen)


def test_a_question_about_every_mask_is_noticed(monkeypatch):
    """A `bool()` in a loop, planted where masks are made."""
    engine = _engine("sam2")
    to_logits = engine.to_logits

    def ask(logits: Tensor, size: tuple[int, int]) -> Tensor:
        large = to_logits(logits, size)
        assert [each for each in large if bool(each.any())]
        return large

    usual = _traffic(Segmenter(engine), _encode, _boxes).counts
    monkeypatch.setattr(engine, "to_logits", ask)
    asking = _traffic(Segmenter(engine), _encode, _boxes).counts
    assert asking.syncs == usual.syncs + len(BOXES)
    assert not asking <= usual
