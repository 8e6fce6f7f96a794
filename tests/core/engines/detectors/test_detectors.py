"""Grounding DINO, MM Grounding DINO and OWLv2: equal to transformers' own processors and models."""

from __future__ import annotations

import json
import shutil
import socket

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image
from segment_anywhere.core.engines.detectors import base as detectors
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.errors import CheckpointError, InputError
from segment_anywhere.core.tasks.segmenter import Embedder

from tests.support.paths import FIXTURES
from tests.support.word_models import MAKERS

DINOS = ("grounding-dino", "mm-grounding-dino")
BOX_MODELS = (*DINOS, "owlv2")
PHRASES = ["red circle", "dog", "a blue square"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("detectors")
    for name, make in MAKERS.items():
        make(root / name)
    return root


@pytest.fixture(scope="module")
def load(folders):
    return lambda name, dtype=torch.float32: load_detector(folders / name, dtype)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """[120, 200, 3] uint8."""
    return np.asarray(Image.open(FIXTURES / "photo.jpg").convert("RGB").resize((200, 120)))


@pytest.fixture(scope="module")
def frame(photo) -> torch.Tensor:
    return torch.tensor(photo).float() / 255


@pytest.fixture
def all_boxes(monkeypatch):
    """Without suppression, which the official post-processing does not do either."""
    monkeypatch.setattr(detectors, "_SAME_OBJECT", 2.0)


def _processor(folders, name):
    """The official processor, whose image part needs no torchvision."""
    base = "Owlv2" if name == "owlv2" else "GroundingDino"
    images = getattr(tf, f"{base}ImageProcessorPil", None) or getattr(tf, f"{base}ImageProcessor")
    tokenizer = tf.AutoTokenizer.from_pretrained(folders / name)
    processor = getattr(tf, f"{base}Processor")
    return processor(images.from_pretrained(folders / name), tokenizer)


def _official(folders, name):
    model = tf.AutoModelForZeroShotObjectDetection.from_pretrained(folders / name)
    return model.eval()


def _by_score(scores, boxes):
    order = scores.argsort(descending=True, stable=True)
    return scores[order], boxes[order]


@pytest.mark.parametrize("name", DINOS)
@pytest.mark.parametrize("size", [(120, 200), (200, 120), (64, 64), (300, 90)])
def test_dino_prepares_images_as_the_official_processor(name, size, folders, load):
    image = np.asarray(Image.open(FIXTURES / "photo.jpg").convert("RGB").resize(size[::-1]))
    wanted = _processor(folders, name).image_processor(image, return_tensors="pt").pixel_values
    ours = load(name)._pixels(torch.tensor(image).float() / 255)
    assert ours.shape == wanted.shape
    # Pillow rounds to whole levels of 1/255, of which the deviation makes 0.017.
    assert (ours - wanted).abs().max() < 0.02


@pytest.mark.parametrize("side", [64, 96, 250])
def test_owlv2_prepares_images_as_the_official_processor(side, folders, load):
    """Squares: transformers changed the value that it pads others with."""
    image = np.asarray(Image.open(FIXTURES / "photo.jpg").convert("RGB").resize((side, side)))
    wanted = _processor(folders, "owlv2").image_processor(image, return_tensors="pt").pixel_values
    ours = load("owlv2")._pixels(torch.tensor(image).float() / 255)
    assert (ours - wanted).abs().max() < 1e-3


def test_owlv2_pads_below_and_to_the_right(load, frame):
    pixels = load("owlv2")._pixels(frame)
    assert pixels.shape == (1, 3, 64, 64)
    assert pixels[..., 42:, :].flatten(2).std(dim=2).max() < 1e-5
    assert pixels[..., :36, :].flatten(2).std(dim=2).min() > 0.1


@pytest.mark.parametrize("name", DINOS)
def test_captions_are_the_official_ones(name, folders, load):
    wanted = _processor(folders, name)(images=None, text=[PHRASES]).input_ids[0]
    (caption,) = load(name)._captions(PHRASES)
    assert caption.ids == list(wanted)
    assert [caption.ids[start:end] for start, end in caption.spans] == [
        [1030, 1033],
        [1035],
        [1036, 1032, 1034],
    ]


@pytest.mark.parametrize("name", DINOS)
def test_dino_finds_what_the_official_post_processing_finds(name, folders, load, frame, all_boxes):
    detector, processor = load(name), _processor(folders, name)
    inputs = processor(images=None, text=[["dog"]], return_tensors="pt")
    inputs["pixel_values"] = detector._pixels(frame)
    with torch.no_grad():
        output = _official(folders, name)(**inputs)
    # Of the caption's tokens, the phrase's own.
    output.logits[..., [0, 2, 3]] = -torch.inf
    (wanted,) = processor.post_process_grounded_object_detection(
        output, inputs.input_ids, threshold=0.2, text_threshold=0.2, target_sizes=[(120, 200)]
    )
    (found,) = detector.detect(detector.encode(frame), ["dog"], 0.2)
    scores, boxes = _by_score(wanted["scores"], wanted["boxes"])
    assert len(found) == len(scores) > 5
    torch.testing.assert_close(found.scores, scores, atol=1e-4, rtol=1e-4)
    limits = torch.tensor([200.0, 120.0, 200.0, 120.0])
    torch.testing.assert_close(found.boxes, boxes.clamp(min=0).minimum(limits), atol=0.01, rtol=0)
    assert set(wanted["text_labels"]) == {"dog"}
    assert found.best == pytest.approx(float(scores[0]), abs=1e-4)


def test_owlv2_finds_what_the_official_post_processing_finds(folders, load, frame, all_boxes):
    detector, processor = load("owlv2"), _processor(folders, "owlv2")
    inputs = processor(text=[PHRASES], return_tensors="pt")
    inputs["pixel_values"] = detector._pixels(frame)
    with torch.no_grad():
        output = _official(folders, "owlv2")(**inputs)
    (wanted,) = processor.image_processor.post_process_object_detection(
        output, threshold=0.3, target_sizes=[(120, 200)]
    )
    limits = torch.tensor([200.0, 120.0, 200.0, 120.0])
    for phrase, found in enumerate(detector.detect(detector.encode(frame), PHRASES, 0.3)):
        own = wanted["labels"] == phrase
        scores, boxes = _by_score(wanted["scores"][own], wanted["boxes"][own])
        boxes = boxes.clamp(min=0).minimum(limits)
        # The model sees the padding too; what it finds there lies outside the image.
        inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        assert len(found) == int(inside.sum()) > 0
        torch.testing.assert_close(found.scores, scores[inside], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.boxes, boxes[inside], atol=0.01, rtol=0)


@pytest.mark.parametrize("name", BOX_MODELS)
def test_results_are_in_order_and_in_range(name, load, frame):
    detector = load(name)
    found = list(detector.detect(detector.encode(frame), PHRASES, 0.05))
    assert len(found) == len(PHRASES)
    assert sum(len(each) for each in found) > 5
    for each in found:
        assert each.logits is None
        assert each.scores.tolist() == sorted(each.scores.tolist(), reverse=True)
        assert (each.scores >= 0.05).all() and (each.scores <= 1).all()
        assert (each.boxes[:, :2] >= 0).all()
        assert (each.boxes[:, 2] <= 200).all() and (each.boxes[:, 3] <= 120).all()
        assert (each.boxes[:, 2:] > each.boxes[:, :2]).all()
        if len(each):
            assert each.best == pytest.approx(float(each.scores[0]))


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "florence2"])
def test_nothing_found_still_names_the_best_score(name, load, frame):
    detector = load(name)
    embedding = detector.encode(frame)
    for each in detector.detect(embedding, PHRASES, 1.0):
        assert len(each) == 0
        assert each.scores.shape == (0,) and each.boxes.shape == (0, 4)
        assert 0 <= each.best < 1


