"""Several servers at one command: who does what, and what becomes of those that are lost."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

import run_workflow
from headless.remote import farm, runner
from tests.support.fake_comfy import INFO, WORKFLOW, FakeComfy, serving

COUNT = 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graph.json").write_text(json.dumps(WORKFLOW))
    (tmp_path / "in").mkdir()
    for index in range(COUNT):
        Image.new("RGB", (4, 4), (index, 0, 0)).save(tmp_path / "in" / f"{index}.png")
    return tmp_path


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(runner.ServerRunner.__init__, "__defaults__", (0.01,))
    monkeypatch.setattr(runner, "PATIENCE", 3)
    monkeypatch.setattr(farm, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(farm.Farm.__init__, "__defaults__", (1.0,))


@pytest.fixture
def two(quick) -> Iterator[tuple[FakeComfy, FakeComfy]]:
    with serving() as first, serving() as second:
        yield first, second


def run(folder: Path, *urls: str) -> int:
    servers = [part for url in urls for part in ("--server", url)]
    arguments = [str(folder / "graph.json"), "--image", str(folder / "in"), *servers]
    return run_workflow.main([*arguments, "--out", str(folder / "out")])


def free_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def results(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").glob("*_mask.png"))


ALL = [f"{index}_mask.png" for index in range(COUNT)]


def test_each_picture_goes_to_one_of_the_servers(folder, two, capsys):
    assert run(folder, two[0].url, two[1].url) == 0
    counts = [len(comfy.prompts) for comfy in two]
    assert sum(counts) == COUNT and min(counts) >= 1
    assert results(folder) == ALL
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2 * COUNT
    assert "6 done, 0 failed" in captured.err
    # A second run finds all of it done.
    assert run(folder, two[0].url, two[1].url) == 0
    assert sum(len(comfy.prompts) for comfy in two) == COUNT


def test_a_server_that_is_not_there_is_left_out(folder, two, capsys):
    two[1].stats = "something else"
    assert run(folder, free_url(), two[1].url, two[0].url) == 0
    assert len(two[0].prompts) == COUNT and results(folder) == ALL
    told = [line for line in capsys.readouterr().err.splitlines() if "One worker less" in line]
    assert len(told) == 2
    assert any("connection refused" in line for line in told)
    assert any("not as ComfyUI does" in line for line in told)


def test_the_job_of_a_server_that_dies_is_another_ones(folder, two, capsys):
    two[1].on_prompt = _die(two[1])
    assert run(folder, two[0].url, two[1].url) == 0
    assert results(folder) == ALL
    assert len(two[1].prompts) == 1 and len(two[0].prompts) == COUNT
    assert "was lost while the job ran" in capsys.readouterr().err


def test_a_server_that_comes_back_works_on(folder, two):
    """Only that one can do the last pictures: the other is gone for good by then."""
    back, gone = two
    back.on_prompt = _die(back, times=4)
    gone.on_prompt = lambda body: _restart(back, gone, body)
    assert run(folder, back.url, gone.url) == 0
    assert results(folder) == ALL


def test_all_servers_gone_midway_is_one_sentence(folder, two, capsys):
    for comfy in two:
        comfy.on_prompt = _die(comfy)
    assert run(folder, two[0].url, two[1].url) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"error: {farm.SHORTAGE}", error
    assert not results(folder)


def test_no_server_at_all_is_status_2(folder, quick, capsys):
    assert run(folder, free_url(), free_url()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("connection refused") == 2


def test_a_graph_that_all_refuse_is_status_2(folder, two, capsys):
    for comfy in two:
        comfy.on_prompt = lambda _: web.json_response({"error": "wrong value"}, status=400)
    assert run(folder, two[0].url, two[1].url) == 2
    assert "refused the workflow: wrong value" in capsys.readouterr().err.splitlines()[-1]
    assert [len(comfy.prompts) for comfy in two] == [1, 1]


def test_several_servers_make_no_dataset(folder, two, capsys, monkeypatch):
    spec = {"required": {"segments": ["SEGMENTS", {}]}}
    monkeypatch.setitem(INFO, "SegmentAnywhereSave", {"input": spec, "output_node": True})
    save = {"class_type": "SegmentAnywhereSave", "inputs": {"segments": ["3", 0]}}
    (folder / "graph.json").write_text(json.dumps({**WORKFLOW, "9": save}))
    assert run(folder, two[0].url, two[1].url) == 2
    assert "a dataset on each of the servers" in capsys.readouterr().err
    assert not two[0].prompts


def test_an_interrupt_cancels_what_runs(two):
    """As `Pool` does when it is told a second time."""
    with serving() as comfy:
        comfy.forgets = True
        one = farm.ServerWorker(comfy.url, _task(comfy), force=False)
        one.start().result()
        under_way = one.run(_task(comfy).jobs[0])
        while not comfy.prompts:
            pass
        one.stop()
        assert "given up" in str(under_way.result().error)
        assert [path for path, _ in comfy.cancelled] == ["/queue", "/interrupt"]


def _task(comfy: FakeComfy):
    from headless.graph import parse_graph
    from headless.runs import Request, prepare

    with runner.ServerRunner(comfy.url) as there:
        return prepare(Request(parse_graph(WORKFLOW, "x"), "x", Path("nowhere")), there)


def _restart(back: FakeComfy, gone: FakeComfy, body: dict) -> web.Response:
    back.stats, back.on_prompt = {"system": {}}, None
    return _die(gone)(body)


def _die(comfy: FakeComfy, times: int = 10**6):
    """From the first job on a server answers nothing but errors; so often."""

    def answer(body: dict) -> web.Response:
        comfy.hiccups, comfy.stats = times, 500
        return web.json_response({"prompt_id": body["prompt_id"], "number": 1, "node_errors": {}})

    return answer
