"""The benchmark of a GPU, as far as it goes without one."""

from __future__ import annotations

import sys

import torch

from benchmarks import bench_gpu


def test_what_there_is_no_time_for_is_said(monkeypatch, capsys):
    command = ["bench_gpu", "--device", "cpu", "--budget", "0", "--models", "edgetam"]
    monkeypatch.setattr(sys, "argv", command)
    bench_gpu.main()
    printed = capsys.readouterr().out
    assert printed.startswith("## cpu\n")
    left_out = "Left out, as 0 s had passed: Mask Refine, defaults, 96x128; "
    assert left_out in printed and printed.endswith("; EdgeTAM; clipseg fp32, a phrase.\n")


def test_a_table_is_markdown(capsys):
    bench_gpu.print_table(("model", "first click"), [["SAM", "1.0"], ["EdgeTAM", "0.5"]])
    assert capsys.readouterr().out == (
        "\n| model | first click |\n|---|---|\n| SAM | 1.0 |\n| EdgeTAM | 0.5 |\n"
    )


def test_the_frames_of_a_batch_differ():
    image = bench_gpu.pictures((24, 32), 3)
    assert image.shape == (3, 24, 32, 3) and image.dtype == torch.float32
    assert not torch.equal(image[0], image[1])
