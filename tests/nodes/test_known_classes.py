"""Detectors of known classes in Text Segment and Track Segments, as ComfyUI executes them."""

from __future__ import annotations

import shutil

import folder_paths
import numpy as np
import pytest
import torch
from segment_anywhere.core.errors import CheckpointError, InputError
from segment_anywhere.nodes import model_choices
from segment_anywhere.nodes.text_segment import TextSegment
from segment_anywhere.nodes.track_segments import TrackSegments

from tests.support.class_models import BOX_MAKERS, MAKERS
from tests.support.large_scenes import draw_large_scene
from tests.support.nodes import BUILT_IN, SAM2, load, noise, segment_words
from tests.support.overlap import iou
from tests.support.paths import FIXTURES
from tests.support.scenes import KINDS, draw_scene

SIZE = 160
TRAINED = "detection/trained"
# Two scenes that no training has seen.
SEEDS = (500, 503)


@pytest.fixture
def detection(models):
    """models/detection, with the trained SegFormer in it."""
    shutil.copytree(FIXTURES / "segformer_tiny", models / "detection" / "trained")
    return models / "detection"


def _scene(seed):
    scene = draw_scene(seed, SIZE)
    masks = {}
    for kind, mask in zip(scene.kinds, scene.masks, strict=True):
        masks[kind] = masks.get(kind, np.zeros((SIZE, SIZE), bool)) | mask
    return torch.from_numpy(scene.image)[None], masks


@pytest.mark.usefixtures("detection")
def test_an_empty_prompt_finds_every_class():
    overlaps = []
    for seed in SEEDS:
        image, truth = _scene(seed)
        output = segment_words(load(BUILT_IN), image, "", TRAINED, threshold=0.0)
        _, segments, bboxes, count = output.args
        assert count == len(segments) == len(bboxes[0])
        assert set(segments.labels) <= set(KINDS)
        for kind, mask in truth.items():
            rows = [row for row, label in enumerate(segments.labels) if label == kind]
            overlaps.append(iou(segments.full_masks()[rows].sum(dim=0) > 0, mask))
    assert len(overlaps) >= 4 and np.mean(overlaps) > 0.7


@pytest.mark.usefixtures("detection")
def test_a_prompt_chooses_among_the_classes():
    image, truth = _scene(SEEDS[0])
    everything = segment_words(load(BUILT_IN), image, "", TRAINED, threshold=0.0).args[1]
    kind = next(iter(truth))
    prompt = f"{kind.upper()}S"
    segments = segment_words(load(BUILT_IN), image, prompt, TRAINED, threshold=0.0).args[1]
    assert set(segments.labels) == {kind}
    assert segments.scores.tolist() == [
        score
        for score, label in zip(everything.scores.tolist(), everything.labels, strict=True)
        if label == kind
    ]
    without = segment_words(
        load(BUILT_IN), image, "", TRAINED, threshold=0.0, negative_prompt=kind
    ).args[1]
    assert set(without.labels) == set(everything.labels) - {kind}


@pytest.mark.usefixtures("detection")
def test_its_own_masks_stay_unless_asked_otherwise():
    image, _ = _scene(SEEDS[0])
    calls = {
        refine: segment_words(load(SAM2), image, "", TRAINED, threshold=0.0, refine=refine)
        for refine in ("auto", "off", "on")
    }
    masks = {refine: call.args[0] for refine, call in calls.items()}
    assert torch.equal(masks["auto"], masks["off"])
    assert not torch.equal(masks["auto"], masks["on"]) and masks["on"].any()


@pytest.mark.usefixtures("detection")
def test_nothing_found_is_one_line_for_all_classes():
    grey = torch.full((1, SIZE, SIZE, 3), 0.45)
    text = segment_words(load(BUILT_IN), grey, "", TRAINED, threshold=1.0).ui["text"][0]
    assert text.startswith("nothing >= 1.00 for any of 5 classes; best 0.")
    text = segment_words(load(BUILT_IN), grey, "ring, cross", TRAINED, threshold=1.0).ui["text"][0]
    assert text.count("nothing >= 1.00") == 2 and 'for "ring"' in text


