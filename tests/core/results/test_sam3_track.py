"""ComfyUI's own track as objects."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.sam3_track import read_track, track_instances
from torch import Tensor


def _packed(masks: Tensor) -> Tensor:
    """Bits as the host stores them: the first pixel of eight is the lowest bit."""
    weights = 2 ** torch.arange(8)
    return (masks.reshape(*masks.shape[:-1], -1, 8) * weights).sum(-1).to(torch.uint8)


def _track(masks: Tensor, size=(16, 16), **fields) -> dict:
    return {"packed_masks": _packed(masks), "orig_size": size, "n_frames": len(masks), **fields}


def _masks(frames: int = 2, objects: int = 2) -> Tensor:
    return torch.rand(frames, objects, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.5


def test_masks_of_the_frames_size_come_back_bit_by_bit():
    masks = _masks()
    frames = list(track_instances(read_track(_track(masks, scores=[0.75, 0.5]))))
    for index, found in enumerate(frames):
        assert [(each.id, each.frame, each.score) for each in found] == [
            (0, index, 0.75),
            (1, index, 0.5),
        ]
        for each in found:
            assert torch.equal(each.mask.pixels() > 0, masks[index, each.id])


def test_smaller_masks_are_enlarged_to_where_the_hosts_own_are_half():
    masks = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    masks[0, 0, 4:12, 2:9] = True
    ((found,),) = track_instances(read_track(_track(masks, size=(40, 56))))
    hosts = torch.nn.functional.interpolate(
        masks.float(), size=(40, 56), mode="bilinear", align_corners=False
    )
    assert torch.equal(found.mask.pixels() > 0, hosts[0, 0] > 0.5)


def test_an_object_that_is_not_seen_is_not_there():
    masks = _masks(frames=3)
    masks[1, 0] = False
    frames = list(track_instances(read_track(_track(masks)), ["dog"]))
    assert [[each.label for each in found] for found in frames] == [
        ["dog", "object 2"],
        ["object 2"],
        ["dog", "object 2"],
    ]
    assert all(each.score == 1.0 for found in frames for each in found)


def test_a_track_of_nothing():
    track = read_track({"packed_masks": None, "n_frames": 5, "scores": [], "orig_size": (8, 9)})
    assert len(track) == 5
    assert list(track_instances(track)) == [[]] * 5


@pytest.mark.parametrize(
    "value",
    [
        None,
        torch.zeros(3),
        {"packed_masks": None},
        {"packed_masks": torch.zeros(2, 3), "orig_size": (4, 4)},
        {"packed_masks": torch.zeros(1, 1, 8, 1), "orig_size": (4, 4)},
        {"packed_masks": None, "orig_size": (4, 4), "n_frames": 0},
    ],
)
def test_what_is_no_track_is_refused(value):
    with pytest.raises(InputError, match="track_data: found .* Run SAM3 Video Track"):
        read_track(value)
