"""Florence-2: what it reads, answers and finds equals transformers' processor and `generate`."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image, ImageDraw
from segment_anywhere.core.engines.base import DrawingDetector, MaskDetail
from segment_anywhere.core.engines.detectors import florence2
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.engines.families import BUILT_IN, family_named
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.errors import CheckpointError, InputError
from segment_anywhere.core.prompts.phrases import read_query
from segment_anywhere.core.tasks.closely import Closeness, segment_closely
from segment_anywhere.core.tasks.segmenter import Finder, Segmenter, WordEmbedder
from segment_anywhere.core.tasks.words import Refine, asked_to_draw, segment_words

from tests.support.paths import FIXTURES
from tests.support.word_models import make_florence2

# A random model answers these with boxes and outlines.
PHRASES = ["red dog", "a", "the man on the left"]
TASKS = {False: "<OPEN_VOCABULARY_DETECTION>", True: "<REFERRING_EXPRESSION_SEGMENTATION>"}
SAM = family_named("sam2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("florence2") / "model"
    make_florence2(path)
    return path


@pytest.fixture(scope="module")
def detector(folder):
    return load_detector(folder, torch.float32)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(FIXTURES / "photo.jpg").convert("RGB").resize((200, 120))


@pytest.fixture(scope="module")
def frame(photo) -> torch.Tensor:
    return torch.tensor(np.asarray(photo)).float() / 255


@pytest.fixture(scope="module")
def processor(folder, detector, frame):
    """The official one, whose image part needs no torchvision."""
    images = getattr(tf, "CLIPImageProcessorPil", None) or tf.CLIPImageProcessor
    prepared = images(
        size={"height": 64, "width": 64},
        do_center_crop=False,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    prepared.image_seq_length = detector.encode(frame).features[0].shape[1]
    tokenizer = tf.AutoTokenizer.from_pretrained(
        folder, extra_special_tokens={"image_token": "<image>"}
    )
    kinds = ("description_with_bboxes_or_polygons", "polygons")
    return tf.Florence2Processor(
        prepared, tokenizer, post_processor_config={kind: {} for kind in kinds}
    )


@pytest.fixture(scope="module")
def official(folder):
    return tf.Florence2ForConditionalGeneration.from_pretrained(folder).eval()


def _official_ids(official, processor, task, phrase, photo) -> torch.Tensor:
    inputs = processor(text=f"{task}{phrase}", images=photo, return_tensors="pt")
    with torch.no_grad():
        return official.generate(
            **inputs,
            num_beams=3,
            no_repeat_ngram_size=3,
            early_stopping=True,
            do_sample=False,
            max_new_tokens=40,
            decoder_start_token_id=2,
            forced_bos_token_id=0,
            forced_eos_token_id=2,
        )[0]


@pytest.mark.parametrize("draws", TASKS)
@pytest.mark.parametrize("phrase", PHRASES)
def test_it_reads_what_the_official_processor_prepares(
    draws, phrase, detector, processor, photo, frame
):
    asked = detector.drawing() if draws else detector
    wanted = processor(text=TASKS[draws] + phrase, images=photo, return_tensors="pt")
    image = asked.encode(frame).features[0].shape[1]
    assert wanted.input_ids[0, :image].eq(detector.module.config.image_token_id).all()
    assert asked._words(phrase)[0].tolist() == wanted.input_ids[0, image:].tolist()
    pixels = asked._pixels(asked._host_pixels(frame))
    torch.testing.assert_close(pixels, wanted.pixel_values, atol=1e-5, rtol=0)


@pytest.mark.parametrize("draws", TASKS)
@pytest.mark.parametrize("phrase", PHRASES)
def test_it_answers_and_finds_as_the_official_code(
    draws, phrase, detector, processor, official, photo, frame
):
    asked = detector.drawing() if draws else detector
    embedding = asked.encode(frame)
    ids = _official_ids(official, processor, TASKS[draws], phrase, photo)
    assert asked._answer(embedding.features[0], asked._words(phrase)) == ids[1:].tolist()
    text = processor.tokenizer.decode(ids, skip_special_tokens=False)
    answer = processor.post_process_generation(text, task=TASKS[draws], image_size=(200, 120))
    (found,) = asked.detect(embedding, [phrase], 0.4)
    boxes = _boxes(answer[TASKS[draws]])
    assert found.boxes.tolist() == [box for box in boxes if box[2] > box[0] and box[3] > box[1]]
    assert (found.logits is not None) is draws


def _boxes(answer: dict) -> list[list[float]]:
    """The boxes of an official answer, and those around its outlines."""
    boxes = [list(map(float, box)) for box in answer.get("bboxes", [])]
    for polygons in answer["polygons"]:
        points = [np.array(each).reshape(-1, 2) for each in polygons if len(each) > 4]
        if points:
            low, high = (getattr(np.concatenate(points), name)(axis=0) for name in ("min", "max"))
            boxes.append([*low.astype(float), *high.astype(float)])
    return boxes


def test_the_official_code_finds_something_in_these(detector, frame):
    """Else nothing above could fail."""
    embedding = detector.encode(frame)
    for asked in (detector, detector.drawing()):
        assert sum(len(found) for found in asked.detect(embedding, PHRASES, 0.4)) > 1


SQUARE = [[40, 30, 120, 30, 120, 90, 40, 90], [100, 50, 180, 50, 180, 110, 100, 110]]


@pytest.mark.parametrize("size", [(120, 200), (2400, 4000), (7, 200)])
def test_an_outlines_mask_is_the_union_of_its_polygons(size):
    height, width = size
    polygons = [
        [
            value * (width / 200 if index % 2 == 0 else height / 120)
            for index, value in enumerate(each)
        ]
        for each in SQUARE
    ]
    (mask,) = florence2._filled([{"polygons": polygons}], size)
    assert max(mask.shape) <= 1000
    picture = Image.new("1", (width, height))
    for each in polygons:
        ImageDraw.Draw(picture).polygon(each, fill=1)
    wanted = np.asarray(picture.resize(mask.shape[::-1], Image.Resampling.NEAREST))
    found = mask.numpy() > 0
    assert (found & wanted).sum() / (found | wanted).sum() > (0.95 if height > 100 else 0.6)


@pytest.mark.parametrize("polygons", [[], [[]], [[5, 5]], [[5, 5, 9, 9]], [[5, 5, 5, 9, 5, 12]]])
def test_what_has_no_area_is_no_object(polygons, detector, monkeypatch, frame):
    drawing = detector.drawing()
    kind = "polygons"
    monkeypatch.setattr(drawing, "_reader", lambda **_: {kind: [{"polygons": polygons}]}, False)
    (found,) = drawing.detect(drawing.encode(frame), ["dog"], 0.4)
    assert len(found) == 0 and found.best == 0
    assert found.logits is not None and len(found.logits) == 0


def test_a_score_says_that_it_is_there(detector, frame):
    """The model gives none. Remote providers without one have the same."""
    found = list(detector.detect(detector.encode(frame), PHRASES, 1.0))
    assert sum(map(len, found)) > 0
    for each in found:
        assert set(each.scores.tolist()) <= {1.0}
        assert each.best == float(len(each) > 0)


def test_the_same_question_has_the_same_answer(detector, frame):
    embedding = detector.encode(frame)
    torch.manual_seed(1)
    expected = [each.boxes.tolist() for each in detector.detect(embedding, PHRASES, 0.4)]
    torch.manual_seed(2)
    assert [each.boxes.tolist() for each in detector.detect(embedding, PHRASES, 0.4)] == expected


@pytest.mark.parametrize(
    ("settings", "most", "beams"),
    [({}, 1024, 3), ({"max_new_tokens": 7}, 7, 3), ({"max_new_tokens": 9999}, 1024, 3)]
    + [({"num_beams": 1, "do_sample": True, "temperature": 2.0}, 1024, 1)],
)
def test_how_an_answer_is_chosen(settings, most, beams, folder, tmp_path):
    """As the folder says, within bounds, and never by chance."""
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps(settings))
    chosen = load_detector(tmp_path / "model", torch.float32)._generation
    assert (chosen.max_new_tokens, chosen.num_beams, chosen.do_sample) == (most, beams, False)
    assert (chosen.no_repeat_ngram_size, chosen.early_stopping) == (3, True)


def test_the_first_releases_layout_is_refused_with_where_the_weights_are(folder, tmp_path):
    """Its code, which the folder names, would have to be run."""
    shutil.copytree(folder, tmp_path / "Florence-2-base")
    config = tmp_path / "Florence-2-base" / "config.json"
    content = json.loads(config.read_text())
    content["auto_map"] = {"AutoConfig": "configuration_florence2.Florence2Config"}
    config.write_text(json.dumps(content))
    (config.parent / "configuration_florence2.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(CheckpointError, match=r"never run.*florence-community/Florence-2-base"):
        load_detector(config.parent, torch.float32)


@pytest.mark.parametrize(("phrase", "says"), [("", "holds no words"), ("a " * 100, "takes 128")])
def test_sentences_that_are_refused(phrase, says, detector, frame):
    with pytest.raises(InputError, match=says):
        detector.detect(detector.encode(frame), [phrase], 0.4)


@pytest.mark.parametrize(
    ("family", "refine", "draws"),
    [
        (BUILT_IN, Refine.AUTO, True),
        (BUILT_IN, Refine.OFF, True),
        (BUILT_IN, Refine.ON, False),
        (SAM, Refine.AUTO, False),
        (SAM, Refine.OFF, True),
        (SAM, Refine.ON, False),
    ],
)
def test_it_draws_what_no_model_draws_anew(family, refine, draws, detector):
    assert isinstance(detector, DrawingDetector) and detector.mask_detail is MaskDetail.ROUGH
    finder = asked_to_draw(Finder(WordEmbedder(detector), detector), family, refine)
    assert finder.detector._draws is draws
    assert not detector._draws


@pytest.mark.parametrize("tiles", [0, 2])
def test_its_own_masks_are_those_of_the_image(tiles, detector, frame):
    """From the whole image, and from its parts."""
    finder = Finder(WordEmbedder(detector), detector)
    query = read_query(", ".join(PHRASES), "", 0.0, 0)
    asked = (frame[None], query, finder, BUILT_IN, lambda: Segmenter(GrabCutEngine()))
    if tiles:
        found = segment_closely(*asked, Closeness(tiles, False))
    else:
        found = segment_words(*asked)
    assert len(found.segments) > 0
    assert set(found.segments.labels) <= set(PHRASES)
    assert set(found.segments.scores.tolist()) == {1.0}
