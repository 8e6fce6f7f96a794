"""Remote Provider Segment on a real ComfyUI, against the loopback servers of all providers."""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from urllib.parse import quote

import numpy as np
import pytest

from tests.support.paths import ROOT
from tests.support.servers import KEY, SERVERS, faults

from .graphs import node

pytestmark = pytest.mark.xdist_group("comfyui")

FLOWER = "[[310, 215]]"
# Another number sends a request anew, so that no test is answered from another's memory.
_numbers = itertools.count(1)


def workflow(key: str, image: str) -> dict:
    """A provider's own workflow, on an uploaded image; node 2 is ours, 9 shows the info."""
    graph = json.loads((ROOT / "workflows" / "api" / f"remote_{key}.json").read_text())
    graph["1"]["inputs"]["image"] = image
    graph["2"]["inputs"]["force_new"] = next(_numbers)
    if key == "airefinery":
        graph["2"]["inputs"]["provider.points"] = FLOWER
    return graph


def batch(key: str, image: str, amount: int) -> dict:
    """The same on equal frames that differ by a pixel's brightness, so that each is sent."""
    graph = workflow(key, image)
    graph["many"] = node("RepeatImageBatch", image=["1", 0], amount=amount)
    graph["2"]["inputs"]["image"] = ["many", 0]
    return graph


def flower_share(api, run) -> float:
    """How much of the mask is the dahlia around (310, 215), which is almost a circle."""
    mask = api.masks(run, "4")[0] > 0.5
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    flower = np.hypot(x - 308, y - 223) < 137
    return (mask & flower).sum() / flower.sum()


@pytest.mark.parametrize("key", SERVERS)
def test_each_providers_workflow(api, dahlia, providers, key):
    run = api.succeed(workflow(key, dahlia))
    assert flower_share(api, run) > 0.9
    info = json.loads(run.text("9"))
    assert info["provider"] == key
    assert info["objects"] == sum(info["labels"].values()) >= 1
    assert providers[key].billed == 1
    assert providers[key].leaks == []
    assert "sent" in run.text("2")


def test_local_and_remote_side_by_side(api, dahlia, providers):
    graph = json.loads((ROOT / "workflows" / "api" / "local_and_remote.json").read_text())
    graph["1"]["inputs"]["image"] = dahlia
    graph["3"]["inputs"]["points"] = graph["4"]["inputs"]["provider.points"] = FLOWER
    named = {each["_meta"]["title"]: key for key, each in graph.items()}
    run = api.succeed(graph)
    titles = ("Mask, local", "Mask, remote")
    local, remote = (api.masks(run, named[title])[0] > 0.5 for title in titles)
    iou = (local & remote).sum() / (local | remote).sum()
    assert iou > 0.9
    compared = json.loads(run.text(named["Agreement in numbers"]))
    assert compared["names"] == {"a": "local", "b": "airefinery"}
    assert abs(compared["summary"]["union_iou"] - iou) < 0.01
    assert api.images(run, named["Agreement"])[0].size == local.shape[::-1]


@pytest.mark.parametrize("key", SERVERS)
def test_the_same_again_sends_nothing(api, dahlia, providers, key):
    """Neither where ComfyUI knows the result, nor where only the pack knows the answer."""
    graph = workflow(key, dahlia)
    api.succeed(graph)
    assert "2" in api.succeed(graph).cached
    graph["2"]["inputs"]["concurrency"] = 2
    again = api.succeed(graph)
    assert "2" not in again.cached
    assert "answered already" in again.text("2")
    assert providers[key].billed == 1


def interrupt_twice(api, prompt_id: str):
    """The first waits for what was sent, and says so; the second gives it up."""
    api.http.post_json("/interrupt", {"prompt_id": prompt_id})
    api.events.wait_for("progress_text", lambda each: "once more gives them up" in each["text"])
    api.http.post_json("/interrupt", {"prompt_id": prompt_id})
    return api.wait(prompt_id, 20)


@pytest.mark.parametrize("key", SERVERS)
def test_an_interrupt(api, dahlia, providers, key):
    server, hang = providers[key], faults.Hang()
    server.faults.append(hang)
    prompt_id = api.queue(workflow(key, dahlia))
    wait_until(lambda: server.received)
    run = interrupt_twice(api, prompt_id)
    assert not hang.answered
    assert run.messages["execution_interrupted"]["node_id"] == "2"
    assert "execution_error" not in run.messages
    api.succeed(workflow(key, dahlia))


