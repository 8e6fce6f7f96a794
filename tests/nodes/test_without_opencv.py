"""What works on a ComfyUI without any OpenCV, and what says that it needs it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from segment_anywhere.core.errors import MissingLibrary
from segment_anywhere.core.results.segments import Segments
from segment_anywhere.nodes.combine import Combine
from segment_anywhere.nodes.compare_segments import CompareSegments
from segment_anywhere.nodes.crop_segments import CropSegments
from segment_anywhere.nodes.cut_out import CutOut
from segment_anywhere.nodes.draw_segments import DrawSegments
from segment_anywhere.nodes.mask_refine import MaskRefine
from segment_anywhere.nodes.remote_segment import RemoteProviderSegment
from segment_anywhere.nodes.segment_everything import SegmentEverything
from segment_anywhere.nodes.select_segments import SelectSegments
from segment_anywhere.nodes.stitch_segments import StitchSegments
from segment_anywhere.nodes.track_segments import TrackSegments

from tests.support.nodes import (
    BUILT_IN,
    CLICK,
    SAM2,
    box_mask,
    load,
    noise,
    random_detector,
    segment_points,
    segment_words,
    two_objects,
)
from tests.support.paths import FIXTURES
from tests.support.without_opencv import without_opencv

pytestmark = pytest.mark.usefixtures("with_memory")
OFF = {
    **{"fill_holes": 0, "remove_islands": 0, "expand": 0.0, "smooth": 0.0, "feather": 0.0},
    **{"edge": "none", "threshold": 0.0, "invert": False},
}


@pytest.fixture
def with_memory(shelf) -> None:
    """Beside the other models a SAM 2 whose file has its tracker."""
    shutil.copytree(FIXTURES / "sam2_tiny_video", shelf / "sam2" / "video")


def _refine(**settings: Any) -> Callable:
    return lambda: MaskRefine.execute(**{**OFF, **settings}, mask=box_mask(), image=noise())


def _track(model: str) -> Callable:
    return lambda: TrackSegments.execute(load(model), noise(3), CLICK, "both", "best", 0)


def _everything(min_area: int) -> Callable:
    return lambda: SegmentEverything.execute(load(), noise(), 4, 0.0, 0.0, min_area)


def _crop_and_stitch():
    crops, _, _, stitch = CropSegments.execute(noise(), two_objects(), size=32).args[:4]
    return StitchSegments.execute([stitch], [1 - each for each in crops], [4.0])


def _words(detector: str) -> Callable:
    return lambda: segment_words(load(), noise(), "cat", detector, threshold=0.01)


WORKS: dict[str, Callable] = {
    "Point Segment": lambda: segment_points(load(), noise()),
    "Text Segment, OWLv2": _words(random_detector("owlv2")),
    "Segment Everything": _everything(min_area=0),
    "Track Segments by memory": _track("sam2/video"),
    "Select Segments": lambda: SelectSegments.execute(two_objects(), "cat"),
    "Combine Segments": lambda: Combine.execute("xor", mask_a=box_mask(), segments_b=two_objects()),
    "Compare Segments": lambda: CompareSegments.execute(two_objects(), two_objects()),
    "Draw Segments, areas": lambda: DrawSegments.execute(noise(), two_objects(), "fill"),
    "Draw Segments, label map": lambda: DrawSegments.execute(noise(), two_objects(), "label map"),
    "Mask Refine, threshold": _refine(threshold=0.5),
    "Mask Refine, expand": _refine(expand=3.0),
    "Mask Refine, smooth": _refine(smooth=2.0),
    "Mask Refine, feather": _refine(feather=4.0),
    "Mask Refine, guided": _refine(edge="guided"),
    "Mask Refine, invert": _refine(invert=True),
    "Cut Out, plain edges": lambda: CutOut.execute(
        noise(), segments=two_objects(), clean_edges=False
    ),
    "Crop Segments, Stitch Segments": _crop_and_stitch,
}

NEEDS: dict[str, Callable] = {
    "Load SAM, GrabCut": lambda: segment_points(load(BUILT_IN), noise()),
    "Text Segment, CLIPSeg": _words("clipseg/trained"),
    "Segment Everything, min_area": _everything(min_area=20),
    "Track Segments by optical flow": _track(SAM2),
    "Remote Provider Segment": lambda: asyncio.run(
        RemoteProviderSegment.execute(noise(), {"provider": "fal", "prompt": "cat"})
    ),
    "Draw Segments, outlines": lambda: DrawSegments.execute(noise(), two_objects(), "contour"),
    "Mask Refine, holes": _refine(fill_holes=50),
    "Mask Refine, islands": _refine(remove_islands=50),
    "Cut Out, clean edges": lambda: CutOut.execute(noise(), segments=two_objects()),
}


@pytest.mark.parametrize("run", WORKS.values(), ids=WORKS)
@torch.inference_mode()
def test_what_does_not_need_it_gives_the_same(run):
    expected = run().args
    with without_opencv():
        found = run().args
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        _assert_same(one, other)


def _assert_same(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=0, atol=0.005)
    elif isinstance(one, Segments):
        assert one.labels == other.labels
        for mine, theirs in zip(one, other, strict=True):
            _assert_same(mine.mask.pixels() / 255.0, theirs.mask.pixels() / 255.0)
    elif isinstance(one, list):
        for mine, theirs in zip(one, other, strict=True):
            _assert_same(mine, theirs)
    else:
        assert one == other


@pytest.mark.parametrize("run", NEEDS.values(), ids=NEEDS)
@torch.inference_mode()
def test_what_needs_it_names_the_command(run, monkeypatch):
    monkeypatch.setenv("FAL_KEY", "a:b")
    with without_opencv(), pytest.raises(MissingLibrary, match="pip install"):
        run()
