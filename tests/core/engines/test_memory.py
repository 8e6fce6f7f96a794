"""What engines say they need beside their weights, at the official sizes.

Too little, and a GPU runs out of memory; too much, and the host evicts other models in vain.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers as tf
from segment_anywhere.core.engines.base import ClipFrame, Embedding
from segment_anywhere.core.engines.detectors import (
    clipseg,
    detr,
    florence2,
    grounding_dino,
    owlv2,
    segformer,
)
from segment_anywhere.core.engines.detectors.base import DetectorFolder, FolderDetector
from segment_anywhere.core.engines.image_model import FRAME_BYTES
from segment_anywhere.core.engines.lineage.prompted import (
    _GPU_OBJECTS,
    _MASK_BYTES,
    ModelPrompts,
    PromptedEngine,
)
from segment_anywhere.core.engines.sam import engine as sam
from segment_anywhere.core.engines.sam import hq, mobile
from segment_anywhere.core.engines.sam2 import edgetam
from segment_anywhere.core.engines.sam2 import engine as sam2
from segment_anywhere.core.engines.sam2.tracker import TOGETHER
from segment_anywhere.core.engines.sam3 import engine as sam3
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt

from tests.support.live_bytes import LiveBytes
from tests.support.needs import needs_rf_detr, needs_sam3, needs_timm
from tests.support.paths import FIXTURES
from tests.support.word_models import write_bert_tokenizer

OFFICIAL = "official_keys.json.gz"
MODELS = {
    "SAM ViT-B": (sam.from_official, f"sam_parity/{OFFICIAL}", "vit_b"),
    "SAM ViT-H": (sam.from_official, f"sam_parity/{OFFICIAL}", "vit_h"),
    "HQ-SAM ViT-B": (hq.from_official, f"sam_hq_parity/{OFFICIAL}", "vit_b"),
    "HQ-SAM ViT-H": (hq.from_official, f"sam_hq_parity/{OFFICIAL}", "vit_h"),
    "MobileSAM": (mobile.from_official, f"mobile_sam_parity/{OFFICIAL}", "vit_t"),
    "SAM 2.1 tiny": (sam2.from_official, f"sam2_parity/{OFFICIAL}", "sam2.1_hiera_tiny"),
    "SAM 2.1 large": (sam2.from_official, f"sam2_parity/{OFFICIAL}", "sam2.1_hiera_large"),
    "EdgeTAM": (edgetam.from_official, f"edgetam_parity/{OFFICIAL}", "edgetam"),
    "SAM 3": (sam3.from_official, "sam3_keys/sam3.json.gz", None),
}
MARKS = {"SAM 3": needs_sam3, "MobileSAM": needs_timm}


def _shapes(path: Path, entry: str | None) -> dict[str, list[int]]:
    with gzip.open(path, "rt") as file:
        content = json.load(file)
    return content[entry]["keys"] if entry else content


def _peak(work: Callable[[], object]) -> int:
    with LiveBytes() as counted:
        work()
    return counted.peak


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in MODELS])
def test_an_engine_needs_what_it_says(name, dtype):
    """Nearly so: it may say up to half as much again of what decoding takes."""
    make, keys, entry = MODELS[name]
    with torch.inference_mode(), torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in _shapes(FIXTURES / keys, entry).items()}
        engine: PromptedEngine = make(state, dtype)
        side = engine._image_size
        pixels = torch.empty(1, 3, side, side, dtype=dtype)
        embedding = Embedding(engine._features(pixels), (2160, 3840))
        points, labels = torch.empty(_GPU_OBJECTS, 1, 2), torch.ones(_GPU_OBJECTS, 1).int()
        prompts = ModelPrompts(points, labels, None, has_boxes=False)
        encoding = _peak(lambda: engine._features(pixels))
        decoding = _peak(lambda: engine.predict(embedding, prompts, True))
        assert encoding <= engine.activation_bytes() - FRAME_BYTES
        assert decoding <= engine.decoder_bytes(_GPU_OBJECTS) - _MASK_BYTES <= 1.5 * decoding


# CLIPSeg as it is published, and OWLv2's two sizes.
CLIP_DETECTORS = {
    "CLIPSeg": (clipseg, lambda: tf.CLIPSegForImageSegmentation(tf.CLIPSegConfig())),
    "OWLv2 base": (owlv2, lambda: _owlv2(image_size=960, patch_size=16)),
    "OWLv2 large": (
        owlv2,
        lambda: _owlv2(
            image_size=1008,
            patch_size=14,
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
        ),
    ),
}


# As they are published.
FLORENCES = {
    "base": {"projection_dim": 768},
    "large": {
        "projection_dim": 1024,
        "embed_dim": [256, 512, 1024, 2048],
        "num_heads": [8, 16, 32, 64],
        "num_groups": [8, 16, 32, 64],
    },
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", FLORENCES)
def test_florence_needs_what_it_says(name, dtype):
    """Reading an image takes more than the sentence and the answer."""
    vision = FLORENCES[name]
    text = {"model_type": "bart", "d_model": vision["projection_dim"], "vocab_size": 51289}
    with torch.inference_mode(), torch.device("meta"):
        config = tf.Florence2Config(vision_config=vision, text_config=text)
        model = tf.Florence2ForConditionalGeneration(config)
        detector = florence2.DETECTOR(DetectorFolder(model, None, {}), dtype)
        pixels = torch.empty(1, 3, 768, 768, dtype=dtype)
        encoding = _peak(lambda: detector._features(pixels))
    assert encoding <= detector.activation_bytes() - FRAME_BYTES <= 1.5 * encoding


def _owlv2(**vision: int) -> torch.nn.Module:
    return tf.Owlv2ForObjectDetection(tf.Owlv2Config(vision_config=vision))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CLIP_DETECTORS)
def test_a_detector_on_clip_needs_what_it_says(name, dtype):
    """Most of it for an image of 4K on its way."""
    module, make = CLIP_DETECTORS[name]
    with torch.inference_mode(), torch.device("meta"):
        detector: FolderDetector = module.DETECTOR(DetectorFolder(make(), None, {}), dtype)
        frame = torch.empty(1, 3, 2160, 3840)
        resizing = _peak(lambda: detector._resized(frame))
        pixels = detector._resized(torch.empty(1, 3, 48, 64)).to(dtype)
        encoding = _peak(lambda: detector._features(pixels))
    needed = max(resizing + frame.nbytes, encoding)
    assert needed <= detector.activation_bytes() <= 1.5 * needed


def _rf_detr() -> tf.PreTrainedModel:
    stages = ["stage3", "stage6", "stage9", "stage12"]
    sizes = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 432, "patch_size": 12}
    backbone = tf.RfDetrDinov2Config(num_windows=2, out_features=stages, **sizes)
    config = tf.RfDetrConfig(num_labels=91, num_queries=200, backbone_config=backbone)
    return tf.RfDetrForInstanceSegmentation(config)


def _segformer(sides: list[int], head: int) -> tf.PreTrainedModel:
    config = tf.SegformerConfig(num_labels=150, hidden_sizes=sides, decoder_hidden_size=head)
    return tf.SegformerForSemanticSegmentation(config)


CLASS_DETECTORS = {
    "RF-DETR Seg": (detr, _rf_detr, 432),
    "SegFormer B0": (segformer, lambda: _segformer([32, 64, 160, 256], 256), 512),
    "SegFormer B5": (segformer, lambda: _segformer([64, 128, 320, 512], 768), 640),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "name",
    [pytest.param("RF-DETR Seg", marks=needs_rf_detr), "SegFormer B0", "SegFormer B5"],
)
def test_a_detector_of_known_classes_needs_what_it_says(name, dtype):
    module, make, side = CLASS_DETECTORS[name]
    image = {"size": {"height": side, "width": side}}
    with torch.inference_mode(), torch.device("meta"):
        detector: FolderDetector = module.DETECTOR(DetectorFolder(make(), None, image), dtype)
        frame = torch.empty(1, 3, 2160, 3840)
        resizing = _peak(lambda: detector._resized(frame))
        pixels = detector._resized(torch.empty(1, 3, 48, 64)).to(dtype)
        encoding = _peak(lambda: detector._features(pixels))
    needed = max(resizing + frame.nbytes, encoding)
    assert needed <= detector.activation_bytes() <= 1.5 * needed


def _d_fine() -> tf.PreTrainedModel:
    """D-FINE L: on HGNetV2-B4."""
    backbone = tf.HGNetV2Config(
        stem_channels=[3, 32, 48],
        stage_in_channels=[48, 128, 512, 1024],
        stage_mid_channels=[48, 96, 192, 384],
        stage_out_channels=[128, 512, 1024, 2048],
        stage_num_blocks=[1, 1, 3, 1],
        stage_numb_of_layers=[6, 6, 6, 6],
        stage_light_block=[False, False, True, True],
        stage_kernel_size=[3, 3, 5, 5],
        hidden_sizes=[128, 512, 1024, 2048],
        out_features=["stage2", "stage3", "stage4"],
    )
    channels = backbone.hidden_sizes[1:]
    config = tf.DFineConfig(backbone_config=backbone, encoder_in_channels=channels, num_labels=80)
    return tf.DFineForObjectDetection(config)


def _rt_detr_v2() -> tf.PreTrainedModel:
    """RT-DETR v2 R50."""
    stages = ["stage2", "stage3", "stage4"]
    backbone = tf.RTDetrResNetConfig(depths=[3, 4, 6, 3], out_features=stages)
    return tf.RTDetrV2ForObjectDetection(tf.RTDetrV2Config(backbone_config=backbone, num_labels=80))


@pytest.mark.parametrize("make", [_d_fine, _rt_detr_v2])
def test_a_detr_that_reads_its_own_numbers_needs_what_it_says(make):
    """Which the device `meta` does not have. An image of half the official sides takes no minute on
    a CPU, and a little more for each pixel than a whole one; bf16, slow there, takes no more."""
    side = 320
    image = {"size": {"height": side, "width": side}}
    with torch.inference_mode():
        detector = detr.DETECTOR(DetectorFolder(make(), None, image), torch.float32)
        encoding = _peak(lambda: detector._features(torch.rand(1, 3, side, side)))
    assert encoding <= detr._PIXEL_BYTES * side**2 <= 1.5 * encoding


@pytest.mark.parametrize("phrases", [["dog"], ["red circle"] * 80])
def test_grounding_dino_needs_what_it_says(phrases, tmp_path):
    """At the official widths, with few layers and for an image of a quarter of the sides: the rest
    grows with its area."""
    backbone = tf.SwinConfig(depths=[1] * 4, out_features=["stage2", "stage3", "stage4"])
    words = {"vocab_size": 1100, "hidden_size": 64, "intermediate_size": 64}
    text = tf.BertConfig(num_hidden_layers=1, num_attention_heads=2, **words)
    layers = {"encoder_layers": 2, "decoder_layers": 2}
    config = tf.GroundingDinoConfig(backbone_config=backbone, text_config=text, **layers)
    write_bert_tokenizer(tmp_path)
    folder = DetectorFolder(
        tf.GroundingDinoForObjectDetection(config),
        tf.AutoTokenizer.from_pretrained(tmp_path),
        {"size": {"shortest_edge": 200, "longest_edge": 333}},
    )
    detector = grounding_dino.DETECTOR(folder, torch.float32)
    embedding = detector.encode(torch.zeros(200, 333, 3))
    finding = _peak(lambda: detector.detect(embedding, phrases, 0.3))
    assert finding <= detector.activation_bytes() <= 1.5 * finding


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["SAM 2.1 tiny", "SAM 2.1 large", "EdgeTAM"])
def test_following_objects_needs_no_more_than_encoding_is_said_to(name, dtype):
    make, keys, entry = MODELS[name]
    with torch.inference_mode(), torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in _shapes(FIXTURES / keys, entry).items()}
        engine: sam2.Sam2Engine = make(state, dtype)
        side = engine._image_size
        features = engine._features(torch.empty(1, 3, side, side, dtype=dtype))
        frame = ClipFrame(0, torch.empty(1), Embedding(features, (2160, 3840)))
        session = engine.track(16)
        objects = list(range(TOGETHER + 1))
        box = ObjectPrompt("box", box=Box(1, 1, 500, 500))
        session.start(frame, dict.fromkeys(objects, box))
        for index in range(1, 8):
            session.step(replace(frame, index=index), objects)
        needed = _peak(lambda: session.step(replace(frame, index=8), objects))
    assert 0.25 * engine.activation_bytes() < needed <= engine.activation_bytes() - FRAME_BYTES


def test_live_bytes_are_counted_once_and_given_back():
    given = torch.zeros(1000)
    with LiveBytes() as counted:
        made = given + 1
        view = made[:10].view(2, 5)
        made.add_(1)
        del made
        again = view.clone()
        del view
        last = torch.zeros(500)
    assert again.numel() + last.numel() == 510
    assert counted.peak == 4 * 1010
