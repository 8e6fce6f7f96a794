"""Frames that become a video, and what comes out of it again."""

from __future__ import annotations

import io
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from headless.errors import WorkflowError
from headless.sinks.files import FileData, NodeResult
from headless.sinks.videos import as_videos, encode, lossless


def _decoded(data: bytes) -> tuple[list[np.ndarray], Fraction, str]:
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        frames = [each.to_ndarray(format="rgb24") for each in container.decode(stream)]
        return frames, stream.average_rate, stream.codec_context.name


def _masks(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """A disc with soft edges that moves to the right."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    far = [np.hypot(rows - 20, columns - 12 - 2 * each) for each in range(count)]
    grey = [((14 - each).clip(0, 1) * 255).astype(np.uint8) for each in far]
    return [np.repeat(each[..., None], 3, axis=2) for each in grey]


# How many of 16 x 3072 pixels may change sides.
@pytest.mark.parametrize(
    ("codecs", "name", "changed"), [(("libx264",), "h264", 0), ((), "mpeg4", 48)]
)
@pytest.mark.parametrize("rate", [24.0, 30000 / 1001, 12.5])
def test_a_mask_video_has_the_masks(monkeypatch, codecs, name, changed, rate):
    monkeypatch.setattr(av, "codecs_available", set(codecs))
    masks = _masks(16)
    frames, found_rate, codec = _decoded(encode(masks, rate, exact=True))
    assert codec == name and float(found_rate) == pytest.approx(rate, rel=1e-6)
    assert len(frames) == 16
    pairs = list(zip(masks, frames, strict=True))
    assert sum(((a >= 128) != (b >= 128))[..., 0].sum() for a, b in pairs) <= changed
    assert max(np.abs(a - b.astype(int)).mean() for a, b in pairs) < 1


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (1, 1)])
@pytest.mark.parametrize("codecs", [{"libx264"}, set()])
def test_every_size_stays(monkeypatch, size, codecs):
    monkeypatch.setattr(av, "codecs_available", codecs)
    frames, _, _ = _decoded(encode([np.zeros((*size, 3), np.uint8)] * 3, 24, exact=False))
    assert [each.shape for each in frames] == [(*size, 3)] * 3


def test_a_clip_without_loss_has_exactly_its_frames_and_repeats_stay():
    noise = np.random.default_rng(0).integers(0, 256, (3, 33, 47, 3), np.uint8)
    pictures = [noise[0], noise[1], noise[1], noise[1], noise[2]]
    frames, rate, _ = _decoded(lossless(pictures, 5.0))
    assert rate == 5 and np.array_equal(np.stack(frames), np.stack(pictures))


def _png(pixels: np.ndarray) -> FileData:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return FileData(stream.getvalue())


def test_what_is_a_picture_for_each_frame_becomes_a_video_and_nothing_else():
    masks = [_png(each) for each in _masks(4)]
    alpha = np.dstack([np.full((4, 6, 3), 200, np.uint8), np.zeros((4, 6), np.uint8)])
    alpha[:, 3:, 3] = 255
    results = [
        NodeResult("1", masks),
        NodeResult("2", masks[:3]),
        NodeResult("3", [FileData(b"webm", ".webm")] * 4),
        NodeResult("4", (), ["text"]),
        NodeResult("5", [_png(alpha)] * 4),
    ]
    made = as_videos(results, 4, 24)
    assert [len(each.files) for each in made] == [1, 3, 4, 0, 1]
    assert made[0].files[0].suffix == ".mp4" and made[1:4] == results[1:4]
    # What is transparent is black.
    frame = _decoded(made[4].files[0].data)[0][0]
    assert frame[:, 0].max() < 20 and frame[:, 5].min() > 180


def test_without_pyav_the_command_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(WorkflowError, match=r"video needs the package av.*pip install av"):
        encode(_masks(1), 24, exact=True)
