"""Workers in processes of their own: deaths, poison, a node that is gone, paid calls, bad input."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

import run_workflow
from headless.cluster import crew as crews
from headless.cluster import session
from headless.cluster.crew import RayCrew, Wanted, gpu_share
from headless.errors import WorkflowError
from headless.graph import load_graph
from headless.local import executor
from headless.runs import Outcome, Request, Task
from headless.sources.units import Source
from tests.support import hands
from tests.support.paths import ROOT
from tests.support.servers import faults, serving
from tests.support.servers.__main__ import environment
from tests.support.servers.segmind import SegmindServer

DATASET = ROOT / "workflows" / "api" / "dataset.json"
CLICK = "Point Segment.points=[[30, 20]]"
# Ray is one per process, and its machines take the memory of several.
pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(600)]


def pictures(folder: Path, names: str, size: tuple[int, int] = (60, 40)) -> Path:
    """Pictures of a disk, each of its own colour."""
    folder.mkdir(parents=True)
    for index, name in enumerate(names.split()):
        picture = Image.new("RGB", size, (10, 40 * index % 256, 90))
        picture.paste((250, 240, 10 + index), (15, 8, 45, 32))
        picture.save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines on this one, with room for one worker each; the second may be ended."""
    from ray.cluster_utils import Cluster

    quick = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
    machines = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "object_store_memory": session.STORE_BYTES,
            "include_dashboard": False,
            "_system_config": quick,
        },
    )
    yield machines
    machines.shutdown()


def wanted(folder: Path, address: str | None, workers: int = 2) -> Wanted:
    return Wanted(workers, address, None, None, folder / "out")


def coco(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "dataset" / "annotations.json").read_text())


def begin(crew: RayCrew, folder: Path) -> Task:
    paths = sorted((folder / "in").iterdir())
    sources = [Source(str(path)) for path in paths]
    request = Request(load_graph(DATASET), "x", folder / "out", sources, assignments=[CLICK])
    return crew.prepare(request)


def test_a_machine_that_dies_and_a_poison_cost_no_other_picture(cluster, tmp_path, monkeypatch):
    """And a second run does only what is missing."""
    pictures(tmp_path / "in", "a b c d e f g h poison")
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    second = cluster.add_node(num_cpus=1, object_store_memory=session.STORE_BYTES)
    monkeypatch.setattr(crews, "Hands", hands.Mortal)
    said: list[str] = []
    outcomes: list[Outcome] = []
    with RayCrew(wanted(tmp_path, cluster.address), said.append) as crew:
        task = begin(crew, tmp_path)
        for outcome in crew.run(task):
            outcomes.append(outcome)
            if len(outcomes) == 2:
                cluster.remove_node(second, allow_graceful=False)
    assert Counter(each.job.stem for each in outcomes) == Counter(job.stem for job in task.jobs)
    failed = {each.job.stem: str(each.error) for each in outcomes if each.error}
    assert sorted(failed) == ["broken", "poison"]
    assert "its worker ended at it 2 times" in failed["poison"]
    # The poison ends two workers, and is done again after the first.
    assert len(said) >= 2 and any("What it had is done again" in line for line in said)
    # Each once, in the order of being done.
    names = sorted(each["file_name"] for each in coco(tmp_path)["images"])
    assert names == [f"{stem}.png" for stem in "abcdefgh"]
    assert len(coco(tmp_path)["annotations"]) == 8
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        *(f"{stem}.json" for stem in "abcdefgh"),
        "dataset",
    }
    # The poison is a picture like any other to workers that can stand it.
    monkeypatch.undo()
    with RayCrew(wanted(tmp_path, cluster.address, 1), said.append) as crew:
        again = list(crew.run(begin(crew, tmp_path)))
    assert sum(each.skipped for each in again) == 8
    assert [each.job.stem for each in again if each.written] == ["poison"]
    assert len(coco(tmp_path)["images"]) == 9


def test_a_worker_without_memory_says_so_and_goes_on(cluster, tmp_path, monkeypatch):
    folder = pictures(tmp_path / "in", "a z")
    Image.new("RGB", (4000, 3000), (10, 20, 90)).save(folder / "poison.png")
    monkeypatch.setattr(crews, "Hands", hands.Starved)
    with RayCrew(wanted(tmp_path, cluster.address, 1), print) as crew:
        outcomes = {each.job.stem: each.error for each in crew.run(begin(crew, tmp_path))}
    assert outcomes.keys() == {"a", "poison", "z"} and outcomes["a"] is outcomes["z"] is None
    assert str(outcomes["poison"]).split(": ")[1:] == [executor._NO_MEMORY]


def test_paid_answers_outlive_their_worker_and_calls_are_bounded(cluster, tmp_path, monkeypatch):
    """A picture that comes twice is paid for once, whoever has it."""
    folder = pictures(tmp_path / "in", "a b c d e")
    (folder / "twin.png").write_bytes((folder / "a.png").read_bytes())
    server, answer = SegmindServer(), threading.Event()
    server.faults.extend(faults.held(answer) for _ in range(5))
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "comfy"))
    monkeypatch.setattr(crews, "Hands", hands.DeadOncePaid)
    with serving(server):
        threading.Thread(target=_answer_two, args=(server, answer), daemon=True).start()
        for name, value in environment({"segmind": server}).items():
            monkeypatch.setenv(name, value)
        graph = load_graph(ROOT / "workflows" / "api" / "remote_segmind.json")
        sources = [Source(str(path)) for path in sorted(folder.iterdir())]
        bound = ["Remote Provider Segment.concurrency=2"]
        request = Request(graph, "x", tmp_path / "out", sources, assignments=bound)
        with RayCrew(wanted(tmp_path, None, 3), print) as crew:
            outcomes = list(crew.run(crew.prepare(request)))
    assert [each.error for each in outcomes] == [None] * 6
    assert (tmp_path / "out" / hands.PAID).exists()
    assert server.billed == 5
    assert server.most_at_once == 2


