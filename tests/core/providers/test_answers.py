"""Every provider and every form of its answers, through the whole way to the masks."""

from __future__ import annotations

import json

import pytest
import torch
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.providers.contract import ImageLimits
from segment_anywhere.core.providers.images import encode_picture, frame_pixels

from tests.support.asks import (
    SIZE,
    SQUARE,
    always_uploading,
    ask_for,
    run,
    square_image,
    square_mask,
)
from tests.support.overlap import iou

CLICK = ObjectPrompt("object 0", (Point(30, 20),))
SMALL = ObjectPrompt("object 1", (Point(8, 40),))
BOXED = ObjectPrompt("car", box=Box(*SQUARE))
CUSTOM = {"prompt": "square"}
HF = {"dialect": "huggingface", "model": "owner/model"}
ROBOFLOW = {"dialect": "roboflow"}


ANSWERS = [
    ("imagineo", {"mode": "mask_png"}, {"prompt": "a"}, {}, None),
    ("imagineo", {"mode": "cutout_rgba"}, {"prompt": "a"}, {}, None),
    ("imagineo", {"mode": "cutout_rgba"}, {"prompt": "a", "answer": "alpha"}, {}, None),
    ("imagineo", {"mode": "overlay_jpeg"}, {"prompt": "a"}, {}, None),
    ("imagineo", {"mode": "isolated_png"}, {"prompt": "a"}, {}, None),
    ("imagineo", {"mode": "isolated_png"}, {"prompt": "a", "answer": "difference"}, {}, None),
    ("imagineo", {"mode": "json_url"}, {"prompt": "a"}, {}, None),
    ("imagineo", {}, {"prompt": "a"}, {"auth": "x-api-key"}, None),
    ("imagineo", {}, {"prompt": "a"}, {"auth": "both"}, None),
    *(
        ("airefinery", {"mode": mode}, {}, {}, [CLICK])
        for mode in ("class_ids", "0_255", "palette", "rgb", "no_ground", "multi", "score_str")
    ),
    *(
        ("segmind", {"mode": mode}, {"prompt": "a"}, {}, None)
        for mode in (
            "jpeg",
            "png",
            "json_b64",
            "json_datauri",
            "json_url",
            "json_output",
            "bare_b64",
        )
    ),
    ("segmind", {}, {}, {}, [CLICK]),
    ("segmind", {}, {}, {}, [ObjectPrompt("object 0", (Point(30, 20), Point(5, 40, False)))]),
    *(
        ("moark", {"mode": mode}, {"prompt": "a"}, {}, None)
        for mode in ("coco_b64", "gzip_b64", "gzip_json_b64", "raw_coco", "list", "size_swapped")
    ),
    ("moark", {}, {"prompt": ""}, {}, None),
    ("fal", {"mode": "url"}, {"prompt": "a"}, {}, None),
    ("fal", {"mode": "data_uri"}, {"prompt": "a"}, {}, None),
    ("fal", {}, {"endpoint": "fal-ai/sam2/image"}, {}, [CLICK]),
    ("fal", {}, {"endpoint": "fal-ai/sam2/image"}, {}, [BOXED]),
    ("fal", {}, {"endpoint": "fal-ai/sam2/auto-segment"}, {}, None),
    ("fal", {}, {"endpoint": "fal-ai/sam-3/image", "prompt": "a"}, {}, None),
    ("fal", {}, {"endpoint": "fal-ai/sam-3/image", "prompt": "a"}, {}, [CLICK]),
    ("fal", {}, {"endpoint": "fal-ai/birefnet/v2"}, {}, None),
    ("fal", {}, {"endpoint": "fal-ai/birefnet/v2"}, {"body": {"output_mask": False}}, None),
    *(
        ("custom", {"mode": mode}, CUSTOM, {}, None)
        for mode in ("png", "rle", "cropped", "picture", "rows")
    ),
    ("custom", {}, {}, {}, [BOXED]),
    ("custom", {}, CUSTOM, HF, None),
    ("custom", {}, {}, HF, None),
    ("custom", {}, {"prompt": "a"}, ROBOFLOW, None),
    ("custom", {}, {}, ROBOFLOW, [CLICK]),
    ("custom", {}, {}, ROBOFLOW, [BOXED]),
]


@pytest.mark.parametrize(("key", "state", "options", "profile", "objects"), ANSWERS)
def test_every_form_of_answer_is_read(serve, key, state, options, profile, objects):
    server = serve(key, **state)
    found = [objects] if objects else None
    result = run(ask_for(server, key, options, found, **profile))
    segments = result.segments
    assert len(segments) == 1
    # JPEG smears the colours of an overlay by some pixels, of which this image has few.
    is_smeared = state.get("mode") == "overlay_jpeg"
    assert iou(segments.mask(0), square_mask()) > (0.85 if is_smeared else 0.93)
    assert segments.boxes[0].tolist() == pytest.approx(SQUARE, abs=3 if is_smeared else 1)
    assert 0 <= segments.scores[0] <= 1
    assert segments.labels[0]
    assert server.billed == 1
    assert server.leaks == []


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("airefinery", {}),
        ("segmind", {}),
        ("fal", {"endpoint": "fal-ai/sam2/image"}),
        ("fal", {"endpoint": "fal-ai/sam-3/image"}),
    ],
)
def test_objects_keep_their_names(serve, key, options):
    """AI Refinery takes both in one call, the others in one each."""
    server = serve(key)
    image = square_image()
    image[:, 38:46, 4:16] = torch.tensor([0.9, 0.8, 0.1])
    segments = run(ask_for(server, key, options, [[CLICK, SMALL]]), image).segments
    assert segments.labels == ("object 0", "object 1")
    assert iou(segments.mask(0), square_mask()) > 0.95
    assert segments.boxes[1].tolist() == pytest.approx([4, 38, 16, 46], abs=1)
    assert server.billed == (1 if key == "airefinery" else 2)


