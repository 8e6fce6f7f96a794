"""What following a clip takes beside frames and result: the same for any number of frames."""

from __future__ import annotations

import gc

import pytest
import torch
from segment_anywhere.core.cache import RunCache
from segment_anywhere.core.engines.base import Engine
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.tasks.key_frames import read_subjects
from segment_anywhere.core.tasks.segmenter import Segmenter
from segment_anywhere.core.tasks.tracking import follow

from tests.support.clip_reference import ClipReference
from tests.support.live_bytes import LiveBytes
from tests.support.paths import FIXTURES

SIZE = (48, 64)


def _engine(kind: str) -> Engine:
    if kind == "optical flow":
        return GrabCutEngine()
    return ClipReference(FIXTURES / "sam2_video_parity").engine()


def _clip(frames: int) -> torch.Tensor:
    """Textured squares that go to and fro on texture."""
    noise = torch.rand(*SIZE, 3, generator=torch.Generator().manual_seed(0)) * 0.3
    clip = noise.expand(frames, -1, -1, -1).clone()
    for frame in range(frames):
        left = 4 + abs(frame % 16 - 8)
        clip[frame, 6:20, left : left + 16] += torch.tensor([0.6, 0.0, 0.0])
        clip[frame, 26:42, left : left + 16] += torch.tensor([0.0, 0.0, 0.6])
    return clip


def _peak(kind: str, frames: int) -> int:
    """The most bytes of tensors at a time; the caches, bounded by themselves, keep one each."""
    clip = _clip(frames)
    prompts = [
        ObjectPrompt("red", (Point(16, 12),), Box(4, 6, 29, 20), number=0),
        ObjectPrompt("blue", (Point(16, 34),), Box(4, 26, 29, 42), number=1),
    ]
    subjects = read_subjects({frames // 2: prompts}, None, frames, SIZE)
    segmenter = Segmenter(_engine(kind), cache_bytes=1)
    segmenter.tracks = RunCache(1)
    gc.collect()
    with LiveBytes() as live:
        found = follow(segmenter, clip, subjects)
    assert found.method == kind
    return live.peak


@pytest.mark.parametrize("kind", ["memory", "optical flow"])
def test_many_frames_take_no_more_than_some(kind):
    """Enough for a memory to be full: 16 pointers each way."""
    some, many = _peak(kind, 36), _peak(kind, 72)
    # A megabyte for each hundred frames is allowed at full size; at this one next to nothing.
    assert many - some < 2**14