def _answer_two(server: SegmindServer, answer: threading.Event) -> None:
    """Answer once two calls wait, and a third one has had the time to come."""
    while server.at_once < 2:
        time.sleep(0.05)
    time.sleep(1)
    answer.set()


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "run_workflow.py", str(DATASET), "--image", str(folder / "in")]
    command += ["--set", CLICK, "--out", str(folder / "out"), "--workers", "2", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def records(folder: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "out").glob("*.json")}


def test_a_command_that_is_killed_goes_on_where_it_was(tmp_path):
    pictures(tmp_path / "in", " ".join(f"p{index:02}" for index in range(12)), (640, 480))
    with start(tmp_path) as first:
        while not records(tmp_path):
            assert first.poll() is None, first.communicate()
            time.sleep(0.01)
        begun = psutil.Process(first.pid).children(recursive=True)
        workers = [each for each in begun if "ray::Hands" in " ".join(each.cmdline())]
        assert len(workers) == 2
        first.kill()
    # Nobody works on without it; helpers of Ray's are there for a minute more.
    psutil.wait_procs(workers)
    done = records(tmp_path)
    assert len(done) < 12
    out, err = start(tmp_path).communicate(timeout=500)
    assert f"{len(done)} of 12 were done already" in err
    assert f"{12 - len(done)} done, 0 failed" in err and "Traceback" not in err
    after = records(tmp_path)
    assert len(after) == 12 and all(after[stem] == at for stem, at in done.items())
    # The paths and nothing else, whatever Ray has to say.
    dataset = str(tmp_path / "out" / "dataset")
    assert all(line.startswith(dataset) for line in out.splitlines())
    names = [each["file_name"] for each in coco(tmp_path)["images"]]
    assert sorted(names) == [f"p{index:02}.png" for index in range(12)]


SHARES = [
    # GPUs, workers, what is asked for, and what each gets.
    (0, 2, None, 0.0),
    (1, 2, None, 0.5),
    (8, 8, None, 1.0),
    (8, 12, None, 0.5),
    (8, None, None, 1.0),
    (2, 4, 0.25, 0.25),
]


@pytest.mark.parametrize(("gpus", "workers", "asked", "share"), SHARES)
def test_gpus_are_shared_out_so_that_all_workers_have_room(gpus, workers, asked, share):
    assert gpu_share(gpus, workers, asked) == share
    each_holds = int(1 / share) if share else workers
    assert workers is None or gpus * each_holds >= workers or not share


@pytest.mark.parametrize(("gpus", "asked"), [(0, 1.0), (1, 2.0), (0, 0.1)])
def test_gpus_that_are_not_there_cannot_be_had(gpus, asked):
    with pytest.raises(WorkflowError, match="--gpus-per-worker"):
        gpu_share(gpus, 2, asked)


def usage(capsys, *arguments: str) -> tuple[int, str]:
    try:
        status = run_workflow.main([str(DATASET), *arguments])
    except SystemExit as left:
        status = left.code
    return status, capsys.readouterr().err.splitlines()[-1]


WRONG = [
    (["--workers", "0"], "found 0; accepted are whole numbers from 1"),
    (["--workers", "-1"], "found -1; accepted are whole numbers from 1"),
    (["--workers", "two"], "found two; accepted are whole numbers from 1"),
    (["--workers", "2", "--server", "http://127.0.0.1:1"], "give --server several times"),
    (["--ray", "auto", "--server", "http://127.0.0.1:1"], "name a cluster or servers"),
    (["--gpus-per-worker", "1"], "needs --workers of 2 or more, or --ray"),
    (["--workers", "2", "--gpus-per-worker", "1.5"], "found 1.5; accepted are parts"),
    (["--workers", "2", "--gpus-per-worker", "-1"], "found -1; accepted are parts"),
    (["--workers", "2", "--gpus-per-worker", "nan"], "found nan; accepted are parts"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG, ids=str)
def test_options_that_make_no_sense(capsys, arguments, text):
    status, error = usage(capsys, *arguments)
    assert status == 2 and text in error


@pytest.mark.parametrize("option", [("--workers", "2"), ("--ray", "auto")])
def test_without_ray_the_command_that_installs_it_is_told(capsys, monkeypatch, option):
    monkeypatch.setattr(session.importlib.util, "find_spec", lambda name: None)
    status, error = usage(capsys, *option)
    assert status == 2 and error.startswith(f"error: {option[0]}")
    assert "needs the package ray" in error and error.endswith("-m pip install ray")


def test_a_cluster_that_does_not_answer_is_not_waited_for(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(session, "ANSWER_SECONDS", 5.0)
    pictures(tmp_path / "in", "a")
    arguments = ["--image", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    status, error = usage(capsys, *arguments, "--set", CLICK, "--ray", "127.0.0.1:1")
    assert status == 2 and "--ray 127.0.0.1:1: no Ray cluster answers there" in error


def test_a_machine_that_does_not_see_the_results_is_left_out(tmp_path, task_of_one):
    setup = crews.Setup(task_of_one, False, None, tmp_path, 1, tmp_path / "elsewhere" / "mark")
    refusal = crews.Hands().open(setup)
    assert "does not see" in str(refusal) and "that all machines" in str(refusal)


@pytest.fixture
def task_of_one(tmp_path) -> Task:
    pictures(tmp_path / "in", "a")
    with RayCrew(wanted(tmp_path, None), print) as crew:
        return begin(crew, tmp_path)
