"""Words in large images: small shapes that the whole image hides are found in tiles, and drawn
exactly on crops; and what that encodes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.engines.families import family_named
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.engines.sam3.tokens import load_tokenizer
from segment_anywhere.core.engines.sam3.words import ConceptDetector
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.phrases import read_query
from segment_anywhere.core.prompts.prompts import Box
from segment_anywhere.core.tasks.closely import (
    Closeness,
    check_wholly_seen,
    segment_closely,
    untold,
)
from segment_anywhere.core.tasks.segmenter import Finder, Segmenter, WordEmbedder
from segment_anywhere.core.tasks.shown import uncounted
from segment_anywhere.core.tasks.words import FoundWords, Refine, segment_words

from tests.support.engines import engine_of
from tests.support.large_scenes import draw_large_scene
from tests.support.needs import needs_sam3
from tests.support.paths import FIXTURES
from tests.support.scenes import Scene, as_image
from tests.support.word_models import make_owlv2

SAM2, GRABCUT = family_named("sam2"), family_named("grabcut")
COLORS = "red, blue, yellow"
# Of the small CLIPSeg: at this size it sees shapes of 24 pixels in a tile of 774, as the real one
# does at 352, and not in an image of 2048.
SIDE = 320
SEEDS = (5, 6)


@pytest.fixture(scope="module")
def finder(tmp_path_factory) -> Finder:
    folder = tmp_path_factory.mktemp("models") / "clipseg"
    shutil.copytree(FIXTURES / "clipseg_tiny", folder)
    path = folder / "preprocessor_config.json"
    settings = json.loads(path.read_text()) | {"size": {"height": SIDE, "width": SIDE}}
    path.write_text(json.dumps(settings))
    detector = load_detector(folder, torch.float32)
    return Finder(WordEmbedder(detector), detector)


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(load_engine(FIXTURES / "sam2_tiny", torch.float32))


def _overlaps(found: FoundWords, scene: Scene) -> list[float]:
    """The best IoU of each shape with what has its colour's name."""
    overlaps = []
    for truth, color in zip(scene.masks, scene.colors, strict=True):
        masks = [each.mask.pixels().numpy() > 0 for each in found.segments if each.label == color]
        overlaps.append(max(((m & truth).sum() / (m | truth).sum() for m in masks), default=0.0))
    return overlaps


def _times_found(found: FoundWords, scene: Scene, row: int) -> int:
    """How many objects with a shape's colour as label lie on it."""
    own = [
        each.mask.pixels().numpy() > 0 for each in found.segments if each.label == scene.colors[row]
    ]
    return sum(bool((mask & scene.masks[row]).any()) for mask in own)


def _recall(overlaps: list[float]) -> float:
    return float(np.mean(np.array(overlaps) > 0.3))


@torch.inference_mode()
def test_small_shapes_are_found_in_tiles_and_drawn_exactly_on_crops(finder, segmenter):
    plain, tiled, zoomed = [], [], []
    for seed in SEEDS:
        scene, told = draw_large_scene(seed, 2048, 24, 12), []
        query, before = read_query(COLORS, "", 0.4, 0), finder.embedder.counters.encodes
        segmenter.counters.encodes = 0
        asked = (as_image(scene.image), query, finder, SAM2, lambda: segmenter)
        plain += _overlaps(segment_words(*asked, Refine.OFF), scene)
        in_tiles = segment_closely(*asked, Closeness(4), Refine.OFF)
        on_crops = segment_closely(*asked, Closeness(4, True), Refine.OFF, tell=told.append)
        tiled += _overlaps(in_tiles, scene)
        zoomed += _overlaps(on_crops, scene)
        # No shape came twice, from two tiles or from a tile and the whole image.
        assert all(_times_found(in_tiles, scene, row) <= 1 for row in range(len(scene.masks)))
        # Four by four tiles and the whole image, once for both runs; then a crop for each object.
        assert finder.embedder.counters.encodes - before == 17
        count = len(on_crops.segments)
        assert segmenter.counters.encodes == count == len(in_tiles.segments)
        assert told == [
            "17 images to encode",
            f"{count} images to encode, to draw {count} objects",
        ]
    assert _recall(plain) < 0.3
    assert _recall(tiled) >= 0.9
    assert np.mean(zoomed) > np.mean(tiled) + 0.1
    assert np.mean(zoomed) > 0.85


@pytest.fixture
def boxes(tmp_path) -> Finder:
    """A detector that finds boxes alone, with random weights."""
    make_owlv2(tmp_path / "owlv2")
    detector = load_detector(tmp_path / "owlv2", torch.float32)
    return Finder(WordEmbedder(detector), detector)


