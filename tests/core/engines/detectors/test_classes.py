"""Detectors of known classes: equal to transformers' own models and processors."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers as tf
from PIL import Image
from segment_anywhere.core.engines.base import Embedding, MaskDetail
from segment_anywhere.core.engines.detectors import segformer
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.tasks.segmenter import Embedder

from tests.support.class_models import BOX_MAKERS, LABELS, MAKERS
from tests.support.needs import needs_rf_detr
from tests.support.paths import FIXTURES
from tests.support.pretended import DEVICE, copies, placed

SIZE = (120, 200)
LIMITS = torch.tensor([200.0, 120.0, 200.0, 120.0])
PARITY = FIXTURES / "rf_detr_parity"


def _processor(name: str):
    """The official image processor that needs no torchvision."""
    kind = "Segformer" if name == "segformer" else "RTDetr"
    return getattr(tf, f"{kind}ImageProcessorPil", None) or getattr(tf, f"{kind}ImageProcessor")


def _official(folders, name):
    config = json.loads((folders / name / "config.json").read_text())
    return getattr(tf, config["architectures"][0]).from_pretrained(folders / name).eval()


@pytest.mark.parametrize("name", ["rt_detr_v2", "d_fine", "segformer"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_normalize": True, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]},
        {"do_rescale": False, "do_normalize": False},
        {"size": {"height": 64, "width": 128}},
        {"rescale_factor": 1 / 127.5, "do_normalize": False},
    ],
    ids=str,
)
def test_images_are_prepared_as_the_official_processor_does(
    name, settings, folders, photo, frame, tmp_path
):
    folder = shutil.copytree(folders / name, tmp_path / "model")
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    wanted = _processor(name).from_pretrained(folder)(photo, return_tensors="pt").pixel_values
    ours = load_detector(folder, torch.float32)._pixels(frame)
    assert ours.shape == wanted.shape
    # Pillow rounds to whole levels of 1/255.
    assert (ours - wanted).abs().max() <= 0.011 * wanted.abs().max()


@pytest.mark.parametrize("name", BOX_MAKERS)
@pytest.mark.parametrize("threshold", [0.05, 0.5])
def test_boxes_are_those_of_the_official_post_processing(
    name, threshold, folders, load, frame, all_parts
):
    """Of every class by itself; the official code may give a box to several classes."""
    detector = load(name)
    with torch.no_grad():
        output = _official(folders, name)(detector._pixels(frame))
    # Of 40 queries and 6 classes it keeps the best 40: of one class they are all there.
    wanted = []
    for number in range(len(LABELS)):
        only = torch.full_like(output.logits, -torch.inf)
        only[..., number] = output.logits[..., number]
        alone = type(output)(logits=only, pred_boxes=output.pred_boxes)
        wanted += _processor(name)().post_process_object_detection(alone, threshold, [SIZE])
    embedding = detector.encode(frame)
    counts = 0
    for number, (label, official) in enumerate(zip(LABELS, wanted, strict=True)):
        (found,) = detector.detect(embedding, [label], threshold)
        assert set(official["labels"].tolist()) <= {number}
        boxes = official["boxes"].clamp(min=0).minimum(LIMITS)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        assert len(found) == int(inside.sum())
        torch.testing.assert_close(found.scores, official["scores"][inside], atol=1e-4, rtol=0)
        torch.testing.assert_close(found.boxes, boxes[inside], atol=0.01, rtol=0)
        counts += len(found)
    assert counts > 10


@pytest.mark.parametrize("name", BOX_MAKERS)
def test_a_box_belongs_to_one_class(name, load, frame, all_parts):
    """Of those that are asked for, the best; so all boxes of all classes are all queries."""
    detector = load(name)
    embedding = detector.encode(frame)
    found = list(detector.detect(embedding, LABELS, 0.0))
    best = embedding.features[0][0].sigmoid().amax(dim=1)
    scores = torch.cat([each.scores for each in found])
    # Some boxes lie outside of the image.
    assert 10 < len(scores) <= len(best)
    assert set(scores.tolist()) <= set(best.tolist())
    for each in found:
        assert each.scores.tolist() == sorted(each.scores.tolist(), reverse=True)
        if len(each):
            assert each.best == pytest.approx(float(each.scores[0]))


@needs_rf_detr
def test_rf_detr_is_the_official_one(all_parts):
    """Pixels, boxes and masks of the official processor, which needs torchvision."""
    with np.load(PARITY / "reference.npz") as file:
        reference = {name: torch.from_numpy(file[name]) for name in file.files}
    detector = load_detector(PARITY, torch.float32)
    assert detector.mask_detail is MaskDetail.ROUGH
    frame = reference["image"].float() / 255
    torch.testing.assert_close(detector._pixels(frame), reference["pixels"], atol=1e-5, rtol=0)
    embedding = detector.encode(frame)
    assert len(reference["scores"]) == 40 and 0.1 < reference["masks"].float().mean() < 0.9
    # The best 40 pairs of a query and a class.
    least = float(reference["scores"].min()) - 1e-5
    for number, label in enumerate(detector.labels):
        own = reference["labels"] == number
        boxes = reference["boxes"][own].clamp(min=0).minimum(LIMITS)
        own[own.clone()] &= (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        (found,) = detector.detect(embedding, [label], least)
        torch.testing.assert_close(found.scores, reference["scores"][own], atol=1e-4, rtol=0)
        wanted = reference["boxes"][own].clamp(min=0).minimum(LIMITS)
        torch.testing.assert_close(found.boxes, wanted, atol=0.01, rtol=0)
        for logits, mask in zip(found.logits, reference["masks"][own], strict=True):
            large = F.interpolate(logits[None, None], size=SIZE, mode="bilinear")[0, 0] > 0
            # Another PyTorch made the reference: what is on the edge may fall either way.
            assert (large != mask).float().mean() < 1e-4


@pytest.mark.parametrize("size", [(96, 96), (80, 60), (96, 50)])
def test_classes_of_pixels_are_the_official_ones(size, folders, load, photo, all_parts):
    """The parts of all classes together are the official map, pixel for pixel."""
    detector = load("segformer")
    image = np.asarray(Image.fromarray(photo).resize(size[::-1]))
    frame = torch.tensor(image).float() / 255
    with torch.no_grad():
        output = _official(folders, "segformer")(detector._pixels(frame))
    (wanted,) = _processor("segformer")().post_process_semantic_segmentation(output, [size])
    found = list(detector.detect(detector.encode(frame), LABELS, 0.0))
    ours = torch.full(size, -1)
    for number, each in enumerate(found):
        assert each.logits.shape[1:] == size
        for mask in each.logits > 0:
            assert (ours[mask] == -1).all()
            ours[mask] = number
    assert torch.equal(ours, wanted)
    assert len(wanted.unique()) > 2


def test_a_part_has_a_box_and_the_highest_probability_in_it(load, frame, all_parts):
    detector = load("segformer")
    embedding = detector.encode(frame)
    large = F.interpolate(embedding.features[0].softmax(dim=1), size=(96, 96), mode="bilinear")[0]
    parts = 0
    for number, each in enumerate(detector.detect(embedding, LABELS, 0.0)):
        assert each.scores.tolist() == sorted(each.scores.tolist(), reverse=True)
        for score, box, logits in zip(each.scores, each.boxes, each.logits, strict=True):
            y, x = (logits > 0).nonzero(as_tuple=True)
            edges = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1])
            scale = torch.tensor([200 / 96, 120 / 96]).repeat(2)
            torch.testing.assert_close(box, edges * scale)
            torch.testing.assert_close(score, large[number][logits > 0].max())
            parts += 1
    assert parts > 5


def test_specks_beside_larger_parts_are_noise(load, frame, monkeypatch):
    detector = load("segformer")
    embedding = detector.encode(frame)
    monkeypatch.setattr(segformer, "_SMALLEST", 0)
    every = list(detector.detect(embedding, LABELS, 0.0))
    monkeypatch.setattr(segformer, "_SMALLEST", 300)
    kept = list(detector.detect(embedding, LABELS, 0.0))
    assert sum(map(len, kept)) < sum(map(len, every))
    for few, all_of in zip(kept, every, strict=True):
        assert bool(len(few)) == bool(len(all_of))
        areas = (few.logits > 0).sum(dim=(1, 2))
        assert (areas >= 300).all() or len(few) == 1


def test_the_best_that_there_is_is_no_noise(load):
    """A speck that the model is sure of, beside a large part that it is not sure of."""
    logits = torch.zeros(1, len(LABELS), 32, 32)
    place = LABELS.index("dog")
    logits[:, 0] = 6.0
    logits[0, 0, 4:20, 4:20], logits[0, place, 4:20, 4:20] = 0.0, 1.0
    logits[0, :, 28, 28], logits[0, place, 28, 28] = 0.0, 9.0
    (found,) = load("segformer").detect(Embedding((logits,), (128, 128)), ["dog"], 0.6)
    assert len(found) == 0 and 0.2 < found.best < 0.6


def test_a_single_class_is_there_or_not(tmp_path, frame):
    """transformers' post-processing would find it everywhere."""
    config = tf.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 2, 2, 2],
        decoder_hidden_size=16,
        id2label={0: "crack"},
        label2id={"crack": 0},
    )
    model = tf.SegformerForSemanticSegmentation(config)
    torch.nn.init.normal_(model.decode_head.classifier.weight, std=3)
    model.save_pretrained(tmp_path)
    detector = load_detector(tmp_path, torch.float32)
    embedding = detector.encode(frame)
    (found,) = detector.detect(embedding, ["crack"], 0.5)
    logits = F.interpolate(embedding.features[0][:, :1], size=(120, 200), mode="bilinear")[0, 0]
    assert 0 < (logits > 0).float().mean() < 1
    assert (found.logits > 0).any(dim=0)[logits < 0].sum() == 0
    assert found.scores.min() >= 0.5


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float32, 0), (torch.bfloat16, 0.2), (torch.float16, 0.03)]
)
def test_every_precision(name, dtype, error, load, frame):
    """The backbone alone runs in that type; what is found is worked out in fp32."""
    detector, exact = load(name, dtype), load(name)
    embedding, wanted = detector.encode(frame), exact.encode(frame)
    types = {each.dtype for each in detector.module.parameters()}
    assert types == {dtype, torch.float32}
    assert {feature.dtype for feature in embedding.features} == {torch.float32}
    if name == "segformer":
        ours, theirs = embedding.features[0], wanted.features[0]
        assert (ours - theirs).norm() <= error * theirs.norm()
    for found in detector.detect(embedding, LABELS, 0.05):
        assert torch.isfinite(found.boxes).all() and torch.isfinite(found.scores).all()


