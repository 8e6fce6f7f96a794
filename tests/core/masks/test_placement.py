"""Masks and images on a device beside the CPU, one of them or both."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.masks.inputs import MaskInputs
from segment_anywhere.core.masks.refine import Edge, Refinement, refine
from segment_anywhere.core.pictures.cutout import CutOutSettings, cut_out, selected_area
from torch import Tensor

from tests.support.pretended import DEVICE, copies
from tests.support.scenes import draw_scene

SCENE = draw_scene(500, 128)
IMAGE = torch.from_numpy(SCENE.image)[None, :100]
MASK = torch.from_numpy(SCENE.masks[-1]).float()[None, :100]
SOFT = torch.nn.functional.avg_pool2d(MASK[None], 5, 1, 2)[0]
HOST = torch.device("cpu")
EVERY_STAGE = Refinement(0.0, -1, 20, 3.0, 4.0, 3.0, Edge.GUIDED, True)


def _refined(mask: Tensor, image: Tensor) -> Tensor:
    return refine(mask, EVERY_STAGE, image)


def _cut(mask: Tensor, image: Tensor) -> Tensor:
    settings = CutOutSettings(background=(1.0, 0.0, 0.5))
    area = selected_area(mask)
    shape = mask[:, area[0], area[1]].shape
    out = torch.empty((*shape, settings.channels), device=mask.device)
    for _ in cut_out(image, mask, area, settings, out):
        pass
    return out


def _matched(mask: Tensor, image: Tensor) -> Tensor:
    return MaskInputs(mask).matched_mask(2, (50, 60))


@pytest.mark.parametrize("image_place", [HOST, DEVICE], ids=str)
@pytest.mark.parametrize("mask_place", [HOST, DEVICE], ids=str)
@pytest.mark.parametrize("mask", [MASK, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("work", [_refined, _cut, _matched])
def test_results_are_where_the_mask_is_and_those_of_the_cpu(work, mask, mask_place, image_place):
    expected = work(mask, IMAGE)
    with copies():
        found = work(mask.to(mask_place), IMAGE.to(image_place))
    assert found.device == mask_place
    # On a device PyTorch does what OpenCV does on the CPU.
    torch.testing.assert_close(found.cpu(), expected, atol=1 / 255, rtol=0)