def test_what_was_sent_before_an_interrupt_is_not_paid_for_in_vain(api, dahlia, providers):
    server = providers["segmind"]
    server.delay = 1.0
    graph = workflow("segmind", dahlia)
    prompt_id = api.queue(graph)
    wait_until(lambda: server.received)
    api.http.post_json("/interrupt", {"prompt_id": prompt_id})
    assert "execution_interrupted" in api.wait(prompt_id, 20).messages
    assert "answered already" in api.succeed(graph).text("2")
    assert server.billed == 1


def test_a_second_interrupt_cancels_a_job_in_the_queue(api, dahlia, providers):
    server = providers["fal"]
    server.mode = "never_completes"
    prompt_id = api.queue(workflow("fal", dahlia))
    wait_until(lambda: any(job.looks > 3 for job in server.jobs.values()))
    run = interrupt_twice(api, prompt_id)
    assert api.events.of_type("progress_state")
    assert "execution_interrupted" in run.messages
    assert [job.is_cancelled for job in server.jobs.values()] == [True]


def test_words_as_in_text_segment(api, dahlia, providers):
    """Text Segment is exchanged for it, and Select Segments still finds its labels."""
    graph = workflow("segmind", dahlia)
    graph["2"]["inputs"]["provider.prompt"] = "flower, dog"
    every = {"indices": "", "sort_by": "as given", "reverse": False, "min_area": 0, "max_area": 0}
    every |= {"min_score": 0.0, "max_score": 1.0}
    graph["chosen"] = node("SegmentAnywhereSelect", segments=["2", 1], labels="dog", **every)
    graph["count"] = node("PreviewAny", source=["chosen", 4])
    run = api.succeed(graph)
    assert run.text("count") == "1"
    assert providers["segmind"].billed == 2
    graph["2"]["inputs"] |= {"provider.prompt": "flower, dog, bee, fly", "max_calls": 1}
    assert "max_calls: found 1, but this run would send 2 calls" in api.run(graph).error
    assert providers["segmind"].billed == 2


def test_jobs_that_are_not_waited_for(api, dahlia, providers):
    """A node that left its jobs alone asks after them whenever it runs again."""
    server = providers["fal"]
    server.mode = "never_completes"
    graph = workflow("fal", dahlia)
    graph["2"]["inputs"]["wait"] = False
    first = api.succeed(graph)
    assert "1 job under way" in first.text("2")
    (job,) = json.loads(first.text("9"))["pending"]
    assert job in server.jobs
    server.mode, server.waits = "url", 0
    second = api.succeed(graph)
    assert flower_share(api, second) > 0.9
    graph["2"]["inputs"] |= {"resume": job, "force_new": next(_numbers), "wait": True}
    assert flower_share(api, api.succeed(graph)) > 0.9
    assert server.billed == 1


FAULTS = {
    "404": (faults.status(404, '{"detail": "no such model"}'), "does not exist"),
    "422": (faults.status(422, '{"detail": "too small"}'), "refused"),
    "429": (faults.status(429, "{}", Retry_After="900"), "too many requests"),
    "500": (faults.status(500, '{"error": "cuda"}'), "failed on its side"),
    "502": (faults.status(502, faults.HTML_502, "text/html"), "web page"),
    "reset": (faults.reset, "may have been billed"),
    "empty": (faults.body(b"", "application/json"), "cannot be used"),
    "half": (faults.body(b'{"data": [', "application/json"), "cannot be used"),
    "SVG": (faults.body(faults.SVG, "image/svg+xml"), "cannot be used"),
    "huge": (faults.huge, "more than 96 MiB"),
    "hang": (faults.Hang(), "no result within 5 s"),
}


