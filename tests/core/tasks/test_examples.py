"""Example boxes at work, with a SAM 3 that was trained on scenes of other seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from segment_anywhere.core.engines.base import Detections
from segment_anywhere.core.engines.families import family_named
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.engines.sam3.exemplars import pool_boxes
from segment_anywhere.core.engines.sam3.tokens import load_tokenizer
from segment_anywhere.core.engines.sam3.words import ConceptDetector
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.examples import VISUAL
from segment_anywhere.core.prompts.phrases import read_query
from segment_anywhere.core.prompts.prompts import Box
from segment_anywhere.core.results.boxes import box_iou
from segment_anywhere.core.results.segments import union_masks
from segment_anywhere.core.tasks.across import read_reference, segment_across
from segment_anywhere.core.tasks.examples import detect
from segment_anywhere.core.tasks.segmenter import Finder, Segmenter
from segment_anywhere.core.tasks.shown import drawing
from segment_anywhere.core.tasks.tiling import box_around, crop_around
from segment_anywhere.core.tasks.words import segment_words

from tests.support.grids import SHOWN, Grid, draw_grid, half
from tests.support.needs import needs_sam3
from tests.support.overlap import iou
from tests.support.paths import FIXTURES
from tests.support.scenes import as_image

FOLDER = FIXTURES / "sam3_tiny"
SAM3 = family_named("sam3")
SIZE = 160
SEEDS = range(8)


@pytest.fixture(scope="module")
def finder() -> Finder:
    engine = load_engine(FOLDER, torch.float32)
    return Finder(Segmenter(engine), ConceptDetector(engine, load_tokenizer([FOLDER])))


def _no_segmenter() -> Segmenter:
    raise AssertionError("SAM 3 draws for itself")


def _score(found: Detections, box: tuple[int, ...]) -> float:
    """The best of what was found at a place."""
    is_there = box_iou(torch.tensor(box, dtype=torch.float32), found.boxes) > 0.5
    return float(found.scores[is_there].max()) if is_there.any() else 0.0


@needs_sam3
def test_whatever_looks_like_a_box_is_found(finder):
    """As well as by the word, in scenes that no training has seen, the example included."""
    like, named, counts = [], [], []
    for seed in SEEDS:
        scene = draw_grid(seed, SIZE)
        image = torch.from_numpy(scene.image)[None]
        color, box = scene.colors[0], Box(*scene.boxes()[0])
        for prompt, examples, overlaps in (("", [(box,)], like), (color, [], named)):
            query = read_query(prompt, "", 0.5, 0, examples)
            found = segment_words(image, query, finder, SAM3, _no_segmenter)
            overlaps.append(iou(union_masks(found.segments)[0], scene.union(color)))
            assert set(found.segments.labels) <= {prompt or VISUAL}
            counts.append(len(found.segments) == scene.colors.count(color))
    assert np.mean(like) > 0.75 and np.mean(named) > 0.75
    assert np.mean(counts) > 0.9


@needs_sam3
def test_a_negative_box_lowers_the_score_of_its_object_and_of_no_other(finder):
    for seed in SEEDS:
        scene = draw_grid(seed, SIZE)
        embedding = finder.embedder.embed(torch.from_numpy(scene.image))
        box = Box(*scene.boxes()[0], positive=False)
        before, after = finder.detector.detect_like(
            embedding, ["shape", "shape"], [(), (box,)], threshold=0.0
        )
        for place, color in zip(scene.boxes(), scene.colors, strict=True):
            assert _score(before, place) > 0.7
            if color == scene.colors[0]:
                assert _score(after, place) < 0.3
            else:
                assert _score(after, place) > 0.7


@needs_sam3
def test_a_frame_without_a_box_asks_for_nothing(finder):
    scene = draw_grid(1, SIZE)
    image = torch.from_numpy(scene.image)[None].expand(2, -1, -1, -1)
    query = read_query("", "", 0.5, 0, [(), (Box(*scene.boxes()[0]),)])
    found = segment_words(image, query, finder, SAM3, _no_segmenter)
    assert set(found.segments.frames.tolist()) == {1} and found.segments.batch == 2


def _turned(scene: Grid) -> Grid:
    """Rows for columns."""
    return Grid(scene.image.transpose(1, 0, 2), scene.masks.transpose(0, 2, 1), scene.colors)


@needs_sam3
@pytest.mark.parametrize("is_turned", [False, True])
def test_what_is_marked_on_a_reference_is_found_in_another_image(finder, is_turned):
    """Beside each other and one above the other, and nothing where there is nothing."""
    overlaps = []
    for seed in SEEDS:
        scenes = half(draw_grid(seed, SIZE), False), half(draw_grid(100 + seed, SIZE), True)
        marked, searched = map(_turned, scenes) if is_turned else scenes
        image = torch.from_numpy(searched.image.copy())[None]
        for color in SHOWN:
            boxes = marked.boxes(color)[:1]
            if not boxes:
                continue
            reference = read_reference(
                torch.from_numpy(marked.image.copy())[None], boxes, searched.image.shape[:2]
            )
            assert reference is not None and reference.is_beside is not is_turned
            query = read_query("", "", 0.5, 0, [reference.examples(())])
            found = segment_across(reference, image, query, finder, SAM3, _no_segmenter)
            assert found.segments.size == searched.image.shape[:2]
            truth = searched.union(color)
            if truth.any():
                overlaps.append(iou(union_masks(found.segments)[0], truth))
            else:
                assert len(found.segments) == 0
                assert found.missed == ['nothing >= 0.50 for "visual" outside of the reference']
    assert len(overlaps) > 7 and np.mean(overlaps) > 0.75


@needs_sam3
def test_of_the_best_so_many_none_is_the_references(finder):
    marked, searched = half(draw_grid(3, SIZE), False), half(draw_grid(4, SIZE), True)
    reference = read_reference(
        torch.from_numpy(marked.image.copy())[None], marked.boxes()[:1], searched.image.shape[:2]
    )
    assert reference is not None
    image = torch.from_numpy(searched.image.copy())[None].expand(2, -1, -1, -1)
    query = read_query("shape", "", 0.3, 1, [reference.examples(())] * 2)
    found = segment_across(reference, image, query, finder, SAM3, _no_segmenter)
    assert found.segments.frames.tolist() == [0, 1]


@needs_sam3
def test_what_the_reference_alone_holds_is_not_removed_from_the_image(finder):
    """Of the shapes in both, those on the reference are nobody's."""
    marked, searched = half(draw_grid(3, SIZE), False), half(draw_grid(4, SIZE), True)
    reference = read_reference(
        as_image(marked.image.copy()), marked.boxes()[:1], searched.image.shape[:2]
    )
    assert reference is not None
    image = as_image(searched.image.copy())
    query = read_query("shape", "", 0.3, 0, [reference.examples(())])
    before, after = (
        segment_across(
            reference, image, replace(query, unwanted=unwanted), finder, SAM3, _no_segmenter
        )
        for unwanted in ((), ("shape",))
    )
    assert before.removed == [] and len(after.removed) > 0
    assert len(after.removed) + len(after.segments) == len(before.segments)
    assert after.missed == []
    assert {each.mask.size for each in after.removed} == {before.segments.size}