def test_repetitions_of_one_phrase_go_and_those_of_others_stay():
    """Each box has one owner, the phrase that scores best; only its own repetitions go."""
    boxes = torch.tensor(
        [
            [0, 0, 50, 50],
            [1, 1, 50, 50],
            [0, 0, 50, 51],
            [40, 40, 90, 90],
            [-20, -20, 30, 200],
            [150, 0, 160, 9],
        ]
    )
    scores = torch.tensor([[0.9, 0.1], [0.7, 0.2], [0.6, 0.8], [0.5, 0.1], [0.45, 0.4], [0.99, 0]])
    first, second = detectors.collect_boxes(scores, boxes.float(), 0.5, (100, 140))
    assert first.scores.tolist() == pytest.approx([0.9, 0.5])
    assert first.boxes.tolist() == [[0, 0, 50, 50], [40, 40, 90, 90]]
    assert second.scores.tolist() == pytest.approx([0.8])
    # The last box lies outside the image.
    assert first.best == pytest.approx(0.9)
    lower, _ = detectors.collect_boxes(scores, boxes.float(), 0.4, (100, 140))
    assert lower.boxes[-1].tolist() == [0, 0, 30, 100]


@pytest.mark.parametrize("name", DINOS)
def test_more_phrases_than_a_caption_holds(name, load, frame):
    detector = load(name)
    phrases = [f"red circle {'a ' * number}dog" for number in range(20)]
    captions = detector._captions(phrases)
    assert len(captions) > 1
    assert max(len(caption.ids) for caption in captions) <= 48
    assert sum(len(caption.spans) for caption in captions) == 20
    assert len(detector.detect(detector.encode(frame), phrases, 0.05)) == 20


