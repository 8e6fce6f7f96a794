"""A comparison as a line and as JSON."""

from __future__ import annotations

import json

import pytest
import torch
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.compare import Comparison, compare
from segment_anywhere.core.results.report import comparison_json, summary_line
from segment_anywhere.core.results.segments import Instance, Segments

NAMES = ("local", "fal")


def _box(left: int, right: int, label: str, frame: int = 0, number: int = 0) -> Instance:
    mask = torch.zeros((10, 100), dtype=torch.bool)
    mask[:, left:right] = True
    return Instance(compact(mask), 0.5, label, frame, number)


def _compare(a: list[Instance], b: list[Instance], batch: int = 1) -> Comparison:
    return compare(*(Segments.from_instances(side, (10, 100), batch) for side in (a, b)))


CAT, DOG = _box(0, 10, "cat", number=4), _box(20, 30, "dog")
CASES = {
    "no objects in either result": ([], []),
    "1 of 1 object found by both, IoU 1.00, boundary 1.00": ([CAT], [CAT]),
    "1 of 2 objects found by both, IoU 1.00, boundary 1.00; IoU of all 0.50; fal missed: dog (1)": (
        [CAT, DOG],
        [CAT],
    ),
    "0 of 3 objects found by both; local missed: cat (2); fal missed: dog (1)": (
        [DOG],
        [CAT, _box(40, 50, "cat")],
    ),
    "0 of 8 objects found by both; local missed: "
    "n0 (1), n1 (1), n2 (1), n3 (1), n4 (1), n5 (1) and 2 more": (
        [],
        [_box(n, n + 1, f"n{n}") for n in range(8)],
    ),
}


@pytest.mark.parametrize("line", CASES)
def test_the_line(line):
    assert summary_line(_compare(*CASES[line]), NAMES) == line


def test_the_json():
    kitten = _box(0, 8, "kätzchen", number=7)
    read = json.loads(comparison_json(_compare([CAT, DOG], [kitten], batch=2), NAMES))
    assert read["names"] == {"a": "local", "b": "fal"}
    assert read["summary"] == {
        "both": 1,
        "only_a": 1,
        "only_b": 0,
        "same_label": 0,
        "share_of_a": 0.5,
        "share_of_b": 1.0,
        "iou": 0.4,
        "matched_iou": 0.8,
        # The one contour inside the image is two pixels off, one more than its size allows.
        "boundary_f": 0.0,
        "j_and_f": 0.4,
        "union_iou": 0.4,
    }
    first, second = read["frames"]
    (pair,) = first["both"]
    assert pair["a"] == {"id": 4, "label": "cat", "score": 0.5}
    assert pair["b"] == {"id": 7, "label": "kätzchen", "score": 0.5}
    assert (pair["iou"], pair["same_label"]) == (0.8, False)
    assert first["only_a"] == [{"id": 0, "label": "dog", "score": 0.5}]
    assert first["union_iou"] == 0.4
    assert second == {"frame": 1, "union_iou": 1.0, "both": [], "only_a": [], "only_b": []}


def test_a_mean_over_nothing_is_null():
    summary = json.loads(comparison_json(_compare([], []), NAMES))["summary"]
    assert summary["matched_iou"] is summary["boundary_f"] is summary["j_and_f"] is None
    assert summary["iou"] == summary["share_of_a"] == summary["share_of_b"] == 1.0
