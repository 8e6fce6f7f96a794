"""Phrases, what becomes of detections, and what the node says where nothing is found."""

from __future__ import annotations

import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from segment_anywhere.core.engines.base import Detections, Embedding, MaskDetail
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.engines.families import FAMILIES, family_named
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.phrases import read_query
from segment_anywhere.core.results.combine import remove_unwanted
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance
from segment_anywhere.core.results.select import best_per_label
from segment_anywhere.core.tasks.segmenter import EmbeddedFrame, Finder, Segmenter, WordEmbedder
from segment_anywhere.core.tasks.words import (
    Refine,
    draw_frame,
    draw_from_boxes,
    draw_own,
    is_redrawn,
    misses,
    segment_words,
)

from tests.support.engines import engine_of
from tests.support.word_models import MAKERS

SIZE = (40, 60)
PIXELS = torch.rand(*SIZE, 3, generator=torch.Generator().manual_seed(0))
FRAME = EmbeddedFrame(0, PIXELS, Embedding((), SIZE, "noise"))


def _mask(top: int, left: int, bottom: int, right: int) -> torch.Tensor:
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def _instance(mask: torch.Tensor, score: float = 0.9, label: str = "dog") -> Instance:
    return Instance(compact(mask), score, label, 0)


def _found(*boxes: tuple[float, ...], scores: tuple[float, ...] = (), best: float = 0.0):
    """Detections whose logits are their boxes, at half the image's size."""
    logits = torch.full((len(boxes), SIZE[0] // 2, SIZE[1] // 2), -5.0)
    for row, (x1, y1, x2, y2) in enumerate(boxes):
        logits[row, y1 // 2 : y2 // 2, x1 // 2 : x2 // 2] = 5.0
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Detections(torch.tensor(scores), corners, logits, max((*scores, best)))


def test_the_model_is_asked_for_unwanted_phrases_first():
    query = read_query("dog, cat", "tail", 0.4, 3)
    assert query.all_phrases == ("tail", "dog", "cat")


@pytest.mark.parametrize(
    ("prompt", "negative", "message"),
    [
        ("", "", "prompt: is empty. Name what to find"),
        (" , \n", "tail", "prompt: is empty"),
        ("dog, Cat", "cat", 'negative_prompt: "cat" is in prompt too'),
    ],
)
def test_prompts_that_are_refused(prompt, negative, message):
    with pytest.raises(InputError, match=message):
        read_query(prompt, negative, 0.4, 0)


def test_unwanted_pixels_go_and_so_does_what_loses_most_of_its_area():
    half = _instance(_mask(0, 0, 20, 20))
    most = _instance(_mask(0, 20, 20, 40), 0.8)
    whole = _instance(_mask(20, 0, 40, 60), 0.7)
    unwanted = [_instance(_mask(0, 10, 20, 31)), _instance(_mask(0, 30, 10, 33))]
    (first, second), gone = remove_unwanted([half, most, whole], unwanted)
    assert gone == [most]
    assert torch.equal(first.mask.pixels(), _mask(0, 0, 20, 10))
    assert (first.score, first.label) == (0.9, "dog")
    assert second is whole or torch.equal(second.mask.pixels(), whole.mask.pixels())
    assert torch.equal(half.mask.pixels(), _mask(0, 0, 20, 20)), "an input was written into"


def test_soft_edges_are_subtracted_by_degree():
    unwanted = [_instance(_mask(0, 0, 40, 20) // 5)]
    (kept,), _ = remove_unwanted([_instance(_mask(0, 0, 40, 60))], unwanted)
    assert kept.mask.pixels()[0, 0] == 255 - 51 and kept.mask.pixels()[0, 30] == 255


def test_the_best_of_each_phrase_come_first():
    scores = {"dog": (0.5, 0.9, 0.7), "cat": (0.8, 0.6)}
    every = [
        _instance(_mask(0, 0, 9, 9), score, label) for label in scores for score in scores[label]
    ]
    assert [each.score for each in best_per_label(every, 0)] == [0.9, 0.8, 0.7, 0.6, 0.5]
    limited = best_per_label(every, 1)
    assert [(each.label, each.score) for each in limited] == [("dog", 0.9), ("cat", 0.8)]


def test_instances_keep_phrase_score_and_frame():
    found = [
        _found((0, 0, 20, 20), (40, 20, 60, 40), scores=(0.9, 0.5)),
        _found((20, 0, 40, 20), scores=(0.7,)),
    ]
    query = read_query("dog, cat", "", 0.4, 0)
    objects = draw_frame(found, query, replace(FRAME, index=3), draw_own)
    assert [(each.label, each.frame) for each in objects.instances] == [
        ("dog", 3),
        ("cat", 3),
        ("dog", 3),
    ]
    assert [each.score for each in objects.instances] == pytest.approx([0.9, 0.7, 0.5])
    assert torch.equal(objects.instances[1].mask.pixels(), _mask(0, 20, 20, 40))
    assert objects.removed == [] and objects.counts == (2, 1)


def test_the_limit_counts_what_is_left_after_subtracting():
    boxes = ((0, 0, 20, 20), (20, 0, 40, 20), (40, 0, 60, 20))
    dogs = _found(*boxes, scores=(0.9, 0.8, 0.7))
    tail = _found(boxes[0], scores=(0.6,))
    objects = draw_frame([tail, dogs], read_query("dog", "tail", 0.4, 1), FRAME, draw_own)
    assert [each.score for each in objects.instances] == pytest.approx([0.8])
    assert [each.score for each in objects.removed] == pytest.approx([0.9])


def test_no_more_is_drawn_than_is_asked_for():
    dogs = _found((0, 0, 20, 20), (20, 0, 40, 20), scores=(0.9, 0.8))
    asked = []

    def draw(found, phrases, frame):
        found = list(found)
        asked.extend(len(each) for each in found)
        return draw_own(found, phrases, frame)

    draw_frame([_found(), dogs], read_query("dog", "tail", 0.4, 1), FRAME, draw)
    assert asked == [0, 1]


def test_an_empty_mask_is_no_instance():
    empty = replace(_found((0, 0, 20, 20), scores=(0.9,)), logits=torch.full((1, 20, 30), -1.0))
    objects = draw_frame([empty], read_query("dog", "", 0.4, 0), FRAME, draw_own)
    assert objects.instances == [] and objects.counts == (0,)
    assert misses([objects], read_query("dog", "", 0.4, 0)) == [
        '"dog" is there with 0.90, but its mask is empty'
    ]


def test_all_boxes_of_a_frame_go_to_the_engine_at_once():
    segmenter = Segmenter(engine_of("sam2"))
    frame = EmbeddedFrame(2, PIXELS, segmenter.embed(PIXELS))
    dogs = replace(_found((0, 0, 20, 20), (30, 10, 50, 30), scores=(0.9, 0.8)), logits=None)
    cats = replace(_found((0, 0, 20, 20), scores=(0.7,)), logits=None)
    drawn = draw_from_boxes(segmenter, [dogs, cats], ("dog", "cat"), frame)
    assert (segmenter.counters.encodes, segmenter.counters.decodes) == (1, 1)
    labels = [[(each.label, each.frame) for each in one] for one in drawn]
    assert labels == [[("dog", 2), ("dog", 2)], [("cat", 2)]]
    scores = [each.score for one in drawn for each in one]
    assert scores == pytest.approx([0.9, 0.8, 0.7]), "the words' scores count"
    assert torch.equal(drawn[0][0].mask.pixels(), drawn[1][0].mask.pixels())


def test_a_heat_map_prompts_with_its_highest_place():
    pixels = torch.zeros(*SIZE, 3)
    pixels[10:30, 20:40] = torch.tensor([0.9, 0.1, 0.1])
    segmenter = Segmenter(GrabCutEngine())
    frame = EmbeddedFrame(0, pixels, segmenter.embed(pixels))
    found = _found((18, 8, 42, 32), scores=(0.9,))
    found.logits[0, 10, 15] = 9.0
    ((instance,),) = draw_from_boxes(segmenter, [found], ("square",), frame)
    truth = _mask(10, 20, 30, 40)
    mask = instance.mask.pixels()
    both, either = torch.minimum(mask, truth), torch.maximum(mask, truth)
    assert both.sum() / either.sum() > 0.9


def test_the_masks_of_all_frames_are_gone_before_they_are_drawn_anew(tmp_path):
    MAKERS["clipseg"](tmp_path / "clipseg")
    detector = load_detector(tmp_path / "clipseg", torch.float32)
    seen: list[weakref.ref] = []

    def detect(*asked):
        for found in type(detector).detect(detector, *asked):
            seen.append(weakref.ref(found.logits))
            yield found

    def load_segmenter():
        assert len(seen) == 3 and not any(each() is not None for each in seen)
        return Segmenter(engine_of("sam2"))

    detector.detect = detect
    found = segment_words(
        torch.rand(3, *SIZE, 3, generator=torch.Generator().manual_seed(0)),
        read_query("dog", "", 0.01, 0),
        Finder(WordEmbedder(detector), detector),
        family_named("sam2"),
        load_segmenter,
        Refine.ON,
    )
    assert set(found.segments.frames.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize(
    ("detail", "refine", "redrawn"),
    [
        *((MaskDetail.NONE, refine, True) for refine in Refine),
        (MaskDetail.ROUGH, Refine.ON, True),
        (MaskDetail.ROUGH, Refine.OFF, False),
        (MaskDetail.EXACT, Refine.ON, True),
        (MaskDetail.EXACT, Refine.OFF, False),
        (MaskDetail.EXACT, Refine.AUTO, False),
    ],
)
def test_who_draws(detail, refine, redrawn, family):
    assert is_redrawn(SimpleNamespace(mask_detail=detail), family, refine) is redrawn


@pytest.mark.parametrize(("name", "redrawn"), [("grabcut", False), ("sam2", True)])
def test_a_heat_map_is_left_to_grabcut_as_it_is(name, redrawn):
    detector = SimpleNamespace(mask_detail=MaskDetail.ROUGH)
    assert is_redrawn(detector, family_named(name), Refine.AUTO) is redrawn


def test_a_miss_names_threshold_and_best_score():
    query = read_query("dog, cat, cow", "tail", 0.4, 0)
    cat = _found((0, 0, 20, 20), scores=(0.8,))
    frames = [
        draw_frame(found, query, replace(FRAME, index=index), draw_own)
        for index, found in enumerate(
            [
                [_found(), _found(best=0.2), cat, _found(best=0.399)],
                [_found(), _found(best=0.31), _found(best=0.1), _found(best=0.0)],
            ]
        )
    ]
    assert misses(frames, query) == [
        'nothing >= 0.40 for "dog"; best 0.31',
        'nothing >= 0.40 for "cow"; best 0.39',
    ]


class _Recording:
    """A segmenter that notes what it is asked, and finds nothing."""

    def __init__(self):
        self.prompts = []

    def segment(self, frame, prompts, choice=None, index=0):
        self.prompts += prompts
        return []

    def find(self, embedding, prompts, choice, index=0, size=None):
        self.prompts += prompts
        return [[] for _ in prompts]


@pytest.mark.parametrize(("place", "click"), [((10, 15), (31, 21)), ((0, 0), (1, 1))])
def test_the_click_lies_in_the_middle_of_the_highest_place(place, click):
    """Of a heat map of 30x20 for an image of 60x40."""
    found = _found((0, 0, 40, 32), scores=(0.9,))
    found.logits[0][place] = 9.0
    segmenter = _Recording()
    draw_from_boxes(segmenter, [found], ("square",), FRAME)
    (prompt,) = segmenter.prompts
    assert [(point.x, point.y, point.positive) for point in prompt.points] == [(*click, True)]
    assert (prompt.box.x1, prompt.box.y1, prompt.box.x2, prompt.box.y2) == (0, 0, 40, 32)
