"""Answers that nobody promised, and that show a mask all the same: each is read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.support.asks import SIZE, SQUARE, ask_for, run, square_image, square_mask
from tests.support.odd_answers import HUGE, PNG, answer, counts, cropped
from tests.support.servers import faults
from tests.support.servers.vision import b64

RING = [[20, 10], [49, 10], [49, 34], [20, 34]]
FLAT = [number for point in RING for number in point]
POLYGONS = {
    "a polygon": RING,
    "a flat polygon": FLAT,
    "COCO's flat polygons": [FLAT],
    "nested polygons": [RING],
    "polygons of two parts": [FLAT[:6], FLAT[4:] + FLAT[:2]],
    "polygons of unequal parts": [FLAT, FLAT[:6]],
    "shares of the sides": [[number / SIZE[1 - at % 2] for at, number in enumerate(FLAT)]],
    "rows": square_mask().astype(int).tolist(),
    "rows of truth values": square_mask().tolist(),
    "rows of shares": (square_mask() * 0.9).tolist(),
}
READ = {
    **{
        f"{key}, a PNG labelled {kind}": (key, faults.body(PNG, kind))
        for key in ("imagineo", "segmind", "custom")
        for kind in ("application/json", "text/html", "application/octet-stream")
    },
    **{
        f"{key}, error {none!r}": (key, answer({"error": none, **good}))
        for none in (None, "", False)
        for key, good in (
            ("imagineo", {"success": True, "data": {"image": b64(PNG)}}),
            ("airefinery", {"data": [{"b64_json": b64(PNG)}]}),
            ("segmind", {"image": b64(PNG)}),
            ("moark", {"segments": [{"mask": counts()}]}),
            ("custom", {"data": [b64(PNG)]}),
        )
    },
    "JSON text with Base64": ("imagineo", answer(json.dumps(b64(PNG)))),
    "moark, error null, and a long answer": (
        "moark",
        answer({"error": None, "note": "x" * 5000, "segments": [{"mask": counts()}]}),
    ),
    "moark, a huge score": (
        "moark",
        answer({"segments": [{"mask": counts(), "confidence": HUGE}]}),
    ),
    "airefinery, a huge score": (
        "airefinery",
        answer({"data": [{"b64_json": b64(PNG), "score": HUGE}]}),
    ),
    "custom, a huge score": ("custom", answer({"data": [{"mask": b64(PNG), "score": HUGE}]})),
    "custom, a score of NaN": (
        "custom",
        answer({"data": [{"mask": b64(PNG), "score": float("nan")}]}),
    ),
    **{
        f"custom, {name}": ("custom", answer({"data": [{"segmentation": polygon}]}))
        for name, polygon in POLYGONS.items()
    },
    "an origin in numbers": ("custom", answer(cropped({"x": 20.0, "y": 10}))),
}


@pytest.mark.parametrize("name", READ)
def test_an_unusual_answer_is_read(serve, name):
    key, odd = READ[name]
    server = serve(key)
    server.faults.append(odd)
    segments = run(ask_for(server, key), square_image(3)).segments
    assert segments.frames.tolist() == [0, 1, 2]
    assert np.abs(segments.boxes.numpy() - SQUARE).max() <= 1
    assert all(0 <= score <= 1 for score in segments.scores.tolist())
    assert len(server.received) == 3


@pytest.mark.parametrize("none", [None, "", False])
def test_fal_may_say_that_there_was_no_error(serve, none):
    """In the status of a job, and in its result."""
    server = serve("fal")

    def change(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "error": none}).encode()

    server.status_faults += [faults.changed(change)] * 20
    server.result_faults.append(faults.changed(change))
    assert len(run(ask_for(server, "fal")).segments) == 1


def test_fals_scores_may_be_huge(serve):
    server = serve("fal")
    server.result_faults.append(answer({"masks": [f"data:,{b64(PNG)}"], "scores": [HUGE]}))
    ask = ask_for(server, "fal", {"endpoint": "fal-ai/sam-3/image", "prompt": "square"})
    assert len(run(ask, square_image(3)).segments) == 3


@pytest.mark.parametrize(
    ("origin", "box"),
    [
        ({"x": -10, "y": -5}, (0, 0, 20, 20)),
        ({"x": 50, "y": 40}, (50, 40, 64, 48)),
        ({"x": 64, "y": 0}, None),
        ({"x": 0, "y": 48}, None),
        ({"x": -30, "y": 0}, None),
        ({"x": 1e300, "y": -HUGE}, None),
    ],
)
def test_a_mask_that_lies_partly_outside_is_cut_there(serve, origin, box):
    """And not moved inside: every pixel stays at its place."""
    server = serve("custom")
    server.faults.append(answer(cropped(origin)))
    segments = run(ask_for(server, "custom")).segments
    assert [tuple(each.tolist()) for each in segments.boxes] == ([box] if box else [])


ODD_LABELS = ["\ud800 cat", "cat\n\0dog", "\u202ecat", "猫", "x" * 5000, "a..b", "xn--\xfc"]


def test_labels_of_odd_letters_can_be_shown(serve):
    """In a message, a file and the JSON of the results."""
    server = serve("moark")
    server.faults.append(
        answer({"segments": [{"mask": counts(), "label": label} for label in ODD_LABELS]})
    )
    labels = run(ask_for(server, "moark")).segments.labels
    assert len(labels) == len(ODD_LABELS)
    assert all(label and label.isprintable() and label.encode() for label in labels)
    assert labels[3] == "猫"
    assert max(map(len, labels)) <= 300