@needs_sam3
def test_what_is_found_across_images_may_be_drawn_on_crops():
    engine = load_engine(FOLDER, torch.float32)
    segmenter = Segmenter(engine)
    finder = Finder(segmenter, ConceptDetector(engine, load_tokenizer([FOLDER])))
    marked, searched = half(draw_grid(3, SIZE), False), half(draw_grid(103, SIZE), True)
    color = next(color for color in marked.colors if color in searched.colors)
    reference = read_reference(
        as_image(marked.image.copy()), marked.boxes(color)[:1], searched.image.shape[:2]
    )
    assert reference is not None
    # The same scene once more, upside down, so that its objects lie elsewhere.
    image = as_image(searched.image.copy(), searched.image[::-1].copy())
    query = read_query("", "", 0.5, 0, [reference.examples(())] * 2)
    asked = (reference, image, query, finder, SAM3, lambda: segmenter)
    plain = segment_across(*asked)
    assert segmenter.counters.encodes == 2 and set(plain.segments.frames.tolist()) == {0, 1}
    told: list[str] = []
    steps: list[tuple[int, int]] = []

    def counted(items, total, step=0, steps_in_all=1):
        for item in items:
            steps.append((step, total))
            yield item

    embedded = []
    embed = segmenter.embed

    def note(pixels, *key):
        # What is searched has a key; a crop has none.
        embedded.extend([] if key else [pixels])
        return embed(pixels, *key)

    segmenter.embed = note
    closer = segment_across(*asked, counted=counted, zoom=True, tell=told.append)
    count = len(closer.segments)
    assert count == len(plain.segments) > 0
    assert segmenter.counters.encodes == 2 + count
    assert told == [drawing(count, count)]
    assert steps == [(0, 2)] * 2 + [(1, count)] * count
    assert torch.equal(closer.segments.frames, plain.segments.frames)
    for pixels, mask, frame in zip(
        embedded, plain.segments.masks, plain.segments.frames.tolist(), strict=True
    ):
        crop = crop_around(box_around(mask), mask.size)
        assert torch.equal(pixels, image[frame, crop.rows, crop.columns])
    assert torch.equal(closer.segments.scores, plain.segments.scores)
    assert closer.segments.labels == plain.segments.labels
    # The small model's head for clicks is not trained: where the masks lie is all there is to say.
    assert not torch.equal(closer.segments.mask(0), plain.segments.mask(0))
    for anew, mask in zip(closer.segments.masks, plain.segments.masks, strict=True):
        crop = crop_around(box_around(mask), mask.size)
        x1, y1, x2, y2 = anew.box()
        assert crop.left <= x1 <= x2 <= crop.right and crop.top <= y1 <= y2 <= crop.bottom


def test_words_alone_take_no_boxes():
    class Words:
        def detect(self, embedding, phrases, threshold):
            raise AssertionError("asked for all the same")

    embedding = GrabCutEngine().encode(torch.rand(8, 8, 3))
    with pytest.raises(InputError, match="bboxes: this detector finds by words alone"):
        detect(Words(), embedding, ["dog"], 0.5, [(Box(1, 1, 5, 5),)])


@pytest.mark.parametrize("box", [(0.0, 0.0, 1.0, 1.0), (0.2, 0.5, 0.5, 0.7), (0.5, 0.5, 0.51, 0.6)])
def test_the_mean_of_a_slope_is_its_value_in_the_middle(box):
    """Where a box is smaller than a feature, it is taken as one wide."""
    slope = torch.arange(16.0)[None, :, None].expand(12, -1, 1)
    pooled = pool_boxes(slope, torch.tensor([box]), 2)[0, 0, :, 0]
    start, width = 16 * box[0], max(16 * (box[2] - box[0]), 1.0)
    expected = [min(start + width * share, 15.0) for share in (0.25, 0.75)]
    # The last half feature of the image is level.
    torch.testing.assert_close(pooled, torch.tensor(expected), atol=0.1, rtol=0)
