"""The rules for translations notice what they are for, and let good ones pass."""

from __future__ import annotations

import pytest

from .translations import left_in_english, lost

POINTS = 'JSON: [[450, 300]] is one click. "frame" says where, 0 first.'


@pytest.mark.parametrize(
    ("english", "text", "missing"),
    [
        (POINTS, 'JSON: [[450, 300]] ist ein Klick. "frame" sagt, wo, 0 zuerst.', []),
        (POINTS, 'JSON: [[450]] ist ein Klick. "frame" sagt, wo, 0 zuerst.', ["300"]),
        (POINTS, 'JSON: [[450, 300]] ist ein Klick. "Frame" sagt, wo, 0.', ['"frame"']),
        (POINTS, 'Text: [[450, 300]] ist ein Klick. "frame" sagt, wo, 0.', ["JSON"]),
        ("0 is off, 0.2 is low.", "0 ist aus, 0,2 ist wenig.", ["0.2"]),
        ("0 for all, 0 each.", "0 はすべて。", ["0"]),
        ("A 48th of the side.", "画像の 48 分の 1。", []),
        ("Found {0} of {1}.", "{1} 中 {0}", []),
        ("Found {0} of {1}.", "{0} von {0}.", ["{1}"]),
        ("From models/sams.", "来自 models/sam。", ["models/sams"]),
        ("From config.json.", "来自 config。", ["config.json"]),
        ("SAM and IoU, as fp16.", "sam 与 iou，fp32。", ["16", "SAM", "IoU", "fp16"]),
        ("Such as #00ff00.", "Etwa #00FF00.", ["#00ff00"]),
    ],
)
def test_what_is_lost(english, text, missing):
    assert lost(english, text) == missing


@pytest.mark.parametrize(
    ("english", "text", "missing"),
    [
        ("auto: the largest. off leaves all.", "auto：最大的。off 全部保留。", []),
        ("auto: the largest. off leaves all.", "自动：最大的。关闭则全部保留。", ["auto", "off"]),
        ("For edge = off.", "用于边缘 = 关闭。", ["off"]),
        ("The best, and what is off.", "最好的，以及关闭的。", []),
    ],
)
def test_options_are_kept_where_they_are_explained(english, text, missing):
    assert lost(english, text, ["auto", "off", "best"]) == missing


@pytest.mark.parametrize(
    ("english", "text", "language", "expected"),
    [
        ("mask", "Maske", "de", False),
        ("mask", "mask", "de", True),
        ("mask_a", "Mask a", "fr", True),
        ("image", "image", "fr", False),
        ("image", "image", "de", True),
        ("json", "JSON", "ja", False),
        ("A mask. One per image.", "Eine Maske. One for every image.", "de", True),
        ("A mask. One per image.", "マスク。One for every image.", "ja", True),
        ("From ComfyUI's Run SAM3 Video Track.", "Von Run SAM3 Video Track.", "de", False),
        ("The whole.", "Löst, fügt hinzu, où l’été a été noté.", "fr", False),
    ],
)
def test_what_is_left_in_english(english, text, language, expected):
    assert left_in_english(english, text, language) is expected


def test_options_may_be_english():
    text = "objects of one image：同一张图像中的对象。"
    assert left_in_english("Objects.", text, "zh")
    assert not left_in_english("Objects.", text, "zh", ["objects of one image"])