NOISE = torch.rand(2, 96, 128, 3, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
@pytest.mark.parametrize("tiles", [2, 3])
def test_every_image_and_tile_is_encoded_once_whatever_the_number_of_phrases(boxes, tiles):
    encodes = []
    for prompt in ("dog", "dog, cat, red circle, blue square, photo"):
        segmenter, embedder = Segmenter(engine_of("sam2")), WordEmbedder(boxes.detector)
        finder = Finder(embedder, boxes.detector)
        query = read_query(prompt, "", 0.02, 2)
        found = segment_closely(NOISE, query, finder, SAM2, lambda s=segmenter: s, Closeness(tiles))
        assert len(found.segments) > 0 and set(found.segments.frames.tolist()) == {0, 1}
        encodes.append(embedder.counters.encodes)
        # What shows an object is encoded for the model that draws it, and nothing else.
        assert 0 < segmenter.counters.encodes <= 2 * (1 + tiles**2)
    assert encodes == [2 * (1 + tiles**2)] * 2


@torch.inference_mode()
def test_a_batch_finds_what_its_images_find(boxes):
    query = read_query("dog, cat", "", 0.02, 3)

    def run(image: torch.Tensor) -> list[tuple]:
        segmenter = Segmenter(engine_of("sam2"))
        closely = Closeness(2, True)
        found = segment_closely(image, query, boxes, SAM2, lambda: segmenter, closely)
        return [(each.label, each.score, each.mask.box()) for each in found.segments]

    together = run(NOISE)
    assert together == run(NOISE[:1]) + run(NOISE[1:]) and len(together) >= 8


@torch.inference_mode()
def test_unwanted_words_and_the_limit_hold_in_tiles(boxes):
    segmenter = Segmenter(engine_of("sam2"))

    def run(negative: str, most: int) -> FoundWords:
        query = read_query("dog", negative, 0.05, most)
        return segment_closely(NOISE, query, boxes, SAM2, lambda: segmenter, Closeness(2))

    everything, limited, without = run("", 0), run("", 2), run("cat", 0)
    assert [int((limited.segments.frames == frame).sum()) for frame in (0, 1)] == [2, 2]
    scores = everything.segments.scores[everything.segments.frames == 0]
    assert limited.segments.scores[:2].tolist() == scores[:2].tolist()
    assert without.removed and "cat" not in without.segments.labels
    assert without.segments.areas().sum() < everything.segments.areas().sum()


@torch.inference_mode()
def test_nothing_found_says_how_near_it_was(finder, segmenter):
    image, told = torch.full((1, 100, 100, 3), 0.45), []
    query = read_query("white ring", "", 0.98, 0)

    def load() -> Segmenter:
        raise AssertionError("the segmenter was loaded")

    closely = Closeness(2, True)
    found = segment_closely(image, query, finder, SAM2, load, closely, tell=told.append)
    assert len(found.segments) == 0 and told == ["5 images to encode"]
    assert found.missed[0].startswith('nothing >= 0.98 for "white ring"; best 0.')


@torch.inference_mode()
@pytest.mark.parametrize("stop", [1, 3, 6, 8])
def test_a_run_can_be_stopped_before_every_tile_and_every_crop(boxes, stop):
    segmenter, seen = Segmenter(engine_of("sam2")), []
    embedder = WordEmbedder(boxes.detector)

    def counted(items, total, step=0, steps=1) -> Iterator:
        assert (step, steps, total >= 1) in ((0, 2, True), (1, 2, True))
        for item in items:
            seen.append(step)
            if len(seen) == stop:
                raise KeyboardInterrupt
            yield item

    query = read_query("dog", "", 0.02, 5)
    finder = Finder(embedder, boxes.detector)
    with pytest.raises(KeyboardInterrupt):
        segment_closely(
            NOISE[:1], query, finder, SAM2, lambda: segmenter, Closeness(2), Refine.AUTO, counted
        )
    assert embedder.counters.encodes == min(stop, 5)
    assert segmenter.counters.encodes == max(0, stop - 5)


@torch.inference_mode()
def test_grabcut_serves_too(finder):
    scene = draw_large_scene(7, 400, 24, 6)
    segmenter = Segmenter(GrabCutEngine())
    query = read_query(COLORS, "", 0.4, 0)
    found = segment_closely(
        as_image(scene.image), query, finder, GRABCUT, lambda: segmenter, Closeness(2, True)
    )
    assert _recall(_overlaps(found, scene)) >= 0.8
    assert segmenter.counters.encodes == len(found.segments)


@needs_sam3
@torch.inference_mode()
@pytest.mark.parametrize("refine", [Refine.AUTO, Refine.ON])
@pytest.mark.parametrize("zoom", [False, True])
def test_sam3_finds_and_draws_with_one_encoding_of_each_tile(refine, zoom):
    engine = engine_of("sam3")
    detector = ConceptDetector(engine, load_tokenizer([FIXTURES / "sam3_parity"]))
    segmenter, family = Segmenter(engine), family_named("sam3")
    query = read_query("dog, red cat", "", 0.01, 2)
    found = segment_closely(
        NOISE[:1],
        query,
        Finder(segmenter, detector),
        family,
        lambda: segmenter,
        Closeness(2, zoom),
        refine,
        uncounted,
        untold,
    )
    assert len(found.segments) > 0 and set(found.segments.labels) <= {"dog", "red cat"}
    assert segmenter.counters.encodes <= 5 + (4 if zoom else 0)
    assert (segmenter.counters.decodes > 0) is (zoom and segmenter.counters.encodes > 5)


@pytest.mark.parametrize(
    ("closeness", "is_closer"),
    [(Closeness(), False), (Closeness(1), False), (Closeness(2), True), (Closeness(0, True), True)],
)
def test_what_looks_closer(closeness, is_closer):
    assert bool(closeness) is is_closer


@pytest.mark.parametrize("closeness", [Closeness(2), Closeness(3, True)])
def test_example_boxes_are_for_whole_images(closeness):
    with pytest.raises(InputError, match=rf"tiles: found {closeness.tiles} beside .* remove the"):
        check_wholly_seen(closeness, [(), (Box(1, 2, 3, 4),)])
    check_wholly_seen(closeness, [(), ()])


@pytest.mark.parametrize("closeness", [Closeness(), Closeness(1), Closeness(0, True)])
def test_objects_like_example_boxes_may_be_drawn_on_crops(closeness):
    check_wholly_seen(closeness, [(Box(1, 2, 3, 4),)])
