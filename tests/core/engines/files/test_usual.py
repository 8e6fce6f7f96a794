"""The SAM to start with, of what people have."""

from __future__ import annotations

from itertools import pairwise

import pytest
import transformers
from segment_anywhere.core.engines.files.catalogue import CATALOGUE
from segment_anywhere.core.engines.files.usual import has_sam3_classes, usual_sam

BEST_FIRST = [
    "checkpoints/sam3.1_multiplex_fp16.safetensors",
    "sam2/sam2.1_hiera_large.pt",
    "sam2/sam2.1_hiera_base_plus.pt",
    "sam2/sam2.1-hiera-small",
    "sam2/SAM2.1_Hiera_Tiny-fp16.safetensors",
    "sam2/sam2_hiera_large.pt",
    "sam2/sam2_hiera_tiny.pt",
    "sams/sam_hq_vit_h.pth",
    "sams/sam-vit-huge",
    "sams/sam_hq_vit_l.pth",
    "sams/sam_vit_l_0b3195.pth",
    "sams/sam_hq_vit_b.pth",
    "sams/sam_vit_b_01ec64.pth",
    "sam2/edgetam.pt",
    "sams/mobile_sam.pt",
    "sams/mine.safetensors",
]
"""As they lie in people's folders, in the order for a GPU."""

BEST_ON_CPU = [
    "sam2/sam2.1_hiera_base_plus.pt",
    "sam2/sam2.1_hiera_tiny.pt",
    "sam2/edgetam.pt",
    "sams/mobile_sam.pt",
    "sam2/sam2.1_hiera_large.pt",
    "sams/sam_vit_b_01ec64.pth",
    "sam3/sam3.pt",
    "sams/sam_hq_vit_h.pth",
    "sams/mine.safetensors",
]


@pytest.mark.parametrize(("better", "worse"), list(pairwise(BEST_FIRST)))
def test_where_nothing_is_slow_the_best_comes_first(better, worse):
    assert usual_sam([worse, better], on_cpu=False, runs_sam3=True) == better


@pytest.mark.parametrize(("better", "worse"), list(pairwise(BEST_ON_CPU)))
def test_on_a_cpu_what_takes_seconds_comes_first(better, worse):
    assert usual_sam([worse, better], on_cpu=True, runs_sam3=True) == better


@pytest.mark.parametrize("on_cpu", [False, True])
def test_a_name_that_says_nothing_will_do_where_there_is_no_other(on_cpu):
    assert usual_sam(["sams/mine.pt"], on_cpu, True) == "sams/mine.pt"
    assert usual_sam([], on_cpu, True) is None


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.file)
def test_what_can_be_downloaded_is_recognised(entry):
    name = f"{entry.folder}/{entry.file}"
    for on_cpu in (False, True):
        assert usual_sam(["sams/a.pt", name], on_cpu, True) == name


def test_sam_3_comes_last_where_the_library_is_too_old_for_it():
    sam3, other = "sam3/sam3.pt", "sams/mine.pt"
    assert usual_sam([sam3, other], on_cpu=False, runs_sam3=False) == other
    assert usual_sam([sam3], on_cpu=False, runs_sam3=False) == sam3


def test_whether_the_library_has_sam_3():
    assert has_sam3_classes() is hasattr(transformers, "Sam3Model")