@pytest.mark.parametrize("name", MAKERS)
def test_an_image_is_looked_at_once(name, load, frame):
    """Other phrases and another threshold run no part of the model."""
    embedder = Embedder(load(name))
    runs = []
    for module in embedder.engine.module.modules():
        module.register_forward_hook(lambda *_: runs.append(1))
    list(embedder.engine.detect(embedder.embed(frame), ["dog"], 0.4))
    before = len(runs)
    for phrases in (["dog"], LABELS, ["person", "gate"]):
        list(embedder.engine.detect(embedder.embed(frame), phrases, 0.2))
    assert len(runs) == before > 0
    assert embedder.counters.encodes == 1


@pytest.mark.parametrize("name", MAKERS)
def test_frames_together_are_frames_alone(name, load, frame):
    detector = load(name)
    frames = [frame, 1 - frame, frame.flip(1)]
    together = detector.encode_batch([detector.prepare(each) for each in frames])
    for each, embedding in zip(frames, together, strict=True):
        alone = detector.encode(each)
        for ours, theirs in zip(embedding.features, alone.features, strict=True):
            torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("name", MAKERS)
def test_on_a_device_all_is_as_on_the_cpu(name, load, frame):
    def answers(place):
        detector = load(name)
        if place == DEVICE:
            placed(detector)
        embedding = detector.encode(frame.to(place))
        found = detector.detect(embedding.to("cpu").to(place), LABELS, 0.1)
        return [
            (e.scores.cpu(), e.boxes.cpu(), None if e.logits is None else e.logits.cpu())
            for e in found
        ]

    expected = answers(torch.device("cpu"))
    assert any(len(scores) for scores, _, _ in expected)
    with copies() as seen:
        found = answers(DEVICE)
    assert seen.events
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


@pytest.mark.parametrize("name", MAKERS)
def test_a_phrase_that_is_no_class(name, load, frame):
    detector = load(name)
    with pytest.raises(InputError, match='prompt: "cat" is none of the 6 classes .* background, '):
        detector.detect(detector.encode(frame), ["dog", "cat"], 0.4)