@pytest.mark.usefixtures("detection")
def test_another_word_is_refused_before_weights_are_read(monkeypatch):
    monkeypatch.setattr(model_choices, "fetch_detector", lambda *_: pytest.fail("fetched"))
    with pytest.raises(InputError, match='prompt: "dog" is none of the 6 .* background, circle,'):
        segment_words(load(BUILT_IN), noise(), "ring, dog", TRAINED)
    with pytest.raises(InputError, match='negative_prompt: "dog" is none'):
        segment_words(load(BUILT_IN), noise(), "", TRAINED, negative_prompt="dog")


@pytest.mark.usefixtures("detection")
def test_tiles_and_zoom():
    """Shapes of 48 pixels in 480, of which the model sees 128; whole, and in parts."""
    scene = draw_large_scene(5, 480, 48, 3)
    image, wanted = torch.from_numpy(scene.image)[None], scene.masks.any(axis=0)
    prompt = "circle, square, triangle"
    overlaps, labels = {}, set()
    for tiles, zoom in ((0, False), (3, False), (0, True)):
        output = segment_words(
            load(SAM2), image, prompt, TRAINED, threshold=0.0, tiles=tiles, zoom=zoom
        )
        overlaps[tiles, zoom] = iou(output.args[0][0], wanted)
        labels |= set(output.args[1].labels)
    assert overlaps[0, False] < 0.5 < 0.6 < overlaps[0, True]
    assert overlaps[3, False] > 0.9
    assert labels <= {"circle", "square", "triangle"}


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_in_a_graph(name, models):
    MAKERS[name](models / "detection" / name)
    image = _scene(SEEDS[0])[0].expand(2, -1, -1, -1)
    output = segment_words(
        load(SAM2), image, "", f"detection/{name}", threshold=0.05, max_objects=2
    )
    _, segments, _, count = output.args
    assert 0 < count == len(segments) <= 2 * 2 * 6
    labels = set(segments.labels)
    assert labels <= {"person", "traffic light", "Upper-clothes", "dog", "door, gate"}
    for frame in (0, 1):
        counts = [
            sum(label == each and at == frame for label, at in zip(*_seen(segments), strict=True))
            for each in labels
        ]
        assert max(counts) <= 2


def _seen(segments):
    return segments.labels, segments.frames.tolist()


@pytest.mark.parametrize("name", ["segformer", *BOX_MAKERS])
@pytest.mark.parametrize("redetect_every", [0, 2])
def test_track_segments_follows_known_classes(name, redetect_every, models):
    MAKERS[name](models / "detection" / name)
    clip = _scene(SEEDS[0])[0].expand(3, -1, -1, -1)[:, ::2, ::2].contiguous()
    found = TrackSegments.execute(
        load(BUILT_IN),
        clip,
        "",
        direction="both",
        overlap="keep",
        max_objects=2,
        prompt="Persons, dog, upper clothes, traffic lights, gate",
        redetect_every=redetect_every,
        threshold=0.01,
        detector=f"detection/{name}",
    )
    segments = found.args[1]
    assert 0 < len(segments)
    assert set(segments.labels) <= {"person", "dog", "Upper-clothes", "traffic light", "door, gate"}


def test_the_folder_is_found_as_the_others_are(detection, tmp_path):
    """ComfyUI has models/detection too, with other packs' files in it."""
    (detection / "yolo.pt").write_bytes(b"not ours")
    (detection / "vitpose").mkdir()
    (detection / "vitpose" / "model.safetensors").write_bytes(b"not ours either")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(FIXTURES / "segformer_tiny", elsewhere / "deep" / "mine")
    folder_paths.add_model_folder_path("detection", str(elsewhere))
    options = model_choices.options(model_choices.DETECTOR_MODELS)
    assert [each for each in options if each.startswith("detection/")] == [
        TRAINED,
        "detection/deep/mine",
    ]
    assert TextSegment.validate_inputs("detection/deep/mine") is True
    assert "detection/none is not on this machine" in str(
        TextSegment.validate_inputs("detection/none")
    )


def test_a_folder_of_something_else(detection):
    path = detection / "trained" / "config.json"
    path.write_text('{"model_type": "detr"}')
    with pytest.raises(CheckpointError, match="model type 'detr'; accepted: .*rt_detr_v2, rt_detr"):
        segment_words(load(BUILT_IN), noise(), "", TRAINED)
