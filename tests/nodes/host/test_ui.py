"""The pictures in the nodes: what a browser finds, and that nothing is drawn for nobody."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.pictures.render import PALETTE
from segment_anywhere.nodes import NODES
from segment_anywhere.nodes.draw_segments import DrawSegments
from segment_anywhere.nodes.host import folders
from segment_anywhere.nodes.load_sam import LoadSAM
from segment_anywhere.nodes.mask_refine import MaskRefine
from segment_anywhere.nodes.point_segment import PointSegment
from segment_anywhere.nodes.save_segments import SaveSegments
from segment_anywhere.nodes.text_segment import TextSegment
from segment_anywhere.nodes.to_segs import SegmentsToSEGS
from server import PromptServer

from tests.support.nodes import SIZE, one_object


@torch.inference_mode()
def _draw(image, segments, **settings):
    return DrawSegments.execute(image, segments, **settings)


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
    output = _draw(image, one_object(20, (90, 1200)))
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
        output = MaskRefine.execute(**settings, segments=one_object())
    (picture,) = _shown(output, browser)
    assert np.array_equal(np.asarray(picture), one_object().mask(0).numpy())


@pytest.mark.parametrize("sockets", [{}, {"another tab": object()}])
def test_nothing_is_drawn_where_nobody_looks(browser, monkeypatch, sockets):
    """Neither for a script without a socket, nor for the headless runner."""
    monkeypatch.setattr(PromptServer.instance, "sockets", sockets)
    output = _draw(torch.zeros(1, *SIZE, 3), one_object())
    assert output.ui == {"text": ["1 object"]}
    assert not browser.exists()


WITHOUT_PICTURES = {LoadSAM, SaveSegments, SegmentsToSEGS}


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


@pytest.mark.parametrize("node", [each for each in NODES if each not in WITHOUT_PICTURES])
def test_what_nobody_looked_at_is_no_result_for_a_browser(node, browser, monkeypatch):
    """ComfyUI would show a browser what a script's run has left in the cache, without pictures."""
    inputs = {"detector": "auto"} if node is TextSegment else {}
    watched = node.fingerprint_inputs(**inputs)
    monkeypatch.setattr(PromptServer.instance, "sockets", {})
    assert node.fingerprint_inputs(**inputs) != watched
