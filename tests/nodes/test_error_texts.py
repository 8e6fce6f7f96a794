"""The errors that people meet most: a toast shows three lines, and the cure must be in them.

ComfyUI shows the whole text a click further on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from segment_anywhere.core.errors import SegmentAnywhereError
from segment_anywhere.core.providers.credentials import load_profile
from segment_anywhere.core.providers.registry import PROVIDERS
from segment_anywhere.core.tensors import image_size
from segment_anywhere.nodes import model_choices
from segment_anywhere.nodes.load_sam import LoadSAM

from tests.support.nodes import BUILT_IN, box_mask, load, noise, segment_points

TOAST = 200


def _points(text: str) -> Callable[[Path], object]:
    return lambda _: segment_points(load(BUILT_IN), noise(), text)


def _weights(content: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Loads what a file becomes of a good checkpoint."""

    def load_it(models: Path) -> object:
        good = (models / "sam2" / "random.pt").read_bytes()
        (models / "sam2" / "odd.pt").write_bytes(content(good))
        return load("sam2/odd.pt").segmenter()

    return load_it


def _page(_: bytes) -> bytes:
    return b"<!doctype html><title>404</title>"


def _without_key(models: Path) -> object:
    return load_profile(PROVIDERS["fal"], "", models, {})


CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a point outside": (_points("[[500, 60]]"), "points: point 0 at (500, 60)", "Move it, or"),
    "no JSON": (_points("[[500, 60]"), "points: not valid JSON", "Accepted: [[x, y], ...]"),
    "only negative points": (
        _points('[{"x": 9, "y": 9, "label": 0}]'),
        "points: object 1 has only negative",
        "Add a click on the object itself",
    ),
    "masks for other images": (
        lambda _: segment_points(load(BUILT_IN), noise(3), "", mask=box_mask(2)),
        "mask: found 2 masks for 3 images",
        "Repeat or select the masks",
    ),
    "no IMAGE": (
        lambda _: image_size(torch.zeros(1, 3, 8, 8)),
        "image: found a tensor of shape [1, 3, 8, 8]",
        "Connect an IMAGE output",
    ),
    "numbers that are none": (
        lambda _: segment_points(load(BUILT_IN), noise() * float("nan")),
        "image: frame 0 holds NaN",
        "mend it there",
    ),
    "a model that is not there": (
        lambda _: model_choices.resolve("sam2/gone.pt"),
        "model: sam2/gone.pt is not on this machine",
        "Put it into models/sam2",
    ),
    "an empty file": (_weights(lambda _: b""), "odd.pt: the file is empty", "Delete it from"),
    "a truncated file": (
        _weights(lambda good: good[: len(good) // 2]),
        "odd.pt: incomplete or damaged",
        "Delete it from",
    ),
    "a page for a file": (_weights(_page), "odd.pt: this is a web page", "Delete it and download"),
    "no network": (
        lambda _: LoadSAM.execute("sam2/sam2.1_hiera_tiny.pt", "auto"),
        "SAM 2.1 tiny could not be downloaded: HF_HUB_OFFLINE is set",
        "To go on, fetch https://",
    ),
    "no key": (_without_key, "fal: no key", "Set FAL_KEY or"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_comes_first_and_the_cure_soon(case, models, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    cause, found, cure = CASES[case]
    with pytest.raises(SegmentAnywhereError) as caught:
        cause(models)
    message = str(caught.value)
    assert message.startswith(found)
    assert cure in message[:TOAST]