@pytest.mark.parametrize("name", MAKERS)
def test_phrases_that_are_refused(name, load, frame):
    detector = load(name)
    embedding = detector.encode(frame)
    with pytest.raises(InputError, match=r'prompt: "a a a .* tokens long; .* takes \d+'):
        detector.detect(embedding, ["dog", "a " * 100], 0.4)


@pytest.mark.parametrize("name", DINOS)
def test_marks_alone_are_no_phrase(name, load, frame):
    detector = load(name)
    with pytest.raises(InputError, match=r'prompt: "\.\.\?" holds no words'):
        detector.detect(detector.encode(frame), ["..?"], 0.4)


@pytest.mark.parametrize("name", MAKERS)
def test_any_script_is_a_phrase(name, load, frame):
    detector = load(name)
    embedding = detector.encode(frame)
    assert len(list(detector.detect(embedding, ["круг", "丸", "🐕", "Dog"], 0.4))) == 4


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float32, 0), (torch.bfloat16, 0.02), (torch.float16, 0.003)]
)
def test_every_precision(name, dtype, error, load, frame):
    """Only the image encoder runs in that type; its features are those of full precision."""
    detector, exact = load(name, dtype), load(name)
    embedding, wanted = detector.encode(frame), exact.encode(frame)
    for ours, theirs in zip(embedding.features, wanted.features, strict=True):
        assert ours.dtype == dtype
        assert (ours.float() - theirs).norm() <= error * theirs.norm()
    for found in detector.detect(embedding, PHRASES, 0.05):
        assert found.scores.dtype == found.boxes.dtype == torch.float32
        assert torch.isfinite(found.boxes).all()


@pytest.mark.parametrize("name", MAKERS)
def test_an_image_is_encoded_once_for_all_words(name, load, frame):
    embedder = Embedder(load(name))
    runs = []
    vision = {
        "owlv2": "owlv2.vision_model",
        "clipseg": "clip.vision_model",
        "florence2": "model.vision_tower",
    }.get(name, "model.backbone.conv_encoder.model")
    embedder.engine.module.get_submodule(vision).register_forward_hook(lambda *_: runs.append(1))
    for phrases in (["dog"], PHRASES, ["dog", "cat"]):
        list(embedder.engine.detect(embedder.embed(frame), phrases, 0.4))
    assert len(runs) == embedder.counters.encodes == 1


@pytest.mark.parametrize(("name", "text"), [("owlv2", "owlv2"), ("clipseg", "clip")])
def test_a_phrase_is_encoded_once(name, text, load, frame):
    detector = load(name)
    runs = []
    encoder = detector.module.get_submodule(f"{text}.text_model")
    encoder.register_forward_hook(lambda *_: runs.append(1))
    for phrases in (["dog"], PHRASES, ["dog"]):
        detector.detect(detector.encode(frame), phrases, 0.4)
    assert len(runs) == len(PHRASES)


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_needs_no_network(name, folders, frame, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    detector = load_detector(folders / name, torch.float32)
    assert list(detector.detect(detector.encode(frame), PHRASES, 0.4))


def _without(pattern):
    def remove(folder):
        for path in folder.glob(pattern):
            path.unlink()

    return remove


def _with_config(**changes):
    def rewrite(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return rewrite


def _nest(name):
    return lambda folder: (folder / name).write_text('{"a":' * 100_000)


def _cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def _drop_weight(folder):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    state = load_file(path)
    del state["box_head.dense0.weight"]
    save_file(state, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("config.json"), "config.json: cannot be read"),
        (_without("*.safetensors"), r"weights \(model.safetensors\) is missing"),
        (_without("vocab*"), r"tokenizer \(.*\) is missing beside config.json"),
        (_with_config(model_type="bert"), "model type 'bert'; accepted: grounding-dino, mm-"),
        (_nest("config.json"), "config.json: cannot be read.*recursion"),
        (_nest("preprocessor_config.json"), "preprocessor_config.json: cannot be read.*recursion"),
        (_nest("tokenizer_config.json"), "cannot be loaded .* Download the whole repository again"),
        (_cut_weights, "model.safetensors: incomplete or damaged.* download it again"),
        (_drop_weight, "1 weights are missing, the first is box_head.dense0.weight"),
    ],
)
def test_folders_that_are_refused(spoil, message, folders, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(folders / "owlv2", folder)
    spoil(folder)
    with pytest.raises(CheckpointError, match=message):
        load_detector(folder, torch.float32)
