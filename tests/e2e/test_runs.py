"""Across runs: what is kept, what is stopped, what is freed, what is found anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from segment_anywhere.core.engines.files.checkpoints import read_weights

from tests.support.paths import ROOT

from .api import Api, Graph
from .graphs import BUILT_IN, node, point_segment

pytestmark = pytest.mark.xdist_group("comfyui")

PARITY = "sam2/parity.pt"
FRAMES = 60


@pytest.mark.parametrize("model", [BUILT_IN, PARITY])
def test_the_same_graph_again_executes_nothing(api, photo, model):
    graph = point_segment(photo, [[250, 150]], model=model)
    first = api.succeed(graph)
    second = api.succeed(graph)
    assert second.cached == graph.keys()
    # A cached node still shows its picture and its text.
    assert second.outputs["segment"] == first.outputs["segment"]


@pytest.mark.parametrize("model", [BUILT_IN, PARITY])
def test_another_click_does_not_load_again(api, photo, model):
    api.succeed(point_segment(photo, [[250, 150]], model=model))
    run = api.succeed(point_segment(photo, [[260, 160]], model=model))
    assert run.cached == {"image", "sam"}


def test_another_precision_loads_again(api, photo):
    api.succeed(point_segment(photo, [[250, 150]], model=PARITY))
    run = api.succeed(point_segment(photo, [[250, 150]], model=PARITY, precision="bf16"))
    assert "image" in run.cached
    assert not {"sam", "segment"} & run.cached


def test_a_replaced_file_is_loaded_anew(api, photo, comfy):
    """The graph is the same, and its model had been loaded: only the file tells."""
    path = comfy.models / "sam2" / "replaced.pt"
    shutil.copy(comfy.models / PARITY, path)
    graph = point_segment(photo, [[250, 150]], model="sam2/replaced.pt")
    api.succeed(graph)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))
    assert api.succeed(graph).cached == {"image"}


def test_an_interrupt_stops_between_frames(api, photo):
    """Many frames with several objects each, stopped after the first few."""
    objects = [[[250, 150]], [[100, 100]], [[500, 300]], [[30, 380]]]
    graph = point_segment(["batch", 0], objects)
    graph["image"] = node("LoadImage", image=photo)
    graph["batch"] = node("RepeatImageBatch", image=["image", 0], amount=FRAMES)
    prompt_id = api.queue(graph)
    api.events.wait_for("progress_state", lambda data: _frames_done(data) >= 1, seconds=120)
    api.http.post_json("/interrupt", {"prompt_id": prompt_id})
    run = api.wait(prompt_id, seconds=30)
    done = max(_frames_done(data) for data in api.events.of_type("progress_state"))
    assert run.messages["execution_interrupted"]["node_id"] == "segment"
    assert "execution_error" not in run.messages
    assert 1 <= done < FRAMES / 2
    again = api.succeed(point_segment(photo, [[250, 150]]))
    assert api.masks(again).any()


def _frames_done(progress: dict) -> float:
    segment = progress["nodes"].get("segment")
    # Without a bar of its own a node's progress is 0 of 1.
    return segment["value"] if segment and segment["max"] == FRAMES else 0


def test_a_run_reports_its_progress_and_text(api, photo):
    graph = point_segment(["batch", 0], [[250, 150]])
    graph["image"] = node("LoadImage", image=photo)
    graph["batch"] = node("RepeatImageBatch", image=["image", 0], amount=3)
    run = api.succeed(graph)
    api.events.wait_for("execution_success", lambda _: True)
    states = [data["nodes"].get("segment") for data in api.events.of_type("progress_state")]
    assert any(state and (state["value"], state["max"]) == (3, 3) for state in states)
    assert run.text("segment").startswith("3 objects")


def _combined(image: str, operation: str) -> Graph:
    """Combine Segments ("3"), which leaves a line of text below its node."""
    masks = {"mask_a": ["image", 1], "mask_b": ["image", 1]}
    return {
        "image": node("LoadImage", image=image),
        "3": node("SegmentAnywhereCombine", operation=operation, **masks),
        "mask": node("MaskToImage", mask=["3", 0]),
        "mask image": node("PreviewImage", images=["mask", 0]),
    }


def test_the_line_on_a_node_goes_to_the_client_that_queued(square, comfy):
    """Two tabs may have different nodes of the same number."""
    with Api(comfy.url) as own, Api(comfy.url) as other:
        prompt_id = own.queue(_combined(square, "union"))
        assert own.wait(prompt_id).status == "success"
        own.events.wait_for("execution_success", lambda data: data["prompt_id"] == prompt_id)
        # What a run sends to the others comes before the answer to what they do after it.
        other.succeed(point_segment(square, [[70, 50]]))
        other.events.wait_for("execution_success", lambda _: True)
        assert own.events.of_type("progress_text") == [{"node": "3", "text": "0 objects"}]
        assert {each["node"] for each in other.events.of_type("progress_text")} == {"drawing"}


def test_a_line_of_a_run_that_no_client_queued_goes_nowhere(square, comfy):
    with Api(comfy.url) as api:
        answer = api.http.post_json("/prompt", {"prompt": _combined(square, "xor")})
        assert api.wait(answer["prompt_id"]).status == "success"
        api.succeed(point_segment(square, [[70, 50]]))
        api.events.wait_for("execution_success", lambda _: True)
        assert {each["node"] for each in api.events.of_type("progress_text")} == {"drawing"}


@pytest.mark.parametrize("model", [BUILT_IN, PARITY])
def test_a_run_after_free(api, photo, model):
    graph = point_segment(photo, [[250, 150]], model=model)
    before = api.masks(api.succeed(graph))
    api.http.post_json("/free", {"unload_models": True, "free_memory": True})
    run = api.succeed(graph)
    np.testing.assert_array_equal(api.masks(run), before)


def test_three_loaders_hold_one_copy_and_free_gives_it_back(api, square, comfy):
    """Counted in bytes of live tensors, with an image whose masks are small beside the weights."""

    def live_bytes() -> int:
        return api.http.get_json("/census")["bytes"]

    def live_bytes_when_freed() -> int:
        api.http.post_json("/free", {"unload_models": True, "free_memory": True})
        # The flag is served before the second of them at the latest; they keep next to nothing.
        for value in (0.0, 1.0):
            graph = {"small": node("SolidMask", value=value, width=8, height=8)}
            graph["shown"] = node("MaskPreview", mask=["small", 0])
            api.succeed(graph)
        return live_bytes()

    path = comfy.models / "sam2" / "counted.pt"
    shutil.copy(comfy.models / PARITY, path)
    weights = sum(tensor.nbytes for tensor in read_weights(path).values())
    graph = point_segment(square, [[70, 50]], model="sam2/counted.pt")
    before = live_bytes_when_freed()
    api.succeed(graph)
    one = live_bytes()
    assert one - before > 0.9 * weights
    for index in (1, 2):
        graph[f"sam {index}"] = graph["sam"]
        inputs = {**graph["segment"]["inputs"], "model": [f"sam {index}", 0]}
        graph[f"segment {index}"] = node("SegmentAnywherePoint", **inputs)
        graph[f"boxes {index}"] = node("PreviewAny", source=[f"segment {index}", 2])
    api.http.post_json("/free", {"unload_models": True, "free_memory": True})
    api.succeed(graph)
    assert live_bytes() - one < 0.9 * weights
    assert abs(live_bytes_when_freed() - before) < 0.1 * weights


def test_a_new_file_is_found_without_a_restart(api, photo, comfy):
    def choices() -> list[str]:
        info = api.http.get_json("/object_info/SegmentAnywhereLoadSAM")["SegmentAnywhereLoadSAM"]
        return info["input"]["required"]["model"][1]["options"]

    name = "sam2/below/dropped in.pt"
    assert name not in choices()
    target = comfy.models / name
    target.parent.mkdir()
    shutil.copy(comfy.models / PARITY, target)
    assert name in choices()
    api.succeed(point_segment(photo, [[250, 150]], model=name))


def _run_workflow(url: str, out: Path, points: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(ROOT / "run_workflow.py"),
        str(ROOT / "workflows" / "api" / "point_segment.json"),
        *("--image", str(ROOT / "workflows" / "images" / "dahlia.jpg")),
        *("--set", f"Point Segment.points={points}"),
        *("--out", str(out)),
        *("--server", url),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def test_the_command_line_runner(comfy, tmp_path):
    result = _run_workflow(comfy.url, tmp_path, "[[310, 215]]")
    assert result.returncode == 0, result.stderr
    written = [Path(line) for line in result.stdout.splitlines()]
    assert sorted(path.parent for path in written) == [tmp_path] * 3
    modes = {path.name: Image.open(path).mode for path in written}
    assert sorted(modes.values()) == ["RGB", "RGB", "RGBA"]
    assert all(name.startswith("dahlia") for name in modes)


def test_the_command_line_runner_passes_errors_on(comfy, tmp_path):
    result = _run_workflow(comfy.url, tmp_path, "[[5000, 215]]")
    assert result.returncode == 1
    assert "dahlia.jpg" in result.stderr
    assert "5000" in result.stderr and "640" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.glob("*.png")) == []
