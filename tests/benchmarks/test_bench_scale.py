"""The benchmark of many images, as far as it says something without running them."""

from __future__ import annotations

import pytest

from benchmarks import bench_scale


@pytest.mark.parametrize(
    ("times", "workers", "rate"),
    [
        # The wait for the first images is starting.
        ([100.0, 101.0, 102.0, 103.0, 104.0], 1, 1.0),
        ([100.0, 130.0, 130.5, 131.0, 131.5, 132.0, 132.5], 2, 2.0),
    ],
)
def test_starting_is_no_part_of_a_rate(times, workers, rate):
    assert bench_scale.measured(times, workers, 3 * 2**20) == bench_scale.Measured(rate, 3.0)


def test_the_photographs_are_in_order(tmp_path):
    bench_scale.write_photos(tmp_path / "photos", 2)
    setting = bench_scale.Setting(tmp_path / "photos", tmp_path, tmp_path, "x")
    assert [path.name for path in setting.files] == ["0000.jpg", "0001.jpg"]
