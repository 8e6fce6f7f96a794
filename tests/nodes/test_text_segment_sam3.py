"""Text Segment with SAM 3, which understands words and example boxes by itself."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from segment_anywhere.core.engines.files.checkpoints import read_weights
from segment_anywhere.core.engines.sam3 import engine as sam3
from segment_anywhere.core.errors import InputError
from segment_anywhere.nodes import model_choices

from tests.support.grids import draw_grid, half
from tests.support.needs import needs_sam3
from tests.support.nodes import (
    BUILT_IN,
    load,
    noise,
    segment_words,
)
from tests.support.overlap import iou
from tests.support.paths import FIXTURES
from tests.support.sam3_layouts import write_folder
from tests.support.scenes import as_image

SCENE_SIZE = 160


@pytest.fixture
def sam3_model(models) -> str:
    state = read_weights(FIXTURES / "sam3_parity" / "checkpoint.pt")
    folder = write_folder(sam3.from_official(state, torch.float32, 168), models / "sam3" / "whole")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(FIXTURES / "sam3_parity" / name, folder)
    return "sam3/whole"


@pytest.mark.parametrize("refine", ["auto", "on", "off"])
@needs_sam3
def test_sam3_understands_words_by_itself(sam3_model, refine):
    """One encoding serves words, refinement and clicks; the random weights score low."""
    model = load(sam3_model)
    output = segment_words(
        model, noise(2), "dog, red cat", "auto", threshold=0.01, max_objects=3, refine=refine
    )
    segments = output.args[1]
    assert set(segments.labels) == {"dog", "red cat"}
    assert len(segments) > 2
    assert model.segmenter().counters.encodes == 2
    assert model.segmenter().counters.decodes == 0


@pytest.fixture
def trained_sam3(models) -> str:
    shutil.copytree(FIXTURES / "sam3_tiny", models / "sam3" / "tiny")
    return "sam3/tiny"


@needs_sam3
def test_example_boxes_from_every_input(trained_sam3):
    """What looks like them in each image; what the negative ones are around is left out."""
    one, two = draw_grid(2, SCENE_SIZE), draw_grid(5, SCENE_SIZE)
    model, image = load(trained_sam3), as_image(one.image, two.image)
    boxes = [
        {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
        for x1, y1, x2, y2 in (one.boxes()[0], two.boxes()[0])
    ]
    drawn = json.dumps({"boxes": [{**box, "frame": at} for at, box in enumerate(boxes)]})
    by_socket = segment_words(model, image, "", "auto", bboxes=[[boxes[0]], [boxes[1]]])
    by_hand = segment_words(model, image, "", "auto", points=drawn)
    assert torch.equal(by_socket.args[0], by_hand.args[0])
    assert set(by_socket.args[1].labels) == {"visual"}
    for mask, scene in zip(by_socket.args[0], (one, two), strict=True):
        assert iou(mask, scene.union(scene.colors[0])) > 0.7
    unlike = [[boxes[0]], [boxes[1]]]
    rest = segment_words(model, image, "shape", "auto", negative_bboxes=unlike).args[0]
    assert not (rest.bool() & by_socket.args[0].bool()).any()
    assert rest.flatten(1).any(dim=1).all()
    assert model.segmenter().counters.encodes == 2


@needs_sam3
@pytest.mark.parametrize(("zoom", "refine"), [(False, "auto"), (False, "on"), (True, "auto")])
@pytest.mark.parametrize("frame", [0, 1, 2])
def test_an_image_without_an_example_box_gives_no_object(frame, zoom, refine, trained_sam3):
    scenes = [draw_grid(seed, SCENE_SIZE) for seed in (2, 5, 6)]
    model, image = load(trained_sam3), as_image(*(scene.image for scene in scenes))
    boxes = [scene.boxes()[:1] if place == frame else [] for place, scene in enumerate(scenes)]
    output = segment_words(model, image, "", "auto", bboxes=boxes, zoom=zoom, refine=refine)
    mask, segments, _, count = output.args
    assert set(segments.frames.tolist()) == {frame} and count == len(segments)
    # The small model's head for clicks, which draws anew, is not trained.
    if refine == "auto" and not zoom:
        assert iou(mask[frame], scenes[frame].union(scenes[frame].colors[0])) > 0.6
    assert model.segmenter().counters.encodes == 1 + (count if zoom else 0)


@needs_sam3
@pytest.mark.parametrize("zoom", [False, True])
def test_what_a_reference_shows_is_found_in_the_image(zoom, trained_sam3):
    """Halves of scenes, which make a square together."""
    marked, searched = half(draw_grid(3, SCENE_SIZE), False), half(draw_grid(103, SCENE_SIZE), True)
    color = next(color for color in marked.colors if color in searched.colors)
    model = load(trained_sam3)
    mask, segments, bboxes, count = segment_words(
        model,
        as_image(searched.image.copy()),
        "",
        "auto",
        reference=as_image(marked.image.copy()),
        reference_bboxes=marked.boxes(color)[:1],
        zoom=zoom,
    ).args
    assert mask.shape == (1, SCENE_SIZE, SCENE_SIZE // 2) and segments.size == mask.shape[1:]
    assert count == len(segments) == len(bboxes[0]) == len(set(segments.ids.tolist())) > 0
    if not zoom:
        assert iou(mask[0], searched.union(color)) > 0.7
    assert model.segmenter().counters.encodes == 1 + (count if zoom else 0)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ({"bboxes": [[4, 4, 20, 20]]}, "bboxes: found 1 example box for"),
        ({"reference_bboxes": [[4, 4, 20, 20]]}, "reference_bboxes: found 1 example box for"),
    ],
)
def test_a_refusal_names_the_boxes_that_are_connected(examples, message):
    """A box for all images of a batch is one box."""
    reference = noise() if "reference_bboxes" in examples else None
    with pytest.raises(InputError, match=f"^{message}"):
        segment_words(load(BUILT_IN), noise(3), "dog", "auto", reference=reference, **examples)


@pytest.mark.parametrize("detector", ["auto", "clipseg/trained"])
@pytest.mark.usefixtures("shelf")
def test_example_boxes_are_refused_before_anything_is_fetched(detector, monkeypatch):
    monkeypatch.setattr(model_choices, "fetch_detector", lambda *_: pytest.fail("fetched"))
    with pytest.raises(InputError, match=r"bboxes: found 1 example box .* accepted by SAM 3"):
        segment_words(load(BUILT_IN), noise(), "dog", detector, bboxes=(1, 1, 9, 9))


@needs_sam3
def test_refining_changes_masks_and_nothing_else(sam3_model):
    model = load(sam3_model)
    drawn = [
        segment_words(model, noise(), "dog", "auto", threshold=0.01, refine=refine).args[1]
        for refine in ("off", "on")
    ]
    assert not torch.equal(drawn[0].mask(0), drawn[1].mask(0))
    assert drawn[0].scores[0] == drawn[1].scores[0]


@needs_sam3
@pytest.mark.usefixtures("shelf")
def test_sam3_draws_what_another_detector_finds(sam3_model):
    model = load(sam3_model)
    segment_words(model, noise(), "dog", "owlv2/random-owlv2", threshold=0.05)
    counters = model.segmenter().counters
    assert (counters.encodes, counters.decodes) == (1, 1)
