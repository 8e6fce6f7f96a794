"""The run loop by itself: tasks that other processes can run, and which errors end a run."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from headless.errors import WorkflowError
from headless.graph import load_graph, parse_graph
from headless.runs import Outcome, Request, Task, open_runner, prepare, run_job, run_jobs
from headless.sources.units import Job, Source
from tests.support.fake_comfy import REFUSAL, WORKFLOW, FakeComfy, serving

GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
    "2": {"class_type": "MaskToImage", "inputs": {"mask": ["1", 1]}},
    "3": {
        "class_type": "SaveImage",
        "inputs": {"images": ["2", 0], "filename_prefix": "mask"},
    },
}


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        Image.new("RGBA", (6, 4), (10, 20, 30, 40)).save(path)
    return paths


@pytest.fixture
def comfy() -> Iterator[FakeComfy]:
    with serving() as fake:
        yield fake


def _request(tmp_path: Path, images: list[Path], graph: dict) -> Request:
    return Request(parse_graph(graph, "test"), "test", tmp_path / "out", _sources(images))


def _sources(images: list[Path]) -> list[Source]:
    return [Source(str(path)) for path in images]


def _spawned() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _run_elsewhere(task: Task, job: Job, server: str | None = None) -> Outcome:
    with open_runner(server) as runner:
        return run_job(task, job, runner)


def test_another_process_runs_the_jobs_of_a_task(tmp_path, images):
    images[1].write_bytes(b"no picture")
    with open_runner() as runner:
        task = prepare(_request(tmp_path, images, GRAPH), runner)
    with _spawned() as pool:
        outcomes = list(pool.map(_run_elsewhere, [task] * 3, task.jobs))
    assert [outcome.job for outcome in outcomes] == list(task.jobs)
    assert [list(outcome.written) for outcome in outcomes] == [
        [tmp_path / "out" / "a_mask.png"],
        [],
        [tmp_path / "out" / "c_mask.png"],
    ]
    assert isinstance(outcomes[1].error, WorkflowError) and not outcomes[1].stops_run
    # What is done there is done here.
    with open_runner() as runner:
        assert [each.skipped for each in run_jobs(task, runner)] == [True, False, True]


def test_an_error_keeps_what_it_means_on_its_way_between_processes(comfy, tmp_path, images):
    comfy.on_prompt = lambda _: _refused()
    with open_runner(comfy.url) as runner:
        task = prepare(_request(tmp_path, images, WORKFLOW), runner)
    with _spawned() as pool:
        outcome = pool.submit(_run_elsewhere, task, task.jobs[0], comfy.url).result()
    assert outcome.stops_run and "bigger than max" in str(outcome.error)


def test_the_workflow_of_a_request_is_never_replaced(tmp_path, images):
    path = tmp_path / "out" / "a_mask.png"
    path.parent.mkdir()
    path.write_text(json.dumps(GRAPH))
    request = Request(
        load_graph(path), "test", tmp_path / "out", _sources(images[:1]), inputs=[path]
    )
    with open_runner() as runner:
        (outcome,) = run_jobs(prepare(request, runner), runner)
    assert "would replace an input" in str(outcome.error) and not outcome.skipped
    assert json.loads(path.read_text()) == GRAPH


@pytest.mark.parametrize(("done", "before"), [(False, 0), (True, 1)])
def test_an_error_of_all_jobs_ends_the_run_at_the_first(comfy, tmp_path, images, done, before):
    """Jobs that an earlier run has done do not count: nothing has run yet."""
    with open_runner(comfy.url) as runner:
        task = prepare(_request(tmp_path, images, WORKFLOW), runner)
        if done:
            assert run_job(task, task.jobs[0], runner).written
        comfy.on_prompt = lambda _: _refused()
        seen = []
        with pytest.raises(WorkflowError, match="bigger than max"):
            seen.extend(run_jobs(task, runner))
        assert len(comfy.prompts) == before + 1


def test_an_error_of_all_jobs_after_one_that_ran_is_the_last_outcome(comfy, tmp_path, images):
    with open_runner(comfy.url) as runner:
        task = prepare(_request(tmp_path, images, WORKFLOW), runner)
        outcomes = []
        for outcome in run_jobs(task, runner):
            outcomes.append(outcome)
            comfy.on_prompt = lambda _: _refused()
    assert len(outcomes) == 2 and outcomes[0].written and outcomes[1].stops_run


def _refused() -> web.Response:
    return web.json_response(REFUSAL, status=400)
