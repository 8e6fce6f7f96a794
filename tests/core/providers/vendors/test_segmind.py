"""Segmind: its two switches, and what is taken away beside words."""

from __future__ import annotations

import json

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point

from tests.support.asks import ask_for, grainy_image, run, square_image, square_mask
from tests.support.overlap import iou

NOT_SMALL = ObjectPrompt("object 0", (Point(8, 40, False),))
WORDS = {"prompt": "square"}
# JPEG smears the colours of an overlay by some pixels, of which this image has few.
SMEARED = 0.85


@pytest.mark.parametrize("mode", ["jpeg", "png"])
@pytest.mark.parametrize("base64", [False, True])
@pytest.mark.parametrize("overlay", [False, True])
@pytest.mark.parametrize("is_in_profile", [False, True])
def test_its_switches_change_the_answer_and_not_the_mask(
    serve, mode, base64, overlay, is_in_profile
):
    """An overlay shows the mask where it differs from the image, anything else by brightness."""
    server = serve("segmind", mode=mode)
    own = {"base64": base64, "overlay_mask": overlay}
    ask = (
        ask_for(server, "segmind", WORDS, body=own)
        if is_in_profile
        else ask_for(server, "segmind", WORDS | own)
    )
    segments = run(ask, grainy_image()).segments
    fields = server.received[0].fields
    assert {name: fields[name] for name in own} == own
    assert len(segments) == 1
    is_smeared = overlay and mode == "jpeg"
    assert iou(segments.mask(0), square_mask()) > (SMEARED if is_smeared else 0.93)


@pytest.mark.parametrize(
    "mode", ["json_b64", "json_datauri", "json_url", "json_output", "bare_b64"]
)
def test_an_overlay_within_json(serve, mode):
    server = serve("segmind", mode=mode)
    options = {**WORDS, "overlay_mask": True, "base64": True}
    segments = run(ask_for(server, "segmind", options), grainy_image()).segments
    assert iou(segments.mask(0), square_mask()) > SMEARED


def two_objects() -> torch.Tensor:
    image = square_image()
    image[:, 38:46, 4:16] = torch.tensor([0.9, 0.8, 0.1])
    return image


def test_words_without_what_lies_under_points(serve):
    server = serve("segmind", mode="png")
    segments = run(ask_for(server, "segmind", WORDS, [[NOT_SMALL]]), two_objects()).segments
    fields = server.received[0].fields
    assert fields["prompt"] == "square"
    assert json.loads(fields["remove_coordinates"]) == [8, 40]
    assert "coordinates" not in fields
    assert segments.labels == ("square",)
    assert iou(segments.mask(0), square_mask()) > 0.95


def test_words_beside_what_is_wanted_are_still_refused(serve):
    """Segmind would leave the points aside without a word."""
    server = serve("segmind")
    click = ObjectPrompt("object 1", (Point(30, 20),), number=1)
    with pytest.raises(InputError, match="words or points and boxes, not both"):
        run(ask_for(server, "segmind", WORDS, [[NOT_SMALL, click]]))
    assert server.received == []