@pytest.mark.parametrize(
    ("key", "state", "options", "objects"),
    [
        ("airefinery", {"mode": "empty"}, {}, [CLICK]),
        ("moark", {"mode": "zero_segments"}, {"prompt": "a"}, None),
        *(
            (key, {}, {"prompt": "a"}, None)
            for key in ("imagineo", "segmind", "moark", "fal", "custom")
        ),
    ],
)
def test_nothing_found_is_no_error(serve, key, state, options, objects):
    """A plain picture has no object; the answer is an empty mask, or an empty list."""
    server = serve(key, **state)
    image = square_image() if state else torch.full((1, *SIZE, 3), 0.4)
    segments = run(ask_for(server, key, options, objects and [objects]), image).segments
    assert len(segments) == 0
    assert segments.batch == 1
    assert segments.size == SIZE
    assert server.billed == 1


def test_a_mask_of_another_size_gets_the_images(serve):
    segments = run(ask_for(serve("fal", mode="half_size"), "fal")).segments
    assert segments.full_masks().shape[-2:] == SIZE
    assert iou(segments.mask(0), square_mask()) > 0.8
    assert set(segments.full_masks().unique().tolist()) == {0, 255}


def test_soft_edges_stay_soft(serve):
    options = {"endpoint": "fal-ai/evf-sam", "prompt": "a", "blur_mask": 7, "expand_mask": 1}
    server = serve("fal")
    segments = run(ask_for(server, "fal", options)).segments
    assert len(segments.full_masks().unique()) > 10
    assert server.received[0].fields["blur_mask"] == 7


def test_a_large_image_is_scaled_down_and_its_mask_back_up(serve):
    """Longer than the longest side that is sent, 4096 pixels."""
    image = square_image().repeat_interleave(2, dim=1).repeat_interleave(100, dim=2)
    click = ObjectPrompt("object 0", (Point(3000, 40),))
    server = serve("airefinery")
    segments = run(ask_for(server, "airefinery", {}, [[click]]), image).segments
    assert segments.size == (96, 6400)
    assert segments.boxes[0].tolist() == pytest.approx([2000, 20, 5000, 70], abs=8)
    (point,) = server.received[0].fields["segment_prompt"][0]
    assert point == pytest.approx([3000 * 0.64, 40 * 0.64], abs=1)


def test_fal_uploads_what_is_too_large_for_a_request(serve):
    server = serve("fal")
    result = run(always_uploading(ask_for(server, "fal")))
    assert server.uploads == 1
    assert server.received[0].fields["image_url"].startswith(f"{server.url}/files/")
    assert len(result.segments) == 1
    assert server.leaks == []


@pytest.mark.parametrize("key", ["imagineo", "moark", "fal"])
def test_a_picture_by_its_address(serve, key):
    server = serve(key)
    url = server.store(encode_picture(frame_pixels(square_image()), ImageLimits()).data)
    segments = run(ask_for(server, key, {"prompt": "a", "image_url": url})).segments
    assert iou(segments.mask(0), square_mask()) > 0.95
    assert url in json.dumps(server.received[0].fields)


@pytest.mark.parametrize(
    ("key", "state", "options", "profile", "score"),
    [
        ("airefinery", {"mode": "score_str"}, {}, {}, 0.87),
        ("airefinery", {"mode": "multi"}, {}, {}, 0.5),
        ("airefinery", {}, {}, {}, 1.0),
        ("moark", {}, {"prompt": "a"}, {}, 0.95),
        ("segmind", {}, {"prompt": "a"}, {}, 1.0),
        ("imagineo", {}, {"prompt": "a"}, {}, 1.0),
        ("fal", {}, {"prompt": "a"}, {}, 1.0),
        ("fal", {}, {"endpoint": "fal-ai/sam-3/image", "prompt": "a"}, {}, 0.9),
        ("custom", {}, CUSTOM, {}, 0.9),
        ("custom", {"mode": "cropped"}, CUSTOM, {}, 0.9),
        ("custom", {}, CUSTOM, HF, 1.0),
        ("custom", {}, {"prompt": "a"}, ROBOFLOW, 0.8),
    ],
)
def test_the_score_is_the_providers_own(serve, key, state, options, profile, score):
    """1 where it gives none."""
    server = serve(key, **state)
    segments = run(ask_for(server, key, options, **profile)).segments
    assert segments.scores.tolist() == pytest.approx([score])


@pytest.mark.parametrize(
    ("key", "options", "profile"),
    [
        ("segmind", {}, {}),
        ("fal", {"endpoint": "fal-ai/sam2/image"}, {}),
        ("fal", {"endpoint": "fal-ai/sam-3/image"}, {}),
        ("custom", {}, ROBOFLOW),
    ],
)
def test_a_click_off_the_object_is_sent_as_one(serve, key, options, profile):
    server = serve(key)
    off = ObjectPrompt("object 0", (Point(30, 20), Point(5, 40, False)))
    run(ask_for(server, key, options, [[off]], **profile))
    sent = json.dumps(server.received[0].fields)
    signs = {
        "segmind": ['"coordinates": "[30,20]"', '"remove_coordinates": "[5,40]"'],
        "fal": ['{"x": 30, "y": 20, "label": 1}', '{"x": 5, "y": 40, "label": 0}'],
        "custom": ['{"x": 30, "y": 20, "positive": true}', '{"x": 5, "y": 40, "positive": false}'],
    }
    assert all(sign in sent for sign in signs[key]), sent
