"""Encoding once, decoding often, and choosing among candidates."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from segment_anywhere.core.engines.base import Candidates
from segment_anywhere.core.errors import EngineError
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance
from segment_anywhere.core.tasks.segmenter import MaskChoice, Segmenter, _choose

from tests.support.engines import engine_of
from tests.support.needs import needs_timm

CLICK = ObjectPrompt("click", (Point(20, 30),))
PAIR = ObjectPrompt("pair", (Point(20, 30), Point(50, 10, positive=False)))
BOX = ObjectPrompt("box", box=Box(10, 5, 60, 40))
MASK = ObjectPrompt("mask", mask=torch.ones(48, 64))


@pytest.fixture(scope="module")
def engine():
    return engine_of("sam2")


@pytest.fixture
def segmenter(engine):
    return Segmenter(engine)


def _frame(seed: int = 0) -> torch.Tensor:
    return torch.rand(48, 64, 3, generator=torch.Generator().manual_seed(seed))


def test_further_prompts_encode_nothing(segmenter):
    for prompts in ([CLICK], [PAIR], [BOX], [CLICK, BOX]):
        segmenter.segment(_frame(), prompts, MaskChoice.BEST)
    assert segmenter.counters.encodes == 1
    segmenter.segment(_frame(1), [CLICK], MaskChoice.BEST)
    assert segmenter.counters.encodes == 2
    segmenter.segment(_frame(), [CLICK], MaskChoice.BEST)
    assert segmenter.counters.encodes == 2


def test_no_prompt_encodes_for_the_first_click(segmenter):
    assert segmenter.segment(_frame(), [], MaskChoice.BEST) == []
    assert (segmenter.counters.encodes, segmenter.counters.decodes) == (1, 0)
    segmenter.segment(_frame(), [CLICK], MaskChoice.BEST)
    assert (segmenter.counters.encodes, segmenter.counters.decodes) == (1, 1)


def test_a_mask_from_the_cache_equals_a_fresh_one(engine, segmenter):
    first = segmenter.segment(_frame(), [CLICK], MaskChoice.BEST)[0]
    again = segmenter.segment(_frame(), [CLICK], MaskChoice.BEST)[0]
    fresh = Segmenter(engine).segment(_frame(), [CLICK], MaskChoice.BEST)[0]
    assert torch.equal(first.mask.pixels(), again.mask.pixels())
    assert torch.equal(first.mask.pixels(), fresh.mask.pixels())
    assert first.score == again.score == fresh.score


def test_objects_decoded_together_equal_objects_decoded_alone(segmenter):
    prompts = [PAIR, CLICK, BOX, MASK, CLICK]
    together = segmenter.segment(_frame(), prompts, MaskChoice.BEST, index=3)
    assert [one.label for one in together] == ["pair", "click", "box", "mask", "click"]
    assert {one.frame for one in together} == {3}
    for prompt, one in zip(prompts, together, strict=True):
        (alone,) = segmenter.segment(_frame(), [prompt], MaskChoice.BEST)
        assert one.score == pytest.approx(alone.score, abs=1e-5)
        assert (one.mask.pixels() != alone.mask.pixels()).float().mean() < 0.001


def test_masks_are_whole_and_of_the_images_size(segmenter):
    (instance,) = segmenter.segment(_frame(), [CLICK], MaskChoice.BEST)
    assert instance.mask.pixels().shape == (48, 64)
    assert instance.mask.pixels().dtype == torch.uint8
    assert set(instance.mask.pixels().unique().tolist()) <= {0, 255}
    assert 0 <= instance.score <= 1


@pytest.mark.parametrize("prompt", [CLICK, PAIR, BOX])
def test_all_gives_the_three_candidates_best_first(prompt, segmenter):
    instances = segmenter.segment(_frame(), [prompt], MaskChoice.ALL)
    scores = [one.score for one in instances]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def test_largest_and_smallest_are_among_the_candidates(segmenter):
    found = segmenter.segment(_frame(), [CLICK], MaskChoice.ALL)
    areas = [one.mask.pixel_count() for one in found]
    (largest,) = segmenter.segment(_frame(), [CLICK], MaskChoice.LARGEST)
    (smallest,) = segmenter.segment(_frame(), [CLICK], MaskChoice.SMALLEST)
    assert int((largest.mask.pixels() > 0).sum()) == max(areas)
    assert int((smallest.mask.pixels() > 0).sum()) == min(area for area in areas if area)


def test_a_single_click_takes_the_best_of_three(segmenter):
    best = segmenter.segment(_frame(), [CLICK], MaskChoice.ALL)[0]
    (chosen,) = segmenter.segment(_frame(), [CLICK], MaskChoice.BEST)
    assert chosen.score == best.score
    assert torch.equal(chosen.mask.pixels(), best.mask.pixels())


@pytest.mark.parametrize(
    ("choice", "areas", "expected"),
    [
        (MaskChoice.BEST, [2], [0]),
        (MaskChoice.ALL, [1, 2, 3], [0, 1, 2]),
        (MaskChoice.LARGEST, [1, 5, 3], [1]),
        (MaskChoice.LARGEST, [3, 3, 1], [0]),
        (MaskChoice.SMALLEST, [4, 5, 3], [2]),
        (MaskChoice.SMALLEST, [4, 0, 5], [0]),
        (MaskChoice.SMALLEST, [0, 0, 0], [0]),
    ],
)
def test_choosing(choice, areas, expected):
    masks = torch.arange(10).expand(len(areas), 1, 10) < torch.tensor(areas)[:, None, None]
    found = [Instance(compact(mask), 0.5, "object", 0) for mask in masks]
    assert _choose(found, choice) == [found[place] for place in expected]


def test_an_overflow_is_an_error_and_not_kept(segmenter, monkeypatch):
    encode = segmenter.engine.encode_batch

    def overflow(frames):
        (embedding,) = encode(frames)
        return [replace(embedding, features=tuple(x.half() * 1e9 for x in embedding.features))]

    monkeypatch.setattr(segmenter.engine, "encode_batch", overflow)
    with pytest.raises(EngineError, match="overflowed in float16. Choose bf16 or fp32"):
        segmenter.segment(_frame(), [CLICK], MaskChoice.BEST)
    assert len(segmenter.cache) == 0


@pytest.mark.parametrize("choice", list(MaskChoice))
def test_an_empty_mask_is_no_object(choice, segmenter, monkeypatch):
    empty = Candidates(torch.full((1, 8, 8), -1.0), torch.tensor([0.5]))
    monkeypatch.setattr(segmenter.engine, "decode", lambda *_: [empty])
    assert segmenter.segment(_frame(), [CLICK], choice) == []


def test_many_objects_are_decoded_in_small_groups(segmenter):
    """The answer is the one each object gets alone."""
    prompts = [ObjectPrompt(str(x), (Point(x, 20),)) for x in range(0, 60, 5)]
    together = segmenter.segment(_frame(), prompts, MaskChoice.BEST)
    alone = [segmenter.segment(_frame(), [one], MaskChoice.BEST)[0] for one in prompts]
    for one, other in zip(together, alone, strict=True):
        assert one.label == other.label
        assert one.score == pytest.approx(other.score, abs=1e-5)


@pytest.mark.parametrize(
    "name", ["sam", "sam_hq", pytest.param("mobile_sam", marks=needs_timm), "edgetam", "sam2"]
)
def test_a_known_image_needs_no_encoder(name):
    """Its weights may be anywhere, here where they have no numbers."""
    segmenter = Segmenter(engine_of(name))
    frame = _frame()
    prompts = [CLICK, PAIR, BOX, MASK]
    wanted = segmenter.segment(frame, prompts)
    gone = Segmenter(copy.copy(segmenter.engine))
    gone.cache = segmenter.cache
    gone.engine.module = copy.deepcopy(segmenter.engine.module)
    for encoder in gone.engine.encoders:
        getattr(gone.engine.module, encoder).to("meta")
    for found, known in zip(gone.segment(frame, prompts), wanted, strict=True):
        assert found.score == known.score
        assert torch.equal(found.mask.pixels(), known.mask.pixels())