@pytest.mark.parametrize("key", SERVERS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_an_error_at_the_node(api, dahlia, providers, key, name):
    if name == "hang" and key != "fal":
        pytest.skip("one five-second wait is enough")
    if name == "502" and key == "fal":
        pytest.skip(
            "a page of its gateway is no answer of fal's, and is repeated as its client does"
        )
    fault, words = FAULTS[name]
    providers[key].faults = deque([fault] * 8)
    graph = workflow(key, dahlia)
    graph["2"]["inputs"]["timeout"] = 5 if name == "hang" else 60
    run = api.run(graph)
    assert run.status == "error"
    assert run.messages["execution_error"]["node_id"] == "2"
    assert words in run.error
    assert len(providers[key].received) == 1


@pytest.mark.parametrize(
    ("key", "inputs", "words"),
    [
        ("moark", {"positive_coords": ["on", 0]}, "does not take points"),
        ("imagineo", {"bboxes": ["box", 0]}, "does not take boxes"),
        ("fal", {"provider.blur_mask": 4}, "blur_mask: found 4"),
        ("custom", {"provider.profile": "nowhere"}, "profile: found 'nowhere'"),
    ],
)
def test_what_cannot_be_taken_is_refused(api, dahlia, providers, key, inputs, words):
    graph = workflow(key, dahlia)
    graph["2"]["inputs"].update(inputs)
    graph["on"] = node("PrimitiveStringMultiline", value='[{"x": 70, "y": 50}]')
    graph["box"] = node("PrimitiveBoundingBox", x=36, y=16, width=68, height=68)
    run = api.run(graph)
    assert words in run.error
    assert providers[key].received == []


def test_an_unknown_provider(api, dahlia):
    graph = workflow("moark", dahlia)
    graph["2"]["inputs"]["provider"] = "nobody"
    run = api.run(graph)
    assert "provider: found None; accepted are fal, imagineo" in run.error


def test_two_nodes_at_once(api, dahlia, providers):
    """Two providers of one graph work side by side; equal requests of two nodes are one."""
    for server in providers.values():
        server.delay = 0.3
    graph = workflow("fal", dahlia)
    graph["other"] = workflow("segmind", dahlia)["2"]
    graph["twin"] = {**graph["2"], "inputs": {**graph["2"]["inputs"], "concurrency": 1}}
    for name in ("other", "twin"):
        graph[f"{name} image"] = node("MaskToImage", mask=[name, 0])
        graph[f"{name} shown"] = node("PreviewImage", images=[f"{name} image", 0])
    run = api.succeed(graph)
    assert api.masks(run, "other shown").any()
    assert np.array_equal(api.masks(run, "twin shown"), api.masks(run, "4"))
    assert (providers["fal"].billed, providers["segmind"].billed) == (1, 1)


def test_equal_frames_of_a_batch_are_one_call(api, dahlia, providers):
    run = api.succeed(batch("segmind", dahlia, 3))
    assert api.masks(run, "4").shape[0] == 3
    assert providers["segmind"].billed == 1


def test_a_profile_of_ones_own(api, dahlia, providers, comfy):
    """Its key comes from providers.toml, which no route of ComfyUI hands out."""
    providers["custom"].needs_key = True
    graph = workflow("custom", dahlia)
    assert "the key was refused (401)" in api.run(graph).error
    path = _write_profile(comfy, providers["custom"].url)
    graph["2"]["inputs"]["provider.profile"] = "gpu-box"
    api.succeed(graph)
    assert providers["custom"].billed == 1
    for name in ("../__segment_anywhere/providers.toml", "__segment_anywhere/providers.toml"):
        assert api.status(f"/userdata/{quote(name, safe='')}") in (400, 403, 404)
    path.chmod(0o644)
    graph["2"]["inputs"]["force_new"] = next(_numbers)
    assert "found mode 0644" in api.run(graph).error
    assert providers["custom"].billed == 1


def test_no_secret_anywhere(api, dahlia, providers, comfy):
    """After runs that fail with the key in the provider's own words: nothing holds it."""
    kept = _write_profile(comfy, providers["custom"].url)
    for key, server in providers.items():
        server.faults = deque([faults.status(401, json.dumps({"error": f"bad key {KEY}"}))])
        graph = workflow(key, dahlia)
        if key == "custom":
            graph["2"]["inputs"]["provider.profile"] = "gpu-box"
        assert "bad key [hidden]" in api.run(graph).error
        graph["saved"] = node("SaveImage", images=["6", 0], filename_prefix=f"secret_{key}")
        api.succeed(graph)
    seen = json.dumps(api.events.all())
    for path in ("/history", "/queue", "/object_info", "/system_stats", "/api/jobs"):
        seen += api.http.get(path).decode(errors="replace")
    assert "SegmentAnywhereRemote" in seen
    assert KEY not in seen
    files = {path: path.read_bytes() for path in comfy.base.rglob("*") if _is_of_a_run(path, comfy)}
    pictures = [path for path in files if path.name.startswith("secret_")]
    # The graph is in the pictures in plain letters, so a key in it would be found.
    assert all(b"SegmentAnywhereRemote" in files[path] for path in pictures)
    assert len(pictures) == len(SERVERS)
    assert [path for path, data in files.items() if KEY.encode() in data] == [kept]
    assert "Authorization" not in comfy.log()


def _is_of_a_run(path, comfy) -> bool:
    return path.is_file() and comfy.base / "custom_nodes" not in path.parents


def _write_profile(comfy, url: str):
    path = comfy.base / "user" / "__segment_anywhere" / "providers.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'[custom.gpu-box]\nurl = "{url}"\nkey = "{KEY}"\n')
    path.chmod(0o600)
    return path


def wait_until(condition, seconds: float = 20.0) -> None:
    """Look again and again, for what happens in other processes."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what the test waits for did not happen")
        time.sleep(0.02)
