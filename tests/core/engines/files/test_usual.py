"""The SAM to start with, of what people have."""

from __future__ import annotations

from itertools import pairwise

import pytest
import transformers
from segment_anywhere.core.engines.families import FAMILIES
from segment_anywhere.core.engines.files import usual
from segment_anywhere.core.engines.files.catalogue import CATALOGUE
from segment_anywhere.core.engines.files.strangers import STRANGERS
from segment_anywhere.core.engines.files.usual import families_that_run, usual_sam

ALL = frozenset(family.name for family in FAMILIES)

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
]


STRANGE = {
    "the tiny HQ-SAM": ["sams/sam_hq_vit_tiny.pth", "sam2/sam-hq-vit-tiny"],
    "EfficientSAM": ["sams/efficient_sam_vitt.pt", "sam3/efficient_sam3_tinyvit.pt"],
    "EfficientTAM": ["sam2/efficienttam_s_512x512.pt", "sam2/EfficientTAM/large.pt"],
    "EVF-SAM": ["sams/EVF-SAM2/model.safetensors", "sam2/evf-sam2-large"],
}
"""As they are published, and where nothing but that part of the name tells what they are."""

OTHERS = [
    "sams/SeC-4B-fp16.safetensors",
    "sam2/sam2.1_hq_hiera_large.pt",
    "sams/hq_sam2.1_hiera_large.pt",
    "sams/sam-3d-body",
    "sam3/sam3-litetext-s0",
    "sams/mine.safetensors",
]


@pytest.mark.parametrize(("better", "worse"), list(pairwise(BEST_FIRST)))
def test_where_nothing_is_slow_the_best_comes_first(better, worse):
    assert usual_sam([worse, better], on_cpu=False, families=ALL) == better


@pytest.mark.parametrize(("better", "worse"), list(pairwise(BEST_ON_CPU)))
def test_on_a_cpu_what_takes_seconds_comes_first(better, worse):
    assert usual_sam([worse, better], on_cpu=True, families=ALL) == better


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["sam3/sam2.1_hiera_tiny.pt", "sam2/sam2.1_hiera_small.pt"], 1),
        (["sam3/sam2.1_hiera_large.pt", "sam2/sam2_hiera_large.pt"], 0),
        (["sam3/anything.pt", "sam2/sam2.1_hiera_large.pt"], 0),
    ],
)
def test_the_folder_counts_where_the_files_own_name_tells_nothing(names, first):
    assert usual_sam(names, on_cpu=False, families=ALL) == names[first]


@pytest.mark.parametrize("on_cpu", [False, True])
@pytest.mark.parametrize("name", [*OTHERS, *(name for names in STRANGE.values() for name in names)])
def test_what_cannot_run_or_tells_nothing_is_no_start(name, on_cpu):
    assert usual_sam([name], on_cpu, ALL) is None
    assert usual_sam([name, "sams/mobile_sam.pt"], on_cpu, ALL) == "sams/mobile_sam.pt"


def test_all_models_that_are_refused_by_name_are_tried():
    assert {stranger.title for stranger in STRANGERS} == set(STRANGE)


@pytest.mark.parametrize("on_cpu", [False, True])
@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.file)
def test_what_can_be_downloaded_is_recognised_for_what_it_is(entry, on_cpu):
    name = f"{entry.folder}/{entry.file}"
    assert usual_sam([name], on_cpu, {entry.family}) == name
    assert usual_sam([name], on_cpu, ALL - {entry.family}) is None


@pytest.mark.parametrize("on_cpu", [False, True])
@pytest.mark.parametrize("name", ["sam3/sam3.pt", "sams/mobile_sam.pt"])
def test_without_its_library_a_model_is_no_start(name, on_cpu):
    runs = ALL - {"sam3", "mobile_sam"}
    assert usual_sam([name], on_cpu, runs) is None
    assert usual_sam([name, "sams/sam_vit_h.pth"], on_cpu, runs) == "sams/sam_vit_h.pth"


@pytest.fixture
def asked_anew():
    """What runs is found out once; here it changes."""
    families_that_run.cache_clear()
    yield
    families_that_run.cache_clear()


@pytest.mark.usefixtures("asked_anew")
def test_whether_the_library_that_is_installed_has_sam_3():
    assert ("sam3" in families_that_run()) is hasattr(transformers, "Sam3Model")


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize(
    ("release", "has_timm", "families"),
    [
        ("4.56.2", True, set()),
        ("4.57.0", False, {"sam", "sam_hq", "sam2", "edgetam"}),
        ("4.57.6", True, {"sam", "sam_hq", "sam2", "edgetam", "mobile_sam"}),
        ("5.0.0rc1", False, {"sam", "sam_hq", "sam2", "edgetam", "sam3"}),
        ("5.23.0", True, ALL - {"grabcut"}),
    ],
)
def test_what_the_libraries_have(release, has_timm, families, monkeypatch):
    monkeypatch.setattr(usual, "version", {"transformers": release}.__getitem__)
    monkeypatch.setattr(usual, "find_spec", {"timm": "found" if has_timm else None}.get)
    assert families_that_run() == families


@pytest.mark.usefixtures("asked_anew")
def test_without_any_library_nothing_runs(monkeypatch):
    def missing(name: str) -> str:
        raise usual.PackageNotFoundError(name)

    monkeypatch.setattr(usual, "version", missing)
    assert families_that_run() == set()
